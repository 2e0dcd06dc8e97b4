"""From the intervals of a peak caller to labelled rows: resized, cleaned, negatives."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.data import intervals as intervals_lib
from genomenet.data import sources, tables
from genomenet.dna import alphabet, encode, shuffle
from genomenet.dna import genome as genome_lib

GC: Final = "gc"
SHUFFLE: Final = "shuffle"
NEGATIVE: Final = "negative"
"""Label of the negatives."""

_AT_ONCE: Final = 1 << 15  # windows of the genome looked at together
_ROUNDS: Final = 64  # draws after which a match may be one percent worse
_WORST: Final = 20  # percent


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

    Names of contigs may lack `chr` or have it. Intervals that overlap are in one
    split, and so are an interval and its negatives, which overlap no interval of the
    input, nothing that is excluded and no other negative.

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
    blocked = _Blocked(genome)
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
    everything = _Blocked(genome)
    for one in intervals:
        counts["read"] += 1
        if options.negatives and one.label == NEGATIVE:
            raise sources.DatasetError(
                f"{one.place}: label {NEGATIVE!r} is that of the negatives which are"
                " made: give it another name"
            )
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
    split_of = _splits(rows, genome, options)
    if sources.SPLITS[0] not in split_of:
        raise sources.DatasetError(
            f"splits={options.splits} leaves no interval for train, of {len(rows)}"
        )
    found = [
        _row(row, split, genome) for row, split in zip(rows, split_of, strict=True)
    ]
    if options.negatives == SHUFFLE:
        found += _shuffled(found, options)
    elif options.negatives == GC:
        everything.update(blocked)
        everything.join()
        more, worse = _matched(rows, found, genome, everything, options)
        found += more
        counts["worse"] = worse
    counts["negatives"] = len(found) - len(rows)
    return found, dict(counts)


class _Blocked:
    """Stretches of a genome, by contig, in which nothing may lie."""

    def __init__(self, genome: genome_lib.Genome):
        self._genome = genome
        self._of: dict[str, list[tuple[int, int]]] = collections.defaultdict(list)
        self._joined: dict[str, npt.NDArray[np.int64]] = {}

    def add(self, contig: str | None, start: int, end: int) -> None:
        """Adds a stretch; one of no contig of the genome is nothing."""
        if contig is not None:
            self._of[contig].append((start, end))

    def update(self, other: _Blocked) -> None:
        """Adds the stretches of another."""
        for contig, stretches in other._of.items():
            self._of[contig] += stretches

    def join(self) -> None:
        """Makes ready to be asked: joins what overlaps."""
        self._joined = {
            contig: _joined(np.array(sorted(stretches), np.int64))
            for contig, stretches in self._of.items()
        }

    def overlap(
        self, contig: str, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Returns which windows overlap one of the stretches, (W,)."""
        stretches = self._joined.get(contig)
        if stretches is None:
            return np.zeros(len(starts), bool)
        # The first stretch that ends behind the start of a window.
        at = np.searchsorted(stretches[:, 1], starts, side="right")
        inside = at < len(stretches)
        found = np.zeros(len(starts), bool)
        found[inside] = stretches[at[inside], 0] < ends[inside]
        return found


def _joined(stretches: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Joins sorted stretches, (S, 2), that overlap."""
    ends = np.maximum.accumulate(stretches[:, 1])
    begins = np.append(True, stretches[1:, 0] > ends[:-1])
    last = np.append(np.flatnonzero(begins)[1:] - 1, len(stretches) - 1)
    return np.stack([stretches[begins, 0], ends[last]], axis=1)


def _splits(
    rows: Sequence[_Placed], genome: genome_lib.Genome, options: Options
) -> list[str]:
    """Returns the split of each row; rows that overlap are in one."""
    if options.splits.startswith("chrom:"):
        split_of = _of_contigs(options.splits, genome)
        return [split_of.get(row.contig, sources.SPLITS[0]) for row in rows]
    order = sorted(range(len(rows)), key=lambda n: (rows[n].contig, rows[n].start))
    clusters: list[list[int]] = []
    contig, end = "", 0
    for number in order:
        row = rows[number]
        if row.contig != contig or row.start >= end:
            clusters.append([])
            contig, end = row.contig, row.end
        clusters[-1].append(number)
        end = max(end, row.end)

    def key(cluster: list[int]) -> bytes:
        first = rows[cluster[0]]
        text = f"{options.seed}\t{first.contig}\t{first.start}"
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    shares = sources.parse_splits(options.splits)
    found = [sources.SPLITS[0]] * len(rows)
    waiting = sorted(clusters, key=key)
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


def _row(row: _Placed, split: str, genome: genome_lib.Genome) -> tables.Row:
    """Cuts one row from the genome."""
    codes = genome.take(row.contig, row.start, row.end - row.start)
    if row.one.is_reverse:
        codes = encode.reverse_complement(codes)
    return tables.Row(
        sequence=encode.decode(codes),
        label=row.one.label,
        id=intervals_lib.name(row.contig, row.start, row.end, row.one.is_reverse),
        split=split,
        place=row.one.place,
    )


def _shuffled(rows: Sequence[tables.Row], options: Options) -> list[tables.Row]:
    """Returns each row with its bases shuffled, its counts of dinucleotides kept."""
    codes = [alphabet.CODES[np.frombuffer(row.sequence, np.uint8)] for row in rows]
    found = []
    for number in range(options.negatives_per_positive):
        parts = shuffle.shuffle(codes, order=1, seed=options.seed + number)
        for row, part in zip(rows, parts, strict=True):
            found.append(
                tables.Row(
                    sequence=encode.decode(part),
                    label=NEGATIVE,
                    id=f"{row.id}/shuffled{number + 1}",
                    split=row.split,
                    place=row.place,
                )
            )
    return found


def _matched(
    placed: Sequence[_Placed],
    rows: Sequence[tables.Row],
    genome: genome_lib.Genome,
    blocked: _Blocked,
    options: Options,
) -> tuple[list[tables.Row], int]:
    """Returns windows of the genome that are alike in GC and N, and how many less so.

    The windows of a contig lie side by side from a random base on, so that no two
    overlap.
    """
    width = options.width or 0
    rng = np.random.default_rng(options.seed)
    split_of = dict.fromkeys(genome.names, "")
    if options.splits.startswith("chrom:"):
        split_of = dict.fromkeys(genome.names, sources.SPLITS[0])
        split_of |= _of_contigs(options.splits, genome)
    windows = _Windows(genome, width, rng, split_of)
    wanted: dict[tuple[str, int, int], list[int]] = collections.defaultdict(list)
    for number, row in enumerate(rows):
        codes = alphabet.CODES[np.frombuffer(row.sequence, np.uint8)]
        gc, n = _shares(codes[None])
        key = (row.split, int(gc[0]), int(n[0]))
        wanted[key] += [number] * options.negatives_per_positive
    found: list[tables.Row] = []
    tolerance, worse = 0, 0
    for draw in range(1, _ROUNDS * (_WORST + 1)):
        if not wanted:
            break
        for contig, split, starts in windows.draw(_AT_ONCE):
            free = ~blocked.overlap(contig, starts, starts + width)
            starts = starts[free]
            if not len(starts):
                continue
            codes = genome.windows(contig, starts, width)
            gc, n = _shares(codes)
            for at, own_gc, own_n, row in zip(starts, gc, n, codes, strict=True):
                key = _nearest(wanted, split, int(own_gc), int(own_n), tolerance)
                if key is None:
                    continue
                number = wanted[key].pop()
                if not wanted[key]:
                    del wanted[key]
                windows.use(contig, int(at))
                one = placed[number].one
                worse += tolerance > 0 and key[1:] != (own_gc, own_n)
                found.append(
                    tables.Row(
                        sequence=encode.decode(
                            encode.reverse_complement(row) if one.is_reverse else row
                        ),
                        label=NEGATIVE,
                        id=intervals_lib.name(
                            contig, int(at), int(at) + width, one.is_reverse
                        ),
                        split=rows[number].split,
                        place=one.place,
                    )
                )
        if windows.are_used_up or draw % _ROUNDS == 0:
            tolerance += 1
            windows.again()
            if tolerance > _WORST:
                break
    if wanted:
        missing = sum(map(len, wanted.values()))
        total = len(rows) * options.negatives_per_positive
        raise sources.DatasetError(
            f"negatives=gc: the genome has no more windows of {width} bases that are"
            f" free and alike: {missing} of {total} are missing: take"
            " fewer negatives_per_positive, or a genome with more contigs"
        )
    return found, worse


class _Windows:
    """Draws windows of a genome, none twice, none overlapping another.

    Args:
        genome: The genome.
        width: Bases of a window.
        rng: Draws the order.
        split_of: Contig → the split that it belongs to, or "".
    """

    def __init__(
        self,
        genome: genome_lib.Genome,
        width: int,
        rng: np.random.Generator,
        split_of: Mapping[str, str],
    ):
        self._genome, self._width, self._rng = genome, width, rng
        self._split_of = split_of
        self._contigs = [c for c in genome.names if genome.length(c) >= width]
        self._phases = rng.integers(0, width, len(self._contigs))
        lengths = np.array([genome.length(c) for c in self._contigs], np.int64)
        self._counts = np.maximum((lengths - self._phases) // width, 0)
        self._bounds = np.cumsum(np.append(0, self._counts))
        self._used: set[int] = set()
        self._number_of: dict[str, int] = {c: n for n, c in enumerate(self._contigs)}
        self.again()

    def again(self) -> None:
        """Begins anew with the windows that are not used."""
        self._order = self._rng.permutation(int(self._bounds[-1]))
        self._next = 0

    @property
    def are_used_up(self) -> bool:
        """Whether all windows were drawn."""
        return self._next >= len(self._order)

    def draw(self, count: int) -> list[tuple[str, str, npt.NDArray[np.int64]]]:
        """Returns contig, split and starts of the next windows."""
        part = np.sort(self._order[self._next : self._next + count])
        self._next += count
        if self._used:
            part = part[~np.isin(part, np.fromiter(self._used, np.int64))]
        contigs = np.searchsorted(self._bounds, part, side="right") - 1
        found = []
        for number in np.unique(contigs).tolist():
            name = self._contigs[number]
            index = part[contigs == number] - self._bounds[number]
            starts = self._phases[number] + index * self._width
            order = self._rng.permutation(len(starts))
            found.append((name, self._split_of[name], starts[order]))
        return found

    def use(self, contig: str, start: int) -> None:
        """Notes that a window is taken."""
        number = self._number_of[contig]
        index = (start - int(self._phases[number])) // self._width
        self._used.add(int(self._bounds[number]) + index)


def _shares(
    codes: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns GC of the known bases, and N of all, in whole percent, (W,) each."""
    is_n = codes >= alphabet.NUM_BASES
    known = np.maximum((~is_n).sum(1), 1)
    gc = np.rint(100 * ((codes == 1) | (codes == 2)).sum(1) / known)
    return gc.astype(np.int64), np.rint(100 * is_n.mean(1)).astype(np.int64)


def _nearest(
    wanted: Mapping[tuple[str, int, int], list[int]],
    split: str,
    gc: int,
    n: int,
    tolerance: int,
) -> tuple[str, int, int] | None:
    """Returns the nearest that is wanted, within some percent."""
    splits = [split] if split else list(sources.SPLITS)
    for away in range(tolerance + 1):
        for shift in {gc - away, gc + away}:
            for other in range(n - away, n + away + 1):
                for name in splits:
                    if (name, shift, other) in wanted:
                        return name, shift, other
    return None
