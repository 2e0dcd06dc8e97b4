"""Figures of predictions and of protocols, written as PNG without a display."""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import task_kinds
from genomenet.data import tasks
from genomenet.evaluation import figures, metrics, tables

_WITH_NUMBERS: Final = 12  # classes up to which cells show counts
_WITH_NAMES: Final = 36  # classes up to which all are named
_MARKERS: Final = "osD^vP*X<>"


def save_confusion(
    path: figures.Path,
    task: tasks.Task,
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
) -> pathlib.Path:
    """Draws the confusion matrix.

    Colours show shares of each true class, numbers show counts of sequences. For
    several labels, each label has a row of true and false positives and negatives.

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
    truth, predicted = figures.checked(task, truth, predicted)
    guesses = metrics.guessed(task, predicted)
    classes = len(task.classes)
    if task.kind == task_kinds.MULTI_LABEL:
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
    names = figures.shorten(task.classes)
    margin = 0.07 * max(map(len, names))
    side = float(np.clip(0.5 * classes + margin + 0.8, 4.0, 7.2))
    is_square = task.kind != task_kinds.MULTI_LABEL
    figure = figures.new(side + 1.0 if is_square else margin + 4.4, side)
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
            style = {"ha": "center", "va": "center", "fontsize": size}
            axis.text(column, row, f"{count:,}", color=colour, **style)
    return figures.save(figure, path)


def save_scatter(
    path: figures.Path, truth: npt.NDArray[Any], predicted: npt.NDArray[Any]
) -> pathlib.Path:
    """Draws predicted against true numbers, as a density if there are many points.

    Args:
        path: The PNG file to write.
        truth: Numbers, (N,).
        predicted: Numbers, (N,).

    Returns:
        The path.

    Raises:
        ValueError: If shapes differ, or there is no row.
    """
    task = tasks.Task(kind=task_kinds.REGRESSION)
    truth, predicted = metrics.checked(task, truth, predicted)
    values = metrics.score(task, truth, predicted, resamples=0).values
    figure = figures.new(5.4, 4.8)
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
    return figures.save(figure, path)


def save_protocol(
    path: figures.Path,
    rows: Sequence[tables.Row],
    *,
    metric: str,
    setting: str,
    baselines: Collection[str] = (),
) -> pathlib.Path:
    """Draws the mean over seeds of each model, with its 95 % interval.

    Args:
        path: The PNG file to write.
        rows: Tidy rows, see `tables`.
        metric: Column of the metric.
        setting: Column of the setting, such as shots. The axis is logarithmic if all
            settings are numbers above 0, else it has equal steps.
        baselines: Models whose lines are dashed.

    Returns:
        The path.

    Raises:
        ValueError: If there is no row, or as `tables.summarise`.
    """
    means = tables.summarise(rows, metric, setting=setting)
    if not means:
        raise ValueError("there are no rows to draw: give at least one run")
    settings = sorted(
        {at for by_setting in means.values() for at in by_setting}, key=tables.order
    )
    is_log = all(not isinstance(at, str) and at > 0 for at in settings)
    positions = {at: at if is_log else n for n, at in enumerate(settings)}
    figure = figures.new(7.2, 4.2)
    axis = figure.subplots()
    names = figures.shorten(list(means))
    for index, (model, by_setting) in enumerate(means.items()):
        shift = 0.02 * (index - (len(means) - 1) / 2)  # keeps error bars apart
        x = [
            positions[at] * 10**shift if is_log else positions[at] + shift
            for at in by_setting
        ]
        y = [mean.mean for mean in by_setting.values()]
        ends = [
            (0.0, 0.0)
            if m.low is None or m.high is None
            else (m.mean - m.low, m.high - m.mean)
            for m in by_setting.values()
        ]
        axis.errorbar(
            x,
            y,
            np.transpose(ends),
            linestyle="--" if model in baselines else "-",
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=5,
            capsize=3,
            elinewidth=1,
            color=figures.colour(index),
            label=names[index],
        )
    if is_log:
        axis.set_xscale("log")
    axis.set_xticks([positions[at] for at in settings], [f"{at}" for at in settings])
    axis.set_xticks([], minor=True)
    axis.set_xlabel(setting)
    axis.set_ylabel(metric)
    axis.grid(axis="y", alpha=0.3)
    counts = sorted(
        {mean.count for by_setting in means.values() for mean in by_setting.values()}
    )
    seeds = "–".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    figures.legend(figure, title=f"mean and 95 % interval,\n{seeds} seeds")
    return figures.save(figure, path)


def _name_ticks(axis: Any, names: Sequence[str]) -> None:
    """Labels the ticks of an axis, or every n-th if there is no room for all."""
    step = -(-len(names) // _WITH_NAMES)
    axis.set_ticks(range(0, len(names), step), names[::step])
    axis.set_tick_params(labelsize=9 if len(names) <= _WITH_NUMBERS else 8, length=2)
