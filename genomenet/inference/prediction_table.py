"""Tables of predictions, with the interval behind each row: TSV and Parquet."""

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

_ENDINGS: Final = (".tsv", ".tsv.gz", ".parquet")


def check_name(path: str | os.PathLike[str]) -> None:
    """Checks that a file's name says the format of a table of predictions.

    Args:
        path: The file.

    Raises:
        ValueError: If it ends with none of the known endings, or is a folder.
    """
    if not os.fspath(path).endswith(_ENDINGS):
        raise ValueError(f"{path} must end with {', '.join(_ENDINGS)}")
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder: choose another name")


class PredictionTable:
    """Columns name, start, end, label where there are classes, and the values.

    A value that has the name of another column has "class_" before its name.

    Args:
        partial: The file to make.
        path: Its name when it is complete, which says the format.
        columns: Names of the values, C.
        has_label: Whether there is a label.
    """

    def __init__(
        self,
        partial: pathlib.Path,
        path: pathlib.Path,
        columns: Sequence[str],
        *,
        has_label: bool,
    ):
        own = ["name", "start", "end", *(["label"] if has_label else [])]
        self._header = [*own, *tables.unique_columns(own, columns)]
        open_file = _ParquetRows if path.suffix == ".parquet" else _TsvRows
        is_packed = path.suffix == ".gz"
        self._file = open_file(partial, self._header, len(columns), is_packed)

    def write(
        self,
        places: Sequence[tuple[str, int, int]],
        labels: Sequence[str | None],
        values: npt.NDArray[np.float32],
    ) -> None:
        """Appends rows: places and values, (N, C), and N labels or none.

        A row without a label, or with NaN as its values, is written empty.
        """
        named = [(label,) for label in labels] or [()] * len(places)
        parts = zip(places, named, values.tolist(), strict=True)
        self._file.write([(*place, *label, *row) for place, label, row in parts])

    def close(self) -> None:
        """Finishes the file."""
        self._file.close()


class _TsvRows:
    """Tab-separated text, where wanted gzip, with six digits a value."""

    def __init__(
        self, path: pathlib.Path, header: Sequence[str], width: int, is_packed: bool
    ):
        self._width = width
        self._raw = path.open("wb")
        stream: Any = self._raw
        if is_packed:  # without name and time: the same rows give the same bytes
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
    """Text, int64 and float32 columns."""

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
