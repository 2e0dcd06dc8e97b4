"""Writes genome browser tracks, one for each class: bedGraph and bigWig.

Where windows overlap, a base gets the mean over the windows that contain it. Tracks
are sorted by name (byte order) and start, without overlaps.
"""

from __future__ import annotations

import collections
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from genomenet import atomic
from genomenet.data import signal
from genomenet.inference import record_windows

_BLOCK: Final = 1 << 14  # intervals in memory at a time
_UNSAFE: Final = re.compile(r"[^\w.+-]")

Interval = tuple[int, int, npt.NDArray[np.float64]]


class Tracks:
    """Collects predictions of windows on disk and writes tracks at the end.

    Args:
        columns: Names of the predicted values, C.
        bedgraph: Folder for the bedGraph files, or None.
        bigwig: Folder for the bigWig files, or None.

    Raises:
        ImportError: If bigWig is requested and pybigtools is missing.
    """

    def __init__(
        self,
        columns: Sequence[str],
        *,
        bedgraph: str | os.PathLike[str] | None = None,
        bigwig: str | os.PathLike[str] | None = None,
    ):
        if bigwig is not None:
            signal.bigwig()
        self._files = file_names(columns)
        self._bedgraph = bedgraph
        self._bigwig = bigwig
        fields = [
            ("start", "<i8"),
            ("end", "<i8"),
            ("value", "<f4", (len(columns),)),
        ]
        self._dtype = np.dtype(fields)
        self._sections: dict[str, list[int]] = {}  # first and last interval, bases
        self._count = 0
        self._name: str | None = None
        self._mean = _Mean(len(columns))
        self._spool: Any = None

    def __enter__(self) -> Self:
        folder = self._bedgraph if self._bigwig is None else self._bigwig
        if folder is not None:
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            self._spool = tempfile.TemporaryFile(dir=folder)
        return self

    def __exit__(self, *error: object) -> None:
        if self._spool is not None:
            self._spool.close()

    def write(
        self, windows: Sequence[record_windows.Window], values: npt.NDArray[np.float32]
    ) -> None:
        """Adds windows, in order and record by record, and their values, (N, C).

        Windows whose values are all NaN are omitted.
        """
        if self._spool is None:
            return
        for window, row in zip(windows, values, strict=True):
            if window.name != self._name:
                self._spill(self._mean.finish())
                self._name = window.name
                self._sections[window.name] = [self._count, self._count, 0]
            if not np.isnan(row).all():
                self._spill(self._mean.add(window.start, window.end, row))
            self._sections[window.name][2] = window.end

    def finish(self) -> None:
        """Writes every track atomically."""
        if self._spool is None:
            return
        self._spill(self._mean.finish())
        for column, name in enumerate(self._files):
            if self._bedgraph is not None:
                path = pathlib.Path(self._bedgraph) / f"{name}.bedgraph"
                with (
                    atomic.replacing(path) as partial,
                    partial.open("w", encoding="utf-8", newline="\n") as file,
                ):
                    for record, start, end, value in self._intervals(column):
                        file.write(f"{record}\t{start}\t{end}\t{value:.6g}\n")
            if self._bigwig is not None:
                path = pathlib.Path(self._bigwig) / f"{name}.bw"
                lengths = {
                    _word(record): self._sections[record][2] for record in self._order()
                }
                # The temporary file must also have the suffix .bw.
                with tempfile.TemporaryDirectory(dir=self._bigwig) as scratch:
                    partial = os.path.join(scratch, path.name)
                    file = signal.bigwig().open(partial, "w")
                    file.write(lengths, self._intervals(column))
                    os.replace(partial, path)

    def _spill(self, intervals: Sequence[Interval]) -> None:
        if not intervals:
            return
        rows = np.empty(len(intervals), self._dtype)
        for row, (start, end, values) in zip(rows, intervals, strict=True):
            row["start"], row["end"], row["value"] = start, end, values
        self._spool.write(rows.tobytes())
        self._count += len(rows)
        self._sections[self._name or ""][1] = self._count

    def _intervals(self, column: int) -> Iterator[tuple[str, int, int, float]]:
        """Yields the spilled intervals of a column, sorted."""
        size = self._dtype.itemsize
        for name in self._order():
            first, last, _ = self._sections[name]
            for index in range(first, last, _BLOCK):
                self._spool.seek(index * size)
                read = self._spool.read(min(_BLOCK, last - index) * size)
                rows = np.frombuffer(read, self._dtype)
                for start, end, value in zip(
                    rows["start"].tolist(),
                    rows["end"].tolist(),
                    rows["value"][:, column].tolist(),
                    strict=True,
                ):
                    yield _word(name), start, end, value

    def _order(self) -> list[str]:
        return sorted(self._sections, key=str.encode)


class _Mean:
    """Averages overlapping windows, in order of their starts, into intervals."""

    def __init__(self, width: int):
        self._width = width
        self._reset()

    def add(self, start: int, end: int, values: npt.NDArray[Any]) -> list[Interval]:
        """Adds a window; returns the intervals that later windows cannot change."""
        done = self._until(start)
        values = values.astype(np.float64)
        self._open.append((end, values))
        self._sum = self._sum + values
        return done

    def finish(self) -> list[Interval]:
        """Returns the remaining intervals and resets the state."""
        done = self._until(self._open[-1][0]) if self._open else []
        self._reset()
        return done

    def _reset(self) -> None:
        self._open: collections.deque[tuple[int, npt.NDArray[np.float64]]]
        self._open = collections.deque()
        self._sum = np.zeros(self._width)
        self._position = 0

    def _until(self, stop: int) -> list[Interval]:
        done = []
        while self._open and self._position < stop:
            border = min(self._open[0][0], stop)
            if border > self._position:
                done.append((self._position, border, self._sum / len(self._open)))
            self._position = border
            while self._open and self._open[0][0] <= border:
                self._sum = self._sum - self._open.popleft()[1]
        self._position = stop
        return done


def file_names(columns: Sequence[str]) -> list[str]:
    """Returns a file name for each class, without suffix.

    Args:
        columns: Names of the classes.

    Returns:
        The names, with characters other than letters, digits and "_.+-" replaced by
        "_". Names that are equal ignoring case get a number as a suffix.
    """
    names: list[str] = []
    used: set[str] = set()
    for column in columns:
        name = base = _UNSAFE.sub("_", column).lstrip(".") or "_"
        number = 2
        while name.lower() in used:
            name, number = f"{base}_{number}", number + 1
        used.add(name.lower())
        names.append(name)
    return names


def _word(name: str) -> str:
    """Returns a record name without blanks, which these formats do not allow."""
    return "_".join(name.split())
