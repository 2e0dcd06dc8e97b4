"""Curves of predictions: ROC, precision against recall, and reliability."""

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

_CURVES: Final = 10  # classes that get a line


def save_roc(
    path: figures.Path,
    task: tasks.Task,
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
) -> pathlib.Path:
    """Draws ROC curves: one of two classes, else one a class against the rest.

    Of more than ten classes only the ten with the most sequences are drawn; classes
    that all sequences have, or none, are left out.

    Args:
        path: The PNG to write.
        task: What was to be learnt, but not regression.
        truth: As for `metrics.score`.
        predicted: As for `metrics.score`.

    Returns:
        The path.

    Raises:
        ValueError: As `metrics.score`, or for regression.
    """

    def curve(has: Any, scores: Any) -> tuple[Any, Any, float]:
        found, called = _sweep(has, scores)
        x = (called - found) / (len(has) - has.sum())
        y = found / has.sum()
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
    """Draws precision against recall; of which classes as for `save_roc`.

    Dotted lines show the share of positive sequences, what chance would reach.
    Arguments, result and errors are those of `save_roc`.
    """

    def curve(has: Any, scores: Any) -> tuple[Any, Any, float]:
        found, called = _sweep(has, scores)
        x, y = found[1:] / has.sum(), found[1:] / called[1:]
        area = float(np.sum(np.diff(x, prepend=0.0) * y))
        # Precision is that of the next threshold until it is reached: steps.
        return np.repeat(np.append(0.0, x), 2)[1:-1], np.repeat(y, 2), area

    truth, predicted = figures.checked(task, truth, predicted)
    figure = figures.new(*_size(task))
    axis = figure.subplots()
    drawn = _draw_curves(figure, axis, task, truth, predicted, curve, "AUPRC")
    for colour, share in drawn:
        axis.axhline(share, color=colour, linestyle=":", linewidth=1)
    of = f" of {figures.shorten([task.positive])[0]}" if task.positive else ""
    axis.set_xlabel(f"recall{of}")
    axis.set_ylabel(f"precision{of}")
    return figures.save(figure, path)


def save_reliability(
    path: figures.Path,
    task: tasks.Task,
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
) -> pathlib.Path:
    """Draws how often what was promised came true, against its probability.

    A point is a bin of `weighted.BINS`, at the means of its sequences; its area grows
    with their number. Of two classes it is the probability of the positive one, of
    more that of the predicted one, of several labels each. Arguments, result and
    errors are those of `save_roc`.
    """
    truth, predicted = figures.checked(task, truth, predicted)
    lines = list(_lines(task, truth, predicted))
    if task.kind != task_kinds.MULTI_LABEL:
        came_true, promised = metrics.promises(task, truth, predicted)
        name = figures.shorten([task.positive or "predicted class"])[0]
        lines = [(name, came_true[:, 0], promised[:, 0])]
    figure = figures.new(*_size(task))
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    for number, (name, has, scores) in enumerate(lines):
        bins = weighted.rank(weighted.bin_of(scores))
        table = np.stack([np.ones(len(has)), scores, has.astype(np.float64)], axis=1)
        counts, x, y = bins.sums(table).T
        error = np.abs(y - x).sum() / len(has)
        axis.plot(x / counts, y / counts, color=figures.colour(number), linewidth=1)
        axis.scatter(
            x / counts,
            y / counts,
            s=10 + 190 * counts / len(has),
            color=figures.colour(number),
            label=f"{name}  {error:.3f}",
            alpha=0.7,
        )
    axis.set_xlabel("mean probability")
    axis.set_ylabel("share that came true")
    figures.legend(figure, title="calibration error")
    return figures.save(figure, path)


def _lines(
    task: tasks.Task, truth: npt.NDArray[Any], predicted: npt.NDArray[np.float64]
) -> Iterator[tuple[str, weighted.Flags, npt.NDArray[np.float64]]]:
    """Yields class, whether each row is of it, and its scores, of those to draw."""
    if task.kind == task_kinds.MULTI_LABEL:
        has = truth
    else:
        has = truth[:, None] == np.arange(len(task.classes))
    sizes = has.sum(0)
    is_binary = task.kind == task_kinds.BINARY
    numbers = [task.positive_number] if is_binary else range(len(task.classes))
    drawn = [n for n in numbers if 0 < sizes[n] < len(truth)]
    largest = sorted(drawn, key=lambda n: -sizes[n])[:_CURVES]
    names = figures.shorten(task.classes)
    for number in sorted(largest):
        yield names[number], has[:, number], predicted[:, number]


def _draw_curves(
    figure: Figure,
    axis: Axes,
    task: tasks.Task,
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[np.float64],
    curve: Callable[[Any, Any], tuple[Any, Any, float]],
    name: str,
) -> list[tuple[Any, float]]:
    """Draws a curve a class; returns the colour and the share of each."""
    drawn = []
    for number, (shown, has, scores) in enumerate(_lines(task, truth, predicted)):
        x, y, area = curve(has, scores)
        axis.plot(x, y, color=figures.colour(number), label=f"{shown}  {area:.3f}")
        drawn.append((figures.colour(number), float(has.mean())))
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
    """Counts rows above each threshold, from the highest: positive ones, and all."""
    ranking = weighted.rank(scores)
    both = np.stack([has, np.ones(len(has))], axis=1).astype(np.float64)
    sums = np.cumsum(ranking.sums(both)[::-1], axis=0)
    found, called = np.concatenate([np.zeros((1, 2)), sums]).T
    return found, called


def _size(task: tasks.Task) -> tuple[float, float]:
    """Returns width and height of a figure of curves, in inches."""
    return (6.4, 4.2) if task.kind == task_kinds.BINARY else (7.2, 4.4)
