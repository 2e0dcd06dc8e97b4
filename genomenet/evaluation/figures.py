"""Helpers of all figures: size, colours, names, legend, and atomic writing."""

from __future__ import annotations

import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import atomic, task_kinds
from genomenet.data import tasks
from genomenet.evaluation import metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI: Final = 150
_NAME: Final = 24  # characters of a class name, at most

Path = str | os.PathLike[str]


def checked(
    task: tasks.Task, truth: npt.NDArray[Any], predicted: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Checks and converts as `metrics.checked`; also refuses regression."""
    if task.kind == task_kinds.REGRESSION:
        raise ValueError("regression has no classes to draw; use save_scatter")
    return metrics.checked(task, truth, predicted)


def shorten(names: Sequence[str]) -> list[str]:
    """Removes the middle of long names, and numbers names that become equal."""
    shortened = [n if len(n) <= _NAME else f"{n[: _NAME - 10]}…{n[-9:]}" for n in names]
    distinct = [
        f"{index + 1}: {names[index][: _NAME - 6]}…"
        if shortened.count(name) > 1
        else name
        for index, name in enumerate(shortened)
    ]
    shown = [name.replace("$", r"\$") for name in distinct]
    # matplotlib reads $ as mathematics, and hides names that begin with _.
    return [f" {n}" if n[:1] == "_" else n for n in shown]


def colour(index: int) -> str:
    """Returns a colour of matplotlib's cycle."""
    return f"C{index % 10}"


def legend(figure: Figure, *, title: str) -> None:
    """Adds the legend to the right of the axes."""
    figure.legend(
        title=title,
        loc="outside right upper",
        frameon=False,
        fontsize=9,
        title_fontsize=9,
        alignment="left",
    )


def new(width: float, height: float) -> Figure:
    """Returns an empty figure; sizes in inches."""
    from matplotlib import figure as figure_lib  # slow to import

    return figure_lib.Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, path: Path) -> pathlib.Path:
    """Writes a figure as a PNG file and returns its path."""
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    with atomic.replacing(path) as partial, warnings.catch_warnings():
        # Letters of a class name that the font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(partial, format="png", dpi=_DPI)
    return pathlib.Path(path)
