"""What all figures share: size, colours, names, legend, and a file that is whole."""

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
_NAME: Final = 24  # characters of a class name

Path = str | os.PathLike[str]


def checked(
    task: tasks.Task, truth: npt.NDArray[Any], predicted: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Checks as `metrics.checked`, and that there are classes."""
    if task.kind == task_kinds.REGRESSION:
        raise ValueError("regression has no classes to draw; see save_scatter")
    return metrics.checked(task, truth, predicted)


def shorten(names: Sequence[str]) -> list[str]:
    """Cuts the middle out of long names; those that become the same are numbered."""
    cut = [n if len(n) <= _NAME else f"{n[: _NAME - 10]}…{n[-9:]}" for n in names]
    distinct = [
        f"{number + 1}: {names[number][: _NAME - 6]}…" if cut.count(name) > 1 else name
        for number, name in enumerate(cut)
    ]
    shown = [name.replace("$", r"\$") for name in distinct]
    # matplotlib reads $ as mathematics, and hides names that begin with _.
    return [f" {n}" if n[:1] == "_" else n for n in shown]


def colour(number: int) -> str:
    """Returns a colour of matplotlib's cycle."""
    return f"C{number % 10}"


def legend(figure: Figure, *, title: str) -> None:
    """Lists the lines to the right of the axis."""
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
    """Writes a figure as PNG."""
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    with atomic.replacing(path) as partial, warnings.catch_warnings():
        # A letter that the font lacks, as in a class's name, is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(partial, format="png", dpi=_DPI)
    return pathlib.Path(path)
