"""Writes tables of vectors and their intervals: Parquet and HDF5."""

from __future__ import annotations

import errno
import math
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

_SUFFIXES = (".parquet", ".h5", ".hdf5")
_GROUP_ROWS: Final = 100_000  # maximum rows of a Parquet row group
_GROUP_BYTES: Final = 1 << 28
_TABLE_ROWS: Final = 4096  # rows that are collected into one pyarrow table
_HDF5_ROOM: Final = 2 << 20  # bytes that HDF5 buffers


class Writer(Protocol):
    """Appends rows to a file."""

    def write(
        self,
        names: Sequence[str],
        starts: Sequence[int],
        ends: Sequence[int],
        vectors: npt.NDArray[np.float32],
    ) -> None:
        """Appends rows; `vectors` is (rows, width)."""
        ...

    def close(self) -> None:
        """Finishes the file."""
        ...


def check_name(path: str | os.PathLike[str]) -> None:
    """Checks that a file name has a suffix of a supported format.

    Args:
        path: The file.

    Raises:
        ValueError: If the suffix is unknown.
    """
    if pathlib.Path(path).suffix not in _SUFFIXES:
        raise ValueError(f"{path} must end with one of {', '.join(_SUFFIXES)}")


def open_writer(path: pathlib.Path, suffix: str, width: int) -> Writer:
    """Opens a file for rows of `width` channels.

    Args:
        path: The file to write.
        suffix: One of ".parquet", ".h5", ".hdf5".
        width: Channels of a vector.

    Returns:
        The writer.
    """
    if suffix == ".parquet":
        return _ParquetWriter(path, width)
    return _Hdf5Writer(path, width)


def digits(value: float) -> str:
    """Formats a number for text tables: six significant digits, empty for NaN."""
    return "" if math.isnan(value) else f"{value:.6g}"


class RowGroups:
    """A Parquet file whose rows are written in large groups.

    Args:
        path: The file to write.
        schema: Its columns.
    """

    def __init__(self, path: pathlib.Path, schema: Any):
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._pa: Any = pa
        self._schema = schema
        self._loose: list[tuple[Any, ...]] = []  # rows not yet in a table
        self._held: list[Any] = []
        self._rows = self._bytes = 0
        self._file: Any = pq.ParquetWriter(path, schema)

    def write(self, table: Any) -> None:
        """Appends the rows of a pyarrow table."""
        self._held.append(table)
        self._rows += table.num_rows
        self._bytes += table.nbytes
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()

    def write_rows(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Appends rows with a value for each column; NaN and None become null."""
        self._loose += rows
        if len(self._loose) >= _TABLE_ROWS:
            self._pack()

    def close(self) -> None:
        """Writes the last group and the footer."""
        try:
            self._pack()
            self._flush()
        finally:
            self._file.close()

    def _pack(self) -> None:
        """Collects the loose rows into a table."""
        rows, self._loose = self._loose, []
        if rows:
            parts = zip(self._schema, zip(*rows, strict=True), strict=True)
            columns = [
                self._pa.array(column, field.type, from_pandas=True)
                for field, column in parts
            ]
            self.write(self._pa.table(columns, schema=self._schema))

    def _flush(self) -> None:
        held, self._held = self._held, []
        self._rows = self._bytes = 0
        if held:
            self._file.write_table(self._pa.concat_tables(held))


class _ParquetWriter:
    """Writes the columns name, start, end and embedding (a list of fixed size)."""

    def __init__(self, path: pathlib.Path, width: int):
        import pyarrow as pa

        self._pa = pa
        self._width = width
        self._schema = pa.schema(
            [
                ("name", pa.string()),
                ("start", pa.int64()),
                ("end", pa.int64()),
                ("embedding", pa.list_(pa.float32(), width)),
            ]
        )
        self._file = RowGroups(path, self._schema)

    def write(
        self,
        names: Sequence[str],
        starts: Sequence[int],
        ends: Sequence[int],
        vectors: npt.NDArray[np.float32],
    ) -> None:
        flat = self._pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
        lists = self._pa.FixedSizeListArray.from_arrays(flat, self._width)
        columns = [list(names), list(starts), list(ends), lists]
        self._file.write(self._pa.table(columns, schema=self._schema))

    def close(self) -> None:
        self._file.close()


class _Hdf5Writer:
    """Writes the datasets name, start, end, (rows,), and embedding, (rows, width)."""

    def __init__(self, path: pathlib.Path, width: int):
        import h5py

        self._folder = path.parent
        self._check_room(4 * 1024 * width)
        self._file = h5py.File(path, "w")
        for name, dtype, shape in (
            ("name", h5py.string_dtype(), ()),
            ("start", "int64", ()),
            ("end", "int64", ()),
            ("embedding", "float32", (width,)),
        ):
            self._file.create_dataset(
                name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(1024, *shape)
            )

    def _check_room(self, size: int) -> None:
        """Raises OSError if the disk is full, where HDF5 would abort the process."""
        if shutil.disk_usage(self._folder).free < size + _HDF5_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(
        self,
        names: Sequence[str],
        starts: Sequence[int],
        ends: Sequence[int],
        vectors: npt.NDArray[np.float32],
    ) -> None:
        self._check_room(vectors.nbytes + 64 * len(names))
        columns: dict[str, Any] = {
            "name": list(names),
            "start": list(starts),
            "end": list(ends),
            "embedding": vectors,
        }
        for name, values in columns.items():
            dataset: Any = self._file[name]
            rows = len(dataset)
            dataset.resize(rows + len(names), axis=0)
            dataset[rows:] = values

    def close(self) -> None:
        self._file.close()
