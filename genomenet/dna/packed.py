"""A genome at 2 bits per base, in memory or memory-mapped: chromosome 20 in 16 MB."""

import dataclasses
import functools
import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet

BASES_PER_BYTE: Final = 4
_SHIFTS: Final = np.array([0, 2, 4, 6], np.uint8)  # of the four bases in a byte
_BLOCK: Final = 1 << 20  # bytes read at once
# Byte → its four codes as one uint32; a view as bytes gives them in order.
_CODES: Final = (
    ((np.arange(256)[:, None] >> _SHIFTS) & 3)
    .astype(np.uint8)
    .view(np.uint32)
    .reshape(256)
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Packed:
    """Bases that are addressed by their 0-based position.

    Attributes:
        codes: Four bases per byte, the first in the lowest bits, N as A: uint8, an
            array or a memory-mapped file.
        n_runs: Half-open intervals of N, int64, (R, 2), in order.
    """

    codes: npt.NDArray[np.uint8]
    n_runs: npt.NDArray[np.int64]

    def take(self, starts: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.uint8]:
        """Returns windows of equal length.

        Args:
            starts: Position of the first base of each window, int64, (W,).
            length: Bases of a window, L.

        Returns:
            Codes, uint8, (W, L).
        """
        num_bytes = (length + 6) >> 2  # with the earlier bases in the first byte
        source = self.codes
        if len(source) < num_bytes:
            source = np.pad(source, (0, num_bytes - len(source)))
        # Near the end, a window is read from an earlier byte, so as not to exceed it.
        first = np.minimum(starts >> 2, len(source) - num_bytes)
        window_bytes = np.lib.stride_tricks.sliding_window_view(source, num_bytes)[
            first
        ]
        bases = _CODES[window_bytes].view(np.uint8)  # (W, 4 · bytes)
        shift = starts - BASES_PER_BYTE * first
        codes = np.empty((len(starts), length), np.uint8)
        for column in np.unique(shift).tolist():
            (rows,) = np.nonzero(shift == column)
            codes[rows] = bases[rows, column : column + length]
        (rows,) = np.nonzero(self.count_n(starts, starts + length))
        if len(rows):
            codes[rows] = self._with_n(codes[rows], starts[rows])
        return codes

    def count_n(
        self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Returns the number of N in each interval, int64, (W,)."""
        return self._n_before(ends) - self._n_before(starts)

    def digest(self) -> str:
        """Returns a checksum of all bases: 32 hexadecimal digits."""
        checksum = hashlib.blake2b(digest_size=16)
        for start in range(0, len(self.codes), _BLOCK):
            checksum.update(
                np.ascontiguousarray(self.codes[start : start + _BLOCK]).data
            )
        checksum.update(np.ascontiguousarray(self.n_runs, np.int64).data)
        return checksum.hexdigest()

    @functools.cached_property
    def _sums(self) -> npt.NDArray[np.int64]:
        """Number of N in all runs before each run, int64, (R + 1,)."""
        starts, ends = self.n_runs.T
        return np.concatenate([[0], np.cumsum(ends - starts)])

    def _n_before(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns the number of N before each position."""
        if not len(self.n_runs):
            return np.zeros(positions.shape, np.int64)
        starts, ends = self.n_runs.T
        run = np.searchsorted(starts, positions, side="right") - 1  # -1: none
        inside = np.minimum(positions, ends[run]) - starts[run]
        return np.where(run < 0, 0, self._sums[run] + inside)

    def _with_n(
        self, codes: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Returns the codes with N filled in."""
        columns: npt.NDArray[np.int64] = np.arange(codes.shape[1], dtype=np.int64)
        positions: npt.NDArray[np.int64] = starts[:, None] + columns
        run = np.searchsorted(self.n_runs[:, 0], positions, side="right") - 1
        is_n = (run >= 0) & (positions < self.n_runs[run, 1])
        return np.where(is_n, np.uint8(alphabet.N), codes)


def pack(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Packs codes, four per byte.

    Args:
        codes: uint8, (L,); N is packed as A.

    Returns:
        uint8, (L / 4,), rounded up; the last byte is padded with A.
    """
    bases = codes * (codes < alphabet.NUM_BASES)
    bases = np.pad(bases, (0, -len(bases) % BASES_PER_BYTE))
    words = bases.view("<u4")  # four bases each, the first in the lowest byte
    merged = words | words >> 6
    merged |= words >> 12
    merged |= words >> 18
    return merged.astype(np.uint8)


def runs_of_n(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Returns the half-open intervals of N in codes, int64, (R, 2)."""
    is_n = codes == alphabet.N
    if not is_n.any():
        return np.zeros((0, 2), np.int64)
    edges = np.flatnonzero(is_n[1:] != is_n[:-1]).astype(np.int64) + 1
    if is_n[0]:
        edges = np.append(np.int64(0), edges)
    if len(edges) % 2:  # the last run ends with the codes
        edges = np.append(edges, np.int64(len(codes)))
    return edges.reshape(-1, 2)


def of(codes: npt.NDArray[np.uint8]) -> Packed:
    """Packs codes in memory."""
    return Packed(codes=pack(codes), n_runs=runs_of_n(codes))
