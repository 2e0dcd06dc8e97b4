"""Encodes sequences as codes and as one-hot arrays, and complements them.

Codes are those of `genomenet.dna.alphabet`. L is a length in bases.
"""

import itertools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet

_BLOCK: Final = 1 << 20  # bytes; a long sequence is translated in pieces of this size
_TRANSLATION: Final = alphabet.CODES.tobytes()
_ONE_HOT: Final = np.eye(alphabet.PAD + 1, alphabet.NUM_BASES)  # N and padding: zeros


def encode(
    sequence: str | bytes | npt.NDArray[np.uint8], *, name: str = "sequence"
) -> npt.NDArray[np.uint8]:
    """Reads nucleotide letters as codes.

    Case is folded, U is read as T, and IUPAC ambiguity letters and the gaps `-`
    and `.` as N.

    Args:
        sequence: Letters as text, as ASCII bytes, or as a uint8 array of ASCII
            bytes, (L,).
        name: Name of the record, for the error message.

    Returns:
        Codes, uint8, (L,). A new, writable array.

    Raises:
        ValueError: If a character is not a nucleotide letter. The message names the
            record, the character and its position, counted from 1.
        TypeError: If `sequence` is not text, bytes or a uint8 array.

    Example:
        >>> encode("acgUN-R")
        array([0, 1, 2, 3, 4, 4, 4], dtype=uint8)
    """
    if isinstance(sequence, np.ndarray) and (
        sequence.dtype != np.uint8 or sequence.ndim != 1
    ):
        raise TypeError(
            "sequence must be a uint8 array of shape (L,), "
            f"got {sequence.dtype} of shape {sequence.shape}"
        )
    codes = np.empty(len(sequence), np.uint8)
    for start in range(0, len(sequence), _BLOCK):
        block = sequence[start : start + _BLOCK]
        # "replace" writes one '?' per character, so that positions stay the same.
        raw = block.encode("ascii", "replace") if isinstance(block, str) else block
        block_codes = np.frombuffer(bytes(raw).translate(_TRANSLATION), np.uint8)
        if block_codes.max() == alphabet.INVALID:
            position = start + int(np.argmax(block_codes == alphabet.INVALID))
            raise ValueError(
                f"record {name!r}: {_shown(sequence, position)} at position "
                f"{position + 1} is not a nucleotide letter"
            )
        codes[start : start + _BLOCK] = block_codes
    return codes


def decode(codes: npt.ArrayLike) -> bytes:
    """Writes codes as upper-case letters.

    Args:
        codes: Codes, integer, (L,). Padding has no letter and is refused.

    Returns:
        L letters of `ACGTN`.

    Raises:
        ValueError: If a code has no letter.

    Example:
        >>> decode([0, 1, 2, 3, 4])
        b'ACGTN'
    """
    return alphabet.LETTERS[_checked(codes, largest=alphabet.N)].tobytes()


def one_hot(
    codes: npt.ArrayLike, dtype: npt.DTypeLike = np.float32
) -> npt.NDArray[Any]:
    """Expands codes to one channel per base.

    Args:
        codes: Codes, integer, (..., L).
        dtype: Type of the result.

    Returns:
        Array of `dtype`, (..., L, 4), channels A, C, G, T. N and padding are zero in
        all channels.

    Raises:
        ValueError: If a code is not in the alphabet.
    """
    return _ONE_HOT.astype(dtype)[_checked(codes, largest=alphabet.PAD)]


def reverse_complement(codes: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Returns the other strand, read 5'→3'.

    Args:
        codes: Codes, integer, (..., L).

    Returns:
        Codes, uint8, (..., L). Padding keeps its code and moves to the other end.

    Raises:
        ValueError: If a code is not in the alphabet.

    Example:
        >>> decode(reverse_complement(encode("AACGN")))
        b'NCGTT'
    """
    return alphabet.COMPLEMENT[_checked(codes, largest=alphabet.PAD)[..., ::-1]]


def pad(
    sequences: Sequence[npt.NDArray[np.uint8]], length: int | None = None
) -> npt.NDArray[np.uint8]:
    """Returns sequences as rows, padded on the right.

    Args:
        sequences: Codes, uint8, (L,) each, none longer than `length`.
        length: Bases of a row; by default those of the longest sequence.

    Returns:
        uint8, (N, L).
    """
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    width = int(lengths.max(initial=0)) if length is None else length
    rows = np.full((len(lengths), width), alphabet.PAD, np.uint8)
    if len(lengths):
        rows[np.arange(width) < lengths[:, None]] = np.concatenate(sequences)
    return rows


def substitutions(
    codes: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]:
    """Returns every single substitution of a sequence.

    Args:
        codes: Codes of the sequence, uint8, (L,).

    Returns:
        Positions, (M,), where the position of each A, C, G or T is repeated three
        times, and the substituted bases, uint8, (M,): the three other bases in the
        order A, C, G, T.
    """
    (positions,) = np.nonzero(codes < alphabet.NUM_BASES)
    bases = np.broadcast_to(
        np.arange(alphabet.NUM_BASES, dtype=np.uint8), (len(positions), 4)
    )
    return np.repeat(positions, 3), bases[bases != codes[positions, None]]


def substituted(
    codes: npt.NDArray[np.uint8],
    positions: npt.NDArray[np.intp],
    bases: npt.NDArray[np.uint8],
) -> npt.NDArray[np.uint8]:
    """Returns copies of a sequence with one substitution each: uint8, (M, L)."""
    rows = np.repeat(codes[None], len(positions), axis=0)
    rows[np.arange(len(positions)), positions] = bases
    return rows


def deleted(
    codes: npt.NDArray[np.uint8], positions: npt.NDArray[np.intp]
) -> npt.NDArray[np.uint8]:
    """Returns copies with one base deleted and N at the end: uint8, (M, L)."""
    longer = np.append(codes, np.uint8(alphabet.N))
    columns = np.arange(len(codes))
    return longer[columns + (columns >= positions[:, None])]


def inserted(
    codes: npt.NDArray[np.uint8],
    positions: npt.NDArray[np.intp],
    bases: npt.NDArray[np.uint8],
) -> npt.NDArray[np.uint8]:
    """Returns copies with one base inserted, cropped to L bases: uint8, (M, L).

    Args:
        codes: Codes of the sequence, uint8, (L,).
        positions: Positions of the inserted bases, (M,), 0 to L - 1.
        bases: Codes of the inserted bases, uint8, (M,).
    """
    columns = np.arange(len(codes))
    rows = codes[columns - (columns > positions[:, None])]
    rows[np.arange(len(positions)), positions] = bases
    return rows


def _shown(sequence: str | bytes | npt.NDArray[np.uint8], position: int) -> str:
    """Formats the character at a position: itself if printable, else its byte."""
    part = sequence[position : position + 4]  # one UTF-8 character has up to 4 bytes
    if isinstance(part, str):
        # Text read with "surrogateescape" holds bytes as U+DC80..U+DCFF.
        escaped = itertools.takewhile(lambda c: "\udc80" <= c <= "\udcff", part)
        raw = "".join(escaped).encode("ascii", "surrogateescape")
        if not raw:
            return repr(part[0]) if part[0].isprintable() else f"0x{ord(part[0]):02x}"
    else:
        raw = bytes(part)
    character = raw.decode("utf-8", "ignore")[:1]
    starts_here = bool(character) and raw.startswith(character.encode())
    return (
        repr(character)
        if starts_here and character.isprintable()
        else f"0x{raw[0]:02x}"
    )


def _checked(codes: npt.ArrayLike, *, largest: int) -> npt.NDArray[Any]:
    """Returns codes as an array that can index a look-up table."""
    array = np.asarray(codes)
    if not array.size:
        return array.astype(np.uint8)
    if array.dtype.kind not in "iu":
        raise ValueError(f"codes must be integers, got {array.dtype}")
    if array.max() > largest or array.min() < 0:
        wrong = array.max() if array.max() > largest else array.min()
        raise ValueError(f"codes must be in 0..{largest}, got {wrong}")
    return array
