"""Overlap of the best-ranked k-mers with the sites of motifs."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet import atomic
from genomenet.dna import kmer
from genomenet.motifs import pwm

SHARES: Final = (0.01, 0.05, 0.10)
"""Shares of the k-mer ranking that are counted, from the best k-mer on."""

ALL: Final = "all sequences"


@dataclasses.dataclass(frozen=True)
class Row:
    """K-mer counts of one motif.

    Attributes:
        motif: Name of the motif, or `ALL`.
        kmers: Number of k-mer occurrences in its sites.
        best: Number of these among the best-ranked k-mers, for each of `SHARES`.
    """

    motif: str
    kmers: int
    best: tuple[int, ...]


def overlap(
    motifs: Sequence[pwm.Motif],
    sequences: Sequence[tuple[str, npt.NDArray[np.uint8]]],
    ranks: npt.NDArray[np.int32],
    k: int,
) -> list[Row]:
    """Counts best-ranked k-mers in the sites of motifs, and in all sequences.

    The k-mers of a site are those inside it, on the strand of the sequence as given.
    If the site is narrower than k, they are the k-mers that contain it. K-mers with N
    are not counted.

    Args:
        motifs: Motifs with sites in these sequences.
        sequences: Names and codes of `dna.alphabet`, uint8, (L,) each.
        ranks: Ranks from `dna.ranking.read`, (4^k,).
        k: Length of a k-mer in bases.

    Returns:
        A row for all sequences, then one row per motif.

    Raises:
        ValueError: If `ranks` is not of shape (4^k,).

    Source:
        Roy et al., GeneMask (2023), section 6.3. Differences: shares of the ranking
        are counted, not one list of k-mers.
    """
    if ranks.shape != (4**k,):
        raise ValueError(
            f"ranks of {k}-mers must have shape ({4**k},), got {ranks.shape}"
        )
    ids = {name: kmer.tokenize(codes, k) for name, codes in sequences}
    # K-mers that are not in the ranking share the last rank.
    num_ranked = np.count_nonzero(np.bincount(ranks) == 1)
    limits = [max(1, round(share * num_ranked)) for share in SHARES]

    def row(name: str, parts: Sequence[npt.NDArray[np.int32]]) -> Row:
        tokens = np.concatenate([np.zeros(0, np.int32), *parts])
        kept = ranks[tokens[tokens >= kmer.NUM_SPECIAL] - kmer.NUM_SPECIAL]
        best = tuple(int(np.count_nonzero(kept <= limit)) for limit in limits)
        return Row(name, len(kept), best)

    rows = [row(ALL, list(ids.values()))]
    for motif in motifs:
        first, last = min(0, motif.width - k), max(0, motif.width - k)
        rows.append(
            row(
                motif.name,
                [
                    ids[s.sequence][max(0, s.start + first) : s.start + last + 1]
                    for s in motif.sites
                ],
            )
        )
    return rows


def write(path: str | os.PathLike[str], rows: Sequence[Row]) -> None:
    """Writes a table of counts, shares, and fold changes against all sequences.

    Args:
        path: The .tsv file, replaced if it exists.
        rows: Rows from `overlap`.
    """
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    names = [f"top_{share:.0%}".removesuffix("%") for share in SHARES]
    heads = [f"{name}{end}" for name in names for end in ("", "_share", "_fold")]
    table.writerow(["motif", "kmers", *heads])
    all_shares = [count / max(rows[0].kmers, 1) for count in rows[0].best]
    for row in rows:
        cells: list[str] = []
        for count, all_share in zip(row.best, all_shares, strict=True):
            share = count / max(row.kmers, 1)
            fold = f"{share / all_share:.3f}" if all_share else ""
            cells += [str(count), f"{share:.5f}", fold]
        table.writerow([row.motif, row.kmers, *cells])
    atomic.write_text(path, text.getvalue())
