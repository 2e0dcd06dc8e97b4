"""Reads sequence files as checked, normalised records, one at a time.

FASTA, FASTQ, GenBank, EMBL and 2bit, plain or compressed with gzip or bgzip, are
recognised by content. Biopython parses them; this module adds the checks that it lacks.
"""

import contextlib
import dataclasses
import itertools
import os
import re
import struct
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, BinaryIO, Final, TextIO, cast

import numpy as np
import numpy.typing as npt
from Bio.GenBank import Scanner
from Bio.SeqIO import FastaIO, QualityIO, TwoBitIO

from genomenet.dna import encode, files

SequenceFileError = files.SequenceFileError
expand = files.expand

# Biopython's signatures are only partly typed.
_parse_fasta = cast(
    Callable[[TextIO], Iterator[tuple[str, str]]],
    FastaIO.SimpleFastaParser,  # pyright: ignore[reportUnknownMemberType]
)

_parse_fastq = cast(
    Callable[[TextIO], Iterator[tuple[str, str, str]]],
    QualityIO.FastqGeneralIterator,  # pyright: ignore[reportUnknownMemberType]
)

_SHOWN: Final = 20  # bases in the text of a record
_BLOCK: Final = 1 << 20  # letters counted at once
_BLANKS: Final = ("\t", "\v", "\f")  # Biopython removes spaces and line ends only
# Letters of proteins that are not nucleotide codes, and all letters of proteins.
_PROTEIN_ONLY: Final = list(b"EFILPQZJO*")
_PROTEIN: Final = list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ*-.")
_LENGTH: Final = re.compile(r"\b(\d+)\s+(bp|aa)\b", re.IGNORECASE)
_NO_SEQUENCE: Final = "no sequence in this record: download it with its sequence"
_NAMELESS: Final = frozenset(("", ".", "<unknown id>", "unknown"))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """One sequence of a file.

    Attributes:
        name: First word of its header, or its accession with version.
        codes: Its bases as codes of `genomenet.dna.alphabet`, uint8, (L,), L ≥ 1.
        source: File it came from, as the user wrote it.
    """

    name: str
    codes: npt.NDArray[np.uint8]
    source: str

    def __repr__(self) -> str:
        bases = encode.decode(self.codes[:_SHOWN]).decode()
        bases += "…" * (self.codes.size > _SHOWN)
        return f"Record({self.name!r}, {self.codes.size:,} bases: {bases})"


def read(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    unique: bool = True,
    on_error: Callable[[SequenceFileError], None] | None = None,
) -> Iterator[Record]:
    """Reads sequence files, one record in memory at a time.

    No file is opened before the first record is requested. All files must exist at
    that time.

    Args:
        paths: Files, patterns such as `genomes/*.fa.gz`, or `-` for standard input.
            Files are read in the given order; the matches of a pattern are sorted.
        unique: Whether a name that occurs twice, in any of the files, is an error.
            Names of reads (FASTQ) are too many to remember and are not checked.
        on_error: Called with the error of a record, which is then skipped, instead of
            raising it. Errors that make a file unreadable are always raised.

    Yields:
        Records in file order.

    Raises:
        SequenceFileError: If a file is not usable. The message is one line
            with the file, the record and the cause.

    Example:
        >>> for record in read(["a.fa.gz", "more/*.gb"]):  # doctest: +SKIP
        ...     print(record.name, record.codes.size)
    """
    used: dict[str, str] = {}
    for path in expand(paths):
        source = files.shown(path)
        for name, codes, is_read in _sequences(path, source, on_error or _refuse):
            is_unique = unique and not is_read
            if is_unique and name in used:
                cause = f"this name was used before, in {used[name]}"
                (on_error or _refuse)(files.error(source, cause, record=name))
                continue
            if is_unique:
                used[name] = source
            yield Record(name=name, codes=codes, source=source)
            del codes  # else it stays in memory while the next record is read


def _refuse(error: SequenceFileError) -> None:
    """Raises an error."""
    raise error


def _sequences(
    path: str, source: str, on_error: Callable[[SequenceFileError], None]
) -> Iterator[tuple[str, npt.NDArray[np.uint8], bool]]:
    """Yields (name, codes, whether it is a read) of one file."""
    with files.opened(path) as (kind, text), _enough_memory(source):
        if kind == files.FASTA:
            named = _named(_parse_fasta(text), source, on_error, ">")
        elif kind == files.FASTQ:
            named = _named(_reads(text, source), source, on_error, "@")
        elif kind == files.TWO_BIT:
            named = _two_bit(path, source)
        else:
            named = _flat(text, source, kind, on_error)
        for name, letters in named:
            if not letters:
                is_flat = kind in (files.GENBANK, files.EMBL)
                cause = _NO_SEQUENCE if is_flat else "header without sequence"
                cause = "a read without bases" if kind == files.FASTQ else cause
                on_error(files.error(source, cause, record=name))
                continue
            try:
                codes = _codes(letters, name, source)
            except SequenceFileError as e:
                on_error(e)
                continue
            del letters
            yield name, codes, kind == files.FASTQ
            del codes


@contextlib.contextmanager
def _enough_memory(source: str) -> Generator[None]:
    """Reports in one line that a record does not fit in memory."""
    try:
        yield
    except MemoryError:
        cause = "a record is too large for the memory: split it or use more memory"
        raise files.error(source, cause) from None


def _codes(letters: str | bytes, name: str, source: str) -> npt.NDArray[np.uint8]:
    """Encodes a sequence; distinguishes a protein from a wrong character."""
    try:
        return encode.encode(letters, name=name)
    except ValueError as e:
        cause = str(e)
    counts = np.zeros(256, np.int64)
    for start in range(0, len(letters), _BLOCK):  # bincount takes 8 bytes a letter
        block = letters[start : start + _BLOCK]
        raw = block.encode("ascii", "replace") if isinstance(block, str) else block
        counts += np.bincount(np.frombuffer(raw.upper(), np.uint8), minlength=256)
    is_letter = not np.any(np.delete(counts, _PROTEIN))
    # A single wrong letter in DNA is a wrong letter. In a protein, about three letters
    # in four are not A, C, G, T or N. X alone also masks DNA.
    unclear = counts[_PROTEIN].sum() - counts[list(b"ACGTUNX-.")].sum()
    if is_letter and counts[_PROTEIN_ONLY].any() and unclear > 0.4 * len(letters):
        raise files.error(source, "looks like protein, not DNA or RNA", record=name)
    raise files.error(source, cause)


def _named(
    records: Iterator[tuple[str, str]],
    source: str,
    on_error: Callable[[SequenceFileError], None],
    mark: str,
) -> Iterator[tuple[str, str]]:
    """Yields (name, letters) for each record of a FASTA or FASTQ stream."""
    counter = itertools.count(1)  # enumerate would keep its last item alive
    for title, letters in records:
        index = next(counter)
        words = title.encode("ascii", "surrogateescape").split(None, 1)
        if not words:
            cause = f"header {index} has no name after its '{mark}'"
            on_error(files.error(source, cause))
            continue
        name = words[0].decode("utf-8", "replace")
        if not name:
            on_error(files.error(source, "a record has no name"))
            continue
        if not name.isprintable():
            cause = f"header {index} has an unreadable name {name!a}"
            on_error(files.error(source, cause))
            continue
        for blank in _BLANKS:
            letters = letters.replace(blank, "")
        yield name, letters
        del letters


def _reads(text: TextIO, source: str) -> Iterator[tuple[str, str]]:
    """Yields (header, letters) of a FASTQ stream; qualities are ignored.

    In current files both reads of a pair have the same name, "r1 1:N:0" and
    "r1 2:N:0". They become r1/1 and r1/2, as in older files.
    """
    last = "the first read"
    try:
        for title, letters, _ in _parse_fastq(text):
            name, rest = (*title.split(None, 1), "", "")[:2]
            if rest[:2] in ("1:", "2:") and not name.endswith(("/1", "/2")):
                title = f"{name}/{rest[0]}"
            last = f"the read after {name!a}"
            yield title, letters
    except SequenceFileError:
        raise
    except ValueError as e:
        cause = f"{last} is not readable as FASTQ: {e}"
        raise files.error(source, cause) from None


def _flat(
    text: TextIO,
    source: str,
    kind: str,
    on_error: Callable[[SequenceFileError], None],
) -> Iterator[tuple[str, bytes]]:
    """Yields (name, letters) of a GenBank or EMBL stream."""
    scanner = (
        Scanner.GenBankScanner() if kind == files.GENBANK else Scanner.EmblScanner()
    )
    lines = _FlatLines(text, source, kind, start=scanner.RECORD_START)
    has_records = False
    parse = cast(Callable[..., Any], scanner.parse)  # pyright: ignore[reportUnknownMemberType]
    while True:
        try:
            with warnings.catch_warnings():
                # Biopython warns about truncated files and odd headers. What matters
                # for a sequence is checked here instead.
                warnings.simplefilter("ignore")
                record = parse(lines, do_features=False)
        except (SequenceFileError, MemoryError):
            raise
        except Exception as e:  # any error of the parser means a broken record
            if lines.has_ended:
                raise lines.truncated() from None
            if not lines.is_inside and not lines.has_sequence:  # closed by "//"
                on_error(files.error(source, _NO_SEQUENCE, record=lines.name))
                continue
            cause = f"not readable as {kind}: {str(e) or type(e).__name__}"
            raise files.error(source, cause, record=lines.name) from None
        if record is None:
            if not has_records:
                raise files.error(source, f"no record in this {kind} file")
            return
        has_records = True
        if lines.is_inside:
            raise lines.truncated()
        name = lines.name if record.id in _NAMELESS else record.id
        if not name.isprintable():
            cause = f"a record has an unreadable name {name!a}"
            on_error(files.error(source, cause))
            continue
        try:
            letters = bytes(record.seq)
        except ValueError:  # UndefinedSequenceError
            on_error(files.error(source, _NO_SEQUENCE, record=name))
            continue
        if letters and lines.length not in (None, len(letters)):
            cause = f"its first line says {lines.length} bases, it has {len(letters)}"
            raise files.error(source, f"{cause}: truncated or damaged?", record=name)
        del record
        yield name, letters
        del letters


class _FlatLines:
    """Reads lines of a flat file and tracks what Biopython silently accepts.

    That is text between two records, and a last record that is not closed by `//`.
    """

    def __init__(self, text: TextIO, source: str, kind: str, *, start: str) -> None:
        self._text = text
        self._source = source
        self._kind = kind
        self._start = start
        self.is_inside = False
        self.has_ended = False
        self.name = ""
        self.has_sequence = False  # whether the sequence of the record has begun
        self.length: int | None = None  # bases, as its first line says
        self._in_banner = False

    def readline(self) -> str:
        """Returns the next line, empty at the end."""
        line = self._text.readline()
        self.has_ended = not line.endswith("\n")
        if not line.strip():
            return line
        if line.startswith(self._start):
            self._begin(line)
        elif line.rstrip() == "//":
            self.is_inside = False
        elif not self.is_inside:
            # A GenBank release file opens with a banner, and only there.
            self._in_banner |= not self.name and files.BANNER in line
            if not self._in_banner:
                cause = f"text before {self._start!r}: {line.rstrip()[:30]!a}"
                raise files.error(self._source, cause)
        else:
            self.has_sequence |= line.startswith(("ORIGIN", "SQ "))
        return line

    def truncated(self) -> SequenceFileError:
        """Returns the error for a file that ends too early."""
        cause = f"truncated {self._kind} file? This record is not closed by '//'"
        return files.error(self._source, cause, record=self.name)

    def _begin(self, line: str) -> None:
        """Processes the first line of a record."""
        if self.is_inside:
            raise self.truncated()
        self.is_inside = True
        self._in_banner = False
        self.has_sequence = False
        words = line[len(self._start) :].split()
        self.name = words[0].rstrip(";") if words else ""
        stated = _LENGTH.search(line)
        self.length = int(stated[1]) if stated else None
        if stated and stated[2].lower() == "aa":
            cause = "looks like protein (its length is in aa), not DNA or RNA"
            raise files.error(self._source, cause, record=self.name)


def _two_bit(path: str, source: str) -> Iterator[tuple[str, bytes]]:
    """Yields (name, letters) of a 2bit file."""
    with open(path, "rb") as file:
        try:
            _check_two_bit(file)
            file.seek(0)
            for record in cast(Iterator[Any], TwoBitIO.TwoBitIterator(file)):
                letters = bytes(record.seq)  # this reads them from the file
                yield record.id, letters
                del letters
        except (ValueError, OSError, struct.error) as e:
            raise files.error(source, f"not readable as 2bit: {e}") from None


def _check_two_bit(file: BinaryIO) -> None:
    """Checks that all parts of a 2bit file lie inside it; Biopython does not.

    Layout: four words (signature, version, count, zero); the index, one entry per
    record (length of the name, name, offset); at each offset the number of bases, the
    runs of N and of lower case (count, starts, sizes), zero, and four bases per byte.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    order = "<" if file.read(4) == b"\x43\x27\x41\x1a" else ">"

    def words(count: int) -> npt.NDArray[np.uint32]:
        if file.tell() + 4 * count > size:
            raise ValueError("truncated: the file ends before its data")
        return np.frombuffer(file.read(4 * count), f"{order}u4")

    version, count, _ = words(3)
    if version != 0:
        raise ValueError(f"version {version}; only version 0 is known")
    if count == 0:
        raise ValueError("it holds no sequence")
    offsets: dict[bytes, int] = {}
    parts: list[tuple[int, int, str]] = []  # first byte, one past the last, name
    for _ in range(count):
        name = file.read(file.read(1)[0] if file.tell() < size else 0)
        if not (name.isascii() and name.decode().isprintable()):
            raise ValueError(f"unreadable name {name.decode('latin-1')!a}")
        if name in offsets:
            raise ValueError(f"the name {name.decode('latin-1')!a} occurs twice")
        offsets[name] = int(words(1)[0])
    end_of_index = file.tell()
    for key, offset in offsets.items():
        name = key.decode("latin-1")
        if offset < end_of_index:
            raise ValueError(f"damaged: {name!a} lies inside the index")
        file.seek(offset)
        length = int(words(1)[0])
        for _ in ("N", "lower case"):
            runs = int(words(1)[0])
            starts, sizes = words(runs).astype(np.int64), words(runs)
            if runs and (starts + sizes).max() > length:
                raise ValueError(f"damaged: a run in {name!a} is too long")
            if sizes.sum(dtype=np.int64) > length:
                raise ValueError(f"damaged: runs in {name!a} overlap")
        words(1)
        end = file.tell() + (length + 3) // 4
        if end > size:
            raise ValueError("truncated: the file ends before its data")
        parts.append((offset, end, name))
    parts.sort()
    for (_, end, name), (start, _, other) in itertools.pairwise(parts):
        if start < end:
            raise ValueError(f"damaged: {name!a} and {other!a} share bytes")
