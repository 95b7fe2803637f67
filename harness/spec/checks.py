"""Checks that need the data, the tokenizer or several axes at once: what can be refused before training is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.data.encode import encode_conditional, encode_stream
from harness.data.prompts import Asked, asked_prompts
from harness.data.task import TaskData, find_task
from harness.errors import UserError, nearest
from harness.regimes.regime import Regime
from harness.spec.grid import Decoding, Grid, Training, entry_name
from harness.spec.models import Model
from harness.spec.published import published_numbers
from harness.spec.published_forms import OnTexts
from harness.spec.steps import planned_steps, planned_validations, stream_tokens, training_examples

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def check_select(training: Training, data: TaskData, where: str) -> None:
    """Refuses a selection by a metric that the task does not have."""
    if training.select == "last":
        return
    from harness.evaluation.metrics.registry import metrics_reading

    classification = data.kind == "classification"
    computed = [*data.metrics, *metrics_reading("probabilities")] if classification else metrics_reading("text")
    metrics = ["loss", *dict.fromkeys(computed)]
    metric = training.select.removeprefix("validation.")
    if metric not in metrics:
        raise UserError(f"{where}: training.select: no metric '{metric}'{nearest(metric, metrics)}")


def check_windows(training: Training, data: TaskData, where: str) -> None:
    """Refuses random windows where there is no stream to draw them from."""
    if training.random_windows and data.kind != "language":
        raise UserError(f"{where}: training.random_windows: a {data.kind} task has no stream of text (allowed: 0)")


def check_regimes(
    grid: Grid, training: Training, data: TaskData, tokenizer: Tokenizer, model: Model, where: str
) -> None:
    """Refuses regimes that could not be what they say: with these layers, steps, validations or splits."""
    for size in grid.train_sizes:
        for regime in grid.parsed_regimes.values():
            if regime.unsupported(model.family):
                continue  # skipped with that reason
            steps = planned_steps(training, data, tokenizer, size) if regime.moves else 1
            validations = planned_validations(training, data, tokenizer, size) if regime.driven else 0
            problem = regime.impossible(model.layers, steps, validations) or _contradiction(regime, training, data)
            if problem:
                raise UserError(f"{where}: regimes.{regime.name}.{problem}")


def _contradiction(regime: Regime, training: Training, data: TaskData) -> str:
    if regime.matched and training.early_stopping is not None:
        return "match: a run that stops early has another mean rate (allowed: no training.early_stopping)"
    if regime.driven and data.splits["validation"].equals(data.splits["test"]):
        return "plateau: this task's validation rows are its test rows, which must not drive a rate"
    return ""


def check_published(grid: Grid, task: str, data: TaskData, where: str) -> None:
    """Refuses a published number of a split or a metric that no cell of the task will have."""
    from harness.evaluation.metrics.registry import metrics_reading

    known = {"loss", *data.metrics, *metrics_reading("probabilities"), *metrics_reading("text"), "memorised-noise"}
    known |= {"random-loss", "best-random-loss"} if grid.training_for(task).random_windows else set()
    for place, number in enumerate(published_numbers(grid)):
        here, metric = f"{where}: published.{place}", number.metric
        if number.task.split("@")[0] != task:
            continue
        if isinstance(number, OnTexts):
            _check_text_metric(number, task, data, here)
            continue
        if number.split not in data.splits:
            raise UserError(f"{here}: no split '{number.split}'{nearest(number.split, list(data.splits))}")
        if metric not in known and not metric.startswith(("mc-", "steps-to-loss-", "attention-", "head-")):
            raise UserError(f"{here}: no metric '{metric}'{nearest(metric, sorted(known))}")


def check_resolve(grid: Grid, where: str) -> None:
    """Refuses a wanted difference of a metric that nothing computes."""
    from harness.evaluation import described as of_splits
    from harness.evaluation.metrics.registry import METRICS as SPLIT_METRICS
    from harness.inference import described as of_texts
    from harness.inference.metrics import METRICS as TEXT_METRICS

    judged = [name for task in grid.tasks for name in find_task(entry_name(task)).judged]
    known = ["loss", *SPLIT_METRICS, *of_splits.DESCRIBED, *TEXT_METRICS, *of_texts.DESCRIBED, *judged]
    for metric in grid.resolve:
        if metric not in known and not metric.startswith("steps-to-loss-"):
            raise UserError(f"{where}: resolve: no metric '{metric}'{nearest(metric, sorted(set(known)))}")


def _check_text_metric(number: OnTexts, task: str, data: TaskData, where: str) -> None:
    """Refuses a task that generates no texts, and a metric that texts do not have, or have in another unit."""
    from harness.inference.described import DESCRIBED
    from harness.inference.metrics import METRICS

    if data.kind == "classification":
        raise UserError(f"{where}: task {task} is a classification task: it has no generated texts (unit)")
    units: dict[str, str] = {metric.name: metric.unit for metric in METRICS.values()}
    units |= {name: unit for name, (unit, *_) in [*DESCRIBED.items(), *find_task(task).judged.items()]}
    if number.metric not in units:
        raise UserError(f"{where}: no text metric '{number.metric}'{nearest(number.metric, sorted(units))}")
    if number.unit != units[number.metric]:
        raise UserError(f"{where}: {number.metric} has unit {units[number.metric]}, not {number.unit}")


def check_labels(names: list[str], where: str) -> None:
    """Refuses two models that tables could not tell apart."""
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"{where}: models: two models would both be called '{twice[0]}' in tables")


def check_lengths(training: Training, data: TaskData, tokenizer: Tokenizer, where: str) -> None:
    """Refuses conditional rows that would have to be cut, and a split that is shorter than one block.

    No tokenizer here makes more tokens than a text has bytes, so only rows and splits in doubt are encoded.
    """
    block = training.max_length
    for split, frame in data.splits.items():
        if data.kind == "conditional":
            sizes = [len(f"{row.source}{row.target}".encode()) for row in frame.itertuples()]
            doubtful = frame[[size + 8 > block for size in sizes]]
            try:
                encode_conditional(doubtful, tokenizer, block)
            except UserError as error:
                raise UserError(f"{where}: training.max_length: split '{split}': {error}") from None
        elif data.kind == "language" and int(frame["text"].str.len().sum()) < 64 * block:
            tokens = len(encode_stream(frame, tokenizer, data.separator))
            # A training epoch starts at an offset of up to one block.
            if tokens < (stream_tokens(1, block) if split == "train" else block + 1):
                raise UserError(f"{where}: training.max_length {block}: split '{split}' has only {tokens} tokens")


def check_train_sizes(
    sizes: tuple[int | None, ...], training: Training, data: TaskData, tokenizer: Tokenizer, model: Model, where: str
) -> None:
    """Refuses a size that the data does not have, and a base that has seen the texts that a size holds back."""
    largest = max((size for size in sizes if size is not None), default=None)
    if largest is None:
        return
    there, unit = training_examples(training, data, tokenizer), "training examples"
    if data.kind == "language":
        unit = f"blocks of {training.max_length} tokens"
    if data.kind != "classification" and model.shape is not None and model.shape.pretrain_steps > 0:
        raise UserError(
            f"{where}: train_size {largest}: the scratch base is pretrained on all training texts and so has seen "
            "what train_size holds back (allowed: all, or pretrain_steps: 0)"
        )
    if largest > there:
        raise UserError(f"{where}: train_size {largest} is more than the {there} {unit} there are")
    if largest == there:
        raise UserError(f"{where}: train_size {largest} is all {unit} there are: write all")


def check_prompts(decoding: Decoding, data: TaskData, tokenizer: Tokenizer, model: Model, where: str) -> list[Asked]:
    """The prompts; refuses a test split with too few, and a generation that is longer than the positions."""
    if data.kind == "language":
        _check_positions(decoding, decoding.prompt_tokens, model, where)
    try:
        asked = prompts_of(decoding, data, tokenizer)
    except UserError as error:
        raise UserError(f"{where}: decoding.prompts: {error}") from None
    _check_positions(decoding, max(len(one.prompt.token_ids) for one in asked), model, where)
    return asked


def _check_positions(decoding: Decoding, longest: int, model: Model, where: str) -> None:
    if longest + decoding.max_new_tokens > model.positions:
        raise UserError(
            f"{where}: decoding: {longest} prompt tokens + {decoding.max_new_tokens} new tokens exceed the model's "
            f"{model.positions} positions"
        )


def prompts_of(decoding: Decoding, data: TaskData, tokenizer: Tokenizer) -> list[Asked]:
    """The prompts that a grid asks for.

    Raises:
        UserError: the test split has fewer.
    """
    return asked_prompts(
        data, tokenizer, count=decoding.prompts, tokens=decoding.prompt_tokens, room=decoding.max_new_tokens
    )
