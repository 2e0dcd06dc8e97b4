"""What recognises equal and similar sequences on either strand; NumPy only."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet

WORD: Final = 32
"""Bases of a sampled word."""

# Palindromes, so that both strands have the same ones: one word in 128 bases.
_ANCHORS: Final = tuple(
    np.frombuffer(alphabet.CODES[np.frombuffer(text, np.uint8)].tobytes(), np.uint32)[0]
    for text in (b"GATC", b"CATG")
)
_BEFORE: Final = (WORD - 4) // 2  # bases of a word before its anchor
_BLOCK: Final = 1 << 18  # bases searched at once: what a core's cache holds
_MIXER: Final = np.uint64(0x9E3779B97F4A7C15)  # odd; 2^64 / golden ratio


def canonical(codes: npt.NDArray[np.uint8]) -> tuple[bytes, bool]:
    """Returns a digest that a sequence shares with its reverse complement only.

    Args:
        codes: Codes of `genomenet.dna.alphabet` without padding, uint8, (L,).

    Returns:
        The digest, 16 bytes, and whether it is that of the other strand, which is
        the smaller one.
    """
    is_reverse = _other_is_smaller(codes)
    digest = hashlib.sha256()
    for start in range(0, codes.size, _BLOCK):
        block = codes[start : start + _BLOCK]
        if is_reverse:
            block = _other(codes, start, start + _BLOCK)
        digest.update(np.ascontiguousarray(block).data)
    return digest.digest()[:16], is_reverse


def words(
    codes: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Samples words of 32 bases: those around every GATC and CATG, without N.

    Args:
        codes: Codes of `genomenet.dna.alphabet`, uint8, (L,).

    Returns:
        A hash of each word, which its reverse complement shares, uint64, (W,), and
        where its anchor begins, int64, (W,).
    """
    places = _anchors(codes)
    places = places[(places >= _BEFORE) & (places <= codes.size - WORD + _BEFORE)]
    if not places.size:
        return np.zeros(0, np.uint64), places
    every = np.lib.stride_tricks.sliding_window_view(codes, WORD)
    hashes: list[npt.NDArray[np.uint64]] = []
    kept: list[npt.NDArray[np.int64]] = []
    for start in range(0, places.size, 1 << 14):
        some = places[start : start + (1 << 14)]
        found = every[some - _BEFORE]
        is_known = (found < alphabet.NUM_BASES).all(axis=1)
        found = found[is_known]
        hashes.append(np.minimum(_packed(found), _packed(3 - found[:, ::-1])) * _MIXER)
        kept.append(some[is_known])
    return np.concatenate(hashes), np.concatenate(kept)


class Sketch:
    """Words sampled from contigs, of which at most a fixed number is kept.

    Where there are more, those with the smallest hashes stay: the same words of all
    contigs.

    Args:
        most: Words kept, at most.
    """

    def __init__(self, most: int = 1 << 21):
        self._most = most
        self._limit = np.uint64(2**64 - 1)
        self._hashes: list[npt.NDArray[np.uint64]] = []
        self._places: list[npt.NDArray[np.int64]] = []
        self._count = 0

    def add(self, codes: npt.NDArray[np.uint8], offset: int) -> None:
        """Samples a contig.

        Args:
            codes: Of the contig, uint8, (L,).
            offset: What is added to places in the contig to tell all contigs apart.
        """
        hashes, places = words(codes)
        self._hashes.append(hashes)
        self._places.append(places + offset)
        self._count += hashes.size
        while self._count > self._most:
            self._limit >>= np.uint64(1)
            hashes, places = self.words()
            self._hashes, self._places = [hashes], [places]
            self._count = hashes.size

    def words(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """Returns hashes, uint64, (W,), and places with offsets, int64, (W,)."""
        hashes = np.concatenate([np.zeros(0, np.uint64), *self._hashes])
        places = np.concatenate([np.zeros(0, np.int64), *self._places])
        is_kept = hashes <= self._limit
        return hashes[is_kept], places[is_kept]


def _anchors(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Returns where anchors begin, four bases compared at once."""
    found = [np.zeros(0, np.int64)]
    codes = np.ascontiguousarray(codes)
    for start in range(0, codes.size, _BLOCK):
        block = codes[start : start + _BLOCK + 3]
        for phase in range(min(4, block.size)):
            part = block[phase:]
            four = part[: part.size // 4 * 4].view(np.uint32)
            is_anchor = four == _ANCHORS[0]
            is_anchor |= four == _ANCHORS[1]
            found.append(np.flatnonzero(is_anchor) * 4 + (start + phase))
    return np.concatenate(found)


def _packed(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Packs rows of 32 bases, 2 bits a base: uint8 (W, 32) → uint64 (W,)."""
    pairs = codes[:, 0::2] << 2 | codes[:, 1::2]
    return np.ascontiguousarray(pairs[:, 0::2] << 4 | pairs[:, 1::2]).view(np.uint64)[
        :, 0
    ]


def _other(codes: npt.NDArray[np.uint8], start: int, end: int) -> npt.NDArray[np.uint8]:
    """Returns bases start..end of the other strand."""
    size = codes.size
    return alphabet.COMPLEMENT[codes[max(size - end, 0) : size - start][::-1]]


def _other_is_smaller(codes: npt.NDArray[np.uint8]) -> bool:
    """Returns whether the other strand comes first in the order of codes."""
    for start in range(0, codes.size, _BLOCK):
        one = codes[start : start + _BLOCK]
        other = _other(codes, start, start + _BLOCK)
        differing = np.flatnonzero(one != other)
        if differing.size:
            return bool(other[differing[0]] < one[differing[0]])
    return False
