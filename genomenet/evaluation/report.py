"""What a fine-tuned model is worth, written where people look."""

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

_SHOWN: Final = 10  # warnings of one kind
_TRIED: Final = 8  # heads in the summary


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Scores of one split, and how the model was made and asked.

    Attributes:
        split: "test", or where there is none "validation", or "train".
        scores: Of the split.
        protocol: What was done on which strands and how much was learnt from.
        training: Metrics of the run.
        selection: Of few labels: which readouts were tried and chosen, else None.
        folds: Of an ensemble, as `score_folds` returns it, else None.
        notes: What else a reader must know, as `strands.notes` returns it.
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
        """Returns the scores as a table for people, warnings first."""
        lines = [f"WARNING: {note}" for note in self.notes]
        lines += [self.scores.table(self.split)]
        return "\n".join([*lines, *_tried(self.selection), *_of_folds(self.folds)])


def describe(data: examples.Data) -> Iterator[str]:
    """Yields what to know before training: sizes, and what may mislead.

    Args:
        data: The splits.

    Yields:
        Lines.
    """
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
    lengths = np.concatenate([split.lengths for split in data.splits.values()])
    kinds = f" of {len(data.task.classes)} classes" if data.task.classes else ""
    yield (
        f"{data.name}: {data.task.kind}{kinds}; {sizes} sequences of {lengths.min():,}"
        f" to {lengths.max():,} bases"
    )
    if data.task.positive:
        yield _positive(data.task)
    for split, count in examples.overlap(data).items():
        if count:
            yield (
                f"WARNING: {count:,} of {len(data[split]):,} {split} sequences are also"
                " in training, on either strand: scores may be too good"
            )
    if count := examples.contradictions(data) if data.task.classes else 0:
        yield f"WARNING: {count:,} sequences have several labels, on either strand"
    # Such pairs are among the sequences with several labels.
    for line in strands.of_mirrored(data) if count else []:
        yield f"WARNING: {line}"
    if data.task.kind in (task_kinds.BINARY, task_kinds.MULTICLASS):
        rare = list(_rare(data))
        yield from rare[:_SHOWN]
        if len(rare) > _SHOWN:
            yield f"WARNING: so are {len(rare) - _SHOWN:,} more classes and splits"
        if rare and all(name.lstrip("-").isdecimal() for name in data.task.classes):
            yield "WARNING: classes are whole numbers: amounts need task=regression"
    for split, found in data.splits.items():
        is_n = np.concatenate([[0], np.cumsum(found.codes == 4)])
        share = np.diff(is_n[found.offsets]) / np.maximum(found.lengths, 1)
        if count := int((share > 0.5).sum()):
            yield f"WARNING: {count:,} {split} sequences are more than half N"
    yield from audit.warn(data)


def score_folds(
    task: tasks.Task,
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
    folds: npt.NDArray[np.intp],
) -> dict[str, Any]:
    """Scores each fold by what was learnt from the others.

    Args:
        task: What was to be learnt.
        truth: Of all training rows, as for `metrics.score`.
        predicted: Of all training rows, as `classifier.probabilities` returns them.
        folds: Fold of each row, (N,).

    Returns:
        "metrics": name → "mean" and "spread", the standard deviation, over the folds
        where it is defined; and "each": rows and metrics of each fold.
    """
    predicted = predicted[:, 0] if task.kind == task_kinds.REGRESSION else predicted
    each = []
    for fold in np.unique(folds):
        rows = folds == fold
        found = metrics.score(task, truth[rows], predicted[rows], resamples=0)
        values = found.to_json()["values"]
        each.append(
            {
                "rows": int(rows.sum()),
                **{name: one["value"] for name, one in values.items()},
            }
        )
    summed = {}
    for name in metrics.METRICS[task.kind]:
        known = [one[name] for one in each if one[name] is not None]
        summed[name] = {
            "mean": float(np.mean(known)) if known else None,
            "spread": float(np.std(known, ddof=1)) if len(known) > 1 else None,
        }
    return {"metrics": summed, "each": each}


def _of_folds(folds: Mapping[str, Any] | None) -> Iterator[str]:
    """Yields the scores over folds as a table."""
    if not folds:
        return
    yield (
        f"{len(folds['each'])} folds of the training split, each predicted by what was"
        " learnt from the others; mean ± standard deviation:"
    )
    for name, found in folds["metrics"].items():
        if found["mean"] is not None:
            spread = "" if found["spread"] is None else f" ± {found['spread']:.4f}"
            yield f"  {name:<18}{found['mean']:>8.4f}{spread}"
    what = "numbers"
    if "auroc" in folds["metrics"]:
        what = f"probabilities, at the temperature {folds['temperature']:.2f}"
    yield f"the model is the mean of their {what}"


def _tried(selection: Mapping[str, Any] | None) -> Iterator[str]:
    """Yields a table of the heads that were tried, the best first."""
    if not selection:
        return
    yield "linear heads that were tried, by cross-validation on the training split:"
    yield f"  {'readout':<18}{'strands':<9}{'score':>8}{'loss':>8}{'penalty':>9}"
    for one in selection["tried"][:_TRIED]:
        name = "+".join(one["readout"])
        yield (
            f"  {name:<18}{one['strands']:<9}{one['score']:>8.4f}{one['loss']:>8.4f}"
            f"{one['penalty']:>9g}"
        )
    if len(selection["tried"]) > _TRIED:
        yield f"  and {len(selection['tried']) - _TRIED} more, in metrics.json"


def _positive(task: tasks.Task) -> str:
    """Says which of two classes is the positive one."""
    told = positive.is_told(task.classes)
    is_default = positive.choose(task.classes) == task.positive
    why = "" if told or not is_default else ", the last of two names that do not tell"
    return f"positive class: {task.positive!r}{why} (positive=… takes the other)"


def _rare(data: examples.Data) -> Iterator[str]:
    """Yields a line for each class that a split has one example of, or none."""
    for split, found in data.splits.items():
        counts = np.bincount(found.labels, minlength=len(data.task.classes))
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
        data: Its splits; without a test split validation is scored, without both
            training.
        directory: The folder to write: `metrics.json`, `predictions.tsv`, and of
            classes `confusion.png`, `roc.png`, `precision_recall.png` and
            `reliability.png`, of regression `scatter.png`.
        training: Metrics of the run.
        selection: What was tried and chosen, where it was.
        folds: Scores over folds, of an ensemble.
        notes: As of `Report`.
        batch_size: Sequences that are predicted at once.
        show_progress: Whether to show a bar.

    Returns:
        The report.
    """
    split = next(
        name
        for name in (examples.TEST, examples.VALIDATION, examples.TRAIN)
        if name in data.splits
    )
    found = data[split]
    predictor = predict.Predictor(model, batch_size=batch_size)
    sequences = [found[number] for number in range(len(found))]
    predicted = predictor.predict(sequences, show_progress=show_progress)
    values = predicted[:, 0] if data.task.kind == task_kinds.REGRESSION else predicted
    scores = metrics.score(data.task, found.labels, values)
    config = model.config
    report = Report(
        split=split,
        scores=scores,
        protocol={
            "training_sequences": len(data[examples.TRAIN]),
            "augmented_with_reverse_complements": config.augment,
            "predicted_on_both_strands": config.both_strands,
            "pool": config.pool,
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
        notes=notes,
    )
    folder = pathlib.Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report.to_json(), indent=2) + "\n"
    atomic.write_text(folder / "metrics.json", text)
    atomic.write_text(folder / "predictions.tsv", _table(data, found, predicted))
    if data.task.kind == task_kinds.REGRESSION:
        plots.save_scatter(folder / "scatter.png", found.labels, values)
    else:
        for name, draw in (
            ("confusion", plots.save_confusion),
            ("roc", curves.save_roc),
            ("precision_recall", curves.save_precision_recall),
            ("reliability", curves.save_reliability),
        ):
            draw(folder / f"{name}.png", data.task, found.labels, values)
    return report


def _table(
    data: examples.Data, found: examples.Examples, predicted: npt.NDArray[np.float32]
) -> str:
    """Returns a row for each sequence: id, length, truth, prediction, each class.

    A class that has the name of another column has "class_" before its name.
    """
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    task = data.task
    if task.kind == task_kinds.REGRESSION:
        writer.writerow(["id", "length", "label", "value"])
        named: list[list[Any]] = [
            [f"{label:g}", f"{row[0]:.6g}"]
            for label, row in zip(found.labels, predicted, strict=True)
        ]
    else:
        own = ["id", "length", "label", "predicted"]
        writer.writerow([*own, *tables.unique_columns(own, task.classes)])
        guesses = predict.labels_of(task.kind, task.classes, predicted)
        named = [
            [_name(task, label), guess, *(f"{p:.6g}" for p in row)]
            for label, guess, row in zip(found.labels, guesses, predicted, strict=True)
        ]
    for name, length, values in zip(found.ids, found.lengths, named, strict=True):
        writer.writerow([name, length, *values])
    return text.getvalue()


def _name(task: tasks.Task, label: Any) -> str:
    if task.kind != task_kinds.MULTI_LABEL:
        return task.classes[label]
    pairs = zip(task.classes, label, strict=True)
    return tables.SEPARATOR.join(name for name, value in pairs if value)
