"""Effects of variants: the status of each allele, and its scores."""

from __future__ import annotations

import collections
import dataclasses
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet, encode
from genomenet.dna import genome as genome_lib
from genomenet.variants import scores, vcf

OK: Final = "ok"
REF_MISMATCH: Final = "ref_mismatch"
UNKNOWN_CONTIG: Final = "unknown_contig"
OUTSIDE: Final = "outside"
SYMBOLIC: Final = "symbolic"
SAME: Final = "same"
TOO_LONG: Final = "too_long"
MOSTLY_N: Final = "mostly_n"
STATUSES: Final = (
    *(OK, REF_MISMATCH, UNKNOWN_CONTIG, OUTSIDE),
    *(SYMBOLIC, SAME, TOO_LONG, MOSTLY_N),
)

_AHEAD: Final = 8  # batches of windows collected before they are scored
_MOST_SITES: Final = 2048  # collected at most, if few of them can be scored


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scored:
    """A site with a status and scores for each of its A alternative alleles.

    Attributes:
        site: The site.
        statuses: One of `STATUSES` for each allele.
        genome_ref: Bases of the genome at the position of `site.ref` if they differ
            from it; else empty.
        values: Scores, float64, (A, columns); NaN where there is no value.
    """

    site: vcf.Site
    statuses: tuple[str, ...]
    genome_ref: str
    values: npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Windows:
    """Windows of a site: the reference, and each allele with the status `OK`."""

    reference: npt.NDArray[np.uint8]
    alternatives: list[npt.NDArray[np.uint8]]
    spans: list[tuple[int, int]]


class VariantScorer:
    """Scores sites.

    Args:
        ensemble: Models that score the windows.
        genome: Genome from which the windows are taken.
        null: Number of random SNVs to which each score is compared; 0 for none.
        seed: Seed of the random SNVs.

    Raises:
        ValueError: If `null` is negative.
    """

    def __init__(
        self,
        ensemble: scores.Ensemble,
        genome: genome_lib.Genome,
        *,
        null: int = 0,
        seed: int = 0,
    ):
        if null < 0:
            raise ValueError(f"null={null} must be 0 or more random SNVs")
        self._ensemble, self._genome = ensemble, genome
        self._null, self._seed = null, seed
        keys = list(ensemble.keys)
        self.columns: dict[str, str] = dict(ensemble.keys)
        self._tested = [i for i, key in enumerate(keys) if not key.startswith("sd_")]
        if null:
            for i in self._tested:
                self.columns[f"{keys[i]}_p"] = (
                    f"two-sided empirical p-value of {keys[i]}"
                )
            self.columns["null_n"] = (
                "random SNVs of the same trinucleotide in the window"
            )

    def score(self, sites: Iterable[vcf.Site]) -> Iterator[Scored]:
        """Scores sites in batches.

        Args:
            sites: The sites.

        Yields:
            The scored sites, in their order.
        """
        held: list[tuple[vcf.Site, tuple[str, ...], str, _Windows | None]] = []
        waiting = 0
        most = _AHEAD * self._ensemble.batch_size
        for site in sites:
            held.append((site, *self._judge(site)))
            windows = held[-1][-1]
            waiting += len(windows.alternatives) if windows else 0
            waiting += self._null if windows else 0
            if waiting >= most or len(held) >= _MOST_SITES:
                yield from self._scored(held)
                held, waiting = [], 0
        yield from self._scored(held)

    def _judge(self, site: vcf.Site) -> tuple[tuple[str, ...], str, _Windows | None]:
        """Returns the statuses of a site, `Scored.genome_ref`, and its windows."""
        contig = self._genome.find(site.contig)
        if contig is None:
            return (UNKNOWN_CONTIG,) * len(site.alts), "", None
        ref = encode.encode(site.ref, name="REF")
        start, stop = site.position - 1, site.position - 1 + len(ref)
        if start < 0 or stop > self._genome.length(contig):
            return (OUTSIDE,) * len(site.alts), "", None
        genome_bases = self._genome.take(contig, start, len(ref))
        is_match = np.array_equal(genome_bases, ref)
        genome_ref = "" if is_match else encode.decode(genome_bases).decode()
        size = self._ensemble.window
        middle = size // 2
        window = self._genome.take(contig, start - middle, size)
        is_mostly_n = 2 * int((window == alphabet.N).sum()) > size
        statuses: list[str] = []
        scorable = _Windows(reference=window, alternatives=[], spans=[])
        for allele in site.alts:
            if vcf.is_symbolic(allele):
                statuses.append(SYMBOLIC)
                continue
            alt = encode.encode(allele, name="ALT")
            if not is_match:
                statuses.append(REF_MISMATCH)
            elif np.array_equal(alt, ref):
                statuses.append(SAME)
            elif 2 * max(len(alt), len(ref)) > size:
                statuses.append(TOO_LONG)
            elif is_mostly_n:
                statuses.append(MOSTLY_N)
            else:
                statuses.append(OK)
                rest = self._genome.take(contig, stop, size - middle - len(alt))
                scorable.alternatives.append(
                    np.concatenate([window[:middle], alt, rest])
                )
                is_substitution = len(alt) == len(ref)
                scorable.spans.append(
                    (middle, middle + len(ref)) if is_substitution else scores.NO_SPAN
                )
        return tuple(statuses), genome_ref, scorable if scorable.alternatives else None

    def _scored(
        self, held: Sequence[tuple[vcf.Site, tuple[str, ...], str, _Windows | None]]
    ) -> Iterator[Scored]:
        references: list[npt.NDArray[np.uint8]] = []
        indices: dict[bytes, int] = {}  # sites at one position share a window
        alternatives: list[npt.NDArray[np.uint8]] = []
        reference_indices: list[int] = []
        spans: list[tuple[int, int]] = []
        for site, _, _, windows in held:
            if windows is None:
                continue
            key = windows.reference.tobytes()
            if key not in indices:
                indices[key] = len(references)
                references.append(windows.reference)
            nulls = self._random(site, windows.reference)
            spans += windows.spans + [(at, at + 1) for at, _ in nulls]
            alternatives += windows.alternatives
            alternatives += [_with(windows.reference, at, base) for at, base in nulls]
            reference_indices += [indices[key]] * (len(windows.spans) + len(nulls))
        values = np.zeros((0, len(self._ensemble.keys)))
        if alternatives:
            values = self._ensemble.score(
                np.stack(references),
                np.stack(alternatives),
                np.array(reference_indices),
                spans,
            )
        first = 0
        for site, statuses, genome_ref, windows in held:
            rows = np.full((len(statuses), len(self.columns)), np.nan)
            if windows is not None:
                is_ok = [status == OK for status in statuses]
                last = first + len(windows.spans)
                site_values = values[first:last]
                first = last
                if self._null:
                    count = len(self._random(site, windows.reference))
                    site_values = self._with_p(site_values, values[last : last + count])
                    first += count
                rows[is_ok] = site_values
            yield Scored(
                site=site, statuses=statuses, genome_ref=genome_ref, values=rows
            )

    def _random(
        self, site: vcf.Site, window: npt.NDArray[np.uint8]
    ) -> list[tuple[int, int]]:
        """Returns random SNVs: positions in the window and alternative bases."""
        middle = self._ensemble.window // 2
        if not self._null or len(window) < 3:
            return []
        triples = np.lib.stride_tricks.sliding_window_view(window, 3)
        # The trinucleotide around the first base of the variant.
        context = window[max(0, middle - 1) : middle + 2]
        if len(context) < 3 or (context == alphabet.N).any():
            return []
        positions = np.flatnonzero((triples == context).all(axis=1)) + 1
        is_variant = (positions >= middle) & (positions < middle + len(site.ref))
        bases = [b for b in range(alphabet.NUM_BASES) if b != context[1]]
        substitutions = [(p, b) for p in positions[~is_variant].tolist() for b in bases]
        if len(substitutions) <= self._null:
            return substitutions
        key = f"{self._seed}\t{site.contig}\t{site.position}\t{site.ref}"
        rng = np.random.default_rng(zlib.crc32(key.encode("utf-8", "surrogateescape")))
        chosen = np.sort(rng.choice(len(substitutions), self._null, replace=False))
        return [substitutions[index] for index in chosen.tolist()]

    def _with_p(
        self, site_values: npt.NDArray[np.float64], nulls: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Returns the scores, their p-values and the number of random SNVs."""
        site_tested, null_tested = site_values[:, self._tested], nulls[:, self._tested]
        is_valid = np.isfinite(null_tested)  # (n, tested)
        larger = np.abs(null_tested)[None] >= np.abs(site_tested)[:, None] - 1e-12
        p = (1.0 + (larger & is_valid).sum(axis=1)) / (1.0 + is_valid.sum(axis=0))
        p[np.isnan(site_tested)] = np.nan
        if not len(nulls):
            p[:] = np.nan
        count = np.full((len(site_values), 1), float(len(nulls)))
        return np.concatenate([site_values, p, count], axis=1)


def _with(window: npt.NDArray[np.uint8], at: int, base: int) -> npt.NDArray[np.uint8]:
    changed = window.copy()
    changed[at] = base
    return changed


def renamed(genome: genome_lib.Genome, contigs: Iterable[str]) -> str:
    """Returns a message on contigs with other names in the genome, or ""."""
    pairs = [(c, genome.find(c)) for c in contigs]
    pairs = [(c, name) for c, name in pairs if name not in (None, c)]
    if not pairs:
        return ""
    others = len(pairs) - 1
    more = f", and {others} other{'s'[: others > 1]}" if others else ""
    return f"contig names differ: {pairs[0][0]} is {pairs[0][1]} in the genome{more}"


def summary(counts: collections.Counter[str]) -> list[str]:
    """Returns a line for each status that occurs, `ok` first."""
    width = max(map(len, STATUSES)) + 1
    return [
        f"{status + ':':{width}} {counts[status]:,}"
        for status in STATUSES
        if counts[status]
    ]


def text(value: Any) -> str:
    """Returns a value with six significant digits, or "." for NaN."""
    return "." if np.isnan(value) else f"{value:.6g}"
