"""Counts k-mers and ranks them by normalised pointwise mutual information (NPMI)."""

from __future__ import annotations

import csv
import io
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from genomenet import atomic
from genomenet.data import prepared, progress, text_files
from genomenet.dna import alphabet, kmer, ranking, reader, tiling

SEGMENTS: Final = ("1,2", "all")
_BLOCK: Final = 2**16  # bases counted at once: these fit the cache of a core
_TRANSLATION: Final = kmer.DIGITS.tobytes().ljust(256, b"\0")  # others count as A
_LETTERS: Final = frozenset((b"ACGT" + alphabet.AMBIGUOUS).decode())
_COMPLEMENT: Final = str.maketrans("ACGT", "TGCA")
_LIMITS: Final = (255, 65_535, 2**32 - 1)  # largest counts of 1, 2 and 4 bytes
_ENOUGH: Final = 6  # canonical k-mers needed to recognise a table of them
_SMALL: Final = 20  # counts below which many k-mers may share the largest
_INCONSISTENT: Final = 0.1  # share of counts by which overlapping k-mers may differ
_LARGEST_TOTAL: Final = 2**53  # a float64 holds every count up to this one


class Ranking(NamedTuple):
    """K-mers from the highest NPMI to the lowest.

    Attributes:
        words: The k-mers.
        counts: Count of each k-mer, int64.
        pmi: PMI of each k-mer, float64, in nats.
        npmi: NPMI of each k-mer, float64, in nats.
    """

    words: list[str]
    counts: npt.NDArray[np.int64]
    pmi: npt.NDArray[np.float64]
    npmi: npt.NDArray[np.float64]


class Counter:
    """Counts k-mers of one length, record by record, in flat memory.

    A k-mer with anything but A, C, G and T is not counted. Both strands are counted
    only if both are given.

    Args:
        k: Bases of a k-mer, 1 to 8.

    Attributes:
        k: Bases of a k-mer.
        counts: int64, (4^k,), in the order of `dna.kmer.vocabulary`.
        notes: Notes on the counts, one sentence each.
    """

    def __init__(self, k: int):
        self.k = k
        self.notes: list[str] = []
        self.counts = np.zeros(kmer.vocabulary_size(k) - kmer.NUM_SPECIAL, np.int64)

    def add(self, codes: npt.NDArray[np.uint8]) -> None:
        """Counts the k-mers of one sequence.

        Args:
            codes: Codes of `dna.alphabet`, uint8, (L,).
        """
        overlap = self.k - 1
        for start in range(0, max(len(codes) - overlap, 0), _BLOCK):
            block = codes[start : start + _BLOCK + overlap]
            indices = self._indices(block)
            if (block >= alphabet.N).any():
                indices = indices[tiling.starts_without_n(block, self.k)]
            self.counts += np.bincount(indices, minlength=len(self.counts))

    def _indices(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        """Returns the index of every k-mer, first base most significant."""
        digits = np.frombuffer(codes.tobytes().translate(_TRANSLATION), np.uint8)
        indices, width = digits.astype(np.uint16), 1  # 2 bits a base: 8 bases fit
        for bit in f"{self.k:b}"[1:]:  # a k-mer is two shorter ones side by side
            indices = indices[:-width] << np.uint16(2 * width) | indices[width:]
            width *= 2
            if bit == "1":
                indices = indices[:-1] << np.uint16(2) | digits[width:]
                width += 1
        return indices


def count_files(
    inputs: str | Sequence[str], k: int, *, show_progress: bool = False
) -> Counter:
    """Counts the k-mers of sequence files.

    Args:
        inputs: Files, patterns, or - for standard input; see `dna.reader.read`.
        k: Bases of a k-mer.
        show_progress: Whether to show a progress bar.

    Returns:
        The counts.

    Raises:
        SequenceFileError: If a file is not a sequence file, or is damaged.
    """
    counter = Counter(k)
    paths = reader.expand(inputs)
    expected_bases = progress.guessed_bases(paths)
    with progress.bar("counting", expected_bases, show=show_progress) as update:
        for record in reader.read(paths):
            counter.add(record.codes)
            update(len(record.codes))
    return counter


def count_dataset(directory: str | os.PathLike[str], k: int) -> Counter:
    """Counts the k-mers of the training split of a prepared dataset.

    Args:
        directory: Folder of the dataset.
        k: Bases of a k-mer. K-mers that begin in one chunk and end in the next are
            not counted.

    Returns:
        The counts.

    Raises:
        ValueError: If the folder holds no prepared genome.
    """
    return count_genome(prepared.read(directory), k)


def count_genome(genome: prepared.Genome, k: int) -> Counter:
    """Counts the k-mers of the training split of a genome, chunk by chunk."""
    counter = Counter(k)
    for start, end in genome.chunks.intervals("train").tolist():
        counter.add(genome.chunks.genome.take(np.array([start]), end - start)[0])
    return counter


def read_counts(path: str | os.PathLike[str], k: int) -> Counter:
    """Reads counts from a table of two columns, k-mer and count.

    Args:
        path: Table with columns separated by tabs or spaces, as `jellyfish dump -c` and
            `kmc_dump` write it, plain or gzip. A first line with neither a k-mer nor a
            number is a header; lines that begin with # are skipped.
        k: Bases of a k-mer.

    Returns:
        The counts. A k-mer that the table lacks has the count 0, and one with N is
        skipped. If the table holds canonical k-mers, only one of each k-mer and its
        reverse complement, both get the count, and `notes` says so.

    Raises:
        ValueError: If a line is wrong (the message gives its number), the file cannot
            be read, its counts are capped at a maximum, or k-mers are missing.
    """
    path = pathlib.Path(path)
    counter = Counter(k)
    ids = {word: i for i, word in enumerate(kmer.vocabulary(k)[kmer.NUM_SPECIAL :])}
    with text_files.opened(os.fspath(path)) as file:
        rows = [
            (f"{path}, line {number}", line.split())
            for number, line in enumerate(text_files.lines(file, os.fspath(path)), 1)
            if line.strip() and not line.startswith("#")
        ]
    if rows and rows[0][1][0][:1] == ">" and rows[0][1][0][1:].isdecimal():
        raise ValueError(
            f"{path}: counts in FASTA: write a table, as `jellyfish dump -c` does"
        )
    if rows and not any(text.isdecimal() or text.upper() in ids for text in rows[0][1]):
        del rows[0]  # the header
    total = repeated = 0
    known_words: set[str] = set()
    for where, fields in rows:
        if len(fields) < 2 or not fields[1].isdecimal():
            raise ValueError(
                f"{where}: not a k-mer and a whole number, separated by blanks:"
                f" {' '.join(fields)[:40]!a}"
            )
        word = fields[0].upper().replace("U", "T")
        if len(word) != k or not set(word) <= _LETTERS:
            raise ValueError(f"{where}: {fields[0][:40]!a} is not a {k}-mer")
        total += int(fields[1])
        if total > _LARGEST_TOTAL:
            raise ValueError(f"{where}: the counts add up to more than 2^53")
        if word in ids:
            repeated += word in known_words
            known_words.add(word)
            counter.counts[ids[word]] += int(fields[1])
    if repeated:
        counter.notes.append(f"{repeated} lines repeat a k-mer: counts are added")
    _check_capped(counter, path)
    _spread(counter)
    _check_complete(counter, path)
    return counter


def _check_capped(counter: Counter, path: pathlib.Path) -> None:
    """Refuses counts that are capped at a maximum, as KMC does at 255."""
    largest = int(counter.counts.max(initial=0))
    at_largest = int((counter.counts == largest).sum())
    below = (counter.counts < largest) & (counter.counts > 0.9 * largest)
    is_pile = largest >= _SMALL and at_largest > 4 + 3 * int(below.sum())
    if is_pile or (largest in _LIMITS and at_largest > 1):
        raise ValueError(
            f"{path}: {at_largest} k-mers have the largest count, {largest}: the counts"
            " are cut off there; count again with a higher limit (kmc -cs, jellyfish"
            " --out-counter-len)"
        )


def _spread(counter: Counter) -> None:
    """Adds the reverse complements if the counts are those of canonical k-mers.

    A palindrome is its own reverse complement: over both strands it counts twice.
    """
    words = kmer.vocabulary(counter.k)[kmer.NUM_SPECIAL :]
    ids = {word: i for i, word in enumerate(words)}
    reverse = np.array([ids[w.translate(_COMPLEMENT)[::-1]] for w in words])
    is_counted = counter.counts > 0
    is_single = reverse != np.arange(len(reverse))
    is_smaller = np.array([words[i] < words[j] for i, j in enumerate(reverse)])
    has_pairs = (is_counted & is_counted[reverse] & is_single).any()
    # With few k-mers it can be chance that only one of two is there, or the smaller.
    num_pairs = is_single.sum() / 2
    expected = num_pairs * float((is_counted & is_single).mean()) ** 2
    is_canonical = (is_counted & is_smaller).sum() >= _ENOUGH
    is_canonical &= not (is_counted & is_single & ~is_smaller).any()
    if has_pairs or not (is_canonical or expected >= _ENOUGH):
        return
    counter.counts += counter.counts[reverse]
    counter.notes.append(
        "canonical k-mers: counts are added for both strands, for palindromes twice"
    )


def _check_complete(counter: Counter, path: pathlib.Path) -> None:
    """Refuses tables that lack k-mers; notes where rare ones may have been left out."""
    counts, k = counter.counts, counter.k
    total, smallest = (
        int(counts.sum()),
        int(counts[counts > 0].min(initial=_LARGEST_TOTAL)),
    )
    # Each (k - 1)-mer is followed by a base as often as preceded by one, but at ends.
    words = np.array(kmer.vocabulary(k)[kmer.NUM_SPECIAL :])
    _, first = np.unique([w[:-1] for w in words], return_inverse=True)
    _, last = np.unique([w[1:] for w in words], return_inverse=True)
    off = np.abs(np.bincount(first, counts) - np.bincount(last, counts)).sum()
    missing = int((counts == 0).sum())
    if not total:
        raise ValueError(f"{path}: no {k}-mer of A, C, G and T is counted")
    if total > 10 * len(counts) and off > _INCONSISTENT * total:
        cause = "the counts of overlapping k-mers do not agree"
        if missing > _INCONSISTENT * len(counts):
            raise ValueError(
                f"{path}: {cause}: it lacks {missing} of {len(counts)} {k}-mers; is it"
                " complete?"
            )
        counter.notes.append(f"{cause}: are they of all {k}-mers of one genome?")
    if smallest > 1 and missing:
        counter.notes.append(
            f"no k-mer counts less than {smallest}: if rare ones were left out, count"
            " again with all (kmc -ci1, jellyfish without --lower-count)"
        )


def rank(
    counts: npt.NDArray[np.int64],
    k: int,
    *,
    segments: str = "1,2",
    min_count: int = 101,
) -> Ranking:
    """Ranks k-mers by normalised PMI.

    Args:
        counts: int64, (4^k,), in the order of `dna.kmer.vocabulary`. The count of a
            shorter k-mer is the sum over the k-mers that begin with it, so those of
            the last bases of a sequence are not counted.
        k: Bases of a k-mer, 2 or more.
        segments: "1,2" compares a k-mer with parts of one and two bases, whose
            probabilities share one denominator, all single bases and pairs; "all"
            with parts of every length, each with its own.
        min_count: K-mers that occur less often are left out.

    Returns:
        The ranking; ties are in the order of the vocabulary.

    Raises:
        ValueError: If k is below 2, `segments` is unknown, no k-mer is frequent
            enough, or a part of one was never counted.

    Source:
        Roy et al., GeneMask (2023), with `segments="1,2"`: PMI(w) is the least of
        ln p(w) - sum of ln p(part) over all segmentations, NPMI(w) = PMI(w) ·
        ln f(w) / (ln f(w) + ln 101). Levine et al., PMI-masking (2021), with "all".
    """
    if k < 2:
        raise ValueError(f"k must be 2 or more, got {k}")
    if segments not in SEGMENTS:
        raise ValueError(
            f"segments must be one of {', '.join(SEGMENTS)}, got {segments!r}"
        )
    if min_count < 1:
        raise ValueError(f"min_count must be 1 or more, got {min_count}")
    if not counts.any():
        raise ValueError(f"no {k}-mer of A, C, G and T was counted")
    is_kept = counts >= min_count
    if not is_kept.any():
        raise ValueError(
            f"no {k}-mer occurs {min_count} times or more; the most frequent occurs"
            f" {int(counts.max(initial=0))} times: take a lower min_count"
        )
    by_length = {k: counts.astype(np.float64)}
    for length in range(k - 1, 0, -1):
        by_length[length] = by_length[length + 1].reshape(-1, 4).sum(axis=1)
    totals = {length: values.sum() for length, values in by_length.items()}
    lengths = (1, 2) if segments == "1,2" else tuple(range(1, k))
    if segments == "1,2":
        shared = totals[1] + totals[2]
        totals = dict.fromkeys(totals, shared)
    with np.errstate(divide="ignore"):
        logs = {n: np.log(by_length[n] / totals[n]) for n in by_length}
    # The largest sum over parts, for every prefix of every k-mer: the maximum over the
    # lengths of the last part.
    best: dict[int, npt.NDArray[np.float64]] = {0: np.zeros(1)}
    for end in range(1, k + 1):
        prefix = np.arange(4**end)
        candidates = [
            best[end - n][prefix // 4**n] + logs[n][prefix % 4**n]
            for n in lengths
            if n <= end
        ]
        best[end] = np.max(candidates, axis=0)
    pmi = logs[k][is_kept] - best[k][is_kept]
    if not np.isfinite(pmi).all():
        word = kmer.vocabulary(k)[
            kmer.NUM_SPECIAL + np.flatnonzero(is_kept)[pmi.argmax()]
        ]
        raise ValueError(
            f"too few sequences to rank: a part of {word} begins no {k}-mer"
        )
    frequency = np.log(counts[is_kept].astype(np.float64))
    npmi = pmi * frequency / (frequency + math.log(101))
    order = np.argsort(-npmi, kind="stable")
    words = np.array(kmer.vocabulary(k)[kmer.NUM_SPECIAL :])[is_kept][order]
    return Ranking(words.tolist(), counts[is_kept][order], pmi[order], npmi[order])


def write(
    result: Ranking, path: str | os.PathLike[str], *, header: Sequence[str] = ()
) -> None:
    """Writes a ranking as `dna.ranking.read` reads it, in one atomic step.

    Args:
        result: The ranking.
        path: The file.
        header: Lines about the origin of the ranking.
    """
    text = io.StringIO(newline="")
    for line in header:
        text.write(f"# {' '.join(line.split())}\n")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(ranking.COLUMNS)
    columns = zip(result.words, result.counts, result.pmi, result.npmi, strict=True)
    for position, (word, count, pmi, npmi) in enumerate(columns, 1):
        rows.writerow([word, count, f"{pmi:.6f}", f"{npmi:.6f}", position])
    atomic.write_text(path, text.getvalue())


def draw(result: Ranking, path: str | os.PathLike[str]) -> None:
    """Draws NPMI against rank as a PNG, in one atomic step.

    Args:
        result: The ranking.
        path: The file.
    """
    from matplotlib import figure as figure_lib  # slow to import

    figure = figure_lib.Figure(figsize=(6.4, 3.8), layout="constrained")
    axis = figure.subplots()
    axis.plot(np.arange(1, len(result.words) + 1), result.npmi, linewidth=1.5)
    axis.axhline(0, color="grey", linewidth=0.8, linestyle=":")
    for index, va in ((0, "bottom"), (len(result.words) - 1, "top")):
        axis.annotate(
            result.words[index], (index + 1, result.npmi[index]), va=va, fontsize=8
        )
    axis.set_xlabel("rank")
    axis.set_ylabel("NPMI (nats)")
    axis.spines[["top", "right"]].set_visible(False)
    with atomic.replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
