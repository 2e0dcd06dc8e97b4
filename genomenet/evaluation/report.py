"""Reports on a fine-tuned model: its scores, plots and predictions."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import atomic, task_kinds
from genomenet.data import examples, positive, tables, tasks
from genomenet.evaluation import audit, curves, metrics, plots, strands
from genomenet.inference import predict
from genomenet.models import classifier

_SHOWN: Final = 10  # warnings of one kind that are shown, at most
_TRIED: Final = 8  # heads in the summary, at most
_FEW_ROWS: Final = 30  # fewer scored sequences give a warning
_FEW_OF_CLASS: Final = 10  # as do fewer of a class


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Scores of one split, and how the model was trained and applied.

    Attributes:
        split: "test", or without one "validation", or without both "train".
        scores: Scores of the split.
        protocol: Number of training sequences, strands, pooling and windows.
        training: Metrics of the training run.
        selection: For few labels, the readouts that were tried and selected, else None.
        folds: For an ensemble, the result of `score_folds`, else None.
        notes: Further warnings, as `strands.notes` returns them.
    """

    split: str
    scores: metrics.Scores
    protocol: Mapping[str, Any]
    training: Mapping[str, float]
    selection: Mapping[str, Any] | None = None
    folds: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns the content of `metrics.json`."""
        return {
            "split": self.split,
            "metrics": self.scores.to_json()["values"],
            "positive": self.scores.positive or None,
            "counts": self.scores.counts,
            "warnings": [*self.scores.warnings, *self.notes],
            "protocol": dict(self.protocol),
            "training": dict(self.training),
            **({"selection": dict(self.selection)} if self.selection else {}),
            **({"folds": dict(self.folds)} if self.folds else {}),
        }

    def summary(self) -> str:
        """Returns the scores as a table to read, warnings first."""
        lines = [f"WARNING: {note}" for note in self.notes]
        lines += [self.scores.table(self.split)]
        score = "AUROC" if "auroc" in self.scores.values else "Pearson"
        tried = _tried(self.selection, score)
        return "\n".join([*lines, *tried, *_of_folds(self.folds)])


def describe(data: examples.Data) -> Iterator[str]:
    """Describes a task before training: its sizes, and warnings about its data.

    Args:
        data: The splits.

    Yields:
        One line at a time.
    """
    yield repr(data)
    if data.task.positive:
        yield _positive(data.task)
    for split, count in examples.overlap(data).items():
        if count:
            yield (
                f"WARNING: {count:,} of {len(data[split]):,} {split} sequences are also"
                " in training, on either strand: scores may be too good"
            )
    if count := examples.contradictions(data) if data.task.classes else 0:
        yield (
            f"WARNING: {count:,} sequences occur with several labels, on either strand"
        )
    # Such pairs are among the sequences with several labels.
    for line in strands.of_mirrored(data) if count else []:
        yield f"WARNING: {line}"
    if data.task.kind in (task_kinds.BINARY, task_kinds.MULTICLASS):
        rare = list(_rare(data))
        yield from rare[:_SHOWN]
        if len(rare) > _SHOWN:
            yield (
                f"WARNING: {len(rare) - _SHOWN:,} more pairs of class and split have"
                " one example or none"
            )
        if rare and all(name.lstrip("-").isdecimal() for name in data.task.classes):
            yield (
                "WARNING: all classes are whole numbers: if they are amounts, give"
                " task=regression"
            )
    for split, part in data.splits.items():
        is_n = np.concatenate([[0], np.cumsum(part.codes == 4)])
        share = np.diff(is_n[part.offsets]) / np.maximum(part.lengths, 1)
        if count := int((share > 0.5).sum()):
            yield f"WARNING: {count:,} {split} sequences are more than half N"
    yield from audit.warn(data)


def score_folds(
    task: tasks.Task,
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
    folds: npt.NDArray[np.intp],
) -> dict[str, Any]:
    """Scores the predictions of each fold by the model trained on the other folds.

    Args:
        task: The task.
        truth: Truth of all training rows, as for `metrics.score`.
        predicted: Predictions of all training rows, as `classifier.probabilities`
            returns them.
        folds: Fold of each row, (N,).

    Returns:
        "metrics": name → "mean" and "spread", the standard deviation, over the folds
        where the metric is defined; and "each": number of rows and metrics of each
        fold.
    """
    predicted = predicted[:, 0] if task.kind == task_kinds.REGRESSION else predicted
    by_fold = []
    for fold in np.unique(folds):
        rows = folds == fold
        scores = metrics.score(task, truth[rows], predicted[rows], resamples=0)
        values = scores.to_json()["values"]
        by_fold.append(
            {
                "rows": int(rows.sum()),
                **{name: interval["value"] for name, interval in values.items()},
            }
        )
    summed = {}
    for name in metrics.METRICS[task.kind]:
        known = [fold[name] for fold in by_fold if fold[name] is not None]
        summed[name] = {
            "mean": float(np.mean(known)) if known else None,
            "spread": float(np.std(known, ddof=1)) if len(known) > 1 else None,
        }
    return {"metrics": summed, "each": by_fold}


def _of_folds(folds: Mapping[str, Any] | None) -> Iterator[str]:
    """Yields the scores over folds as a table."""
    if not folds:
        return
    yield (
        f"{len(folds['each'])} folds of the training split, each predicted by a model"
        " of the other folds; mean ± standard deviation:"
    )
    for name, summary in folds["metrics"].items():
        if summary["mean"] is not None:
            spread = "" if summary["spread"] is None else f" ± {summary['spread']:.4f}"
            yield f"  {name:<18}{summary['mean']:>8.4f}{spread}"
    outputs = "numbers"
    if "auroc" in folds["metrics"]:
        outputs = f"probabilities, at the temperature {folds['temperature']:.2f}"
    yield f"the model predicts the mean of their {outputs}"


def _tried(selection: Mapping[str, Any] | None, score: str) -> Iterator[str]:
    """Yields a table of the heads that were tried, lowest loss first."""
    if not selection:
        return
    yield (
        "linear heads tried by cross-validation, lowest loss first"
        f" (score: {score}; penalty: inverse strength of L2):"
    )
    yield f"  {'readout':<18}{'strands':<9}{'score':>8}{'loss':>8}{'penalty':>9}"
    for head in selection["tried"][:_TRIED]:
        name = "+".join(head["readout"])
        yield (
            f"  {name:<18}{head['strands']:<9}{head['score']:>8.4f}{head['loss']:>8.4f}"
            f"{head['penalty']:>9g}"
        )
    if len(selection["tried"]) > _TRIED:
        yield f"  and {len(selection['tried']) - _TRIED} more, in metrics.json"


def _positive(task: tasks.Task) -> str:
    """Returns a line that names the positive class."""
    told = positive.is_told(task.classes)
    is_default = positive.choose(task.classes) == task.positive
    why = "" if told or not is_default else ", the last one as neither name tells"
    how = "choose the other with positive or --positive"
    return f"positive class: {task.positive!r}{why} ({how})"


def _rare(data: examples.Data) -> Iterator[str]:
    """Yields a line for each class of which a split has one example or none."""
    for split, part in data.splits.items():
        counts = np.bincount(part.labels, minlength=len(data.task.classes))
        for name, count in zip(data.task.classes, counts, strict=True):
            if count <= 1:
                few = "no example" if not count else "a single example"
                yield f"WARNING: class {name!r} has {few} in {split}"


def write(
    model: classifier.Classifier,
    data: examples.Data,
    directory: str | os.PathLike[str],
    *,
    training: Mapping[str, float],
    selection: Mapping[str, Any] | None = None,
    folds: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    batch_size: int = 64,
    show_progress: bool = True,
) -> Report:
    """Predicts the test split and writes scores, plots and predictions.

    Args:
        model: The classifier.
        data: The splits. Without a test split, validation is scored; without both,
            training.
        directory: The folder to write. It gets `metrics.json` and `predictions.tsv`;
            for classes also `confusion.png`, `roc.png`, `precision_recall.png` and
            `reliability.png`; for regression `scatter.png`.
        training: As for `Report`.
        selection: As for `Report`.
        folds: As for `Report`.
        notes: As for `Report`.
        batch_size: Sequences that are predicted at once.
        show_progress: Whether to show a progress bar.

    Returns:
        The report.
    """
    split = next(
        name
        for name in (examples.TEST, examples.VALIDATION, examples.TRAIN)
        if name in data.splits
    )
    scored = data[split]
    predictor = predict.Predictor(model, batch_size=batch_size)
    sequences = [scored[row] for row in range(len(scored))]
    predicted = predictor.predict(sequences, show_progress=show_progress)
    values = predicted[:, 0] if data.task.kind == task_kinds.REGRESSION else predicted
    scores = metrics.score(data.task, scored.labels, values)
    config = model.config
    report = Report(
        split=split,
        scores=scores,
        protocol={
            "training_sequences": len(data[examples.TRAIN]),
            "augmented_with_reverse_complements": config.augment,
            "predicted_on_both_strands": config.both_strands,
            "pool": None if config.readout else config.pool,
            "readout": list(config.readout or (config.pool,)),
            "window": config.window,
            "over_windows": config.over_windows,
            **{
                f"{name}_sequences_also_in_training": count
                for name, count in examples.overlap(data).items()
            },
        },
        training=training,
        selection=selection,
        folds=folds,
        notes=[*notes, *_few(scores, split, is_folded=folds is not None)],
    )
    folder = pathlib.Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report.to_json(), indent=2) + "\n"
    atomic.write_text(folder / "metrics.json", text)
    atomic.write_text(folder / "predictions.tsv", _table(data, scored, predicted))
    if data.task.kind == task_kinds.REGRESSION:
        plots.save_scatter(folder / "scatter.png", scored.labels, values)
    else:
        for name, draw in (
            ("confusion", plots.save_confusion),
            ("roc", curves.save_roc),
            ("precision_recall", curves.save_precision_recall),
            ("reliability", curves.save_reliability),
        ):
            draw(folder / f"{name}.png", data.task, scored.labels, values)
    return report


def _few(scores: metrics.Scores, split: str, *, is_folded: bool) -> Iterator[str]:
    """Yields a warning if so few sequences are scored that intervals say little."""
    rows, classes = scores.counts["rows"], scores.counts.get("truth", {})
    present = {name: count for name, count in classes.items() if count}
    rare = min(present, key=present.__getitem__, default="")
    if rows < _FEW_ROWS:
        few = f"only {rows} {split} sequences"
    elif present and present[rare] < _FEW_OF_CLASS:
        few = f"only {present[rare]} {split} sequences of class {rare!r}"
    else:
        return
    advice = "" if is_folded else "; --folds=5 scores all training sequences as well"
    yield f"{few}: the intervals say little{advice}"


def _table(
    data: examples.Data, part: examples.Examples, predicted: npt.NDArray[np.float32]
) -> str:
    """Returns a row per sequence: id, length, truth, prediction, and each class.

    A class with the name of another column gets the prefix "class_".
    """
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    task = data.task
    if task.kind == task_kinds.REGRESSION:
        writer.writerow(["id", "length", "label", "value"])
        rows: list[list[Any]] = [
            [f"{label:g}", f"{row[0]:.6g}"]
            for label, row in zip(part.labels, predicted, strict=True)
        ]
    else:
        columns = ["id", "length", "label", "predicted"]
        writer.writerow([*columns, *tables.unique_columns(columns, task.classes)])
        guesses = predict.labels_of(task.kind, task.classes, predicted)
        rows = [
            [_name(task, label), guess, *(f"{p:.6g}" for p in row)]
            for label, guess, row in zip(part.labels, guesses, predicted, strict=True)
        ]
    for name, length, values in zip(part.ids, part.lengths, rows, strict=True):
        writer.writerow([name, length, *values])
    return text.getvalue()


def _name(task: tasks.Task, label: Any) -> str:
    if task.kind != task_kinds.MULTI_LABEL:
        return task.classes[label]
    pairs = zip(task.classes, label, strict=True)
    return tables.SEPARATOR.join(name for name, value in pairs if value)
