"""Token dropout: whole tokens of the input are hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from harness.regimes.mechanisms.base import Kind, Placed, mechanism

if TYPE_CHECKING:
    from harness.regimes.anatomy import Anatomy, Slot


@mechanism("token_dropout")
class TokenDropout(Placed):
    """Sets a token's word embedding to 0 with probability p; its position and segment stay. Nothing is rescaled.

    Special tokens (those of the configuration: padding, begin, end, separator, classifier) are never hidden. It is
    done inside the model, not by a collator, so that it is audited and keyed like every other mask.
    """

    kind: ClassVar[Kind] = "input"
    unbiased: ClassVar[bool | None] = False
    formula: ClassVar[str] = "E[id_t] -> m_t * E[id_t], m_t ~ Bernoulli(1 - p) per token; not rescaled"
    source: ClassVar[str] = "word dropout: Iyyer et al. 2015, ACL P15-1162 (DAN, p = .3)"

    @staticmethod
    def attach(anatomy: Anatomy) -> list[Slot]:
        """Behind the word embeddings."""
        import torch

        from harness.regimes.anatomy import Slot, carrier
        from harness.regimes.noise import keep

        hidden = carrier(
            anatomy.words, "token_dropout", lambda ids, rate: keep(torch.ones_like(ids, dtype=torch.float32), rate)
        )
        spared = sorted(anatomy.special_ids)

        def hide(_: Any, args: Any, output: Any) -> Any:
            if hidden.asleep:
                return None
            ids = args[0]
            special = torch.isin(ids, torch.tensor(spared, device=ids.device))
            mask = hidden(ids).masked_fill(special, 1.0)
            return output * mask.unsqueeze(-1).to(output.dtype)

        anatomy.words.register_forward_hook(hide)
        return [Slot("token_dropout", hidden, anatomy.name(hidden))]
