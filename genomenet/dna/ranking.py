"""Reads rankings of k-mers by NPMI, as `genomenet.rank_kmers` writes them."""

from __future__ import annotations

import csv
import os
import pathlib
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import kmer

COLUMNS: Final = ("kmer", "count", "pmi", "npmi", "rank")
_FOLDER: Final = pathlib.Path(__file__).parent / "rankings"


def bundled(k: int) -> list[str]:
    """Returns the names of the rankings of k-mers that come with the package."""
    ending = f"_k{k}"
    paths = _FOLDER.glob(f"*{ending}.csv")
    return sorted(path.stem.removesuffix(ending) for path in paths)


def read(name_or_path: str | os.PathLike[str], k: int) -> npt.NDArray[np.int32]:
    """Reads the rank of every k-mer.

    Args:
        name_or_path: One of `bundled(k)`, or a file with the columns `COLUMNS`; lines
            that begin with # are skipped.
        k: Bases of a k-mer.

    Returns:
        int32, (4^k,): the rank of the k-mer with id i is at index i - 5; 1 is the
        best. K-mers that the file lacks share the rank after the last one.

    Raises:
        ValueError: If there is no such ranking, or a line is wrong. The message gives
            the number of the line.
    """
    path = pathlib.Path(name_or_path)
    if str(name_or_path) in bundled(k):
        path = _FOLDER / f"{name_or_path}_k{k}.csv"
    ids = {word: i for i, word in enumerate(kmer.vocabulary(k)[kmer.NUM_SPECIAL :])}
    ranks = np.zeros(len(ids), np.int32)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            # A comment becomes an empty row, so that line numbers stay.
            lines = csv.reader("\n" if x.startswith("#") else x for x in file)
            rows = (row for row in lines if row)
            if tuple(next(rows, ())) != COLUMNS:
                raise ValueError(f"{path}: the first line must be {','.join(COLUMNS)}")
            for row in rows:
                where, word = f"{path}, line {lines.line_num}", row[0]
                if word not in ids:
                    raise ValueError(f"{where}: {word!r} is not a {k}-mer of ACGT")
                is_rank = row[-1].isdecimal() and len(row[-1]) < 10
                rank = int(row[-1]) if is_rank else 0
                if len(row) != len(COLUMNS) or not 1 <= rank <= len(ids):
                    raise ValueError(
                        f"{where}: {len(COLUMNS)} columns are expected, the last a rank"
                        f" from 1 to {len(ids)}; got {','.join(row)[:40]!a}"
                    )
                if ranks[ids[word]]:
                    raise ValueError(f"{where}: {word} is listed twice")
                ranks[ids[word]] = rank
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        reason = getattr(e, "strerror", None) or "not a text file"
        raise ValueError(
            f"{name_or_path} is not a ranking of {k}-mers: {reason}; the package"
            f" contains {', '.join(bundled(k)) or 'none'}"
        ) from e
    given = np.sort(ranks[ranks > 0])
    if not len(given) or (given != np.arange(1, len(given) + 1)).any():
        raise ValueError(f"{path}: the ranks are not 1, 2, 3, … each once")
    ranks[ranks == 0] = len(given) + 1
    return ranks
