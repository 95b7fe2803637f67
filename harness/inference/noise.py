"""The inference die: one uniform number per (row, index of the new token, token id), by an integer hash.

Nothing here has a state. The hash is the finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable
pseudorandom number generators", OOPSLA, doi 10.1145/2660193.2660195), twice:

    step key     s(index)     = mix(row key + (index + 1) * GAMMA)
    token hash   h(index, id) = mix(s(index) + (id + 1) * GAMMA)
    uniform      u            = ((h >>> 12) + 0.5) * 2^-52        (an odd multiple of 2^-53, so 0 < u < 1)
    Gumbel       g            = -log(-log(u))

in wrapping 64-bit integers, so that the uniforms are the same on every device (the logarithm may differ in its last
bit). torch's int64 arithmetic wraps; its right shift is arithmetic, so a mask makes it logical. 52 bits of the hash
are used because a 53rd would not fit beside the half: float64 would round the largest to 1, which has infinite noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.randomness import key


def signed(value: int) -> int:
    """The 64 bits of `value` read as two's complement, as torch's int64 holds them."""
    return (value & 0xFFFFFFFFFFFFFFFF ^ 0x8000000000000000) - 0x8000000000000000


GAMMA = signed(0x9E3779B97F4A7C15)
_ROUNDS = ((30, signed(0xBF58476D1CE4E5B9)), (27, signed(0x94D049BB133111EB)))
_SIGN = signed(1 << 63)
# Four rows of hashes of a large vocabulary stay in a CPU's cache, which makes them 4 x cheaper than all at once.
_ROWS_AT_ONCE_ON_CPU = 4


def row_keys(seed: int, draws: Sequence[tuple[str, int]], device: torch.device | str = "cpu") -> Tensor:
    """Keys of rows of a batch.

    Args:
        seed: the study seed.
        draws: (prompt id, decode level) of each row. Settings and the checkpoint are not in the key, so that
            contrasts between them share their noise.

    Returns: int64 [R].
    """
    keys = [signed(key(seed, "decode", level, prompt)) for prompt, level in draws]
    return torch.tensor(keys, dtype=torch.int64, device=device)


def mix(z: Tensor) -> Tensor:
    """SplitMix64's finaliser, in place. int64, any shape."""
    shifted = torch.empty_like(z)
    for shift, factor in _ROUNDS:
        _xor_shifted(z, shift, shifted).mul_(factor)
    return _xor_shifted(z, 31, shifted)


def _xor_shifted(z: Tensor, shift: int, buffer: Tensor) -> Tensor:
    torch.bitwise_right_shift(z, shift, out=buffer)
    return z.bitwise_xor_(buffer.bitwise_and_((1 << (64 - shift)) - 1))


def step_keys(rows: Tensor, index: int | Tensor) -> Tensor:
    """Keys of one step: int64 [R] of row keys [R] and the index of the new token, from 0 (int or int64 [R])."""
    place = torch.as_tensor(index, dtype=torch.int64, device=rows.device)
    return mix(rows + (place + 1) * GAMMA)


def hashes(steps: Tensor, token_ids: Tensor) -> Tensor:
    """Token hashes, int64.

    Args:
        steps: step keys [R].
        token_ids: int64 [R, K] (other tokens in each row), [1, K] (the same in all) or [R] (one for each).
    """
    keys = steps if token_ids.dim() == 1 else steps[:, None]
    return mix(keys + (token_ids + 1) * GAMMA)


def uniforms(hashed: Tensor) -> Tensor:
    """float64 in (0, 1), exact, of int64 hashes."""
    top = (hashed >> 12) & ((1 << 52) - 1)
    return (top.double() + 0.5) * 2.0**-52


def gumbels(steps: Tensor, token_ids: Tensor) -> Tensor:
    """Standard Gumbel noise, float64, shaped as `hashes`; at most 36.8, as u <= 1 - 2^-53."""
    return uniforms(hashes(steps, token_ids)).log_().neg_().log_().neg_()


def tokens_reaching(steps: Tensor, bar: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Finds the few tokens whose Gumbel noise reaches a bar, without a logarithm.

    Args:
        steps: step keys [R].
        bar: float64 [R].
        vocabulary: V; ids 0 .. V-1 are searched.

    Returns: rows and token ids, int64 [N] each. Every token with noise >= bar is among them; one just below may be.
    """
    offsets = torch.arange(1, vocabulary + 1, device=steps.device) * GAMMA
    # A hash is compared as unsigned; flipping the sign bit of both sides makes torch's signed comparison do that.
    limit = ((_lowest_top_bits(bar) << 12) ^ _SIGN)[:, None]
    block = _ROWS_AT_ONCE_ON_CPU if steps.device.type == "cpu" else len(steps)
    found = []
    for start in range(0, len(steps), block):
        hashed = mix(steps[start : start + block, None] + offsets).bitwise_xor_(_SIGN)
        found.append((hashed >= limit[start : start + block]).nonzero() + torch.tensor([start, 0], device=steps.device))
    pairs = torch.cat(found)
    return pairs[:, 0], pairs[:, 1]


def _lowest_top_bits(bar: Tensor) -> Tensor:
    """The least upper 52 bits of a hash that can reach `bar`, less 4 for rounding. int64, 0 .. 2^52 - 4."""
    least = torch.exp(-torch.exp(-bar)) * 2.0**52
    return (least.long() - 4).clamp_(min=0)
