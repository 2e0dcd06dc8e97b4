"""Amounts of intervals, from a bigWig track of a genome."""

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

    Bases without a value count as 0. An interval on a contig that the genome lacks
    gets 0; it does not become a row.

    Args:
        intervals: The intervals.
        track: A bigWig file.
        genome: Genome that the intervals are cut from.
        width: Number of bases, around the summit or else the middle of each interval,
            over which the mean is taken; None takes each interval as it is.

    Returns:
        The intervals, with amounts as labels.

    Raises:
        DatasetError: If the file is not bigWig, it lacks a contig of the genome on
            which there are intervals, or a mean is below 0.
        ImportError: If pybigtools is missing.
    """
    track = os.fspath(track)
    library = bigwig()
    if not os.path.isfile(track):
        raise sources.DatasetError(f"{track}: no such file")
    try:
        file: Any = library.open(track)
        lengths: dict[str, int] = file.chroms()
    except Exception as e:  # the library has its own error types
        raise sources.DatasetError(
            f"{track}: not a bigWig file: {sources.cause(e)}"
        ) from None
    names = genome_lib.Names(lengths)
    labelled = []
    for interval in intervals:
        amount = 0.0
        if genome.find(interval.contig) is not None:
            contig = names.find(interval.contig)
            if contig is None:
                raise sources.DatasetError(
                    f"{interval.place}: {track} has no contig {interval.contig!r}"
                )
            start, end = intervals_lib.around(interval, width)
            amount = _mean(file, contig, max(start, 0), min(end, lengths[contig]))
            if not amount >= 0:
                raise sources.DatasetError(
                    f"{interval.place}: the mean of {track} is {amount:g}: amounts must"
                    " not be below 0"
                )
        labelled.append(
            dataclasses.replace(interval, label=repr(round(math.log1p(amount), 9)))
        )
    return labelled


def _mean(file: Any, contig: str, start: int, end: int) -> float:
    """Returns the mean over an interval; bases without a value count as 0."""
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
