"""Writes tables of predictions and their intervals: TSV and Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet.data import tables
from genomenet.inference import writers

_SUFFIXES: Final = (".tsv", ".tsv.gz", ".parquet")


def check_name(path: str | os.PathLike[str]) -> None:
    """Checks that a file name has a suffix of a supported format.

    Args:
        path: The file.

    Raises:
        ValueError: If the suffix is unknown, or the path is a folder.
    """
    if not os.fspath(path).endswith(_SUFFIXES):
        raise ValueError(f"{path} must end with one of {', '.join(_SUFFIXES)}")
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder: choose another name")


class PredictionTable:
    """A table with the columns name, start, end, label (for classes) and the values.

    A value whose name equals that of another column gets the prefix "class_".

    Args:
        partial: The temporary file to write.
        path: The final path, whose suffix sets the format.
        columns: Names of the values, C.
        has_label: Whether there is a column label.
    """

    def __init__(
        self,
        partial: pathlib.Path,
        path: pathlib.Path,
        columns: Sequence[str],
        *,
        has_label: bool,
    ):
        fixed = ["name", "start", "end", *(["label"] if has_label else [])]
        self._header = [*fixed, *tables.unique_columns(fixed, columns)]
        open_file = _ParquetRows if path.suffix == ".parquet" else _TsvRows
        is_packed = path.suffix == ".gz"
        self._file = open_file(partial, self._header, len(columns), is_packed)

    def write(
        self,
        intervals: Sequence[tuple[str, int, int]],
        labels: Sequence[str | None],
        values: npt.NDArray[np.float32],
    ) -> None:
        """Appends rows: N intervals, N labels or none, and values, (N, C).

        Labels of None and values of NaN are written as empty fields.
        """
        label_fields = [(label,) for label in labels] or [()] * len(intervals)
        parts = zip(intervals, label_fields, values.tolist(), strict=True)
        self._file.write([(*where, *label, *row) for where, label, row in parts])

    def close(self) -> None:
        """Finishes the file."""
        self._file.close()


class _TsvRows:
    """Tab-separated text, optionally gzip, with six significant digits per value."""

    def __init__(
        self, path: pathlib.Path, header: Sequence[str], width: int, is_packed: bool
    ):
        self._width = width
        self._raw = path.open("wb")
        stream: Any = self._raw
        if is_packed:  # without name and time, so that equal rows give equal bytes
            stream = gzip.GzipFile("", "wb", 6, self._raw, mtime=0)
        self._text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        self._csv = csv.writer(self._text, delimiter="\t", lineterminator="\n")
        self._csv.writerow(header)

    def write(self, rows: Sequence[tuple[Any, ...]]) -> None:
        for row in rows:
            values = map(writers.digits, row[-self._width :])
            self._csv.writerow([*row[: -self._width], *values])

    def close(self) -> None:
        self._text.close()
        self._raw.close()


class _ParquetRows:
    """Parquet with string, int64 and float32 columns."""

    def __init__(
        self, path: pathlib.Path, header: Sequence[str], width: int, is_packed: bool
    ):
        import pyarrow as pa

        del is_packed
        kinds: dict[str, Any] = dict.fromkeys(header[-width:], pa.float32())
        kinds |= {"name": pa.string(), "start": pa.int64(), "end": pa.int64()}
        schema = pa.schema([(n, kinds.get(n, pa.string())) for n in header])
        file = writers.RowGroups(path, schema)
        self.write, self.close = file.write_rows, file.close
