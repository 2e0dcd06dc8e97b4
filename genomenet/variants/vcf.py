"""VCF as text: what is not added stays to the byte."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final

from Bio import bgzf

from genomenet.dna import alphabet, files

_FIXED: Final = 8  # columns up to INFO
_INFO: Final = 7
_MISSING: Final = b"."
_INFO_ID: Final = re.compile(rb"##INFO=<(?:[^\"]*?,)?ID=([^,>]+)")
_NOT_ID: Final = re.compile(r"[^0-9A-Za-z_.]")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
_SYMBOLIC: Final = re.compile(r"<.*>|\*|\..*|.*\.|.*[\[\]].*")


class VariantError(ValueError):
    """A line that is no variant. One line: file, number, cause."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Site:
    """A position with its alleles.

    Attributes:
        contig: As it is written.
        position: Of the first base of `ref`, from 1.
        ref: Letters of the reference allele.
        alts: Alternative alleles: letters, or symbols as `is_symbolic` knows them.
        id: Its ID, "." where it has none.
        line: The line of the file, with its end; empty where there is none.
    """

    contig: str
    position: int
    ref: str
    alts: tuple[str, ...]
    id: str = "."
    line: bytes = b""


def is_symbolic(allele: str) -> bool:
    """Returns whether an allele is no letters: `<DEL>`, `*`, `.` or a breakend."""
    return bool(_SYMBOLIC.fullmatch(allele))


def is_vcf(path: str) -> bool:
    """Returns whether a file begins as VCF does.

    Args:
        path: The file, plain, gzip or bgzip.

    Raises:
        ValueError: If it cannot be read, is empty, or is BCF.
    """
    with files.decompressed(path) as stream:
        head = stream.readline(1 << 12).removeprefix(b"\xef\xbb\xbf")
    if not head:
        raise VariantError(f"{path}: empty file: no variants and no header")
    if head.startswith(b"BCF"):
        raise VariantError(f"{path}: a BCF file: convert it with bcftools view to VCF")
    return head.startswith((b"##fileformat=VCF", b"#CHROM\t", b"##"))


def read(path: str, on_error: Callable[[VariantError], None]) -> Iterator[bytes | Site]:
    """Reads a VCF.

    Args:
        path: The file, plain, gzip or bgzip.
        on_error: Called with what is wrong with a line, which is then left out; or it
            raises.

    Yields:
        Lines of the header and blank lines as bytes with their ends, the last of the
        header that names the columns; then sites.

    Raises:
        ValueError: If the file cannot be read, or has no line that names the columns.
    """
    num_columns = 0
    with files.decompressed(path) as stream:
        for number, line in enumerate(stream, start=1):
            if line.startswith(b"#CHROM\t") and not num_columns:
                num_columns = len(line.rstrip(b"\r\n").split(b"\t"))
                if num_columns < _FIXED:
                    raise _error(path, number, f"{num_columns} columns of {_FIXED}")
                yield line
            elif not num_columns:
                if not line.removeprefix(b"\xef\xbb\xbf").startswith(b"##"):
                    raise _error(path, number, "a line before #CHROM without ##")
                yield line
            elif line.startswith(b"#") or not line.strip():
                yield line
            else:
                try:
                    yield _parse(line, num_columns)
                except VariantError as e:
                    on_error(_error(path, number, str(e)))
    if not num_columns:
        raise VariantError(f"{path}: no line #CHROM that names the columns")


def check_alleles(ref: str, alts: Sequence[str]) -> None:
    """Refuses alleles that are neither letters nor symbols.

    Args:
        ref: Reference allele.
        alts: Alternative alleles.

    Raises:
        VariantError: With the allele.
    """
    if not _is_letters(ref):
        raise VariantError(f"REF {_short(ref)} is no sequence of nucleotides")
    for alt in alts:
        if not (_is_letters(alt) or is_symbolic(alt)):
            raise VariantError(f"ALT {_short(alt)} is no sequence of nucleotides")


def declared(line: bytes) -> str | None:
    """Returns the ID of an INFO field that a line of the header declares, or None."""
    match = _INFO_ID.match(line)
    return match[1].decode("utf-8", "surrogateescape") if match else None


def info_keys(line: bytes) -> list[str]:
    """Returns the keys of the INFO fields of a line of a site."""
    info = line.rstrip(b"\r\n").split(b"\t", _FIXED)[_INFO]
    text = info.decode("utf-8", "surrogateescape")
    return [field.partition("=")[0] for field in text.split(";")]


def info_id(name: str) -> str:
    """Returns a name as the ID of an INFO field: other characters become "_"."""
    return _NOT_ID.sub("_", name)


def declaration(
    id: str, number: str, kind: str, description: str, *, end: bytes
) -> bytes:
    """Returns the line of a header that declares an INFO field.

    Args:
        id: The ID.
        number: "A" for one value an ALT, or "1".
        kind: "Float", "String" or "Integer".
        description: One line.
        end: End of the line.
    """
    text = description.replace("\\", "\\\\").replace('"', '\\"')
    line = f'##INFO=<ID={id},Number={number},Type={kind},Description="{text}">'
    return line.encode("utf-8", "surrogateescape") + end


def end_of(line: bytes) -> bytes:
    r"""Returns how a line ends: "\n", "\r\n" or nothing."""
    return line[len(line.rstrip(b"\r\n")) :]


def add_info(line: bytes, fields: str) -> bytes:
    """Returns a line with INFO fields appended.

    Args:
        line: Of a site, with its end.
        fields: `KEY=value;KEY=value`.

    Returns:
        The line, in which all else is the same to the byte.
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
    """Opens a file for bytes.

    Args:
        path: The file.
        is_packed: Whether to compress it with bgzip, which gzip reads as well.

    Yields:
        What takes the bytes.
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
        raise VariantError(
            f"{len(columns)} columns, where the header names {num_columns}"
        )
    if not columns[0]:
        raise VariantError("CHROM is empty")
    if not _DIGITS.fullmatch(columns[1]):
        shown = _short(columns[1].decode("utf-8", "replace"))
        raise VariantError(f"POS {shown} is no position")
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


def _error(path: str, number: int, cause: str) -> VariantError:
    return VariantError(f"{path}, line {number}: {cause}")
