"""A motif: counts, the weights that follow from them, and its sites.

W is a width in bases. Columns are A, C, G, T, as the codes of `genomenet.dna`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

UNIFORM: Final = (0.25, 0.25, 0.25, 0.25)

# IUPAC letter of every set of bases, by the sum of 1, 2, 4, 8 for A, C, G, T.
_LETTERS: Final = "-ACMGRSVTWYHKDBN"


@dataclasses.dataclass(frozen=True)
class Site:
    """Where a motif lies.

    Attributes:
        sequence: Name of the sequence.
        start: Its first base, from 0, on the strand given.
        strand: "+", or "-" where the reverse complement holds the motif.
        word: The bases of the site as the motif reads them, upper case.
        score: Log-odds score in bits.
        pvalue: Probability of such a score or a higher one at a random position; NaN
            where the finder does not say.
    """

    sequence: str
    start: int
    strand: str
    word: str
    score: float
    pvalue: float


@dataclasses.dataclass(frozen=True, eq=False)
class Motif:
    """A motif that was found.

    Attributes:
        name: Such as "1-ATGCAAAT".
        counts: Weighted counts of bases in the sites, float64, (W, 4), without
            pseudocounts.
        background: Frequencies of A, C, G, T outside.
        sites: Its sites, in the order of the sequences.
        scores: What the finder says of it, by name: numbers for a table, such as
            "pvalue", "evalue", "positives", "negatives".

    Raises:
        ValueError: If `counts` is not of shape (W, 4), has a negative entry or an
            empty row, or if `background` is not a distribution.
    """

    name: str
    counts: npt.NDArray[np.float64]
    background: tuple[float, float, float, float] = UNIFORM
    sites: tuple[Site, ...] = ()
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = np.asarray(self.counts, np.float64)
        if counts.ndim != 2 or counts.shape[1:] != (4,) or not len(counts):
            raise ValueError(f"counts must be of shape (W, 4), got {counts.shape}")
        if not (counts >= 0).all() or not (counts.sum(1) > 0).all():
            raise ValueError(f"motif {self.name}: a row of counts is empty or negative")
        if min(self.background) <= 0 or abs(sum(self.background) - 1) > 1e-6:
            raise ValueError(f"{self.background} are not frequencies of A, C, G, T")
        counts.setflags(write=False)
        object.__setattr__(self, "counts", counts)

    @property
    def width(self) -> int:
        """Number of bases, W."""
        return len(self.counts)

    @property
    def consensus(self) -> str:
        """IUPAC letters: each names the bases half as frequent as the first or more."""
        high = self.counts >= self.counts.max(1, keepdims=True) / 2
        return "".join(_LETTERS[i] for i in high @ (1, 2, 4, 8))

    @property
    def reverse_complement(self) -> Motif:
        """The same motif read on the other strand; sites keep their places."""
        flip = str.maketrans("ACGT", "TGCA")
        sites = tuple(
            dataclasses.replace(
                site,
                strand="-" if site.strand == "+" else "+",
                word=site.word.translate(flip)[::-1],
            )
            for site in self.sites
        )
        return dataclasses.replace(
            self,
            counts=self.counts[::-1, ::-1].copy(),
            background=self.background[::-1],
            sites=sites,
        )

    def probabilities(self, pseudocount: float = 0.0) -> npt.NDArray[np.float64]:
        """Frequencies of bases.

        Args:
            pseudocount: Counts added to each column, shared out as the background.

        Returns:
            Rows that sum to one, (W, 4).
        """
        counts = self.counts + pseudocount * np.asarray(self.background)
        return counts / counts.sum(1, keepdims=True)

    def log_odds(self, pseudocount: float = 1.0) -> npt.NDArray[np.float64]:
        """Scores of bases in bits, against the background.

        Args:
            pseudocount: As in `probabilities`; above 0 keeps every score finite.

        Returns:
            log2 of probability over background, (W, 4).
        """
        with np.errstate(divide="ignore"):
            return np.log2(self.probabilities(pseudocount) / self.background)

    def information(self) -> npt.NDArray[np.float64]:
        """Bits a column holds, (W,): 2 where one base alone occurs, 0 where all do."""
        return information(self.probabilities())


def information(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Bits a column holds: 2 where one base alone occurs, 0 where all do.

    Args:
        probabilities: Of bases, (W, 4).

    Returns:
        Bits, (W,).
    """
    logarithms = np.log2(np.where(probabilities > 0, probabilities, 1.0))
    return 2 + np.sum(probabilities * logarithms, axis=1)
