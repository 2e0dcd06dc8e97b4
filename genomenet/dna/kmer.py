"""The vocabulary of overlapping k-mers, in DNABERT's order."""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet

PAD_ID: Final = 0
UNK_ID: Final = 1
CLS_ID: Final = 2
SEP_ID: Final = 3
MASK_ID: Final = 4

SPECIALS: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""The tokens before the k-mers, in id order."""

NUM_SPECIAL: Final = len(SPECIALS)
"""The id of the first k-mer, which consists of A only."""

DIGITS: Final[npt.NDArray[np.uint8]] = np.frombuffer(bytes([0, 2, 3, 1]), np.uint8)
"""Base code → digit of a k-mer's index, uint8, (4,): A 0, T 1, C 2, G 3."""

_ORDER: Final = "ATCG"
_LARGEST_K: Final = 8


def vocabulary_size(k: int) -> int:
    """Returns V, the number of tokens: 4^k and the specials.

    Args:
        k: Bases of a k-mer, 1 to 8.

    Raises:
        ValueError: If k is out of range.
    """
    _check(k)
    return alphabet.NUM_BASES**k + NUM_SPECIAL


def vocabulary(k: int) -> list[str]:
    """Returns all tokens in id order, as DNABERT's vocab.txt lists them.

    Args:
        k: Bases of a k-mer, 1 to 8.

    Returns:
        V strings: the specials, then the k-mers, first base most significant.

    Raises:
        ValueError: If k is out of range.

    Source:
        Ji et al., DNABERT (2021). Differences: none.
    """
    _check(k)
    return [*SPECIALS, *map("".join, itertools.product(_ORDER, repeat=k))]


def tokenize(codes: npt.ArrayLike, k: int) -> npt.NDArray[np.int32]:
    """Returns the ids of all overlapping k-mers, without [CLS] and [SEP].

    Args:
        codes: Codes of `dna.alphabet`, (L,).
        k: Bases of a k-mer, 1 to 8.

    Returns:
        int32, (L - k + 1,), empty if L < k; [UNK] where a k-mer holds anything but
        A, C, G and T.

    Raises:
        ValueError: If k is out of range, or `codes` has more than one axis or values
            outside 0 to 5.

    Example:
        >>> tokenize([0, 1, 2, 3, 4], 3).tolist()  # ACGTN
        [16, 50, 1]
    """
    _check(k)
    bases = np.asarray(codes)
    if bases.ndim != 1:
        raise ValueError(f"codes must have one axis, got {bases.ndim}")
    if bases.size and (bases.min() < 0 or bases.max() > alphabet.PAD):
        raise ValueError(f"codes must be 0 to {alphabet.PAD}")
    count = max(len(bases) - k + 1, 0)
    is_base = bases < alphabet.NUM_BASES
    digits = DIGITS[np.where(is_base, bases, 0).astype(np.intp)].astype(np.int32)
    ids = np.zeros(count, np.int32)
    is_known = np.ones(count, bool)
    for offset in range(k):
        ids = ids * alphabet.NUM_BASES + digits[offset : offset + count]
        is_known &= is_base[offset : offset + count]
    return np.where(is_known, ids + NUM_SPECIAL, UNK_ID).astype(np.int32)


def canonical_features(k: int) -> npt.NDArray[np.intp]:
    """Returns the index of the canonical k-mer of each k-mer.

    Args:
        k: Bases of a k-mer, 1 to 8.

    Returns:
        (4^k,), by the index of the k-mer, which is its id less the number of special
        tokens: a k-mer and its reverse complement have the same value. Values count
        from 0 in the order of the canonical k-mers.

    Raises:
        ValueError: If k is out of range.
    """
    _check(k)
    indices: npt.NDArray[np.int64] = np.arange(alphabet.NUM_BASES**k, dtype=np.int64)
    reverse = np.zeros_like(indices)
    rest = indices.copy()
    complement = DIGITS[alphabet.COMPLEMENT[np.argsort(DIGITS)]]
    for _ in range(k):
        reverse = reverse * alphabet.NUM_BASES + complement[rest % alphabet.NUM_BASES]
        rest //= alphabet.NUM_BASES
    return np.unique(np.minimum(indices, reverse), return_inverse=True)[1]


def _check(k: int) -> None:
    if not 1 <= k <= _LARGEST_K:
        raise ValueError(f"k must be 1 to {_LARGEST_K} bases, got {k}")
