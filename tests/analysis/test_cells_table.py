import pandas as pd
import pytest

from harness.analysis.cells import cells_table
from harness.analysis.order import top_k_rank

REGIMES = ["none", "standard"]


@pytest.fixture
def mixed(cells, make_cell_row):
    setting = {"kind": "generation", "temperature": 1.0, "inference_replicate": 0}
    more = [make_cell_row(f"g{k}", "none", 0, top_k=k, **setting) for k in ("all", "20", "5", "1")]
    base = {**make_cell_row("base", pd.NA, pd.NA, kind="base"), "regime": pd.NA}
    frame = pd.concat([cells, pd.DataFrame([*more, base])], ignore_index=True)
    return frame.astype({"training_replicate": "Int64", "inference_replicate": "Int64", "top_k": "string"})


def test_names_and_order(mixed):
    found = cells_table(mixed.sample(frac=1, random_state=2), REGIMES)
    assert list(found["cell"]) == [
        "base sst2 bert",
        *[f"sst2 bert {regime} r{i}" for regime in REGIMES for i in range(3)],
        *[f"sst2 bert none r0 k={k} T=1.0 i0" for k in ("1", "5", "20", "all")],
    ]


def test_no_volatile_column(mixed):
    assert not {"seconds", "environment", "finished"} & set(cells_table(mixed, REGIMES).columns)


def test_an_unknown_regime_is_refused(mixed):
    with pytest.raises(ValueError, match="standard"):
        cells_table(mixed, ["none"])


def test_top_k_rank():
    assert sorted(["all", "100", "5", "1", "40"], key=top_k_rank) == ["1", "5", "40", "100", "all"]
    assert top_k_rank(pd.NA) < top_k_rank("1")
