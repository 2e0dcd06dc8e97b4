"""Indexes sequence files, assigns units to splits and yields their examples.

The files are read once. Their letters are written to a spool, a file of one byte per
base, from which the chunks of each split are read. So memory holds at most one record,
and standard input is read only once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from genomenet.data import identity, leakage, sources
from genomenet.dna import encode, reader, sketch, splits

Example = tuple[str, dict[str, Any]]

_BLOCK: Final = 1 << 24  # bases written to the spool at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Index:
    """The usable contigs of sequence files.

    Attributes:
        contigs: Contigs with at least one piece.
        offsets: Offset of the letters of each contig in the spool, in bytes.
        origins: File and record of each contig.
        num_records: Number of records in the files.
        num_bases: Number of bases in these records.
        skipped: Counts of what is left out.
        words: Words sampled from the contigs, to detect similar ones.
        not_wanted: Number of records that are not among the requested sequences.
    """

    contigs: Sequence[splits.Contig]
    offsets: Mapping[str, int]
    origins: Mapping[str, tuple[str, str]]
    num_records: int
    num_bases: int
    skipped: splits.Skipped
    words: sketch.Sketch
    not_wanted: int = 0


def index(
    paths: Sequence[str],
    *,
    min_length: int,
    known: Mapping[str, identity.Known] | None = None,
    spool: BinaryIO | None = None,
    progress: Callable[[int], Any] = lambda bases: None,
) -> Index:
    """Reads sequence files once and indexes their usable contigs.

    Args:
        paths: Files, as for `genomenet.dna.reader.read`.
        min_length: Shortest usable piece, in bases.
        known: Names and identities of the requested sequences, all of which must be in
            the files. Other records are left out. None takes every record.
        spool: File that receives the letters of all usable contigs.
        progress: Called with the number of bases of each record.

    Returns:
        The index.

    Raises:
        SequenceFileError: If a file is not usable.
        DatasetError: If nothing is usable, or a known sequence is missing.
    """
    paths = reader.expand(paths)
    contigs: list[splits.Contig] = []
    offsets: dict[str, int] = {}
    origins: dict[str, tuple[str, str]] = {}
    skipped = splits.Skipped()
    words = sketch.Sketch()
    num_records = num_bases = sum_lengths = longest = not_wanted = 0
    records = _all(paths) if known is None else identity.recognised(paths, known)
    for record, name in records:
        num_records += 1
        num_bases += record.codes.size
        progress(record.codes.size)
        if not name:
            not_wanted += 1
            del record
            continue
        origins[name] = (record.source, record.name)
        indexed, left_out = contig(name, record.codes, min_length=min_length)
        if left_out != splits.Skipped():
            skipped += left_out
        if len(indexed.pieces):
            words.add(record.codes, sum_lengths)
            sum_lengths += indexed.length
            contigs.append(indexed)
            if spool is not None:
                offsets[name] = spool.tell()
                _write(spool, record.codes)
        elif left_out.only_short:
            longest = max(longest, _longest(record.codes))
        del record  # else it stays in memory while the next one is read
    if not contigs:
        raise _nothing(paths, num_records, skipped, min_length, longest)
    return Index(
        contigs=contigs,
        offsets=offsets,
        origins=origins,
        num_records=num_records,
        num_bases=num_bases,
        skipped=skipped,
        words=words,
        not_wanted=not_wanted,
    )


def contig(
    name: str, codes: npt.NDArray[np.uint8], *, min_length: int
) -> tuple[splits.Contig, splits.Skipped]:
    """Returns the pieces of a contig and the digest that identifies copies of it.

    Args:
        name: Name of the contig.
        codes: Codes of `genomenet.dna.alphabet`, uint8, (L,).
        min_length: Shortest usable piece, in bases.

    Returns:
        The contig, which may have no piece, and the counts of what was left out.
    """
    pieces, left_out = splits.pieces(codes, min_length=min_length)
    digest, is_reverse = b"", False
    if len(pieces):
        digest, is_reverse = sketch.canonical(codes[pieces[0, 0] : pieces[-1, 1]])
    result = splits.Contig(
        name=name,
        length=codes.size,
        pieces=pieces,
        digest=digest,
        is_reverse=is_reverse,
    )
    return result, left_out


def plan(
    contigs: Sequence[splits.Contig],
    *,
    shares: Mapping[str, float],
    chunk_length: int,
    min_length: int,
    seed: int,
) -> dict[str, list[splits.Unit]]:
    """Assigns the units of contigs to splits, with identical contigs in one split.

    Args:
        contigs: Contigs with at least one piece.
        shares: Share of each split.
        chunk_length: Bases in a chunk.
        min_length: Shortest usable piece, in bases.
        seed: Seed of the assignment.

    Returns:
        Units of each split.

    Raises:
        DatasetError: If there are fewer units than splits. The message names options
            that work.
    """
    contigs, copies = leakage.merged(contigs)
    units = splits.units(contigs, chunk_length=chunk_length, min_length=min_length)
    if len(units) >= len(shares):
        assigned = splits.assign(units, shares, seed=seed)
        return {split: leakage.spread(part, copies) for split, part in assigned.items()}
    advice = "splits=" + ("100" if len(units) == 1 else "90/10")
    shorter = splits.fitting_chunk_length(
        contigs,
        num_units=len(shares),
        chunk_length=chunk_length,
        min_length=min_length,
    )
    if shorter:
        advice = f"chunk_length={shorter} or {advice}"
    bases = sum(unit.bases for unit in units)
    raise sources.DatasetError(
        f"{bases:,} bases are too few for {len(shares)} splits: with "
        f"chunk_length={chunk_length} they make only {len(units)} piece"
        f"{'s' * (len(units) > 1)}, and every split needs one; use {advice}"
    )


def examples(
    units: Iterable[splits.Unit],
    offsets: Mapping[str, int],
    spool: BinaryIO,
    *,
    chunk_length: int,
    min_length: int,
    progress: Callable[[int], Any] = lambda bases: None,
) -> Iterator[Example]:
    """Yields the chunks of units, read from the spool.

    Args:
        units: Units of one split.
        offsets: Offset of the letters of each contig in the spool, in bytes.
        spool: File of letters.
        chunk_length: Bases in a chunk.
        min_length: Shortest remainder that is a chunk of its own, in bases.
        progress: Called with the number of bases of each chunk.

    Yields:
        A key, unique in the dataset, and the features of the chunk.
    """
    for unit in sorted(units, key=lambda u: (offsets[u.contig], u.start)):
        for start, end in bounds(unit, chunk_length, min_length):
            spool.seek(offsets[unit.contig] + start)
            yield example(unit.contig, start, spool.read(end - start))
            progress(end - start)


def read_examples(
    path: str,
    units: Mapping[str, Sequence[splits.Unit]],
    *,
    chunk_length: int,
    min_length: int,
) -> Iterator[Example]:
    """Yields the chunks of units, read again from a sequence file.

    Args:
        path: A sequence file.
        units: Name of a record in this file → its units in one split.
        chunk_length: Bases in a chunk.
        min_length: Shortest remainder that is a chunk of its own, in bases.

    Yields:
        The same examples as `examples`.
    """
    for record in reader.read(path, unique=False):
        for unit in units.get(record.name, ()):
            for start, end in bounds(unit, chunk_length, min_length):
                letters = encode.decode(record.codes[start:end])
                yield example(unit.contig, start, letters)
        del record


def bounds(
    unit: splits.Unit, chunk_length: int, min_length: int
) -> Iterator[tuple[int, int]]:
    """Yields the start and end of each chunk of a unit, as positions in its contig."""
    for first, last in unit.pieces.tolist():
        intervals = splits.chunks(
            last - first, chunk_length=chunk_length, min_length=min_length
        )
        yield from map(tuple, (intervals + first).tolist())


def example(contig: str, start: int, letters: bytes) -> Example:
    """Returns the key and the features of a chunk."""
    features = {"sequence": letters, "contig": contig, "start": start}
    return f"{contig}:{start}", features


def _write(spool: BinaryIO, codes: npt.NDArray[np.uint8]) -> None:
    """Appends letters to the spool."""
    for start in range(0, codes.size, _BLOCK):
        spool.write(encode.decode(codes[start : start + _BLOCK]))


def _longest(codes: npt.NDArray[np.uint8]) -> int:
    """Returns the length of the longest piece."""
    pieces, _ = splits.pieces(codes, min_length=1)
    return int((pieces[:, 1] - pieces[:, 0]).max())


def _all(paths: Sequence[str]) -> Iterator[tuple[reader.Record, str]]:
    """Yields every record and its name."""
    for record in reader.read(paths):
        yield record, record.name
        del record


def _nothing(
    paths: Sequence[str],
    num_records: int,
    skipped: splits.Skipped,
    min_length: int,
    longest: int,
) -> sources.DatasetError:
    """Returns the error for files without a usable base."""
    reasons = []
    if skipped.all_n:
        reasons.append(f"{skipped.all_n} all N")
    if skipped.only_short:
        reasons.append(
            f"{skipped.only_short} shorter than min_length={min_length} between long "
            f"runs of N (longest stretch: {longest} bases)"
        )
    return sources.DatasetError(
        f"{sources.shown(paths)}: nothing to build from {num_records} record"
        f"{'s' * (num_records > 1)}: {', '.join(reasons)}"
    )
