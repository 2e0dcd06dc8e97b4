"""Labelled rows from intervals of a peak caller: resized, filtered, with negatives."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from scipy import sparse

from genomenet.data import intervals as intervals_lib
from genomenet.data import negatives, sources, tables, tasks
from genomenet.dna import encode
from genomenet.dna import genome as genome_lib

GC: Final = "gc"
SHUFFLE: Final = "shuffle"
_AMOUNT: Final = re.compile(r"[+-]?[0-9]*\.[0-9]+([eE][+-]?[0-9]+)?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How intervals become rows.

    Attributes:
        width: Length of a row in bases, around the summit or else the middle of an
            interval; None keeps each interval as it is.
        negatives: "gc", windows of the genome with similar shares of GC and N;
            "shuffle", the rows with shuffled bases and the same counts of
            dinucleotides; "" for none.
        negatives_per_positive: Number of negatives for each row.
        splits: Percentages, such as `90/5/5`; or `chrom:` and the contigs of
            validation and of test, such as `chrom:chr8,chr9/chr1`.
        seed: Seed of negatives and splits.
    """

    width: int | None = None
    negatives: str = ""
    negatives_per_positive: int = 1
    splits: str = "90/5/5"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.width is not None and self.width < 1:
            raise sources.DatasetError(f"width={self.width} must be at least 1 base")
        if self.negatives not in ("", GC, SHUFFLE):
            raise sources.DatasetError(
                f"negatives={self.negatives!r} is none of {GC}, {SHUFFLE}"
            )
        if self.negatives == GC and self.width is None:
            raise sources.DatasetError("negatives=gc needs a width")
        if self.negatives_per_positive < 1:
            raise sources.DatasetError(
                f"negatives_per_positive={self.negatives_per_positive} must be at"
                " least 1"
            )
        if not self.splits.startswith("chrom:"):
            sources.parse_splits(self.splits)
        elif not 1 <= len(self.splits.split("/")) <= 2 or self.splits == "chrom:":
            raise sources.DatasetError(
                f"splits={self.splits}: write the contigs of validation and of test, as"
                " in chrom:chr8,chr9/chr1"
            )


@dataclasses.dataclass(frozen=True)
class _Placed:
    """An interval with its position in the genome."""

    contig: str
    start: int
    end: int
    interval: intervals_lib.Interval


def select(
    intervals: Iterable[intervals_lib.Interval],
    excluded: Iterable[intervals_lib.Interval],
    genome: genome_lib.Genome,
    options: Options,
) -> tuple[list[tables.Row], dict[str, int]]:
    """Makes rows from intervals, and negatives if requested.

    Names of contigs match with or without `chr`. Intervals that overlap, or have the
    same bases on either strand, are in one split, and so are an interval and its
    negatives. Negatives overlap no interval of the input, no excluded interval and no
    other negative.

    Args:
        intervals: Intervals with their labels.
        excluded: Intervals that no row may overlap.
        genome: Genome with every contig.
        options: How intervals become rows.

    Returns:
        The rows, and counts: intervals that were "read"; those left out as
        "duplicates", as "outside" of their contig, as on an "unknown_contig" or as
        "excluded"; "negatives", and "worse", the negatives that differ by one percent
        or more in GC or N.

    Raises:
        DatasetError: If no interval is left, or there are not enough windows.
    """
    counts: collections.Counter[str] = collections.Counter()
    blocked = negatives.Blocked(genome)
    excluded = list(excluded)
    is_used = not excluded
    for interval in excluded:
        contig = genome.find(interval.contig)
        is_used = is_used or contig is not None
        blocked.add(contig, interval.start, interval.end)
    if not is_used:
        raise sources.DatasetError(
            "exclude: the genome has none of its contigs, such as"
            f" {excluded[0].contig!r}: is it of another assembly?"
        )
    blocked.join()
    placed: list[_Placed] = []
    seen: set[tuple[str, int, int, bool, str]] = set()
    occupied = negatives.Blocked(genome)
    for interval in intervals:
        counts["read"] += 1
        if options.negatives:
            _check_label(interval)
        contig = genome.find(interval.contig)
        if contig is None:
            counts["unknown_contig"] += 1
            continue
        occupied.add(contig, interval.start, interval.end)
        start, end = intervals_lib.around(interval, options.width)
        key = (contig, start, end, interval.is_reverse, interval.label)
        if start < 0 or end > genome.length(contig):
            counts["outside"] += 1
        elif key in seen:
            counts["duplicates"] += 1
        elif blocked.overlap(contig, np.array([start]), np.array([end]))[0]:
            counts["excluded"] += 1
        else:
            seen.add(key)
            occupied.add(contig, start, end)
            placed.append(_Placed(contig, start, end, interval))
    if not placed:
        left = ", ".join(f"{n} {name}" for name, n in counts.items() if name != "read")
        raise sources.DatasetError(
            f"none of {counts['read']} intervals is left: {left or 'there is none'}"
        )
    rows = [_row(row, genome) for row in placed]
    split_of_contig = dict.fromkeys(genome.names, "")
    if options.splits.startswith("chrom:"):
        split_of_contig = dict.fromkeys(genome.names, sources.SPLITS[0])
        split_of_contig |= _parse_contigs(options.splits, genome)
        splits = [split_of_contig[row.contig] for row in placed]
    else:
        splits = _splits(placed, rows, options)
    if sources.SPLITS[0] not in splits:
        raise sources.DatasetError(
            f"splits={options.splits} leaves no interval for train, of {len(placed)}"
        )
    rows = [
        dataclasses.replace(row, split=split)
        for row, split in zip(rows, splits, strict=True)
    ]
    draw_options = {
        "per_positive": options.negatives_per_positive,
        "seed": options.seed,
    }
    if options.negatives == SHUFFLE:
        rows += negatives.shuffled(rows, **draw_options)
    elif options.negatives == GC:
        occupied.update(blocked)
        occupied.join()
        matched, worse = negatives.matched(
            [row.interval for row in placed],
            rows,
            genome,
            occupied,
            split_of=split_of_contig,
            width=options.width or 0,
            **draw_options,
        )
        rows += matched
        counts["worse"] = worse
    counts["negatives"] = len(rows) - len(placed)
    return rows, dict(counts)


def _check_label(interval: intervals_lib.Interval) -> None:
    """Raises an error for a label that cannot be combined with negatives."""
    cause = ""
    if interval.label == negatives.LABEL:
        cause = "is reserved for the negatives that are made: give it another name"
    elif _AMOUNT.fullmatch(interval.label):
        cause = "is an amount: leave out either amounts or negatives"
    if cause:
        raise sources.DatasetError(
            f"{interval.place}: label {interval.label!r} {cause}"
        )


def _splits(
    placed: Sequence[_Placed], rows: Sequence[tables.Row], options: Options
) -> list[str]:
    """Returns the split of each row; rows that overlap or are the same are in one.

    Rows that are each other's reverse complement count as the same.
    """
    order = sorted(range(len(rows)), key=lambda n: (placed[n].contig, placed[n].start))
    pairs: list[tuple[int, int]] = []
    first_of: dict[bytes, int] = {}
    first, contig, end = 0, "", 0
    for index in order:
        current = placed[index]
        if current.contig != contig or current.start >= end:
            first, contig, end = index, current.contig, 0
        end = max(end, current.end)
        canonical = tasks.group(rows[index].sequence)
        pairs += [(first, index), (first_of.setdefault(canonical, index), index)]
    ones = np.ones(len(pairs), bool)
    graph = sparse.coo_array((ones, tuple(np.transpose(pairs))), (len(rows),) * 2)
    cluster_of = sparse.csgraph.connected_components(graph, directed=False)[1]
    clusters: dict[int, list[int]] = {}
    for index in order:
        clusters.setdefault(int(cluster_of[index]), []).append(index)

    def key(cluster: list[int]) -> bytes:
        current = placed[cluster[0]]
        text = f"{options.seed}\t{current.contig}\t{current.start}"
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    shares = sources.parse_splits(options.splits)
    splits = [sources.SPLITS[0]] * len(rows)
    remaining = sorted(clusters.values(), key=key)
    for split in [name for name in shares if name != sources.SPLITS[0]]:
        wanted = round(len(rows) * shares[split] / 100)
        while wanted > 0 and remaining:
            cluster = remaining.pop()
            wanted -= len(cluster)
            for index in cluster:
                splits[index] = split
    return splits


def _parse_contigs(splits: str, genome: genome_lib.Genome) -> dict[str, str]:
    """Parses the contigs of validation and test."""
    split_of_contig: dict[str, str] = {}
    parts = splits.removeprefix("chrom:").split("/")
    for split, part in zip(sources.SPLITS[1:], parts, strict=False):
        for name in filter(None, map(str.strip, part.split(","))):
            contig = genome.find(name)
            if contig is None:
                raise sources.DatasetError(
                    f"splits={splits}: the genome has no contig {name!r}"
                )
            if split_of_contig.setdefault(contig, split) != split:
                raise sources.DatasetError(
                    f"splits={splits}: {name!r} is in two splits"
                )
    return split_of_contig


def _row(placed: _Placed, genome: genome_lib.Genome) -> tables.Row:
    """Returns the row of an interval, cut from the genome."""
    codes = genome.take(placed.contig, placed.start, placed.end - placed.start)
    if placed.interval.is_reverse:
        codes = encode.reverse_complement(codes)
    return tables.Row(
        sequence=encode.decode(codes),
        label=placed.interval.label,
        id=intervals_lib.name(
            placed.contig, placed.start, placed.end, placed.interval.is_reverse
        ),
        split="",
        place=placed.interval.place,
    )
