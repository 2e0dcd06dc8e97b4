"""Rows cut from a packed genome as `data.pipeline` cuts them; NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet.data import genome as genome_lib
from genomenet.data import repeats, sources
from genomenet.dna import alphabet, sketch
from genomenet.models import family
from genomenet.training import portable_genome

_UINT32: Final = 0xFFFFFFFF

Batch = dict[str, npt.NDArray[Any]]


def plan(
    genome: portable_genome.PackedGenome,
    *,
    splits: str,
    chunk_length: int,
    min_length: int,
    seed: int,
    tell: Callable[[str], Any] = lambda line: None,
) -> dict[str, npt.NDArray[np.int64]]:
    """Deals the genome to splits, in chunks, as `genomenet.build_dataset` does.

    Args:
        genome: The genome.
        splits: Percentages of train, validation and test, as `90/5/5`.
        chunk_length: Bases in a chunk, at most.
        min_length: Shortest stretch without a long run of N that is used, in bases.
        seed: Of the splits.
        tell: Called with each line on what the genome holds more than once.

    Returns:
        Name of the split → 0-based half-open places of its chunks, int64, (C, 2).

    Raises:
        DatasetError: If there is too little for these splits.
    """
    contigs, offsets, words, total = [], {}, sketch.Sketch(), 0
    for number, name in enumerate(genome.names):
        codes = genome.contig(number)
        found, _ = genome_lib.contig(name, codes, min_length=min_length)
        words.add(codes, total)
        total += found.length
        contigs.append(found)
        offsets[name] = int(genome.starts[number])
    units = genome_lib.plan(
        contigs,
        shares=sources.parse_splits(splits),
        chunk_length=chunk_length,
        min_length=min_length,
        seed=seed,
    )
    for line in repeats.notes(repeats.facts(contigs, units, words)):
        tell(line)
    return {
        split: np.concatenate(
            [
                np.array([*genome_lib.bounds(unit, chunk_length, min_length)])
                + offsets[unit.contig]
                for unit in sorted(part, key=lambda u: (offsets[u.contig], u.start))
            ]
        )
        for split, part in units.items()
    }


class Rows:
    """The rows of a split: every epoch has each once, in an order of its own.

    Phases, cuts and keys follow the laws of `data.pipeline`; the numbers drawn are
    others, and the whole epoch is mixed, not a buffer of it. A row depends on the
    seed and its number alone, so that a run can go on from any.

    Args:
        genome: The genome.
        chunks: Of the split, int64, (C, 2), of `plan`.
        window: How chunks become rows, as the model's family says.
        seed: Of the order, the cuts and the keys.
    """

    def __init__(
        self,
        genome: portable_genome.PackedGenome,
        chunks: npt.NDArray[np.int64],
        window: family.Window,
        *,
        seed: int,
    ):
        self.window = window
        self._genome = genome
        self._chunks = chunks
        self._seed = seed
        self._bases = window.length - 1 if window.shortest_cut else window.length
        self._ends = [0]  # rows in the epochs up to each
        self._epoch: tuple[int, Mapping[str, npt.NDArray[Any]]] = (-1, {})

    def count(self) -> int:
        """Returns the number of rows of the first epoch."""
        return len(self._rows_of(0)["starts"])

    def batch(self, first: int, size: int) -> Batch:
        """Returns rows by their numbers, which run on over the epochs.

        Args:
            first: Number of the first row.
            size: Rows, B.

        Returns:
            "bases", uint8, (B, L), "key", uint32, (B, 2), and where rows hold cuts
            "segment", uint8, (B, L).
        """
        parts: list[Mapping[str, npt.NDArray[Any]]] = []
        number, missing = first, size
        while missing:
            epoch = self._find_epoch(number)
            place = number - self._ends[epoch]
            rows = self._rows_of(epoch)
            part = {key: x[place : place + missing] for key, x in rows.items()}
            number += len(part["starts"])
            missing -= len(part["starts"])
            parts.append(part)
        rows = {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
        bases = self._genome.take(rows["starts"], self._bases)
        batch = {"bases": bases}
        if self.window.shortest_cut:
            batch = cuts(bases, rows["draws"], self.window)
        return {**batch, "key": keys(first, size, self._seed)}

    def endless(self, first: int, size: int) -> Iterator[Batch]:
        """Yields batches of `size` rows, beginning with row number `first`."""
        while True:
            yield self.batch(first, size)
            first += size

    def _find_epoch(self, number: int) -> int:
        """Returns the epoch of a row."""
        while number >= self._ends[-1]:
            self._rows_of(len(self._ends) - 1)
        return int(np.searchsorted(self._ends, number, side="right")) - 1

    def _rows_of(self, epoch: int) -> Mapping[str, npt.NDArray[Any]]:
        """Returns the first bases of an epoch's rows, and draws for their cuts."""
        if self._epoch[0] != epoch:
            rng = np.random.default_rng([self._seed, epoch])
            starts = rng.permutation(self._starts(rng))
            rows: dict[str, npt.NDArray[Any]] = {"starts": starts}
            if self.window.shortest_cut:
                rows["draws"] = rng.integers(0, sum(_weights(self.window)), len(starts))
            self._epoch = (epoch, rows)
            if len(self._ends) == epoch + 1:
                self._ends.append(self._ends[-1] + len(starts))
        return self._epoch[1]

    def _starts(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Returns the first bases of all windows that are kept, chunk by chunk."""
        starts, ends = self._chunks.T
        stride = self.window.stride
        if self.window.cut == "crop":
            phases = np.clip(ends - starts - self._bases + 1, 1, stride)
            starts = starts + rng.integers(0, phases)
        counts = np.maximum((ends - starts - self._bases) // stride + 1, 0)
        before = np.cumsum(counts) - counts
        within = np.arange(counts.sum()) - np.repeat(before, counts)
        found = np.repeat(starts, counts) + stride * within
        num_n = self._genome.count_n(found, found + self._bases).astype(np.float32)
        share = num_n / np.float32(self._bases)
        return found[share <= np.float32(self.window.max_n)]


def cuts(
    bases: npt.NDArray[np.uint8], draws: npt.NDArray[np.int64], window: family.Window
) -> Batch:
    """Divides windows into cuts, by the law of `data.pipeline.Cutting`.

    Args:
        bases: Codes, uint8, (B, L - 1).
        draws: Below the sum of the weights of all lengths, int, (B,).
        window: With `shortest_cut`.

    Returns:
        "bases" and "segment", uint8, (B, L).
    """
    longest, shortest = window.length - 1, window.shortest_cut
    pairs, alone, _ = _weights(window)
    is_pair = draws < pairs
    first = np.where(
        is_pair, shortest + draws, longest - shortest + 1 + (draws - pairs) // 2
    )
    first = np.where(draws < pairs + alone, first, longest)
    column = np.arange(window.length)
    second = np.where(is_pair[:, None] & (column < longest), 2, 0)
    segment = np.where(column < first[:, None], 1, second).astype(np.uint8)
    padded = np.pad(bases, [(0, 0), (0, 1)], constant_values=alphabet.PAD)
    return {
        "bases": np.where(segment > 0, padded, np.uint8(alphabet.PAD)),
        "segment": segment,
    }


def keys(first: int, size: int, seed: int) -> npt.NDArray[np.uint32]:
    """Returns the keys of rows by their numbers, as the pipeline gives them: (B, 2)."""
    rows = first + np.arange(size, dtype=np.int64)
    return np.stack([(rows >> 32) ^ (seed & _UINT32), rows & _UINT32], axis=1).astype(
        np.uint32
    )


def _weights(window: family.Window) -> tuple[int, int, int]:
    """Returns how often a cut is one of a pair, alone but shorter, and whole."""
    longest, shortest = window.length - 1, window.shortest_cut
    pairs = longest - 2 * shortest + 1
    alone = shortest - 1
    # A pair's two lengths come up twice, once in either order: it weighs half.
    return pairs, 2 * alone, 2 * (pairs + alone)
