"""A paragraph for the methods section of a paper: what was done, from the tables' facts, with sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from harness.analysis.hypotheses import NOT_APPLICABLE
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
    " margins (Schuirmann 1987) at 2.5 % a side, with Holm's correction over the claims of a task and model."
)


def methods(tables: Mapping[str, pd.DataFrame], *, own_runs: bool = True) -> str:
    """One paragraph of plain text on one line; what the tables do not have is not said.

    Args:
        tables: what `report_tables` gives, unrounded.
        own_runs: whether twodice made the runs; of a user's own scores it says nothing about how they were made.
    """
    filled = {name: table for name, table in tables.items() if len(table)}
    makers = (_training, _evaluated, _texts, *_ANALYSED, _losses, _floor) if own_runs else (_scores, *_ANALYSED)
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
    design = _design(table)
    arms = f"{_arms(table)} ({design} design: {_DESIGNS.get(design, design)})"
    return [f"With the harness twodice we studied {arms}."]


def _scores(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Of a user's own scores: how the runs were made, and what a replicate is, is not known."""
    table = tables.get("generalization")
    if table is None:
        return []
    return [f"With twodice we analysed given scores of {_arms(table)} ({_design(table)} design)."]


def _design(table: pd.DataFrame) -> str:
    return str(table["design"].iloc[0]).split(" ")[0]


def _arms(table: pd.DataFrame) -> str:
    """For example `sst2 (bert) under 2 training regimes (a and b), 8 training replicates each`."""
    pairs = [f"{task} ({model})" for task, model in table[["task", "model"]].drop_duplicates().to_numpy().tolist()]
    loss = table[(table["metric"] == "loss") & (table["n"] > 0)]
    counts = _span([int(n) for n in loss["n"]] or [int(table["n"].max())])
    runs = f"{counts} training replicate{'' if counts == '1' else 's'} each"
    regimes = _names(table, "regime")
    return (
        f"{_listed(pairs)} under {len(regimes)} training regime{'s' if len(regimes) > 1 else ''} ({_listed(regimes)}),"
        f" {'no run of which is left' if counts == '0' else runs}"
    )


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
        f"Texts were generated with {settings} from {prompts} prompt{'' if prompts == '1' else 's'}, with {draws}"
        f" inference replicate{'' if draws == 1 else 's'} per prompt and checkpoint, the same in all arms.",
        _SAMPLING,
    ]


def _means(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    table = tables.get("generalization")
    if table is None or _design(table) == "isolated" or int(table["n"].max()) < 2:  # no interval is known
        return []
    over = "the levels of the crossed roles" if _design(table) == "crossed" else "training replicates"
    texts = "; of text metrics they are over training replicates and prompts" if "generation" in tables else ""
    return [
        "Means have 95 % intervals by Student's t with Satterthwaite's degrees of freedom (Satterthwaite 1946) over"
        f" {over}{texts}."
    ]


def _components(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    table = tables.get("randomness")
    if table is None or table["ci_low"].isna().all():
        return []
    others = [text for name, text in _OTHERS.items() if (table["method"] == name).any()]
    return [_VARIANCE.format(others="".join(f", {text}" for text in others))]


def _fixed(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    table = tables.get("effects")
    return [] if table is None or table.loc[table["kind"] == "fixed", "variance"].isna().all() else [_EFFECTS]


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
    compared = f"We compared {' and '.join(parts)} (pairing declared in advance)"
    sizes = [int(n) for n in table.loc[table["p_adjusted"].notna(), "family_size"].dropna() if n]
    if not sizes:
        return [f"{compared}; no difference has an interval or a test."]
    return [
        f"{compared}, by paired t tests with Holm's correction (Holm 1979) over families of {_span(sizes)} at"
        f" {ALPHA:g}, and by the probability of being better with exact intervals (Clopper and Pearson 1934;"
        " Bouthillier et al. 2021)."
    ]


def _judged(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    table = tables.get("claims")
    return [] if table is None or (table["verdict"] == NOT_APPLICABLE).all() else [_CLAIMS]


_ANALYSED = (_means, _components, _fixed, _contrasts, _judged)


def _losses(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    cells = tables.get("cells")
    if cells is None:
        return []
    skipped = int((cells["status"] == "skipped").sum())
    more = f" {skipped} more were skipped, as table cells says." if skipped else ""
    lost = cells["status"].value_counts().drop(["done", "skipped"], errors="ignore")
    if lost.empty:
        return [f"All {len(cells) - skipped} cells of the grid came to an end.{more}"]
    told = ", ".join(f"{count} {status}" for status, count in sorted(lost.items()))
    gave = f"Of {len(cells) - skipped} cells {int(lost.sum())} gave no result ({told})"
    return [f"{gave}; means are of the others.{more}"]


def _floor(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    table = tables.get("noise_floor")
    if table is None:
        return []
    largest = float(table.loc[~table["split"].isin(TRAINED_ON), "largest_difference"].max())
    if pd.isna(largest):
        return []
    equal = "gave the same scores to the last bit" if largest == 0 else f"differed by at most {largest:.2g}"
    return [f"Identical-seed repeats, which measure the numerical noise floor, {equal}."]
