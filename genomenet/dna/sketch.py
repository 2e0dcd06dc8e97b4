"""Digests and samples that match sequences on either strand; NumPy only."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet

WORD: Final = 32
"""Bases of a sampled word."""

# Palindromes, so that both strands have the same ones: one word per 128 bases.
_ANCHORS: Final = tuple(
    np.frombuffer(alphabet.CODES[np.frombuffer(text, np.uint8)].tobytes(), np.uint32)[0]
    for text in (b"GATC", b"CATG")
)
_BEFORE: Final = (WORD - 4) // 2  # bases of a word before its anchor
_BLOCK: Final = 1 << 18  # bases searched at once: these fit the cache of a core
_MIXER: Final = np.uint64(0x9E3779B97F4A7C15)  # odd; 2^64 / golden ratio


def canonical(codes: npt.NDArray[np.uint8]) -> tuple[bytes, bool]:
    """Returns a digest that a sequence shares with its reverse complement only.

    Args:
        codes: Codes of `genomenet.dna.alphabet` without padding, uint8, (L,).

    Returns:
        The digest of the canonical sequence, 16 bytes, and whether that is the reverse
        complement.
    """
    is_reverse = _is_reverse_smaller(codes)
    digest = hashlib.sha256()
    for start in range(0, codes.size, _BLOCK):
        block = codes[start : start + _BLOCK]
        if is_reverse:
            block = _reverse_complement(codes, start, start + _BLOCK)
        digest.update(np.ascontiguousarray(block).data)
    return digest.digest()[:16], is_reverse


def words(
    codes: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Samples words of 32 bases: those around every GATC and CATG, without N.

    Args:
        codes: Codes of `genomenet.dna.alphabet`, uint8, (L,).

    Returns:
        A hash of each word, the same for its reverse complement, uint64, (W,), and
        the position of its anchor, int64, (W,).
    """
    positions = _anchors(codes)
    positions = positions[
        (positions >= _BEFORE) & (positions <= codes.size - WORD + _BEFORE)
    ]
    if not positions.size:
        return np.zeros(0, np.uint64), positions
    windows = np.lib.stride_tricks.sliding_window_view(codes, WORD)
    hashes: list[npt.NDArray[np.uint64]] = []
    kept: list[npt.NDArray[np.int64]] = []
    for start in range(0, positions.size, 1 << 14):
        anchors = positions[start : start + (1 << 14)]
        sampled = windows[anchors - _BEFORE]
        is_known = (sampled < alphabet.NUM_BASES).all(axis=1)
        sampled = sampled[is_known]
        hashes.append(
            np.minimum(_packed(sampled), _packed(3 - sampled[:, ::-1])) * _MIXER
        )
        kept.append(anchors[is_known])
    return np.concatenate(hashes), np.concatenate(kept)


class Sketch:
    """Samples words from contigs and keeps at most a fixed number of them.

    If there are more, those with the smallest hashes are kept, so that the same words
    are kept for all contigs.

    Args:
        most: Maximum number of words kept.
    """

    def __init__(self, most: int = 1 << 21):
        self._most = most
        self._limit = np.uint64(2**64 - 1)
        self._hashes: list[npt.NDArray[np.uint64]] = []
        self._positions: list[npt.NDArray[np.int64]] = []
        self._count = 0

    def add(self, codes: npt.NDArray[np.uint8], offset: int) -> None:
        """Samples a contig.

        Args:
            codes: Codes of the contig, uint8, (L,).
            offset: Added to positions in the contig, so that no two contigs overlap.
        """
        hashes, positions = words(codes)
        self._hashes.append(hashes)
        self._positions.append(positions + offset)
        self._count += hashes.size
        while self._count > self._most:
            self._limit >>= np.uint64(1)
            hashes, positions = self.words()
            self._hashes, self._positions = [hashes], [positions]
            self._count = hashes.size

    def words(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """Returns hashes, uint64, (W,), and positions with offsets, int64, (W,)."""
        hashes = np.concatenate([np.zeros(0, np.uint64), *self._hashes])
        positions = np.concatenate([np.zeros(0, np.int64), *self._positions])
        is_kept = hashes <= self._limit
        return hashes[is_kept], positions[is_kept]


def _anchors(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Returns the positions of anchors; compares four bases at once."""
    positions = [np.zeros(0, np.int64)]
    codes = np.ascontiguousarray(codes)
    for start in range(0, codes.size, _BLOCK):
        block = codes[start : start + _BLOCK + 3]
        for phase in range(min(4, block.size)):
            part = block[phase:]
            quads = part[: part.size // 4 * 4].view(np.uint32)
            is_anchor = quads == _ANCHORS[0]
            is_anchor |= quads == _ANCHORS[1]
            positions.append(np.flatnonzero(is_anchor) * 4 + (start + phase))
    return np.concatenate(positions)


def _packed(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Packs rows of 32 bases, 2 bits per base: uint8 (W, 32) → uint64 (W,)."""
    pairs = codes[:, 0::2] << 2 | codes[:, 1::2]
    return np.ascontiguousarray(pairs[:, 0::2] << 4 | pairs[:, 1::2]).view(np.uint64)[
        :, 0
    ]


def _reverse_complement(
    codes: npt.NDArray[np.uint8], start: int, end: int
) -> npt.NDArray[np.uint8]:
    """Returns bases start..end of the reverse complement."""
    size = codes.size
    return alphabet.COMPLEMENT[codes[max(size - end, 0) : size - start][::-1]]


def _is_reverse_smaller(codes: npt.NDArray[np.uint8]) -> bool:
    """Returns whether the reverse complement is the canonical sequence."""
    for start in range(0, codes.size, _BLOCK):
        block = codes[start : start + _BLOCK]
        other = _reverse_complement(codes, start, start + _BLOCK)
        differing = np.flatnonzero(block != other)
        if differing.size:
            return bool(other[differing[0]] < block[differing[0]])
    return False
