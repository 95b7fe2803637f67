"""A paragraph for the methods section of a paper: what was done, from the tables' facts, with sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from harness.analysis.order import top_k_rank
from harness.analysis.settings import HUMAN
from harness.reporting.contrasts import ALPHA
from harness.reporting.headline import TRAINED_ON, setting_text

_DESIGNS = {
    "joint": "in replicate r all training-time streams (initialisation, data order, dropout masks, and where the grid"
    " draws it the training sample) are at level r together, so that training variance is that of all of them",
    "crossed": "the levels of the varied training-time streams are fully crossed, so that each has a variance component"
    " and a total effect",
    "isolated": "one training-time stream varies at a time while the others stay at level 0, so that variances are"
    " conditional on that level and do not add up",
}
_SAMPLING = (
    "Sampling draws the next token as the argmax of logits plus Gumbel noise that is keyed by prompt, replicate,"
    " position and token (Gumbel 1954; Maddison, Tarlow and Minka 2014), so that checkpoints and settings share their"
    " noise; k = 1 is greedy."
)
_VARIANCE = (
    "Variance components are of a crossed random model of training, prompt and decode nested in prompt, by the method"
    " of moments (Searle, Casella and McCulloch 1992){others}; the training die is the variance over runs of the"
    " expected value, the inference die the mean over runs of the variance over decoding draws, each given per text and"
    " per benchmark score. Variances have modified large-sample intervals (Graybill and Wang 1980; Ting et al. 1990),"
    " shares generalised ones (Tsui and Weerahandi 1989), all of 95 %; negative estimates are reported as they are."
)
_OTHERS = {
    "unweighted means": "unweighted means where values are missing (Thomas and Hultquist 1978)",
    "REML": "restricted maximum likelihood where runs are missing (Patterson and Thompson 1971)",
}
_EFFECTS = (
    "Fixed effects of regime and decoding setting are finite-population variances over the levels of this grid,"
    " bias-corrected, beside the random components; contrasts picked after looking have simultaneous intervals."
)
_CLAIMS = (
    "Claims, their directions and margins are those that twodice declares before any data; claims of"
    " equivalence or non-inferiority use one-sided tests against stated"
    " margins (Schuirmann 1987), with Holm's correction over the claims of a task and model."
)


def methods(tables: Mapping[str, pd.DataFrame], *, own_runs: bool = True) -> str:
    """One paragraph of plain text on one line; what the tables do not have is not said.

    Args:
        tables: what `report_tables` gives, unrounded.
        own_runs: whether twodice made the runs; of a user's own scores it says nothing about how they were made.
    """
    filled = {name: table for name, table in tables.items() if len(table)}
    made = (_evaluated, _texts) if own_runs else ()
    makers = (_training, *made, _means, _components, _fixed, _contrasts, _judged, _losses, _floor)
    return " ".join(sentence for make in makers for sentence in make(filled))


def _evaluated(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    return ["Dropout is off in every evaluation and in generation."] if "generalization" in tables else []


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _span(counts: Sequence[int]) -> str:
    """`8`, or `3 to 8`."""
    least, most = min(counts), max(counts)
    return str(most) if least == most else f"{least} to {most}"


def _names(table: pd.DataFrame, column: str) -> list[str]:
    return [str(name) for name in dict.fromkeys(table[column])]


def _training(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    table = tables.get("generalization")
    if table is None:
        return []
    pairs = [f"{task} ({model})" for task, model in table[["task", "model"]].drop_duplicates().to_numpy().tolist()]
    loss = table[(table["metric"] == "loss") & (table["n"] > 0)]
    counts = [int(n) for n in loss["n"]] or [int(table["n"].max())]
    design = str(table["design"].iloc[0]).split(" ")[0]
    regimes = _names(table, "regime")
    return [
        f"With the harness twodice we studied {_listed(pairs)} under {len(regimes)} training"
        f" regime{'s' if len(regimes) > 1 else ''} ({_listed(regimes)}), {_span(counts)} training replicates each"
        f" ({design} design: {_DESIGNS.get(design, design)})."
    ]


def _texts(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    table = tables.get("generation")
    rows = None if table is None else table[(table["top_k"] != HUMAN) & (table["metric"] != "")]
    if rows is None or rows.empty:
        return []
    once = rows.drop_duplicates(["top_k", "temperature", "top_p", "min_p"])
    once = once.sort_values("top_k", key=lambda column: column.map(top_k_rank), kind="stable")
    settings = _listed([setting_text(row) for row in once.to_dict("records")])
    of_texts = rows[rows["unit"] == "text"] if (rows["unit"] == "text").any() else rows
    prompts = _span([int(n) for n in of_texts["n_prompts"].dropna()])
    draws = int(rows["n_inference"].max())
    return [
        f"Texts were generated with {settings} from {prompts} prompts, with {draws} inference replicates per prompt and"
        " checkpoint, the same in all arms.",
        _SAMPLING,
    ]


def _means(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    if "generalization" not in tables:
        return []
    texts = "; of text metrics they are over training replicates and prompts" if "generation" in tables else ""
    return [
        "Means have 95 % intervals by Student's t with Satterthwaite's degrees of freedom (Satterthwaite 1946) over"
        f" training replicates{texts}."
    ]


def _components(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    table = tables.get("randomness")
    if table is None:
        return []
    others = [text for name, text in _OTHERS.items() if (table["method"] == name).any()]
    return [_VARIANCE.format(others="".join(f", {text}" for text in others))]


def _fixed(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    return [_EFFECTS] if "effects" in tables else []


def _contrasts(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    table = tables.get("contrasts")
    if table is None:
        return []
    regimes, settings = (table[table["family"] == family] for family in ("regimes", "settings"))
    parts = []
    if len(regimes):
        reference = _listed(sorted({str(name) for name in regimes["reference"]}))
        parts.append(f"each regime with {reference}, paired by training replicate")
    if len(settings):
        reference = _listed(sorted({str(name) for name in settings["reference_setting"]}))
        parts.append(f"each decoding setting with {reference}, paired by training replicate, prompt and decoding level")
    sizes = [int(n) for n in table["family_size"].dropna() if n] or [0]
    return [
        f"We compared {' and '.join(parts)} (pairing declared in advance), by paired t tests with Holm's correction"
        f" (Holm 1979) over families of {_span(sizes)} at {ALPHA:g}, and by the"
        " probability of being better with exact intervals (Clopper and Pearson 1934; Bouthillier et al."
        " 2021)."
    ]


def _judged(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    return [_CLAIMS] if "claims" in tables else []


def _losses(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    cells = tables.get("cells")
    if cells is None:
        return []
    lost = cells["status"].value_counts().drop("done", errors="ignore")
    if lost.empty:
        return [f"All {len(cells)} cells of the grid came to an end."]
    told = ", ".join(f"{count} {status}" for status, count in sorted(lost.items()))
    return [f"Of {len(cells)} cells {int(lost.sum())} gave no result ({told}); means are of the others."]


def _floor(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    table = tables.get("noise_floor")
    if table is None:
        return []
    largest = float(table.loc[~table["split"].isin(TRAINED_ON), "largest_difference"].max())
    if pd.isna(largest):
        return []
    equal = "gave the same scores to the last bit" if largest == 0 else f"differed by at most {largest:.2g}"
    return [f"Identical-seed repeats, which measure the numerical noise floor, {equal}."]
