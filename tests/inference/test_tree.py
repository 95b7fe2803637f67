"""The cache that reuses memory holds, bit for bit, what the one of transformers holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache

from harness.inference.tree import PrefixTree, ReusingLayer, key_value_cache

Make = Callable[..., Any]


def test_equals_the_cache_of_transformers_over_any_moves(tiny_gpt2: Make) -> None:
    config = tiny_gpt2().config
    ours, theirs = key_value_cache(config), DynamicCache(config=config)
    assert [type(layer) for layer in ours.layers] == [ReusingLayer] * 2
    generator = torch.Generator().manual_seed(0)
    rows = 5
    for step in range(30):
        if step % 3:
            # Twice before the next token now and then; more rows, then fewer.
            for _ in range(1 + step % 2):
                order = torch.randint(rows, (int(torch.randint(3, 40, (), generator=generator)),), generator=generator)
                ours.batch_select_indices(order)
                theirs.batch_select_indices(order)
                rows = len(order)
        for layer in range(2):
            new = torch.randn(2, rows, 4, 1 + step % 4, 16, generator=generator)
            mine, want = ours.update(new[0], new[1], layer), theirs.update(new[0], new[1], layer)
            assert all(torch.equal(*pair) for pair in zip(mine, want, strict=True))
            assert all(state.is_contiguous() for state in mine)
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_rows_with_equal_texts_share_one_row_of_the_batch(tiny_gpt2: Make) -> None:
    with torch.inference_mode():
        tree = PrefixTree(tiny_gpt2(), [(1, 2), (3, 4), (1, 2), (1, 2)], fewest=1)
        assert tree.node.tolist() == [0, 1, 0, 0]
        assert len(tree.logits) == 2
        tree.advance(torch.tensor([5, 6, 5, 7]), torch.ones(4, dtype=torch.bool))
        assert len(tree.logits) == 3
        assert tree.node[0] == tree.node[2]
        assert len(set(tree.node.tolist())) == 3
        tree.advance(torch.tensor([8, 8]), torch.tensor([True, False, True, False]))
        assert tree.node.tolist() == [0, 0]
        again = tiny_gpt2()(input_ids=torch.tensor([[1, 2, 5, 8]])).logits[:, -1]
        torch.testing.assert_close(tree.logits[tree.node], again.expand(2, -1))
