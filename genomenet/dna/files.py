"""Finds and opens sequence files and recognises their formats by content.

`genomenet.dna.reader` turns the opened files into records. The names and extensions
of files are ignored.
"""

import contextlib
import glob
import gzip
import io
import os
import re
import sys
import zlib
from collections.abc import Generator, Sequence
from typing import BinaryIO, Final, TextIO, cast

STDIN: Final = "-"
FASTA: Final = "FASTA"
FASTQ: Final = "FASTQ"
GENBANK: Final = "GenBank"
EMBL: Final = "EMBL"
TWO_BIT: Final = "2bit"
BANNER: Final = "Genetic Sequence Data Bank"  # first line of GenBank release files

_EXPECTED: Final = "expected FASTA, FASTQ, GenBank, EMBL or 2bit, plain or gzip"
_GZIP: Final = b"\x1f\x8b"
_TWO_BIT: Final = (b"\x1a\x41\x27\x43", b"\x43\x27\x41\x1a")  # either byte order
_BOM: Final = b"\xef\xbb\xbf"
_HEAD: Final = 1 << 16  # bytes read to recognise a format

# A bgzip file is a chain of gzip members and ends in this empty one (SAM/BAM
# specification, section 4.1.2). If the file is truncated between two members, only
# the absence of this one shows it.
_BGZF_END: Final = bytes.fromhex(
    "1f8b08040000000000ff0600424302001b0003000000000000000000"
)

# Other files that are given by mistake: first bytes → description.
_OTHERS: Final = (
    (b"BZh", "a bzip2 file: decompress it, or compress with gzip instead"),
    (b"\xfd7zXZ\0", "an xz file: decompress it, or compress with gzip instead"),
    (b"\x28\xb5\x2f\xfd", "a zstd file: decompress it, or compress with gzip instead"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"PK\x05\x06", "a zip archive: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (_GZIP, "gzip inside gzip: decompress it once"),
    (b"BAM\x01", "a BAM file of alignments"),
    (b"CRAM", "a CRAM file of alignments"),
    (b"@", "a SAM file of alignments"),
    (b"##gff", "a GFF file of annotations"),
    (b"##fileformat=VCF", "a VCF file of variants"),
    (b"<", "a web page or XML, perhaps a failed download"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself"),
    (b"\xff\xfe", "UTF-16 text: save it as plain text"),
    (b"\xfe\xff", "UTF-16 text: save it as plain text"),
    (b"\x89HDF", "an HDF5 file"),
)
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_SEPARATOR: Final = re.compile(rb"[\x1c-\x1f]")


class SequenceFileError(ValueError):
    """A sequence file is not usable. The message is one line: file, record, cause."""


def error(source: str, cause: str, *, record: str | None = None) -> SequenceFileError:
    """Returns the error for a file.

    Args:
        source: The file as the user wrote it.
        cause: What is wrong, in the user's words.
        record: Name of the record, if any.

    Returns:
        The error. Its message is one line, with control characters escaped.
    """
    named = f"record {record!r}: " if record else ""
    line = " ".join(f"{source}: {named}{cause}".splitlines())
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return SequenceFileError(shown)


def expand(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> list[str]:
    """Expands patterns and checks that every file exists.

    Args:
        paths: Files, patterns such as `genomes/*.fa.gz` (`**` for any depth), or `-`
            for standard input. An existing file whose name looks like a pattern is read
            as that file.

    Returns:
        Files in the given order; the matches of one pattern are sorted.

    Raises:
        SequenceFileError: If a file does not exist, is a directory, or a pattern
            matches nothing.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    files: list[str] = []
    for path in [os.fspath(path) for path in paths]:
        if path == STDIN or os.path.exists(path):
            files.append(path)
        elif matches := sorted(glob.glob(path, recursive=True)):
            files.extend(matches)
        elif glob.has_magic(path):
            raise error(path, "no file matches this pattern")
        else:
            raise error(path or "''", "no such file")
    if not files:
        raise SequenceFileError("no sequence files were given")
    for path in files:
        if os.path.isdir(path):
            raise error(path, f"is a directory; name its files: {path.rstrip('/')}/*")
    return files


def shown(path: str) -> str:
    """Returns the name of a file as messages show it."""
    return "<stdin>" if path == STDIN else path


@contextlib.contextmanager
def opened(path: str) -> Generator[tuple[str, TextIO]]:
    """Opens a file, decompresses it if needed, and recognises its format.

    Args:
        path: File, or `-` for standard input, which need not be seekable.

    Yields:
        The format and a stream of its text. All kinds of line endings are read as
        newlines, and bytes that are not ASCII as "surrogateescape" characters. A 2bit
        file is binary: read it by its path.

    Raises:
        SequenceFileError: If the file cannot be opened, read or recognised, also
            while the stream is being read.
    """
    source = shown(path)
    with contextlib.ExitStack() as stack:
        stream = _Stream(_binary(path, stack), source)
        is_gzip = stream.peek(2) == _GZIP
        if is_gzip:
            stream = _GzipStream(stream, source)
        kind = _recognise(stream, source)
        if kind == TWO_BIT and (is_gzip or path == STDIN or not os.path.isfile(path)):
            raise error(source, "2bit must be a plain file, not gzip and not a pipe")
        yield kind, io.TextIOWrapper(cast(BinaryIO, stream), "ascii", "surrogateescape")


@contextlib.contextmanager
def decompressed(path: str) -> Generator[BinaryIO]:
    """Opens a file of any format and decompresses gzip and bgzip.

    Args:
        path: File, or `-` for standard input.

    Yields:
        A stream of its bytes, unchanged.

    Raises:
        SequenceFileError: If the file cannot be opened or read, also while the stream
            is being read.
    """
    source = shown(path)
    with contextlib.ExitStack() as stack:
        stream = _Stream(_binary(path, stack), source)
        if stream.peek(2) == _GZIP:
            stream = _GzipStream(stream, source)
        yield cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, stream), _HEAD))


class _Stream(io.BufferedIOBase):
    """A forward-only byte stream with `peek`, whose errors name the file."""

    def __init__(self, file: BinaryIO, source: str) -> None:
        self._file = file
        self._source = source
        self._ahead = b""
        self.last = b""  # the latest 28 bytes that were read

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Returns the next bytes, fewer than `size` only at the end."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(_HEAD), b""))
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        if len(data) < size:
            data += self._fetch(size - len(data))
        self.last = (self.last + data[-len(_BGZF_END) :])[-len(_BGZF_END) :]
        return data

    def read1(self, size: int = -1, /) -> bytes:
        """Returns the next bytes for a text stream, with separators marked."""
        data = self.read(size)
        # Python's str.rstrip, and so Biopython, treats these four control characters as
        # white space and would drop them at the end of a line. Another wrong byte
        # after them keeps them, so that they are reported.
        if any(byte in data for byte in b"\x1c\x1d\x1e\x1f"):
            data = _SEPARATOR.sub(rb"\g<0>\0", data)
        return data

    def peek(self, size: int) -> bytes:
        """Returns up to `size` next bytes without consuming them."""
        if len(self._ahead) < size:
            self._ahead += self._fetch(size - len(self._ahead))
        return self._ahead[:size]

    def _fetch(self, size: int) -> bytes:
        """Reads from the file."""
        try:
            return self._file.read(size)
        except OSError as e:
            raise error(self._source, e.strerror or str(e)) from None


class _GzipStream(_Stream):
    """The decompressed bytes of a gzip or bgzip stream."""

    def __init__(self, packed: _Stream, source: str) -> None:
        self._packed = packed
        # Field "BC" of the extra header marks bgzip.
        self._is_bgzf = packed.peek(16)[12:14] == b"BC"
        super().__init__(cast(BinaryIO, gzip.GzipFile(fileobj=packed)), source)

    def _fetch(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except EOFError:
            raise self._truncated() from None
        except (gzip.BadGzipFile, zlib.error) as e:
            raise error(self._source, f"damaged gzip file ({e})") from None
        if len(data) < size and self._is_bgzf and self._packed.last != _BGZF_END:
            raise self._truncated()
        return data

    def _truncated(self) -> SequenceFileError:
        return error(self._source, "truncated gzip file: copy or download it again")


def _binary(path: str, stack: contextlib.ExitStack) -> BinaryIO:
    """Opens a file for as long as the stack lives; standard input stays open."""
    if path == STDIN:
        if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise error(shown(path), "there is no standard input")
        return sys.stdin.buffer
    try:
        return stack.enter_context(open(path, "rb"))
    except PermissionError:
        raise error(path, "no permission to read it") from None
    except OSError as e:
        raise error(path, e.strerror or str(e)) from None


def _recognise(stream: _Stream, source: str) -> str:
    """Returns the format, read after any byte order mark and blank lines."""
    if not stream.peek(1):
        is_gzip = isinstance(stream, _GzipStream)
        raise error(source, "empty file" + " inside gzip" * is_gzip)
    if stream.peek(3) == _BOM:
        stream.read(3)
    while head := stream.peek(_HEAD):
        letters = head.lstrip()
        stream.read(len(head) - len(letters))
        if letters:
            break
    if not head:
        raise error(source, "empty file: nothing but blank lines")
    head = stream.peek(_HEAD)
    if head.startswith(b">"):
        return FASTA
    if head.startswith(b"@") and not re.match(rb"@(HD|SQ|RG|PG|CO)\t", head):
        return FASTQ
    if head.startswith(_TWO_BIT):
        return TWO_BIT
    if re.match(rb"LOCUS\s", head) or BANNER.encode() in head.splitlines()[0]:
        return GENBANK
    if re.match(rb"ID\s", head):
        return EMBL
    raise error(source, _mistaken(head))


def _mistaken(head: bytes) -> str:
    """Describes a file that has none of the known formats."""
    for start, name in _OTHERS:
        if head.startswith(start):
            return f"not a sequence file but {name} ({_EXPECTED})"
    if head[257:262] == b"ustar":
        return f"not a sequence file but a tar archive: unpack it first ({_EXPECTED})"
    if _CONTROL.search(head):
        return f"not a sequence file: binary data ({_EXPECTED})"
    start = ascii(head[:30].splitlines()[0].decode("utf-8", "replace"))
    if re.search(rb"[\r\n]>", head):
        return f"text before the first '>' header: {start}"
    if re.fullmatch(rb"[ACGTUNacgtun\s]+", head):
        return f"a sequence without a '>' header: {start}"
    return f"not a sequence file: it starts with {start} ({_EXPECTED})"
