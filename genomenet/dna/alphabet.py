"""Codes of the DNA alphabet and the look-up tables that apply them.

Bases are stored as uint8 codes: A 0, C 1, G 2, T 3, N 4 and padding 5. Every
table here is read-only and indexed by a byte or by a code.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

A: Final = 0
C: Final = 1
G: Final = 2
T: Final = 3
N: Final = 4
PAD: Final = 5

NUM_BASES: Final = 4
"""Number of codes that name one base: A, C, G and T."""

INVALID: Final = 255
"""Entry of `CODES` for a byte that is not a nucleotide letter."""

AMBIGUOUS: Final = b"NRYSWKMBDHV"
"""IUPAC letters that name more than one base. All are read as N."""

GAPS: Final = b"-."
"""Gap symbols of alignments. Both are read as N."""


def _codes() -> npt.NDArray[np.uint8]:
    """Builds the byte → code table, for both cases and with U read as T."""
    table = np.full(256, INVALID, np.uint8)
    for letters, code in ((b"A", A), (b"C", C), (b"G", G), (b"TU", T), (AMBIGUOUS, N)):
        for letter in letters + letters.lower():
            table[letter] = code
    for symbol in GAPS:
        table[symbol] = N
    table.flags.writeable = False
    return table


def _frozen(values: bytes) -> npt.NDArray[np.uint8]:
    """Views bytes as a table; an array over bytes is read-only."""
    return np.frombuffer(values, np.uint8)


CODES: Final[npt.NDArray[np.uint8]] = _codes()
"""Byte → code, uint8, (256,). `INVALID` where the byte is not a nucleotide."""

LETTERS: Final[npt.NDArray[np.uint8]] = _frozen(b"ACGTN")
"""Code → upper-case letter, uint8, (5,). Padding has no letter."""

COMPLEMENT: Final[npt.NDArray[np.uint8]] = _frozen(bytes([T, G, C, A, N, PAD]))
"""Code → code of the complementary base, uint8, (6,). N and padding stay."""
