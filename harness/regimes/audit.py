"""The audit: one real training forward in which every dropout and attention call is recorded with its rate.

It is what stands between a reader and a table of regimes in which dropout was silently off: Lightning's `fit()` does
not call `train()`, `from_pretrained` returns eval mode, attention kernels read a rate that a schedule may not reach,
and hidden sites keep a default. A cell in which anything differs from what its regime declares fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from harness.errors import CellError
from harness.regimes.noise import noise
from harness.regimes.sites import Sites

# function -> (name of its rate, position, name of its mode or None where the caller passes rate 0 in eval, position)
_MODULE_STYLE = (
    functional.dropout,
    functional.dropout1d,
    functional.dropout2d,
    functional.dropout3d,
    functional.alpha_dropout,
    functional.feature_alpha_dropout,
)
_KERNEL_STYLE = (torch.dropout, torch.feature_dropout, torch.alpha_dropout, torch.native_dropout)
_DROPOUTS: dict[Any, tuple[str, int, str | None, int]] = {
    functional.scaled_dot_product_attention: ("dropout_p", 4, None, 0),
    noise: ("rate", 1, None, 0),
    **dict.fromkeys(_MODULE_STYLE, ("p", 1, "training", 2)),
    **dict.fromkeys(_KERNEL_STYLE, ("p", 1, "train", 2)),
}


@dataclass(frozen=True)
class Call:
    """One dropout or attention call: where, and the rate that took effect (0 in eval mode)."""

    owner: str
    function: str
    rate: float


class _Recorder(TorchFunctionMode):
    def __init__(self, stack: list[str], calls: list[Call]) -> None:
        super().__init__()
        self.stack, self.calls = stack, calls

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _DROPOUTS:
            rate_name, rate_at, mode_name, mode_at = _DROPOUTS[func]
            rate = kwargs.get(rate_name, args[rate_at] if len(args) > rate_at else 0.5 if mode_name else 0.0)
            training = True
            if mode_name:
                training = kwargs.get(mode_name, args[mode_at] if len(args) > mode_at else True)
            owner = self.stack[-1] if self.stack else ""
            self.calls.append(Call(owner, func.__name__, float(rate) if training else 0.0))
        return func(*args, **kwargs)


@contextmanager
def recording(model: nn.Module) -> Iterator[list[Call]]:
    """Records every dropout and attention call in the forwards of `model` inside the block."""
    names = {id(module): name for name, module in model.named_modules()}
    stack: list[str] = []
    calls: list[Call] = []

    def enter(module: nn.Module, _: Any) -> None:
        stack.append(names.get(id(module), type(module).__name__))

    def leave(_: nn.Module, __: Any, ___: Any) -> None:
        stack.pop()

    handles = [
        hooks.register_module_forward_pre_hook(enter),
        hooks.register_module_forward_hook(leave, always_call=True),
    ]
    try:
        with _Recorder(stack, calls):
            yield calls
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def audited(sites: Sites, declared: Mapping[str, float]) -> Iterator[None]:
    """Runs the block's forward and fails the cell if a dropout differs from the declared rates.

    Args:
        sites: the model's dropout slots.
        declared: rate by site and mechanism, as the regime says for this step.

    Raises:
        CellError: a module in eval mode, a call with another rate, a call that is missing, a dropout that no site
            knows, or random numbers drawn although every rate is 0.
    """
    asleep = [name or "the model" for name, module in sites.model.named_modules() if not module.training]
    if asleep:
        raise CellError(f"audit: {asleep[0]} is in eval mode during training ({len(asleep)} modules): dropout is off")
    silent = not any(declared.values())
    before = _generator_states() if silent else []
    with recording(sites.model) as calls:
        yield
    check(sites, declared, calls)
    if silent and not all(map(torch.equal, before, _generator_states())):
        raise CellError("audit: every rate is 0, yet the forward drew random numbers")


def _generator_states() -> list[Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]


def check(sites: Sites, declared: Mapping[str, float], calls: list[Call]) -> None:
    """Compares recorded calls with declared rates.

    Raises:
        CellError: see `audited`.
    """
    expected: dict[str, tuple[str, float, int]] = {
        slot.owner: (slot.site, sites.rate_of(slot, declared), slot.calls) for slot in sites.slots
    }
    seen: dict[str, list[float]] = {}
    for call in calls:
        site, rate, _ = expected.get(call.owner, ("no known site", 0.0, 0))
        if call.rate != rate:
            raise CellError(f"audit: {call.function} in {call.owner} ({site}) has rate {call.rate}, declared {rate}")
        seen.setdefault(call.owner, []).append(call.rate)
    for owner, (site, rate, times) in expected.items():
        if rate > 0 and len(seen.get(owner, [])) != times:
            raise CellError(f"audit: {owner} ({site}) dropped {len(seen.get(owner, []))} times, expected {times}")
