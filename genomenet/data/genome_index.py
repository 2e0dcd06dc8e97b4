"""Sequence files → an index of usable pieces → units of splits → examples.

The files are read once. Their letters go into a spool, a file of one byte a base,
from which each split takes its chunks; so memory holds one record at most, and
standard input needs no second reading.
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
    """What is usable in sequence files.

    Attributes:
        contigs: Contigs with at least one piece.
        offsets: Where the letters of each contig begin in the spool, in bytes.
        origins: The file and the record that each contig is.
        num_records: Records in the files.
        num_bases: Their bases.
        skipped: What is left out.
        words: Sampled from the contigs, to tell which are alike.
        not_wanted: Records that are none of the known sequences asked for.
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
    """Reads sequence files once and notes what is usable.

    Args:
        paths: Files, as for `genomenet.dna.reader.read`.
        min_length: Shortest usable piece, in bases.
        known: Names and identities of the sequences to take. All others are left
            out, and each of these must be there. None takes every record.
        spool: File that receives the letters of all usable contigs.
        progress: Called with the bases of each record.

    Returns:
        The index.

    Raises:
        SequenceFileError: If a file is not usable as it is.
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
        found, left_out = contig(name, record.codes, min_length=min_length)
        if left_out != splits.Skipped():
            skipped += left_out
        if len(found.pieces):
            words.add(record.codes, sum_lengths)
            sum_lengths += found.length
            contigs.append(found)
            if spool is not None:
                offsets[name] = spool.tell()
                _write(spool, record.codes)
        elif left_out.only_short:
            longest = max(longest, _longest(record.codes))
        del record  # else it would live while the next one is read
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
    """Finds what is usable of a contig, and what recognises a copy of it.

    Args:
        name: Of the contig.
        codes: Codes of `genomenet.dna.alphabet`, uint8, (L,).
        min_length: Shortest usable piece, in bases.

    Returns:
        The contig, perhaps without a piece, and the count of what was left out.
    """
    pieces, left_out = splits.pieces(codes, min_length=min_length)
    digest, is_reverse = b"", False
    if len(pieces):
        digest, is_reverse = sketch.canonical(codes[pieces[0, 0] : pieces[-1, 1]])
    found = splits.Contig(
        name=name,
        length=codes.size,
        pieces=pieces,
        digest=digest,
        is_reverse=is_reverse,
    )
    return found, left_out


def plan(
    contigs: Sequence[splits.Contig],
    *,
    shares: Mapping[str, float],
    chunk_length: int,
    min_length: int,
    seed: int,
) -> dict[str, list[splits.Unit]]:
    """Deals the units of contigs to splits, those of identical contigs to one.

    Args:
        contigs: Contigs with at least one piece.
        shares: Share of each split.
        chunk_length: Bases in a chunk.
        min_length: Shortest usable piece, in bases.
        seed: Of the splits.

    Returns:
        Units of each split.

    Raises:
        DatasetError: If there are fewer units than splits. The message says which
            options would do.
    """
    contigs, copies = leakage.merged(contigs)
    units = splits.units(contigs, chunk_length=chunk_length, min_length=min_length)
    if len(units) >= len(shares):
        dealt = splits.assign(units, shares, seed=seed)
        return {split: leakage.spread(part, copies) for split, part in dealt.items()}
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
        f"chunk_length={chunk_length} they make {len(units)} unit"
        f"{'s' * (len(units) > 1)} that may not be divided; use {advice}"
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
    """Yields the chunks of units, taken from the spool.

    Args:
        units: Units of one split.
        offsets: Where the letters of each contig begin.
        spool: File of letters.
        chunk_length: Bases in a chunk.
        min_length: Shortest remainder that stands alone, in bases.
        progress: Called with the bases of each chunk.

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
    """Yields the chunks of units, read from a sequence file anew.

    Args:
        path: A sequence file.
        units: Name of a record in this file → its units in one split.
        chunk_length: Bases in a chunk.
        min_length: Shortest remainder that stands alone, in bases.

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
    """Yields start and end of the chunks of a unit, in its contig."""
    for first, last in unit.pieces.tolist():
        cuts = splits.chunks(
            last - first, chunk_length=chunk_length, min_length=min_length
        )
        yield from map(tuple, (cuts + first).tolist())


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
