"""Curves of predictions: ROC, precision-recall and reliability."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import task_kinds
from genomenet.data import tasks
from genomenet.evaluation import figures, metrics, weighted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CURVES: Final = 10  # classes that are drawn, at most


def save_roc(
    path: figures.Path,
    task: tasks.Task,
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
) -> pathlib.Path:
    """Draws ROC curves: one for two classes, else one for each class against the rest.

    Of more than ten classes, only the ten with the most sequences are drawn. Classes
    that all sequences have, or none, are not drawn.

    Args:
        path: The PNG file to write.
        task: The task, but not regression.
        truth: As for `metrics.score`.
        predicted: As for `metrics.score`.

    Returns:
        The path.

    Raises:
        ValueError: As `metrics.score`, or for regression.
    """

    def curve(has: Any, scores: Any) -> tuple[Any, Any, float]:
        hits, called = _sweep(has, scores)
        x = (called - hits) / (len(has) - has.sum())
        y = hits / has.sum()
        return x, y, float(np.trapezoid(y, x))

    truth, predicted = figures.checked(task, truth, predicted)
    figure = figures.new(*_size(task))
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    _draw_curves(figure, axis, task, truth, predicted, curve, "AUROC")
    note = (
        f" ({figures.shorten([task.positive])[0]} is positive)" if task.positive else ""
    )
    axis.set_xlabel(f"false positive rate{note}")
    axis.set_ylabel("true positive rate")
    return figures.save(figure, path)


def save_precision_recall(
    path: figures.Path,
    task: tasks.Task,
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
) -> pathlib.Path:
    """Draws precision against recall, for the classes that `save_roc` draws.

    Dotted lines show the chance level, which is the share of positive sequences.
    Arguments, result and errors are those of `save_roc`.
    """

    def curve(has: Any, scores: Any) -> tuple[Any, Any, float]:
        hits, called = _sweep(has, scores)
        x, y = hits[1:] / has.sum(), hits[1:] / called[1:]
        area = float(np.sum(np.diff(x, prepend=0.0) * y))
        # Steps: up to a threshold, precision is that at the threshold.
        return np.repeat(np.append(0.0, x), 2)[1:-1], np.repeat(y, 2), area

    truth, predicted = figures.checked(task, truth, predicted)
    figure = figures.new(*_size(task))
    axis = figure.subplots()
    drawn = _draw_curves(figure, axis, task, truth, predicted, curve, "AUPRC")
    for colour, share in drawn:
        axis.axhline(share, color=colour, linestyle=":", linewidth=1)
    note = f" of {figures.shorten([task.positive])[0]}" if task.positive else ""
    axis.set_xlabel(f"recall{note}")
    axis.set_ylabel(f"precision{note}")
    return figures.save(figure, path)


def save_reliability(
    path: figures.Path,
    task: tasks.Task,
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
) -> pathlib.Path:
    """Draws a reliability diagram: observed frequency against predicted probability.

    Each point is one of `weighted.BINS` bins, at the means of its sequences; its area
    grows with their number. The probability is that of the positive class for two
    classes, that of the predicted class for more, and that of each label for several
    labels. Arguments, result and errors are those of `save_roc`.
    """
    truth, predicted = figures.checked(task, truth, predicted)
    lines = list(_lines(task, truth, predicted))
    if task.kind != task_kinds.MULTI_LABEL:
        outcomes, probabilities = metrics.promises(task, truth, predicted)
        name = figures.shorten([task.positive or "predicted class"])[0]
        lines = [(name, outcomes[:, 0], probabilities[:, 0])]
    figure = figures.new(*_size(task))
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    for index, (name, has, scores) in enumerate(lines):
        bins = weighted.rank(weighted.bin_of(scores))
        table = np.stack([np.ones(len(has)), scores, has.astype(np.float64)], axis=1)
        counts, x, y = bins.sums(table).T
        error = np.abs(y - x).sum() / len(has)
        axis.plot(x / counts, y / counts, color=figures.colour(index), linewidth=1)
        axis.scatter(
            x / counts,
            y / counts,
            s=10 + 190 * counts / len(has),
            color=figures.colour(index),
            label=f"{name}  {error:.3f}",
            alpha=0.7,
        )
    axis.set_xlabel("mean probability")
    axis.set_ylabel("observed frequency")
    figures.legend(figure, title="calibration error")
    return figures.save(figure, path)


def _lines(
    task: tasks.Task, truth: npt.NDArray[Any], predicted: npt.NDArray[np.float64]
) -> Iterator[tuple[str, weighted.Flags, npt.NDArray[np.float64]]]:
    """Yields name, membership of each row, and scores of each class to draw."""
    if task.kind == task_kinds.MULTI_LABEL:
        has = truth
    else:
        has = truth[:, None] == np.arange(len(task.classes))
    sizes = has.sum(0)
    is_binary = task.kind == task_kinds.BINARY
    indices = [task.positive_number] if is_binary else range(len(task.classes))
    drawn = [n for n in indices if 0 < sizes[n] < len(truth)]
    largest = sorted(drawn, key=lambda n: -sizes[n])[:_CURVES]
    names = figures.shorten(task.classes)
    for index in sorted(largest):
        yield names[index], has[:, index], predicted[:, index]


def _draw_curves(
    figure: Figure,
    axis: Axes,
    task: tasks.Task,
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[np.float64],
    curve: Callable[[Any, Any], tuple[Any, Any, float]],
    name: str,
) -> list[tuple[Any, float]]:
    """Draws a curve per class; returns the colour and the share of each class."""
    drawn = []
    for index, (label, has, scores) in enumerate(_lines(task, truth, predicted)):
        x, y, area = curve(has, scores)
        axis.plot(x, y, color=figures.colour(index), label=f"{label}  {area:.3f}")
        drawn.append((figures.colour(index), float(has.mean())))
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.02)
    if not drawn:
        axis.text(0.5, 0.5, "undefined: one class only", ha="center", va="center")
        return drawn
    title = name
    if len(drawn) < len(task.classes) and task.kind != task_kinds.BINARY:
        title += f"\n{len(drawn)} of {len(task.classes):,} classes"
    figures.legend(figure, title=title)
    return drawn


def _sweep(
    has: weighted.Flags, scores: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Counts positive rows and all rows above each threshold, highest first."""
    ranking = weighted.rank(scores)
    both = np.stack([has, np.ones(len(has))], axis=1).astype(np.float64)
    sums = np.cumsum(ranking.sums(both)[::-1], axis=0)
    hits, called = np.concatenate([np.zeros((1, 2)), sums]).T
    return hits, called


def _size(task: tasks.Task) -> tuple[float, float]:
    """Returns the width and height of a figure of curves, in inches."""
    return (6.4, 4.2) if task.kind == task_kinds.BINARY else (7.2, 4.4)
