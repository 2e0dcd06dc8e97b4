"""Amounts of intervals, from a track of a genome: bigWig."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable
from typing import Any

from genomenet.data import intervals as intervals_lib
from genomenet.data import sources
from genomenet.dna import genome as genome_lib


def label(
    intervals: Iterable[intervals_lib.Interval],
    track: str | os.PathLike[str],
    genome: genome_lib.Genome,
    *,
    width: int | None = None,
) -> list[intervals_lib.Interval]:
    """Labels intervals with log(1 + mean of a track over their bases).

    Bases without a value count as 0. An interval of a contig that the genome lacks
    gets 0: no row is made of it.

    Args:
        intervals: The intervals.
        track: A bigWig file.
        genome: What the intervals are cut from.
        width: Bases around the summit or else the middle of each, over which the mean
            goes; None takes each interval as it is.

    Returns:
        The intervals, with amounts as labels.

    Raises:
        DatasetError: If the file is no bigWig, lacks a contig of the genome on which
            there are intervals, or a mean is below 0.
        ImportError: If pybigtools is missing.
    """
    track = os.fspath(track)
    library = bigwig()
    if not os.path.isfile(track):
        raise sources.DatasetError(f"{track}: there is no such file")
    try:
        file: Any = library.open(track)
        lengths: dict[str, int] = file.chroms()
    except Exception as e:  # the library has errors of its own
        raise sources.DatasetError(f"{track}: no bigWig: {sources.cause(e)}") from None
    names = genome_lib.Names(lengths)
    found = []
    for one in intervals:
        amount = 0.0
        if genome.find(one.contig) is not None:
            contig = names.find(one.contig)
            if contig is None:
                raise sources.DatasetError(
                    f"{one.place}: {track} has no contig {one.contig!r}"
                )
            start, end = intervals_lib.around(one, width)
            amount = _mean(file, contig, max(start, 0), min(end, lengths[contig]))
            if not amount >= 0:
                raise sources.DatasetError(
                    f"{one.place}: the mean of {track} is {amount:g}: amounts must"
                    " not be below 0"
                )
        found.append(dataclasses.replace(one, label=repr(round(math.log1p(amount), 9))))
    return found


def _mean(file: Any, contig: str, start: int, end: int) -> float:
    """Returns the mean of a stretch; bases without a value are 0."""
    if end <= start:
        return 0.0
    total = sum(
        value * (min(last, end) - max(first, start))
        for first, last, value in file.records(contig, start, end)
    )
    return total / (end - start)


def bigwig() -> Any:
    """Returns the library that reads and writes bigWig.

    Raises:
        ImportError: If it is missing.
    """
    try:
        import pybigtools  # pyright: ignore[reportMissingImports]
    except ImportError as e:
        raise ImportError(
            "bigWig needs pybigtools: pip install 'genomenet[tracks]'"
        ) from e
    return pybigtools
