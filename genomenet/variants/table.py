"""Tables of variant effects: in memory, as TSV and as Parquet."""

from __future__ import annotations

import contextlib
import csv
import pathlib
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import html_page
from genomenet.data import tables
from genomenet.inference import writers
from genomenet.variants import effects

FIXED: Final = ("chrom", "pos", "id", "ref", "alt", "status", "genome_ref")
"""Columns before the scores; `pos` is 1-based."""

_SHOWN: Final = 20  # rows shown in a notebook


class EffectTable:
    """A table with one row per alternative allele and named NumPy columns.

    Args:
        columns: Name → values; all columns have the same length.
    """

    def __init__(self, columns: Mapping[str, npt.NDArray[Any]]):
        self.columns = dict(columns)

    def __len__(self) -> int:
        return len(self.columns["pos"])

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self.columns[name]

    def to_pandas(self) -> Any:
        """Returns a pandas.DataFrame; pandas must be installed."""
        import pandas as pd

        return pd.DataFrame(self.columns)

    def __repr__(self) -> str:
        return f"EffectTable({len(self):,} rows: {', '.join(self.columns)})"

    def _repr_html_(self) -> str:
        columns = self.columns.values()
        shown = range(min(len(self), _SHOWN))
        return html_page.render(
            "table.html",
            head=self.columns,
            rows=[[_shown(column[row]) for column in columns] for row in shown],
            below=f"{len(self):,} rows",
        )


def header(columns: Sequence[str]) -> list[str]:
    """Returns the names of all columns; scores never have the name of a fixed one."""
    return [*FIXED, *tables.unique_columns(list(FIXED), columns)]


def rows(scored: effects.Scored) -> list[tuple[Any, ...]]:
    """Returns the rows of a site, one per alternative allele."""
    site = scored.site
    return [
        (
            *(site.contig, site.position, site.id, site.ref, alt, status),
            scored.genome_ref,
            *values,
        )
        for alt, status, values in zip(
            site.alts, scored.statuses, scored.values.tolist(), strict=True
        )
    ]


def collect(
    scored_sites: Sequence[effects.Scored], columns: Sequence[str]
) -> EffectTable:
    """Returns the table of scored sites."""
    names = header(columns)
    data = [row for scored in scored_sites for row in rows(scored)]
    by_column = list(zip(*data, strict=True)) or [()] * len(names)
    kinds: list[Any] = [object] * len(FIXED) + [np.float64] * len(columns)
    kinds[FIXED.index("pos")] = np.int64
    return EffectTable(
        {
            name: np.array(values, kind)
            for name, values, kind in zip(names, by_column, kinds, strict=True)
        }
    )


@contextlib.contextmanager
def writing(
    partial: pathlib.Path, columns: Sequence[str], *, is_parquet: bool
) -> Generator[Any]:
    """Opens a table for writing.

    Args:
        partial: The file to write.
        columns: Names of the scores.
        is_parquet: Whether to write Parquet; otherwise TSV.

    Yields:
        A function that writes the rows of a scored site.
    """
    names = header(columns)
    if is_parquet:
        with contextlib.closing(writers.RowGroups(partial, _schema(names))) as file:
            yield lambda scored: file.write_rows(
                [tuple(map(_text, row)) for row in rows(scored)]
            )
        return
    with partial.open("w", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(names)

        def write(scored: effects.Scored) -> None:
            for row in rows(scored):
                values = map(writers.digits, row[len(FIXED) :])
                writer.writerow([*row[: len(FIXED)], *values])

        yield write


def _schema(names: Sequence[str]) -> Any:
    """Returns the schema: text, an int64 position, and nullable float64 scores."""
    import pyarrow as pa

    kinds: list[Any] = [pa.string()] * len(FIXED)
    kinds += [pa.float64()] * (len(names) - len(FIXED))
    kinds[FIXED.index("pos")] = pa.int64()
    return pa.schema(list(zip(names, kinds, strict=True)))


def _text(value: Any) -> Any:
    """Returns a value for Parquet: bytes that are not UTF-8 are replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return value


def _shown(value: Any) -> str:
    return effects.text(value) if isinstance(value, float) else str(value)
