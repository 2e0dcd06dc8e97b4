"""Text files, plain or gzip; files of other formats are rejected."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Generator, Iterator
from typing import Any, Final, TextIO, cast

from genomenet.data import sources

HEAD: Final = 1 << 16  # bytes that are inspected
MAX_LINE: Final = 1 << 25  # maximum length of a line, and so of a field

_GZIP: Final = b"\x1f\x8b"
# First bytes of files that are not text, and the error for each.
_MAGIC: Final = (
    (_GZIP, "gzip inside gzip: unpack it once"),
    (b"\xff\xfe", "UTF-16 text: save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text: save it as UTF-8"),
    (b"PK\x03\x04", "a spreadsheet or ZIP file: save it as TSV or CSV"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet of old Excel: save it as TSV or CSV"),
    (b"PAR1", "a Parquet file: save it as TSV or CSV"),
    (b"BZh", "packed with bzip2: unpack it"),
    (b"\xfd7zXZ", "packed with xz: unpack it"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it"),
)


@contextlib.contextmanager
def opened(path: str) -> Generator[TextIO]:
    """Opens a text file, decompressed if its content is gzip.

    Args:
        path: The file.

    Yields:
        A stream of its text.

    Raises:
        DatasetError: If the file cannot be opened, is not text, or is damaged; also
            later, while it is read.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(2)
    except OSError as e:
        raise sources.error(path, e.strerror or str(e)) from None
    open_file = gzip.open if head == _GZIP else open
    try:
        with open_file(path, "rb") as raw:
            stream = io.BufferedReader(cast(io.RawIOBase, raw), HEAD)
            _check_text(path, stream)
            with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
                yield text
    except UnicodeDecodeError:
        raise sources.error(path, "not a text file in UTF-8") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise sources.error(path, f"truncated or damaged gzip: {e}") from None


def lines(text: TextIO, path: str, number: int = 0) -> Iterator[str]:
    """Yields the lines of a text; their length is limited to save memory.

    Args:
        text: Stream from `opened`.
        path: The file, for errors.
        number: Number of lines that were read before.

    Yields:
        Lines with their line ends.

    Raises:
        DatasetError: If a line is longer than 32 MB.
    """
    while line := text.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise sources.error(path, f"longer than {MAX_LINE >> 20} MB", number)
        yield line


def _check_text(path: str, stream: Any) -> None:
    """Raises an error if the first bytes show that a file is not text."""
    head = stream.peek(HEAD)[:HEAD]
    for magic, cause in _MAGIC:
        if head.startswith(magic):
            raise sources.error(path, cause)
    if b"\0" in head:
        few, many = sorted(
            half.count(0) / len(head) for half in (head[::2], head[1::2])
        )
        is_wide = few < 0.1 and many > 0.3
        raise sources.error(
            path, "UTF-16 text: save it as UTF-8" if is_wide else "not a text file"
        )
