"""Published sequences, recognised by their bases under any file and record name."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.data import sources
from genomenet.dna import alphabet, encode, files, reader

_BLOCK: Final = 1 << 24  # bases hashed at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Known:
    """A published sequence, recognised by its length and, where given, its digest.

    Attributes:
        length: Its length in bases.
        md5: MD5 of its letters in upper case, as in the M5 tag of SAM files.
        max_n: Maximum share of N; more means that repeats were masked.
    """

    length: int
    md5: str | None = None
    max_n: float = 1.0


def recognised(
    paths: Sequence[str], known: Mapping[str, Known]
) -> Iterator[tuple[reader.Record, str]]:
    """Yields records with the names of known sequences, until all are read.

    A file that cannot be read raises an error only if a sequence is missing in the
    end: the file may be unrelated.

    Args:
        paths: Existing files.
        known: Name → length and digest of the sequence.

    Yields:
        A record and its name, which is empty for a record that is not known.

    Raises:
        SequenceFileError: If a record has the length but not the bases of a known
            sequence, or one is missing and a file could not be read.
        DatasetError: If one is missing.
    """
    missing = dict(known)
    unreadable: files.SequenceFileError | None = None
    num_records = 0
    for path in paths:
        try:
            for record in reader.read(path, unique=False):
                num_records += 1
                name = _name(record, missing)
                missing.pop(name, None)
                yield record, name
                if not missing:
                    return
                del record
        except files.SequenceFileError as e:
            unreadable = unreadable or e
    raise unreadable or _missing(paths, missing, num_records)


def _name(record: reader.Record, known: Mapping[str, Known]) -> str:
    """Returns the name of a known record, or ""."""
    for name, expected in known.items():
        if expected.length != record.codes.size:
            continue
        share = np.count_nonzero(record.codes == alphabet.N) / record.codes.size
        if share > expected.max_n:
            cause = f"has the length of {name}, but {share:.0%} N: masked repeats?"
        elif expected.md5 and _md5(record.codes) != expected.md5:
            cause = f"has the length of {name}, but its MD5 is not {expected.md5}"
        else:
            return name
        raise files.error(record.source, cause, record=record.name)
    return ""


def _md5(codes: npt.NDArray[np.uint8]) -> str:
    """Returns the MD5 of the letters in upper case."""
    digest = hashlib.md5(usedforsecurity=False)
    for start in range(0, codes.size, _BLOCK):
        digest.update(encode.decode(codes[start : start + _BLOCK]))
    return digest.hexdigest()


def _missing(
    paths: Sequence[str], missing: Mapping[str, Known], num_records: int
) -> sources.DatasetError:
    """Returns the error for known sequences that are missing."""
    listed = [
        f"{name} ({sequence.length:,} bases)" for name, sequence in missing.items()
    ]
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return sources.DatasetError(
        f"{sources.shown(paths)}: {', '.join(listed[:3])}{more} not among "
        f"{num_records} records: is it another assembly, or incomplete?"
    )
