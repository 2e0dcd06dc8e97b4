"""Figures of predictions and of protocols: PNG files, without a display."""

from __future__ import annotations

import os
import pathlib
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import atomic
from genomenet.data import tasks
from genomenet.evaluation import metrics, tables, weighted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI: Final = 150
_CURVES: Final = 10  # classes that get a line
_WITH_NUMBERS: Final = 12  # classes up to which cells hold numbers
_WITH_NAMES: Final = 36  # classes up to which all are named
_NAME: Final = 24  # characters of a class name
_MARKERS: Final = "osD^vP*X<>"

Path = str | os.PathLike[str]


def save_confusion(
    path: Path,
    task: tasks.Task,
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
) -> pathlib.Path:
    """Draws how often each class is taken for which.

    Colours show shares of each true class, numbers show sequences. Several labels
    have a row each: true and false positives and negatives.

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
    truth, predicted = _checked(task, truth, predicted)
    guesses = metrics.guessed(task, predicted)
    classes = len(task.classes)
    if task.kind == tasks.MULTI_LABEL:
        hits = (truth & guesses).sum(0)
        has, called = truth.sum(0), guesses.sum(0)
        counts = np.stack(
            [hits, has - hits, called - hits, len(truth) - has - called + hits], 1
        )
        columns = ["TP", "FN", "FP", "TN"]
        whole = np.stack([has, has, len(truth) - has, len(truth) - has], axis=1)
    else:
        cells = np.bincount(truth * classes + guesses, minlength=classes**2)
        counts = cells.reshape(classes, classes)
        columns, whole = None, counts.sum(1, keepdims=True)
    names = _shortened(task.classes)
    margin = 0.07 * max(map(len, names))
    side = float(np.clip(0.5 * classes + margin + 0.8, 4.0, 7.2))
    is_square = task.kind != tasks.MULTI_LABEL
    figure = _figure(side + 1.0 if is_square else margin + 4.4, side)
    axis = figure.subplots()
    shares = counts / np.maximum(whole, 1)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    bar = figure.colorbar(image, ax=axis, shrink=0.8, pad=0.02)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    _name_ticks(axis.xaxis, columns or names)
    _name_ticks(axis.yaxis, names)
    if columns is None:
        is_wide = margin * classes > side - margin
        axis.tick_params(axis="x", rotation=90 if is_wide else 0)
        axis.set_xlabel("predicted")
    axis.set_ylabel("truth" if columns is None else "label")
    if max(counts.shape) <= _WITH_NUMBERS:
        size = 9 if classes <= 6 else 7
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.55 else "black"
            where = {"ha": "center", "va": "center", "fontsize": size}
            axis.text(column, row, f"{count:,}", color=colour, **where)
    return _save(figure, path)


def save_roc(
    path: Path,
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

    truth, predicted = _checked(task, truth, predicted)
    figure = _figure(*_size(task))
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    _draw_curves(figure, axis, task, truth, predicted, curve, "AUROC")
    note = f" ({_shortened([task.positive])[0]} is positive)" if task.positive else ""
    axis.set_xlabel(f"false positive rate{note}")
    axis.set_ylabel("true positive rate")
    return _save(figure, path)


def save_precision_recall(
    path: Path,
    task: tasks.Task,
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
) -> pathlib.Path:
    """Draws precision against recall; of which classes as for `save_roc`.

    Dotted lines show the share of positive sequences, what chance would reach.

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
        x, y = found[1:] / has.sum(), found[1:] / called[1:]
        area = float(np.sum(np.diff(x, prepend=0.0) * y))
        # Precision is that of the next threshold until it is reached: steps.
        return np.repeat(np.append(0.0, x), 2)[1:-1], np.repeat(y, 2), area

    truth, predicted = _checked(task, truth, predicted)
    figure = _figure(*_size(task))
    axis = figure.subplots()
    drawn = _draw_curves(figure, axis, task, truth, predicted, curve, "AUPRC")
    for colour, share in drawn:
        axis.axhline(share, color=colour, linestyle=":", linewidth=1)
    of = f" of {_shortened([task.positive])[0]}" if task.positive else ""
    axis.set_xlabel(f"recall{of}")
    axis.set_ylabel(f"precision{of}")
    return _save(figure, path)


def save_scatter(
    path: Path, truth: npt.NDArray[Any], predicted: npt.NDArray[Any]
) -> pathlib.Path:
    """Draws predicted numbers against true ones; many points as a density.

    Args:
        path: The PNG to write.
        truth: Numbers, (N,).
        predicted: Numbers, (N,).

    Returns:
        The path.

    Raises:
        ValueError: If shapes differ, or there is no row.
    """
    task = tasks.Task(kind=tasks.REGRESSION)
    truth, predicted = metrics.checked(task, truth, predicted)
    values = metrics.score(task, truth, predicted, resamples=0).values
    figure = _figure(5.4, 4.8)
    axis = figure.subplots()
    if len(truth) > 2000:
        cells = axis.hexbin(truth, predicted, gridsize=50, bins="log", mincnt=1)
        figure.colorbar(cells, ax=axis, label="sequences").outline.set_visible(False)
    else:
        axis.scatter(truth, predicted, s=14, alpha=0.5, linewidths=0)
    axis.axline((truth.mean(),) * 2, slope=1, color="black", linestyle=":", lw=1)
    parts = [f"{name} {interval.value:.3f}" for name, interval in values.items()]
    axis.set_title(" · ".join([*parts, f"n {len(truth):,}"]), fontsize=10)
    axis.set_xlabel("truth")
    axis.set_ylabel("predicted")
    return _save(figure, path)


def save_protocol(
    path: Path,
    rows: Sequence[tables.Row],
    *,
    metric: str,
    setting: str,
    baselines: Collection[str] = (),
) -> pathlib.Path:
    """Draws the mean over seeds of each model, with its 95 % interval.

    Args:
        path: The PNG to write.
        rows: Tidy rows, see `tables`.
        metric: Column of the metric.
        setting: Column of the setting, such as shots. On a logarithmic axis if all
            are numbers above 0, else side by side.
        baselines: Models whose lines are dashed.

    Returns:
        The path.

    Raises:
        ValueError: If there is no row, or as `tables.summarise`.
        ImportError: If SciPy is missing.
    """
    means = tables.summarise(rows, metric, setting=setting)
    if not means:
        raise ValueError("there are no rows to draw")
    settings = sorted({at for each in means.values() for at in each}, key=tables.order)
    is_log = all(not isinstance(at, str) and at > 0 for at in settings)
    places = {at: at if is_log else n for n, at in enumerate(settings)}
    figure = _figure(7.2, 4.2)
    axis = figure.subplots()
    names = _shortened(list(means))
    for number, (model, each) in enumerate(means.items()):
        shift = 0.02 * (number - (len(means) - 1) / 2)  # so that bars lie side by side
        x = [places[at] * 10**shift if is_log else places[at] + shift for at in each]
        y = [mean.mean for mean in each.values()]
        ends = [
            (0.0, 0.0)
            if m.low is None or m.high is None
            else (m.mean - m.low, m.high - m.mean)
            for m in each.values()
        ]
        axis.errorbar(
            x,
            y,
            np.transpose(ends),
            linestyle="--" if model in baselines else "-",
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=5,
            capsize=3,
            elinewidth=1,
            color=_colour(number),
            label=names[number],
        )
    if is_log:
        axis.set_xscale("log")
    axis.set_xticks([places[at] for at in settings], [f"{at}" for at in settings])
    axis.set_xticks([], minor=True)
    axis.set_xlabel(setting)
    axis.set_ylabel(metric)
    axis.grid(axis="y", alpha=0.3)
    counts = sorted({mean.count for each in means.values() for mean in each.values()})
    seeds = "–".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    _legend(figure, title=f"mean and 95 % interval,\n{seeds} seeds")
    return _save(figure, path)


def _checked(
    task: tasks.Task, truth: npt.NDArray[Any], predicted: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Checks as `metrics.checked`, and that there are classes."""
    if task.kind == tasks.REGRESSION:
        raise ValueError("regression has no classes to draw; see save_scatter")
    return metrics.checked(task, truth, predicted)


def _lines(
    task: tasks.Task, truth: npt.NDArray[Any], predicted: npt.NDArray[np.float64]
) -> Iterator[tuple[str, weighted.Flags, npt.NDArray[np.float64]]]:
    """Yields class, whether each row is of it, and its scores, of those to draw."""
    if task.kind == tasks.MULTI_LABEL:
        has = truth
    else:
        has = truth[:, None] == np.arange(len(task.classes))
    sizes = has.sum(0)
    is_binary = task.kind == tasks.BINARY
    numbers = [task.positive_number] if is_binary else range(len(task.classes))
    drawn = [n for n in numbers if 0 < sizes[n] < len(truth)]
    largest = sorted(drawn, key=lambda n: -sizes[n])[:_CURVES]
    names = _shortened(task.classes)
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
        axis.plot(x, y, color=_colour(number), label=f"{shown}  {area:.3f}")
        drawn.append((_colour(number), float(has.mean())))
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.02)
    if not drawn:
        axis.text(0.5, 0.5, "undefined: one class only", ha="center", va="center")
        return drawn
    title = name
    if len(drawn) < len(task.classes) and task.kind != tasks.BINARY:
        title += f"\n{len(drawn)} of {len(task.classes):,} classes"
    _legend(figure, title=title)
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


def _name_ticks(axis: Any, names: Sequence[str]) -> None:
    """Names the places of an axis, or every so many if there is no room for all."""
    step = -(-len(names) // _WITH_NAMES)
    axis.set_ticks(range(0, len(names), step), names[::step])
    axis.set_tick_params(labelsize=9 if len(names) <= _WITH_NUMBERS else 8, length=2)


def _shortened(names: Sequence[str]) -> list[str]:
    """Cuts the middle out of long names; those that become the same are numbered."""
    cut = [n if len(n) <= _NAME else f"{n[: _NAME - 10]}…{n[-9:]}" for n in names]
    distinct = [
        f"{number + 1}: {names[number][: _NAME - 6]}…" if cut.count(name) > 1 else name
        for number, name in enumerate(cut)
    ]
    shown = [name.replace("$", r"\$") for name in distinct]
    # matplotlib reads $ as mathematics, and hides names that begin with _.
    return [f" {n}" if n[:1] == "_" else n for n in shown]


def _colour(number: int) -> str:
    """Returns a colour of matplotlib's cycle."""
    return f"C{number % 10}"


def _size(task: tasks.Task) -> tuple[float, float]:
    """Returns width and height of a figure of curves, in inches."""
    return (6.4, 4.2) if task.kind == tasks.BINARY else (7.2, 4.4)


def _legend(figure: Figure, *, title: str) -> None:
    """Lists the lines to the right of the axis."""
    figure.legend(
        title=title,
        loc="outside right upper",
        frameon=False,
        fontsize=9,
        title_fontsize=9,
        alignment="left",
    )


def _figure(width: float, height: float) -> Figure:
    """Returns an empty figure; sizes in inches."""
    from matplotlib import figure as figure_lib  # slow to import

    return figure_lib.Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, path: Path) -> pathlib.Path:
    """Writes a figure as PNG."""
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    with atomic.replacing(path) as partial, warnings.catch_warnings():
        # A letter that the font lacks, as in a class's name, is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(partial, format="png", dpi=_DPI)
    return pathlib.Path(path)
