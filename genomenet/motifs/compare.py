"""Comparison of motifs with those of a database, after the idea of Tomtom.

W is the width of a motif, L that of a target, N the columns of all targets.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.motifs import pwm

SIMILARITIES: Final = ("euclidean", "pearson")
MIN_OVERLAP: Final = 5

_BINS: Final = 100  # steps between the worst and the best score of two columns


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """A motif of a database.

    Attributes:
        name: Such as "POU5F1".
        identifier: Such as "MA1115.1".
        frequencies: Of A, C, G, T, rows that sum to one, (L, 4).
    """

    name: str
    identifier: str
    frequencies: npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Match:
    """How well a motif fits a target.

    Attributes:
        motif: Name of the motif.
        target_name: Name of the target.
        target_id: Its identifier.
        offset: Column of the motif on which the first column of the target lies, as
            it is read on `strand`; negative where it begins before the motif.
        strand: "-" where the reverse complement of the target fits.
        overlap: Columns that both have there.
        pvalue: Probability that a motif of random columns fits this target as well at
            any offset and strand.
        evalue: Expected number of targets that fit so well by chance.
        qvalue: Least false discovery rate at which the match is kept.
    """

    motif: str
    target_name: str
    target_id: str
    offset: int
    strand: str
    overlap: int
    pvalue: float
    evalue: float
    qvalue: float


def compare(
    motifs: Sequence[pwm.Motif],
    targets: Sequence[Target],
    *,
    num_matches: int = 5,
    similarity: str = "pearson",
    min_overlap: int = MIN_OVERLAP,
) -> list[Match]:
    """Finds the targets that are most like each motif.

    A motif is laid over a target at every offset, on both strands. The columns that
    then face each other are scored and the scores added up. As random columns are
    taken those of all targets: the distribution of the sum is exact for columns that
    are independent draws from them, by convolution over the columns of the motif,
    with scores rounded to 101 steps.

    Args:
        motifs: What is to be named.
        targets: The database.
        num_matches: Matches wanted of each motif.
        similarity: Of two columns: "pearson", the correlation, or "euclidean", the
            negative distance.
        min_overlap: Columns that must face each other; all, where a motif or target
            has fewer.

    Returns:
        The best matches of the first motif, by p-value, then those of the next.

    Raises:
        ValueError: If the similarity is none of `SIMILARITIES`, a number is below
            1, or there is no target.

    Source:
        Gupta et al., Quantifying similarity between motifs (2007). Differences:
        q-values after Benjamini and Hochberg (1995), without an estimate of the
        share of true nulls.
    """
    if similarity not in SIMILARITIES:
        raise ValueError(
            f"similarity must be one of {', '.join(SIMILARITIES)}, got {similarity!r}"
        )
    if min(num_matches, min_overlap) < 1:
        raise ValueError("num_matches and min_overlap must be at least 1")
    if not targets:
        raise ValueError("there are no targets to compare with")
    from scipy import stats  # half a second

    database = _Database(targets)
    found = []
    for motif in motifs:
        scores = _similarity(motif.probabilities(), database.columns, similarity)
        best = _Best(database, _discretise(scores), min_overlap)
        order = np.argsort(best.pvalues, kind="stable")
        qvalues = stats.false_discovery_control(best.pvalues)
        for number in order[:num_matches]:
            offset = int(best.offsets[number])
            width = len(targets[number].frequencies)
            found.append(
                Match(
                    motif=motif.name,
                    target_name=targets[number].name,
                    target_id=targets[number].identifier,
                    offset=offset,
                    strand="-" if best.is_reverse[number] else "+",
                    overlap=min(motif.width, offset + width) - max(0, offset),
                    pvalue=float(best.pvalues[number]),
                    evalue=float(best.pvalues[number] * len(targets)),
                    qvalue=float(qvalues[number]),
                )
            )
    return found


def jaspar(
    collection: str = "CORE",
    tax_group: str | Sequence[str] | None = None,
    *,
    release: str | None = None,
) -> tuple[Target, ...]:
    """Reads motifs of JASPAR from the copy that the package pyjaspar carries.

    Args:
        collection: Such as "CORE".
        tax_group: Such as "vertebrates", or several; by default all.
        release: Such as "JASPAR2024"; by default the latest that pyjaspar has.

    Returns:
        The latest version of each motif.

    Raises:
        ImportError: If pyjaspar is not installed.
        ValueError: If there is no such motif.
    """
    try:
        import pyjaspar
    except ImportError as e:
        raise ImportError(
            "names from JASPAR need pyjaspar: pip install 'genomenet[motifs]'"
        ) from e
    database = pyjaspar.jaspardb(**({"release": release} if release else {}))
    groups = [tax_group] if isinstance(tax_group, str) else tax_group
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # none found: said below
        found = database.fetch_motifs(
            collection=collection, tax_group=list(groups) if groups else None
        )
    if not found:
        raise ValueError(f"JASPAR has no motifs of {collection!r}, {tax_group!r}")
    targets = []
    for motif in found:
        counts = np.array([motif.counts[base] for base in "ACGT"], np.float64).T
        frequencies = counts / counts.sum(1, keepdims=True)
        targets.append(Target(motif.name, motif.matrix_id, frequencies))
    return tuple(targets)


class _Database:
    """Columns of targets, those of one width together.

    Attributes:
        columns: All columns, then all of the other strand, (2N, 4).
        groups: Numbers of the targets of one width, (M,), and where in `columns`
            theirs stand, for both strands, (2, M, L).
        num_targets: Number of targets.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        widths = np.array([len(target.frequencies) for target in targets])
        forward = np.concatenate([target.frequencies for target in targets])
        self.columns = np.concatenate([forward, forward[:, ::-1]])
        self.num_targets = len(targets)
        starts = np.cumsum(widths) - widths
        self.groups = []
        for width in np.unique(widths):
            numbers = np.flatnonzero(widths == width)
            places = starts[numbers][:, None] + np.arange(width)
            other = places[:, ::-1] + len(forward)
            self.groups.append((numbers, np.stack([places, other])))


class _Best:
    """The best offset and strand of each target.

    Attributes:
        pvalues: Corrected for the offsets and strands tried, (number of targets,).
        offsets: int, of the same shape.
        is_reverse: bool, of the same shape.
    """

    def __init__(
        self, database: _Database, scores: npt.NDArray[np.intp], min_overlap: int
    ) -> None:
        count = database.num_targets
        self.pvalues = np.ones(count)
        self.offsets = np.zeros(count, np.int64)
        self.is_reverse = np.zeros(count, bool)
        null = _Null(scores)
        for numbers, places in database.groups:
            best = np.full(len(numbers), np.inf)
            tried = 0
            for offset, first, last in _offsets(
                len(scores), places.shape[2], min_overlap
            ):
                facing = places[:, :, first - offset : last - offset]
                sums = scores[np.arange(first, last), facing].sum(2)  # (2, M)
                pvalues = null.tail(first, last)[sums]
                tried += 2
                for strand in (0, 1):
                    is_better = pvalues[strand] < best
                    best = np.where(is_better, pvalues[strand], best)
                    self.offsets[numbers[is_better]] = offset
                    self.is_reverse[numbers[is_better]] = bool(strand)
            with np.errstate(divide="ignore"):
                missed = tried * np.log1p(-best)  # log of 1 − p
            self.pvalues[numbers] = -np.expm1(missed)


class _Null:
    """Distribution of sums of scores of random columns.

    Args:
        scores: Of each column of the motif with all columns, (W, 2N).
    """

    def __init__(self, scores: npt.NDArray[np.intp]) -> None:
        width, count = scores.shape
        rows = np.arange(width)[:, None] * (_BINS + 1)
        totals = np.bincount((scores + rows).ravel(), minlength=width * (_BINS + 1))
        self._columns = totals.reshape(width, -1) / count
        self._sums: dict[tuple[int, int], npt.NDArray[np.float64]] = {}
        self._tails: dict[tuple[int, int], npt.NDArray[np.float64]] = {}

    def tail(self, first: int, last: int) -> npt.NDArray[np.float64]:
        """Returns the probability of each sum or a higher one, of these columns."""
        key = (first, last)
        if key not in self._tails:
            # Added from the small end, so that the smallest stay exact.
            tail = np.cumsum(self._density(first, last)[::-1])[::-1]
            self._tails[key] = np.minimum(tail, 1.0)
        return self._tails[key]

    def _density(self, first: int, last: int) -> npt.NDArray[np.float64]:
        if last - first == 1:
            return self._columns[first]
        if (first, last) not in self._sums:
            found = np.convolve(self._density(first, last - 1), self._columns[last - 1])
            self._sums[first, last] = found.astype(np.float64)
        return self._sums[first, last]


def _offsets(
    width: int, length: int, min_overlap: int
) -> Iterator[tuple[int, int, int]]:
    """Yields offsets of a target, and which columns of the motif it then faces."""
    least = min(min_overlap, width, length)
    for offset in range(least - length, width - least + 1):
        yield offset, max(0, offset), min(width, offset + length)


def _similarity(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], kind: str
) -> npt.NDArray[np.float64]:
    """Scores columns with columns: (W, 4), (M, 4) → (W, M)."""
    if kind == "euclidean":
        return -np.linalg.norm(x[:, None] - y, axis=-1)
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    norms = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    # A column of four equal frequencies correlates with none.
    return np.where(norms > 0, x @ y.T / np.where(norms > 0, norms, 1.0), 0.0)


def _discretise(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Rounds scores to 0, 1, …, `_BINS`, from the lowest to the highest."""
    low, high = scores.min(), scores.max()
    return np.rint((scores - low) * (_BINS / max(high - low, 1e-12))).astype(np.intp)
