"""From the intervals of a peak caller to labelled rows: resized, cleaned, negatives."""

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
        width: Bases of a row, around the summit or else the middle of an interval;
            None takes each interval as it is.
        negatives: "gc", windows of the genome that are alike in GC and N; "shuffle",
            the rows with their bases shuffled and dinucleotides kept; "" for none.
        negatives_per_positive: How many for each row.
        splits: Percentages, as `90/5/5`; or `chrom:` and the contigs of validation
            and of test, as `chrom:chr8,chr9/chr1`.
        seed: Of negatives and splits.
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
    """An interval with its place in the genome."""

    contig: str
    start: int
    end: int
    one: intervals_lib.Interval


def select(
    intervals: Iterable[intervals_lib.Interval],
    excluded: Iterable[intervals_lib.Interval],
    genome: genome_lib.Genome,
    options: Options,
) -> tuple[list[tables.Row], dict[str, int]]:
    """Makes rows of intervals, and negatives where wanted.

    Names of contigs may lack `chr` or have it. Intervals that overlap, or have the same
    bases on either strand, are in one split, and so are an interval and its negatives,
    which overlap no interval of the input, nothing that is excluded and no other
    negative.

    Args:
        intervals: With their labels.
        excluded: Stretches of the genome from which no row may come.
        genome: Every contig.
        options: How.

    Returns:
        The rows, and what was counted: intervals "read", those left out as
        "duplicates", "outside" of their contig, of an "unknown_contig" or
        "excluded"; "negatives", and of them "worse", which differ by one
        percent or more in GC or N.

    Raises:
        DatasetError: If no interval is left, or there are not enough windows.
    """
    counts: collections.Counter[str] = collections.Counter()
    blocked = negatives.Blocked(genome)
    is_used = True
    for number, one in enumerate(excluded):
        contig = genome.find(one.contig)
        is_used = (number > 0 and is_used) or contig is not None
        blocked.add(contig, one.start, one.end)
    if not is_used:
        raise sources.DatasetError(
            "exclude: the genome has none of its contigs: is it of another assembly?"
        )
    blocked.join()
    rows: list[_Placed] = []
    seen: set[tuple[str, int, int, bool, str]] = set()
    everything = negatives.Blocked(genome)
    for one in intervals:
        counts["read"] += 1
        if options.negatives:
            _check_label(one)
        contig = genome.find(one.contig)
        if contig is None:
            counts["unknown_contig"] += 1
            continue
        everything.add(contig, one.start, one.end)
        start, end = intervals_lib.around(one, options.width)
        key = (contig, start, end, one.is_reverse, one.label)
        if start < 0 or end > genome.length(contig):
            counts["outside"] += 1
        elif key in seen:
            counts["duplicates"] += 1
        elif blocked.overlap(contig, np.array([start]), np.array([end]))[0]:
            counts["excluded"] += 1
        else:
            seen.add(key)
            everything.add(contig, start, end)
            rows.append(_Placed(contig, start, end, one))
    if not rows:
        left = ", ".join(f"{n} {name}" for name, n in counts.items() if name != "read")
        raise sources.DatasetError(
            f"none of {counts['read']} intervals is left: {left or 'there is none'}"
        )
    found = [_row(row, genome) for row in rows]
    of_contig = dict.fromkeys(genome.names, "")
    if options.splits.startswith("chrom:"):
        of_contig = dict.fromkeys(genome.names, sources.SPLITS[0])
        of_contig |= _of_contigs(options.splits, genome)
        splits = [of_contig[row.contig] for row in rows]
    else:
        splits = _splits(rows, found, options)
    if sources.SPLITS[0] not in splits:
        raise sources.DatasetError(
            f"splits={options.splits} leaves no interval for train, of {len(rows)}"
        )
    found = [
        dataclasses.replace(row, split=split)
        for row, split in zip(found, splits, strict=True)
    ]
    how = {"per_positive": options.negatives_per_positive, "seed": options.seed}
    if options.negatives == SHUFFLE:
        found += negatives.shuffled(found, **how)
    elif options.negatives == GC:
        everything.update(blocked)
        everything.join()
        more, worse = negatives.matched(
            [row.one for row in rows],
            found,
            genome,
            everything,
            split_of=of_contig,
            width=options.width or 0,
            **how,
        )
        found += more
        counts["worse"] = worse
    counts["negatives"] = len(found) - len(rows)
    return found, dict(counts)


def _check_label(one: intervals_lib.Interval) -> None:
    """Refuses a label that does not go with negatives."""
    cause = ""
    if one.label == negatives.LABEL:
        cause = "is that of the negatives which are made: give it another name"
    elif _AMOUNT.fullmatch(one.label):
        cause = "is an amount, with which negatives do not go"
    if cause:
        raise sources.DatasetError(f"{one.place}: label {one.label!r} {cause}")


def _splits(
    placed: Sequence[_Placed], rows: Sequence[tables.Row], options: Options
) -> list[str]:
    """Returns the split of each row; those that overlap, or are the same, are in one.

    Of the same bases are also rows that are each other's reverse complement.
    """
    order = sorted(range(len(rows)), key=lambda n: (placed[n].contig, placed[n].start))
    pairs: list[tuple[int, int]] = []
    first_of: dict[bytes, int] = {}
    first, contig, end = 0, "", 0
    for number in order:
        place = placed[number]
        if place.contig != contig or place.start >= end:
            first, contig, end = number, place.contig, 0
        end = max(end, place.end)
        group = tasks.group(rows[number].sequence)
        pairs += [(first, number), (first_of.setdefault(group, number), number)]
    ones = np.ones(len(pairs), bool)
    graph = sparse.coo_array((ones, tuple(np.transpose(pairs))), (len(rows),) * 2)
    cluster_of = sparse.csgraph.connected_components(graph, directed=False)[1]
    clusters: dict[int, list[int]] = {}
    for number in order:
        clusters.setdefault(int(cluster_of[number]), []).append(number)

    def key(cluster: list[int]) -> bytes:
        place = placed[cluster[0]]
        text = f"{options.seed}\t{place.contig}\t{place.start}"
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    shares = sources.parse_splits(options.splits)
    found = [sources.SPLITS[0]] * len(rows)
    waiting = sorted(clusters.values(), key=key)
    for split in [name for name in shares if name != sources.SPLITS[0]]:
        wanted = round(len(rows) * shares[split] / 100)
        while wanted > 0 and waiting:
            cluster = waiting.pop()
            wanted -= len(cluster)
            for number in cluster:
                found[number] = split
    return found


def _of_contigs(splits: str, genome: genome_lib.Genome) -> dict[str, str]:
    """Reads the contigs of validation and test."""
    found: dict[str, str] = {}
    parts = splits.removeprefix("chrom:").split("/")
    for split, part in zip(sources.SPLITS[1:], parts, strict=False):
        for name in filter(None, map(str.strip, part.split(","))):
            contig = genome.find(name)
            if contig is None:
                raise sources.DatasetError(
                    f"splits={splits}: the genome has no contig {name!r}"
                )
            if found.setdefault(contig, split) != split:
                raise sources.DatasetError(
                    f"splits={splits}: {name!r} is in two splits"
                )
    return found


def _row(row: _Placed, genome: genome_lib.Genome) -> tables.Row:
    """Cuts one row from the genome."""
    codes = genome.take(row.contig, row.start, row.end - row.start)
    if row.one.is_reverse:
        codes = encode.reverse_complement(codes)
    return tables.Row(
        sequence=encode.decode(codes),
        label=row.one.label,
        id=intervals_lib.name(row.contig, row.start, row.end, row.one.is_reverse),
        split="",
        place=row.one.place,
    )
