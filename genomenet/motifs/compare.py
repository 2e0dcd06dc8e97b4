"""Comparison of motifs with the motifs of a database, as in Tomtom.

W is the width of a motif, L the width of a target, N the number of columns of all
targets.
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

_BINS: Final = 100  # steps between the lowest and the highest score of two columns


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """A motif of a database.

    Attributes:
        name: Name, such as "POU5F1".
        identifier: Identifier, such as "MA1115.1".
        frequencies: Frequencies of A, C, G, T, (L, 4); rows sum to one.
    """

    name: str
    identifier: str
    frequencies: npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Match:
    """A match of a motif with a target.

    Attributes:
        motif: Name of the motif.
        target_name: Name of the target.
        target_id: Identifier of the target.
        offset: Index of the motif column that is aligned with the first column of the
            target, read on `strand`; negative if the target begins before the motif.
        strand: "+", or "-" if the reverse complement of the target matches.
        overlap: Number of aligned columns.
        pvalue: Probability that a motif of random columns matches this target at
            least as well at any offset and strand.
        evalue: Expected number of targets that match at least as well by chance.
        qvalue: Smallest false discovery rate at which the match is kept.
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
    """Finds the targets that are most similar to each motif.

    A motif is aligned with a target at every offset, on both strands. The score of an
    alignment is the sum of the similarities of the aligned columns. Under the null
    hypothesis, columns are independent draws from the columns of all targets. The
    distribution of the sum is then exact: it is computed by convolution over the
    columns of the motif, with scores rounded to 101 levels.

    Args:
        motifs: Motifs to compare with the targets.
        targets: Motifs of the database.
        num_matches: Maximum number of matches per motif.
        similarity: Similarity of two columns: "pearson", the correlation, or
            "euclidean", the negative distance.
        min_overlap: Minimum number of aligned columns. If the motif or the target has
            fewer columns, all of its columns must be aligned.

    Returns:
        The matches of the first motif, sorted by p-value, then those of the next.

    Raises:
        ValueError: If the similarity is not one of `SIMILARITIES`, `num_matches` or
            `min_overlap` is below 1, or there is no target.

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
        raise ValueError(
            "num_matches and min_overlap must be at least 1, got"
            f" {num_matches} and {min_overlap}"
        )
    if not targets:
        raise ValueError("there are no targets to compare with")
    from scipy import stats  # importing it takes half a second

    database = _Database(targets)
    matches = []
    for motif in motifs:
        scores = _similarity(motif.probabilities(), database.columns, similarity)
        best = _Best(database, _discretise(scores), min_overlap)
        order = np.argsort(best.pvalues, kind="stable")
        qvalues = stats.false_discovery_control(best.pvalues)
        for index in order[:num_matches]:
            offset = int(best.offsets[index])
            width = len(targets[index].frequencies)
            matches.append(
                Match(
                    motif=motif.name,
                    target_name=targets[index].name,
                    target_id=targets[index].identifier,
                    offset=offset,
                    strand="-" if best.is_reverse[index] else "+",
                    overlap=min(motif.width, offset + width) - max(0, offset),
                    pvalue=float(best.pvalues[index]),
                    evalue=float(best.pvalues[index] * len(targets)),
                    qvalue=float(qvalues[index]),
                )
            )
    return matches


def jaspar(
    collection: str = "CORE",
    tax_group: str | Sequence[str] | None = None,
    *,
    release: str | None = None,
) -> tuple[Target, ...]:
    """Reads motifs of JASPAR from the copy in the package pyjaspar.

    Args:
        collection: Collection, such as "CORE".
        tax_group: Taxonomic group, such as "vertebrates", or several; None for all.
        release: Release, such as "JASPAR2024"; None for the latest in pyjaspar.

    Returns:
        The latest version of each motif.

    Raises:
        ImportError: If pyjaspar is not installed.
        ValueError: If JASPAR has no motif of the collection and taxonomic group.
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
        warnings.simplefilter("ignore")  # an empty result raises below
        records = database.fetch_motifs(
            collection=collection, tax_group=list(groups) if groups else None
        )
    if not records:
        raise ValueError(f"JASPAR has no motifs of {collection!r}, {tax_group!r}")
    targets = []
    for motif in records:
        counts = np.array([motif.counts[base] for base in "ACGT"], np.float64).T
        frequencies = counts / counts.sum(1, keepdims=True)
        targets.append(Target(motif.name, motif.matrix_id, frequencies))
    return tuple(targets)


class _Database:
    """Columns of targets, grouped by the width of the target.

    Attributes:
        columns: All columns, then those of the reverse strand, (2N, 4).
        groups: For each width, the indices of its targets, (M,), and the indices of
            their columns in `columns`, for both strands, (2, M, L).
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
            indices = np.flatnonzero(widths == width)
            columns = starts[indices][:, None] + np.arange(width)
            other = columns[:, ::-1] + len(forward)
            self.groups.append((indices, np.stack([columns, other])))


class _Best:
    """The best offset and strand of each target.

    Attributes:
        pvalues: p-values, corrected for the number of offsets and strands, float,
            (number of targets,).
        offsets: Offsets, int, of the same shape.
        is_reverse: Whether the reverse strand matches, bool, of the same shape.
    """

    def __init__(
        self, database: _Database, scores: npt.NDArray[np.intp], min_overlap: int
    ) -> None:
        count = database.num_targets
        self.pvalues = np.ones(count)
        self.offsets = np.zeros(count, np.int64)
        self.is_reverse = np.zeros(count, bool)
        null = _Null(scores)
        for indices, columns in database.groups:
            best = np.full(len(indices), np.inf)
            tried = 0
            for offset, first, last in _offsets(
                len(scores), columns.shape[2], min_overlap
            ):
                facing = columns[:, :, first - offset : last - offset]
                sums = scores[np.arange(first, last), facing].sum(2)  # (2, M)
                pvalues = null.tail(first, last)[sums]
                tried += 2
                for strand in (0, 1):
                    is_better = pvalues[strand] < best
                    best = np.where(is_better, pvalues[strand], best)
                    self.offsets[indices[is_better]] = offset
                    self.is_reverse[indices[is_better]] = bool(strand)
            with np.errstate(divide="ignore"):
                log_complement = tried * np.log1p(-best)  # log of 1 − p
            self.pvalues[indices] = -np.expm1(log_complement)


class _Null:
    """Distribution of the sum of scores of random columns.

    Args:
        scores: Scores of each motif column with all target columns, (W, 2N).
    """

    def __init__(self, scores: npt.NDArray[np.intp]) -> None:
        width, count = scores.shape
        rows = np.arange(width)[:, None] * (_BINS + 1)
        totals = np.bincount((scores + rows).ravel(), minlength=width * (_BINS + 1))
        self._columns = totals.reshape(width, -1) / count
        self._sums: dict[tuple[int, int], npt.NDArray[np.float64]] = {}
        self._tails: dict[tuple[int, int], npt.NDArray[np.float64]] = {}

    def tail(self, first: int, last: int) -> npt.NDArray[np.float64]:
        """Returns P(sum >= s) for each sum s over motif columns first to last - 1."""
        key = (first, last)
        if key not in self._tails:
            # Summed from the small end, so that the smallest probabilities are exact.
            tail = np.cumsum(self._density(first, last)[::-1])[::-1]
            self._tails[key] = np.minimum(tail, 1.0)
        return self._tails[key]

    def _density(self, first: int, last: int) -> npt.NDArray[np.float64]:
        if last - first == 1:
            return self._columns[first]
        if (first, last) not in self._sums:
            density = np.convolve(
                self._density(first, last - 1), self._columns[last - 1]
            )
            self._sums[first, last] = density.astype(np.float64)
        return self._sums[first, last]


def _offsets(
    width: int, length: int, min_overlap: int
) -> Iterator[tuple[int, int, int]]:
    """Yields offsets of a target, and the interval of motif columns it covers."""
    least = min(min_overlap, width, length)
    for offset in range(least - length, width - least + 1):
        yield offset, max(0, offset), min(width, offset + length)


def _similarity(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], kind: str
) -> npt.NDArray[np.float64]:
    """Returns the similarity of all pairs of columns: (W, 4), (M, 4) → (W, M)."""
    if kind == "euclidean":
        return -np.linalg.norm(x[:, None] - y, axis=-1)
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    norms = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    # The correlation with a column of four equal frequencies is set to 0.
    return np.where(norms > 0, x @ y.T / np.where(norms > 0, norms, 1.0), 0.0)


def _discretise(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Rounds scores to 0, 1, …, `_BINS`; 0 is the lowest and `_BINS` the highest."""
    low, high = scores.min(), scores.max()
    return np.rint((scores - low) * (_BINS / max(high - low, 1e-12))).astype(np.intp)
