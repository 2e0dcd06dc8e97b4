"""Motifs: counts of bases, log-odds scores and sites.

W is a width in bases. Columns are A, C, G, T, in the order of `genomenet.dna` codes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

UNIFORM: Final = (0.25, 0.25, 0.25, 0.25)

# IUPAC letter of each set of bases, indexed by the sum of 1, 2, 4, 8 for A, C, G, T.
_LETTERS: Final = "-ACMGRSVTWYHKDBN"


@dataclasses.dataclass(frozen=True)
class Site:
    """A site of a motif in a sequence.

    Attributes:
        sequence: Name of the sequence.
        start: Position of the first base, 0-based, in the sequence as given.
        strand: "+", or "-" if the motif lies on the reverse complement.
        word: Bases of the site on the strand of the motif, upper case.
        score: Log-odds score in bits.
        pvalue: Probability of this score or a higher one at a random position; NaN
            if the finder reports none.
    """

    sequence: str
    start: int
    strand: str
    word: str
    score: float
    pvalue: float


@dataclasses.dataclass(frozen=True, eq=False)
class Motif:
    """A sequence motif.

    Attributes:
        name: Name, such as "1-ATGCAAAT".
        counts: Weighted counts of bases in the sites, float64, (W, 4), without
            pseudocounts.
        background: Background frequencies of A, C, G, T.
        sites: Sites of the motif, in the order of the sequences.
        scores: Scores that the finder reports, by name, such as "pvalue", "evalue",
            "positives", "negatives".

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
            raise ValueError(
                f"motif {self.name!r}: a row of counts is empty or negative; counts"
                " must be 0 or more, with a positive sum in each row"
            )
        if min(self.background) <= 0 or abs(sum(self.background) - 1) > 1e-6:
            raise ValueError(
                f"motif {self.name!r}: background {self.background} are not frequencies"
                " of A, C, G, T: they must be above 0 and sum to 1"
            )
        counts.setflags(write=False)
        object.__setattr__(self, "counts", counts)

    @property
    def width(self) -> int:
        """Number of bases, W."""
        return len(self.counts)

    @property
    def consensus(self) -> str:
        """IUPAC letters of the bases at least half as frequent as the most frequent."""
        high = self.counts >= self.counts.max(1, keepdims=True) / 2
        return "".join(_LETTERS[i] for i in high @ (1, 2, 4, 8))

    @property
    def reverse_complement(self) -> Motif:
        """The motif on the reverse strand; the positions of sites do not change."""
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
        """Returns the frequencies of bases.

        Args:
            pseudocount: Total count added to each position, distributed over the
                bases in proportion to the background.

        Returns:
            Frequencies, (W, 4); rows sum to one.
        """
        counts = self.counts + pseudocount * np.asarray(self.background)
        return counts / counts.sum(1, keepdims=True)

    def log_odds(self, pseudocount: float = 1.0) -> npt.NDArray[np.float64]:
        """Returns log-odds scores of bases against the background, in bits.

        Args:
            pseudocount: As in `probabilities`; above 0 keeps every score finite.

        Returns:
            log2 of probability over background, (W, 4).
        """
        with np.errstate(divide="ignore"):
            return np.log2(self.probabilities(pseudocount) / self.background)

    def information(self) -> npt.NDArray[np.float64]:
        """Information content of each position in bits, (W,), from 0 to 2."""
        return information(self.probabilities())


def information(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the information content of each position.

    It is 2 bits if only one base occurs, and 0 if all bases are equally frequent.

    Args:
        probabilities: Probabilities of A, C, G, T, (W, 4).

    Returns:
        Bits, (W,).
    """
    logarithms = np.log2(np.where(probabilities > 0, probabilities, 1.0))
    return 2 + np.sum(probabilities * logarithms, axis=1)
