"""Metrics of a model's predictions, their intervals, and warnings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import task_kinds
from genomenet.data import tasks
from genomenet.evaluation import weighted

METRICS: Final = {
    **dict.fromkeys(
        (task_kinds.BINARY, task_kinds.MULTICLASS, task_kinds.MULTI_LABEL),
        (*weighted.OF_CLASSES, *weighted.OF_PROBABILITIES),
    ),
    task_kinds.REGRESSION: weighted.OF_NUMBERS,
}
"""Kind of task → names of its metrics."""

THRESHOLD: Final = 0.5
"""In multi-label tasks, a label is predicted if its probability is above this."""

_COVERAGE: Final = (2.5, 97.5)  # percentiles of the resamples
_BLOCK: Final = 1 << 19  # weights that are held in memory at once
_ROUNDING: Final = 1e-3  # by which a probability may be outside [0, 1]
_SHOWN: Final = 10  # classes named in a warning

_Metric = Callable[[weighted.Array], dict[str, weighted.Array]]


@dataclasses.dataclass(frozen=True)
class Interval:
    """A metric and its 95 % interval; NaN where undefined.

    Attributes:
        value: Over all rows.
        low: 2.5th percentile over resampled rows.
        high: 97.5th percentile.
    """

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclasses.dataclass(frozen=True)
class Scores:
    """The metrics of a model, as `score` returns them.

    Attributes:
        values: Name of each metric → its value and interval.
        counts: "rows", the number of rows; except for regression also "truth" and
            "predicted", dicts class → number of rows.
        warnings: Warnings about the values, one sentence each.
        positive: For two classes the one that F1 and AUPRC are about, else empty.
    """

    values: dict[str, Interval]
    counts: dict[str, Any]
    warnings: list[str]
    positive: str = ""

    def __getitem__(self, name: str) -> Interval:
        """Returns a metric, for example "auroc", with its interval."""
        return self.values[name]

    def __str__(self) -> str:
        return self.table()

    def table(self, split: str = "") -> str:
        """Returns the metrics as a table to read, warnings first.

        Args:
            split: Name of the split that was scored, for example "test".
        """
        lines = [f"WARNING: {warning}" for warning in self.warnings]
        rows = f"{self.counts['rows']:,} sequences"
        about = self.positive
        note = f"; f1 and auprc are about class {about!r}" if about else ""
        if not about and "f1" in self.values:
            note = "; f1 and auprc are means over classes"
        title = f"{split} ({rows})" if split else rows
        lines.append(f"{title}, with 95 % intervals{note}:")
        for name, metric in self.values.items():
            interval = f"[{metric.low:.4f}, {metric.high:.4f}]"
            lines.append(f"  {name:<18}{metric.value:>8.4f}  {interval}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Returns the scores as JSON values, with None for NaN."""
        values = {
            name: {
                key: value if math.isfinite(value) else None
                for key, value in dataclasses.asdict(interval).items()
            }
            for name, interval in self.values.items()
        }
        return {
            "values": values,
            "positive": self.positive or None,
            "counts": self.counts,
            "warnings": list(self.warnings),
        }


def score(
    task: tasks.Task,
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
    *,
    resamples: int = 500,
    seed: int = 0,
) -> Scores:
    """Scores predictions against the truth.

    The metrics of classes and labels are accuracy, balanced accuracy, AUROC, average
    precision ("auprc"), F1 and Matthews' correlation ("mcc"). Those of regression are
    Pearson's and Spearman's correlation and the root mean squared error. For two
    classes, `task.positive` is the positive one. For more classes, F1, auprc (one
    against the rest) and AUROC (one against one) are means over classes. For several
    labels, all metrics are means over labels. The means leave out classes that the test
    set lacks. Time and memory grow with rows × classes, time also with `resamples`.

    Two more metrics measure the calibration of probabilities; both are 0 for a perfect
    model. The Brier score ("brier") is the mean squared error of the probability of the
    positive class for two classes; for more, squared errors are summed over classes.
    The expected calibration error ("ece"), in 15 bins of equal width, is about the
    probability of the positive class for two classes, and of the predicted class for
    more. Resampling adds noise, which makes "ece" larger. The draws of "ece" are
    therefore mirrored at the value before the percentiles are taken. The interval
    always contains the value, which is its upper bound if nearly all draws are larger.

    Args:
        task: The task.
        truth: Index of the class, int, (N,); for several labels 0 or 1, (N, C); for
            regression float, (N,).
        predicted: Probabilities of the classes, (N, C), also for two classes; for
            several labels these are independent; for regression numbers, (N,).
        resamples: Number of bootstrap draws of N rows for the intervals; 0 for none.
        seed: Seed of the draws.

    Returns:
        Metrics with 95 % percentile intervals, counts and warnings. Draws for which a
        metric is undefined are skipped. If fewer than half are left, or the metric
        itself is undefined, the interval is NaN.

    Raises:
        ValueError: If shapes or class indices do not fit the task, there is no row,
            or a prediction is not finite.

    Source:
        AUROC of several classes as reported by Roy et al., GeneMask (2023).
    """
    truth, predicted = checked(task, truth, predicted)
    if resamples < 0:
        raise ValueError(f"resamples must be >= 0, got {resamples}")
    guesses = None if task.kind == task_kinds.REGRESSION else guessed(task, predicted)
    metric = _metric(task, truth, predicted, guesses)
    points = {k: float(v[0]) for k, v in metric(np.ones((len(truth), 1))).items()}
    drawn = _resampled(metric, len(truth), resamples, seed)
    values, warnings = {}, []
    for name in METRICS[task.kind]:
        values[name] = _interval(points[name], drawn[name], name == "ece")
        known = np.count_nonzero(~np.isnan(drawn[name]))
        if not math.isnan(points[name]) and 2 * known < resamples:
            warnings.append(
                f"{name} has no interval: it is defined in only {known} of {resamples} "
                "resamples"
            )
    counts = _counts(task, truth, guesses)
    undefined = [name for name, value in points.items() if math.isnan(value)]
    return Scores(
        values,
        counts,
        _warnings(task, truth, predicted, counts, undefined) + warnings,
        task.positive,
    )


def weighted_scores(
    task: tasks.Task,
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
    weights: npt.NDArray[np.float64],
) -> dict[str, npt.NDArray[np.float64]]:
    """Returns the metrics of weighted rows, for example of resampled ones.

    Args:
        task: As for `score`.
        truth: As for `score`.
        predicted: As for `score`.
        weights: Weight of each row in each of D draws, (N, D).

    Returns:
        Name of the metric → its values, (D,), NaN where it is undefined.

    Raises:
        ValueError: As `score`.
    """
    truth, predicted = checked(task, truth, predicted)
    guesses = None if task.kind == task_kinds.REGRESSION else guessed(task, predicted)
    return _metric(task, truth, predicted, guesses)(weights)


def checked(
    task: tasks.Task, truth: npt.NDArray[Any], predicted: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Checks that truth and predictions fit the task, and converts them.

    Args:
        task: The task.
        truth: As for `score`.
        predicted: As for `score`.

    Returns:
        The truth as int64, bool for several labels or float64 for regression; and the
        predictions as float64.

    Raises:
        ValueError: As `score` does.
    """
    if task.kind not in METRICS:
        raise ValueError(f"task must be one of {', '.join(METRICS)}, got {task.kind!r}")
    truth, predicted = np.asarray(truth), np.asarray(predicted, np.float64)
    rows, classes = len(truth), len(task.classes)
    wide = (rows, classes)
    expected = {
        task_kinds.REGRESSION: ((rows,), (rows,)),
        task_kinds.MULTI_LABEL: (wide, wide),
    }.get(task.kind, ((rows,), wide))
    if (truth.shape, predicted.shape) != expected:
        raise ValueError(
            f"{task.kind} with {classes} classes needs truth {expected[0]} and "
            f"predictions {expected[1]}, got {truth.shape} and {predicted.shape}"
        )
    if not rows:
        raise ValueError("there are no rows to score")
    finite = np.isfinite(predicted.reshape(rows, -1)).all(1)
    if not finite.all():
        bad = int(np.argmin(finite))
        raise ValueError(
            f"the prediction of row {bad + 1} is {predicted[bad]}; it must be finite"
        )
    if task.kind == task_kinds.REGRESSION:
        truth = truth.astype(np.float64)
        if not np.isfinite(truth).all():
            raise ValueError("the truth holds numbers that are not finite")
        return truth, predicted
    if predicted.min() < -_ROUNDING or predicted.max() > 1 + _ROUNDING:
        raise ValueError("predictions must be probabilities, 0 to 1")
    largest = 1 if task.kind == task_kinds.MULTI_LABEL else classes - 1
    if truth.dtype.kind not in "iub" or truth.min() < 0 or truth.max() > largest:
        raise ValueError(f"truth must hold whole numbers 0 to {largest}")
    kind = bool if task.kind == task_kinds.MULTI_LABEL else np.int64
    return truth.astype(kind), predicted


def guessed(
    task: tasks.Task, predicted: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64] | weighted.Flags:
    """Returns the predicted classes or labels.

    Args:
        task: The task, but not regression.
        predicted: Probabilities, (N, C).

    Returns:
        Index of the most probable class, int, (N,), the first of equals; for several
        labels whether each is above `THRESHOLD`, bool, (N, C).
    """
    if task.kind == task_kinds.MULTI_LABEL:
        return predicted > THRESHOLD
    return np.argmax(predicted, axis=1)


def promises(
    task: tasks.Task, truth: npt.NDArray[Any], predicted: npt.NDArray[np.float64]
) -> tuple[weighted.Flags, weighted.Array]:
    """Returns the outcomes and probabilities that calibration compares.

    Args:
        task: The task, but not regression.
        truth: As `checked` returns it.
        predicted: As `checked` returns it.

    Returns:
        Whether the row has a class, bool, (N, K), and its probability, float64,
        (N, K). The class is the positive one for two classes (K = 1), the predicted
        one for more (K = 1), and each label for several labels.
    """
    if task.kind == task_kinds.MULTI_LABEL:
        return truth, predicted
    if task.kind == task_kinds.BINARY:
        index = task.positive_number
        return (truth == index)[:, None], predicted[:, [index]]
    guesses = guessed(task, predicted)
    return (truth == guesses)[:, None], predicted.max(axis=1, keepdims=True)


def _metric(
    task: tasks.Task, truth: Any, predicted: weighted.Array, guesses: Any
) -> _Metric:
    """Returns the metrics of a task, as a function of weights."""
    if task.kind == task_kinds.REGRESSION:
        return weighted.NumberMetrics(truth, predicted)
    outcomes, probabilities = promises(task, truth, predicted)
    squares = np.square(outcomes - probabilities).mean(1)
    if task.kind == task_kinds.MULTICLASS:
        decisions: _Metric = weighted.ClassMetrics(truth, predicted, guesses)
        squares = np.square(np.eye(len(task.classes))[truth] - predicted).sum(1)
    elif task.kind == task_kinds.MULTI_LABEL:
        decisions = weighted.LabelMetrics(truth, predicted, guesses)
    else:
        is_called = (guesses == task.positive_number)[:, None]
        decisions = weighted.LabelMetrics(outcomes, probabilities, is_called)
    calibration = weighted.Calibration(squares, outcomes, probabilities)
    return lambda weights: decisions(weights) | calibration(weights)


def _resampled(
    metric: _Metric, rows: int, resamples: int, seed: int
) -> dict[str, weighted.Array]:
    """Returns the metrics of resampled rows: name → (resamples,)."""
    rng = np.random.default_rng(seed)
    size = max(1, _BLOCK // rows)
    blocks = [metric(np.ones((rows, 1)))]  # gives the names if there is no draw
    for start in range(0, resamples, size):
        draws = [
            np.bincount(rng.integers(0, rows, rows), minlength=rows)
            for _ in range(min(size, resamples - start))
        ]
        blocks.append(metric(np.stack(draws, axis=1).astype(np.float64)))
    return {
        name: np.concatenate([block[name] for block in blocks])[1:]
        for name in blocks[0]
    }


def _interval(
    value: float, drawn: weighted.Array, is_reflected: bool = False
) -> Interval:
    """Returns a value with the percentiles of its draws, or of their mirror images."""
    known = drawn[~np.isnan(drawn)]
    if math.isnan(value) or not known.size or 2 * known.size < drawn.size:
        return Interval(value)
    low, high = np.percentile(known, _COVERAGE)
    if is_reflected:
        low, high = max(0.0, min(value, 2 * value - high)), max(value, 2 * value - low)
    return Interval(value, float(low), float(high))


def _counts(task: tasks.Task, truth: Any, guesses: Any) -> dict[str, Any]:
    """Counts all rows, and the true and predicted rows of each class."""
    if task.kind == task_kinds.REGRESSION:
        return {"rows": len(truth)}
    counts: dict[str, Any] = {"rows": len(truth)}
    for name, indices in (("truth", truth), ("predicted", guesses)):
        if task.kind == task_kinds.MULTI_LABEL:
            sizes = indices.sum(0)
        else:
            sizes = np.bincount(indices, minlength=len(task.classes))
        counts[name] = dict(zip(task.classes, map(int, sizes), strict=True))
    return counts


def _warnings(
    task: tasks.Task,
    truth: Any,
    predicted: weighted.Array,
    counts: dict[str, Any],
    undefined: Sequence[str],
) -> list[str]:
    """Returns why metrics are undefined, and whether all predictions are the same."""
    rows = counts["rows"]
    everywhere = f"for all {rows:,} sequences"
    if task.kind == task_kinds.REGRESSION:
        reasons, warnings = [], []
        if np.ptp(truth) == 0:
            reasons.append(f"all sequences of the test set have {truth[0]:g}")
        if np.ptp(predicted) == 0:
            same = f"the model predicts {predicted[0]:g} {everywhere}"
            reasons.append(same)
            warnings = [same]
        reason = " and ".join(reasons) or "its values hardly differ"
        return warnings + _undefined(undefined, reason)
    absent = [name for name in task.classes if not counts["truth"][name]]
    reasons = [f"the test set has no example {_of_classes(absent)}"] if absent else []
    warnings = []
    if task.kind == task_kinds.MULTI_LABEL:
        full = [name for name in task.classes if counts["truth"][name] == rows]
        if full:
            reasons.append(f"all sequences of the test set are {_of_classes(full)}")
        if all(count in (0, rows) for count in counts["predicted"].values()):
            called = [name for name in task.classes if counts["predicted"][name]]
            names = _of_classes(called).removeprefix("of ")
            same = f"the same labels only: {names}" if called else "no label"
            warnings.append(f"the model predicts {same} {everywhere}")
    else:
        called = [name for name in task.classes if counts["predicted"][name]]
        if len(called) == 1:
            warnings.append(
                f"the model predicts one class only: {called[0]!r} {everywhere}"
            )
    reason = " and ".join(reasons)
    if undefined:
        return warnings + _undefined(undefined, reason)
    if reason:
        warnings.append(f"{reason}: means over classes leave out such classes")
    return warnings


def _undefined(names: Sequence[str], reason: str) -> list[str]:
    """Returns a sentence for each undefined metric."""
    return [f"{name} is undefined: {reason}" for name in names]


def _of_classes(names: Sequence[str]) -> str:
    """Returns "of class" or "of classes" with the names."""
    shown = ", ".join(map(repr, names[:_SHOWN]))
    rest = len(names) - _SHOWN
    what = "class" if len(names) == 1 else "classes"
    return f"of {what} {shown}" + (f" and {rest:,} more" if rest > 0 else "")
