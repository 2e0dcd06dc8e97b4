"""Rows of a packed genome by their index; NumPy only.

Row n is a function of the genome, the seed and n. So a run can resume at any row, and a
worker computes only its own rows, at the same cost per row.
"""

from __future__ import annotations

import contextlib
import functools
import math
import queue
import threading
from collections.abc import Generator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet, encode, packed, tiling

Batch = dict[str, npt.NDArray[Any]]
Index = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_UINT32: Final = 0xFFFFFFFF
_ROUNDS: Final = 6
_BLOCK_BASES: Final = 1 << 19  # computed at once by the background thread
# Independent streams of `_hash`, one for each kind of draw.
_ORDER, _PHASE, _CUT, _STRAND = range(4)


class Rows:
    """The rows of one split.

    Every epoch visits each window of the grid once, in a new order. In place of a
    window with too many N, it takes the next window in that order again.

    Args:
        genome: The bases.
        chunks: Half-open intervals of the split in the genome, int64, (C, 2). Each
            window lies inside one chunk.
        window: How chunks are divided into rows.
        seed: Seed of the order, the phases, the segments, the strands and the
            keys.

    Raises:
        ValueError: If no chunk is as long as a window.
    """

    def __init__(
        self,
        genome: packed.Packed,
        chunks: npt.NDArray[np.int64],
        window: tiling.Window,
        *,
        seed: int,
    ):
        self.window = window
        self._genome = genome
        self._seed = seed
        self._bases = window.bases
        self._starts, self._ends = chunks[:, 0], chunks[:, 1]
        counts = self._ends - self._starts
        counts -= self._bases
        counts //= window.stride
        counts += 1
        np.maximum(counts, 0, out=counts)
        # Windows up to and including each chunk.
        self._after = np.cumsum(counts, out=counts)
        if not len(chunks) or not self._after[-1]:
            raise ValueError(f"there is no window of {self._bases} bases")

    def __len__(self) -> int:
        """Returns the number of rows of an epoch."""
        return int(self._after[-1])

    def at(self, rows: Index) -> Batch:
        """Returns rows by their indices, which continue over epochs.

        Args:
            rows: Indices from 0, int64, (B,).

        Returns:
            "bases", uint8, (B, L), "key", uint32, (B, 2), and, if rows hold segments,
            "segment", uint8, (B, L).
        """
        batch = {"bases": self._genome.take(self._positions(rows), self._bases)}
        if self.window.both_strands and self.window.cut == "crop":
            is_other = _draw(self._seed, _STRAND, rows, 2) == 1
            batch["bases"][is_other] = encode.reverse_complement(
                batch["bases"][is_other]
            )
        if self.window.shortest_cut:
            draws = _draw(self._seed, _CUT, rows, sum(_weights(self.window)))
            batch = cuts(batch["bases"], draws, self.window)
        return {**batch, "key": keys(rows, self._seed)}

    def batch(self, first: int, size: int) -> Batch:
        """Returns `size` rows from index `first` on."""
        return self.at(first + np.arange(size, dtype=np.int64))

    def _positions(self, rows: Index) -> Index:
        """Returns the start of the window of each row in the genome."""
        epoch, slot = np.divmod(rows, len(self))
        positions = self._window(epoch, slot)
        if self.window.max_n == 1:
            return positions
        for _ in range(len(self)):
            num_n = self._genome.count_n(positions, positions + self._bases)
            (rejected,) = np.nonzero(num_n > self.window.max_n * self._bases)
            if not len(rejected):
                return positions
            slot[rejected] = (slot[rejected] + 1) % len(self)
            positions[rejected] = self._window(epoch[rejected], slot[rejected])
        raise ValueError(f"no window has a share of N up to {self.window.max_n}")

    def _window(self, epoch: Index, slot: Index) -> Index:
        """Returns the start of the window in each slot of the order of an epoch."""
        index = permuted(slot, len(self), _hash(self._seed, _ORDER, epoch))
        chunk = np.searchsorted(self._after, index, side="right")
        start, end = self._starts[chunk], self._ends[chunk]
        before = np.where(chunk > 0, self._after[chunk - 1], 0)
        start = start + (index - before) * self.window.stride
        if self.window.cut == "crop":
            room = np.minimum(end - start - self._bases + 1, self.window.stride)
            start += _draw(self._seed, _PHASE, epoch * len(self) + index, room)
        return start


def permuted(index: Index, size: int, key: Words) -> Index:
    """Applies a keyed permutation of `range(size)` to indices.

    Nothing is stored. An index is written as two digits, each below about the square
    root of `size`, and a Feistel network mixes them. A result of `size` or more is
    permuted again.

    Args:
        index: Indices in [0, size), int64, (B,).
        size: Number of indices.
        key: Key of the permutation, for each index, uint64, (B,).

    Returns:
        Permuted indices, int64, (B,).

    Source:
        Black and Rogaway, "Ciphers with Arbitrary Finite Domains" (2002), methods 2
        and 3, with a hash that is not cryptographic in place of their cipher.
    """
    low = math.isqrt(size - 1) + 1
    high = -(-size // low)
    low_, high_ = np.uint64(low), np.uint64(high)

    def once(x: Words, key: Words) -> Words:
        b, a = np.divmod(x, low_)
        for step in range(_ROUNDS):
            if step % 2:
                b = (b + _mix(a + key * np.uint64(2 * step + 1))) % high_
            else:
                a = (a + _mix(b + key * np.uint64(2 * step + 1))) % low_
        return b * low_ + a

    result = once(index.astype(np.uint64), key)
    beyond = np.flatnonzero(result >= size)
    while len(beyond):
        result[beyond] = once(result[beyond], key[beyond])
        beyond = beyond[result[beyond] >= size]
    return result.astype(np.int64)


def cuts(bases: npt.NDArray[np.uint8], draws: Index, window: tiling.Window) -> Batch:
    """Divides windows into one or two segments.

    As in GeneMask, half of the segments have L - 1 bases; the lengths of the other half
    are uniform from `shortest_cut` to L - 2 bases.

    Args:
        bases: Codes, uint8, (B, L - 1).
        draws: From 0 to below the sum of the weights of all lengths, int64, (B,).
        window: A window with `shortest_cut`.

    Returns:
        "bases" and "segment", uint8, (B, L): 1 and 2 for the segments of a row, 0
        and the code of padding outside.
    """
    segment = _segments(window)[draws]
    padded = np.empty(segment.shape, np.uint8)
    padded[:, :-1] = bases
    np.copyto(padded, np.uint8(alphabet.PAD), where=segment == 0)
    return {"bases": padded, "segment": segment}


def keys(rows: Index, seed: int) -> npt.NDArray[np.uint32]:
    """Returns the keys of rows, from which all their draws derive: uint32, (B, 2)."""
    words = np.stack([(rows >> 32) ^ (seed & _UINT32), rows & _UINT32], axis=1)
    return words.astype(np.uint32)


def stream(
    rows: Rows, first: int, size: int, *, worker: int = 0, num_workers: int = 1
) -> Generator[Batch]:
    """Computes batches ahead in a background thread until it is closed.

    Args:
        rows: Rows of a split.
        first: Index of the first row of the first global batch.
        size: Rows of a global batch, B.
        worker: Index of this worker.
        num_workers: Workers that share each batch evenly.

    Yields:
        This worker's rows of each batch, without end.
    """
    num_rows = size // num_workers
    at_once = max(1, _BLOCK_BASES // (num_rows * rows.window.length))
    ready: queue.Queue[Batch | Exception] = queue.Queue(2 * at_once)
    is_over = threading.Event()

    def put(item: Batch | Exception) -> None:
        while not is_over.is_set():
            with contextlib.suppress(queue.Full):
                return ready.put(item, timeout=0.1)

    def compute() -> None:
        within = np.arange(num_rows, dtype=np.int64) + worker * num_rows
        step = 0
        try:
            while not is_over.is_set():
                batches = first + size * (step + np.arange(at_once, dtype=np.int64))
                block = rows.at((batches[:, None] + within).ravel())
                for i in range(at_once):
                    part = slice(i * num_rows, (i + 1) * num_rows)
                    put({name: values[part] for name, values in block.items()})
                step += at_once
        except Exception as e:  # it is raised by the consumer
            put(e)

    thread = threading.Thread(target=compute, name="rows", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        is_over.set()
        thread.join()


@functools.lru_cache(maxsize=8)
def _segments(window: tiling.Window) -> npt.NDArray[np.uint8]:
    """Returns the segments of a row for each draw, uint8, (draws, L)."""
    longest, shortest = window.length - 1, window.shortest_cut
    pairs, alone, _ = _weights(window)
    draws = np.arange(sum(_weights(window)))
    is_pair = draws < pairs
    first = np.where(
        is_pair, shortest + draws, longest - shortest + 1 + (draws - pairs) // 2
    )
    first = np.where(draws < pairs + alone, first, longest)
    column = np.arange(window.length)
    second = np.where(is_pair[:, None] & (column < longest), 2, 0)
    return np.where(column < first[:, None], 1, second).astype(np.uint8)


def _weights(window: tiling.Window) -> tuple[int, int, int]:
    """Returns the weights of rows with a pair, one shorter and one whole segment."""
    longest, shortest = window.length - 1, window.shortest_cut
    pairs = longest - 2 * shortest + 1
    alone = shortest - 1
    # Each pair of lengths occurs twice, once in either order, so it has half weight.
    return pairs, 2 * alone, 2 * (pairs + alone)


def _draw(seed: int, stream: int, index: Index, below: Any) -> Index:
    """Returns integers in [0, below), a function of seed, stream and index."""
    upper = _hash(seed, stream, index) >> np.uint64(32)
    # Multiplying the upper half by the bound avoids the bias and cost of a remainder.
    return (upper * np.asarray(below, np.uint64) >> np.uint64(32)).astype(np.int64)


def _hash(seed: int, stream: int, index: Index) -> Words:
    """Returns 64 bits for each index."""
    start = np.array([(seed << 2) + stream & (1 << 64) - 1], np.uint64)
    return _mix(_mix(start) + index.astype(np.uint64))


def _mix(x: Words) -> Words:
    """Mixes 64 bits one to one.

    Source:
        The finaliser of Steele, Lea and Flood, "Fast splittable pseudorandom number
        generators" (2014), as SplitMix64.
    """
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x
