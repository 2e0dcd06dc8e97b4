"""Sequence files → checked, normalised records, one at a time.

FASTA, FASTQ, GenBank, EMBL and 2bit, plain or compressed with gzip or bgzip, recognised
by content. Biopython parses; this module checks what it lets pass.
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

# Biopython's signatures are typed in part only.
_parse_fasta = cast(
    Callable[[TextIO], Iterator[tuple[str, str]]],
    FastaIO.SimpleFastaParser,  # pyright: ignore[reportUnknownMemberType]
)

_parse_fastq = cast(
    Callable[[TextIO], Iterator[tuple[str, str, str]]],
    QualityIO.FastqGeneralIterator,  # pyright: ignore[reportUnknownMemberType]
)

_BLOCK: Final = 1 << 20  # letters counted at once
_BLANKS: Final = ("\t", "\v", "\f")  # Biopython removes spaces and line ends only
# Letters of proteins that are not nucleotide codes, and all letters of proteins.
_PROTEIN_ONLY: Final = list(b"EFILPQZJO*")
_PROTEIN: Final = list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ*-.")
_LENGTH: Final = re.compile(r"\b(\d+)\s+(bp|aa)\b", re.IGNORECASE)
_NO_SEQUENCE: Final = "no sequence in this record: get it with sequence"
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


def read(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    unique: bool = True,
    on_error: Callable[[SequenceFileError], None] | None = None,
) -> Iterator[Record]:
    """Reads sequence files, one record in memory at a time.

    Nothing is opened before the first record is asked for; then all files must be
    there.

    Args:
        paths: Files, patterns such as `genomes/*.fa.gz`, or `-` for standard input.
            Files come in the given order, those of one pattern sorted.
        unique: Whether a name that was used before, in any of the files, is an error;
            but not of reads (FASTQ), which are too many to remember.
        on_error: Called with what is wrong with a record, which is then left out,
            instead of raising it. What makes a file unreadable is raised anyway.

    Yields:
        Records in file order.

    Raises:
        SequenceFileError: If a file is not usable as it is. The message is one line
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
            del codes  # else it would live while the next record is read


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
    """Says in one line that a record does not fit in memory."""
    try:
        yield
    except MemoryError:
        cause = "a record is too large for the memory: cut it, or use a larger machine"
        raise files.error(source, cause) from None


def _codes(letters: str | bytes, name: str, source: str) -> npt.NDArray[np.uint8]:
    """Encodes a sequence, and tells a protein from a wrong character."""
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
    # A lone wrong letter in DNA is a wrong letter; of a protein's letters some three
    # in four are none of A, C, G, T and N. X alone also masks DNA.
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
    """Yields (name, letters) of the headers and letters of a FASTA or FASTQ stream."""
    numbers = itertools.count(1)  # no enumerate: it keeps its last item alive
    for title, letters in records:
        number = next(numbers)
        words = title.encode("ascii", "surrogateescape").split(None, 1)
        if not words:
            cause = f"header {number} has no name after its '{mark}'"
            on_error(files.error(source, cause))
            continue
        name = words[0].decode("utf-8", "replace")
        if not name.isprintable():
            cause = f"header {number} has an unreadable name {name!a}"
            on_error(files.error(source, cause))
            continue
        for blank in _BLANKS:
            letters = letters.replace(blank, "")
        yield name, letters
        del letters


def _reads(text: TextIO, source: str) -> Iterator[tuple[str, str]]:
    """Yields (header, letters) of a FASTQ stream; the qualities are not looked at.

    Both reads of a pair have one name in files of today, "r1 1:N:0" and "r1 2:N:0":
    here they are r1/1 and r1/2, as they were in older ones.
    """
    last = "the first read"
    try:
        for title, letters, _ in _parse_fastq(text):
            name, _, rest = title.partition(" ")
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
    parse = cast(Callable[..., Any], scanner.parse)  # pyright: ignore[reportUnknownMemberType]
    while True:
        try:
            with warnings.catch_warnings():
                # Biopython warns where a file is cut or has an odd header. What
                # matters to a sequence is checked here instead.
                warnings.simplefilter("ignore")
                record = parse(lines, do_features=False)
        except (SequenceFileError, MemoryError):
            raise
        except Exception as e:  # whatever the parser trips over is a broken record
            if lines.has_ended:
                raise lines.truncated() from None
            if not lines.is_inside and not lines.has_sequence:  # closed by "//"
                on_error(files.error(source, _NO_SEQUENCE, record=lines.name))
                continue
            cause = f"not readable as {kind}: {str(e) or type(e).__name__}"
            raise files.error(source, cause, record=lines.name) from None
        if record is None:
            if not lines.name:
                raise files.error(source, f"no record in this {kind} file")
            return
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
            raise files.error(source, f"{cause}: cut or damaged?", record=name)
        del record
        yield name, letters
        del letters


class _FlatLines:
    """Lines of a flat file, which note what Biopython lets pass in silence.

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
        self.has_sequence = False  # whether its part for the sequence has begun
        self.length: int | None = None  # bases, as the record's first line says
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
        """Notes a record's first line."""
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
                letters = bytes(record.seq)  # read from the file only now
                yield record.id, letters
                del letters
        except (ValueError, OSError, struct.error) as e:
            raise files.error(source, f"not readable as 2bit: {e}") from None


def _check_two_bit(file: BinaryIO) -> None:
    """Checks that all parts of a 2bit file lie inside it; Biopython does not.

    Layout: four words (signature, version, count, zero); the index, an entry a record
    (length of the name, name, offset); at each offset the number of bases, the runs
    of N and of lower case (count, starts, sizes), zero, and four bases a byte.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    order = "<" if file.read(4) == b"\x43\x27\x41\x1a" else ">"

    def words(count: int) -> npt.NDArray[np.uint32]:
        if file.tell() + 4 * count > size:
            raise ValueError("truncated: a part of it lies past its end")
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
            raise ValueError(f"the name {name.decode('latin-1')!a} is there twice")
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
            raise ValueError("truncated: a part of it lies past its end")
        parts.append((offset, end, name))
    parts.sort()
    for (_, end, name), (start, _, other) in itertools.pairwise(parts):
        if start < end:
            raise ValueError(f"damaged: {name!a} and {other!a} share bytes")
