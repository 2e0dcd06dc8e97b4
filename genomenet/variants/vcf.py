"""Reading and writing of VCF as text: existing bytes are kept unchanged."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final

from Bio import bgzf

from genomenet.dna import alphabet, files

_FIXED: Final = 8  # number of columns up to INFO
_INFO: Final = 7
_MISSING: Final = b"."
_INFO_ID: Final = re.compile(rb"##INFO=<(?:[^\"]*?,)?ID=([^,>]+)")
_NOT_ID: Final = re.compile(r"[^0-9A-Za-z_.]")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
_SYMBOLIC: Final = re.compile(r"<.*>|\*|\..*|.*\.|.*[\[\]].*")


class VariantError(ValueError):
    """A line is not a valid variant. The message names the file, line and cause."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Site:
    """A position with its alleles.

    Attributes:
        contig: Name of the contig, as written.
        position: Position of the first base of `ref`, 1-based.
        ref: Letters of the reference allele.
        alts: Alternative alleles: letters, or symbols, see `is_symbolic`.
        id: ID of the variant, or "." if it has none.
        line: Line of the file, with its line ending; empty if there is none.
    """

    contig: str
    position: int
    ref: str
    alts: tuple[str, ...]
    id: str = "."
    line: bytes = b""


def is_symbolic(allele: str) -> bool:
    """Returns whether an allele is a symbol: `<DEL>`, `*`, `.` or a breakend."""
    return bool(_SYMBOLIC.fullmatch(allele))


def is_vcf(path: str) -> bool:
    """Returns whether a file begins like a VCF.

    Args:
        path: The file, plain, gzip or bgzip.

    Raises:
        ValueError: If the file cannot be read, is empty, or is BCF.
    """
    with files.decompressed(path) as stream:
        head = stream.readline(1 << 12).removeprefix(b"\xef\xbb\xbf")
    if not head:
        raise VariantError(f"{path}: empty file: it has no header and no variants")
    if head.startswith(b"BCF"):
        raise VariantError(
            f"{path}: BCF is not supported: convert it to VCF with bcftools view"
        )
    return head.startswith((b"##fileformat=VCF", b"#CHROM\t", b"##"))


def read(path: str, on_error: Callable[[VariantError], None]) -> Iterator[bytes | Site]:
    """Reads a VCF.

    Args:
        path: The file, plain, gzip or bgzip.
        on_error: Called with the error of each malformed line. If it returns, the line
            is skipped; it may also raise.

    Yields:
        Header, comment and blank lines as bytes with their line endings, and sites.
        The line with the column names is the last one of the header.

    Raises:
        ValueError: If the file cannot be read, or has no line with the column names.
    """
    num_columns = 0
    with files.decompressed(path) as stream:
        for index, line in enumerate(stream, start=1):
            if line.startswith(b"#CHROM\t") and not num_columns:
                num_columns = len(line.rstrip(b"\r\n").split(b"\t"))
                if num_columns < _FIXED:
                    cause = f"{num_columns} columns; at least {_FIXED} are needed"
                    raise _error(path, index, cause)
                yield line
            elif not num_columns:
                if not line.removeprefix(b"\xef\xbb\xbf").startswith(b"##"):
                    raise _error(path, index, "lines before #CHROM must begin with ##")
                yield line
            elif line.startswith(b"#") or not line.strip():
                yield line
            else:
                try:
                    yield _parse(line, num_columns)
                except VariantError as e:
                    on_error(_error(path, index, str(e)))
    if not num_columns:
        raise VariantError(f"{path}: no line #CHROM with the column names")


def check_alleles(ref: str, alts: Sequence[str]) -> None:
    """Checks that alleles are nucleotide letters or symbols.

    Args:
        ref: Reference allele.
        alts: Alternative alleles.

    Raises:
        VariantError: If an allele is neither; the message has the allele.
    """
    if not _is_letters(ref):
        raise VariantError(f"REF {_short(ref)} is not a nucleotide sequence")
    for alt in alts:
        if not (_is_letters(alt) or is_symbolic(alt)):
            raise VariantError(f"ALT {_short(alt)} is not a nucleotide sequence")


def declared(line: bytes) -> str | None:
    """Returns the ID of the INFO field that a header line declares, or None."""
    match = _INFO_ID.match(line)
    return match[1].decode("utf-8", "surrogateescape") if match else None


def info_keys(line: bytes) -> list[str]:
    """Returns the keys of the INFO fields in the line of a site."""
    info = line.rstrip(b"\r\n").split(b"\t", _FIXED)[_INFO]
    text = info.decode("utf-8", "surrogateescape")
    return [field.partition("=")[0] for field in text.split(";")]


def info_id(name: str) -> str:
    """Returns a name as an INFO ID: characters that are not allowed become "_"."""
    return _NOT_ID.sub("_", name)


def declaration(
    id: str, number: str, kind: str, description: str, *, end: bytes
) -> bytes:
    """Returns a header line that declares an INFO field.

    Args:
        id: The ID.
        number: "A" for one value per ALT, or "1".
        kind: "Float", "String" or "Integer".
        description: Description, one line.
        end: Line ending.
    """
    text = description.replace("\\", "\\\\").replace('"', '\\"')
    line = f'##INFO=<ID={id},Number={number},Type={kind},Description="{text}">'
    return line.encode("utf-8", "surrogateescape") + end


def end_of(line: bytes) -> bytes:
    r"""Returns the ending of a line: "\n", "\r\n" or nothing."""
    return line[len(line.rstrip(b"\r\n")) :]


def add_info(line: bytes, fields: str) -> bytes:
    """Returns a line with INFO fields appended.

    Args:
        line: Line of a site, with its line ending.
        fields: Fields to append, as `KEY=value;KEY=value`.

    Returns:
        The line; all other bytes are unchanged.
    """
    columns = line[: len(line) - len(end_of(line))].split(b"\t")
    added = fields.encode("utf-8", "surrogateescape")
    before = columns[_INFO]
    if before not in (b"", _MISSING):
        added = before + (b"" if before.endswith(b";") else b";") + added
    columns[_INFO] = added
    return b"\t".join(columns) + end_of(line)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str], *, is_packed: bool) -> Generator[Any]:
    """Opens a file to write bytes.

    Args:
        path: The file.
        is_packed: Whether to compress it with bgzip, which gzip can also read.

    Yields:
        The binary file.
    """
    with open(path, "wb") as raw:
        if not is_packed:
            yield raw
            return
        writer = bgzf.BgzfWriter(fileobj=raw)
        yield writer
        writer.close()


def _parse(line: bytes, num_columns: int) -> Site:
    columns = line.rstrip(b"\r\n").split(b"\t")
    if len(columns) != num_columns:
        raise VariantError(f"{len(columns)} columns, but the header has {num_columns}")
    if not columns[0]:
        raise VariantError("CHROM is empty")
    if not _DIGITS.fullmatch(columns[1]):
        shown = _short(columns[1].decode("utf-8", "replace"))
        raise VariantError(f"POS {shown} is not a position")
    contig, _, name, ref, alts = (
        x.decode("utf-8", "surrogateescape") for x in columns[:5]
    )
    site = Site(
        contig=contig,
        position=int(columns[1]),
        ref=ref,
        alts=tuple(alts.split(",")),
        id=name,
        line=line,
    )
    check_alleles(site.ref, site.alts)
    return site


def _is_letters(allele: str) -> bool:
    return (
        allele.isascii()
        and allele.isalpha()
        and alphabet.INVALID not in alphabet.CODES[list(allele.encode())]
    )


def _short(text: str) -> str:
    return repr(text if len(text) <= 30 else f"{text[:29]}…")


def _error(path: str, index: int, cause: str) -> VariantError:
    return VariantError(f"{path}, line {index}: {cause}")
