"""Prepared directory → batches of bases, in one global order.

The order of chunks, windows and batches is a function of the seed alone: it knows
nothing of workers, and each process keeps its own rows of every global batch.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from genomenet.data import integrity
from genomenet.dna import alphabet

CUTS: Final = ("tile", "crop")
_NUM_OPEN_SHARDS: Final = 16
_UINT32: Final = 0xFFFFFFFF


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cutting:
    """How chunks become windows.

    Attributes:
        length: Bases a window.
        stride: Bases between the starts of neighbouring windows.
        cut: "tile" starts at the first base of a chunk; "crop" at a random phase
            below the stride, drawn anew for every chunk in every epoch.
        max_n: Largest share of N in a window that is kept, in [0, 1].
        shortest_cut: Bases of the shortest cut; 0 if a row is one window. Else rows
            hold consecutive cuts as GeneMask draws them: half of all cuts have
            length - 1 bases, half any number from `shortest_cut` to length - 2,
            all equally often. A cut shares its row with the one after it if both
            fill it together; "segment" tells them apart. Drawn anew in every epoch.

    Raises:
        ValueError: If a number or word is none of these.

    Source:
        Roy et al., GeneMask (2023), for the lengths. Differences: a cut of c bases
        is followed by one of length - 1 - c, so that rows are full; each length is
        as frequent as if drawn by itself.
    """

    length: int
    stride: int
    cut: str = "tile"
    max_n: float = 0.1
    shortest_cut: int = 0

    def __post_init__(self) -> None:
        if self.length < 1 or self.stride < 1:
            raise ValueError(
                f"length and stride must be >= 1 base, got {self.length} and"
                f" {self.stride}"
            )
        if self.cut not in CUTS:
            raise ValueError(f"cut must be one of {', '.join(CUTS)}, got {self.cut!r}")
        if not 0 <= self.max_n <= 1:
            raise ValueError(f"max_n is a share in [0, 1], got {self.max_n}")
        if self.shortest_cut and not 1 <= self.shortest_cut <= (self.length - 1) // 2:
            raise ValueError(
                f"shortest_cut must be 1 to {(self.length - 1) // 2} bases, half a"
                f" row, got {self.shortest_cut}"
            )

    @property
    def window(self) -> int:
        """Bases of a stretch of the genome that makes one row."""
        return self.length - 1 if self.shortest_cut else self.length


class Prepared:
    """A prepared dataset of chunks, as `genomenet.build_dataset` leaves it.

    Args:
        directory: Its folder, `<data_dir>/<name>/<version>`.

    Raises:
        ValueError: If the folder holds no such dataset, or one of its files is not
            as it was built.
    """

    def __init__(self, directory: str | os.PathLike[str]):
        self.directory = pathlib.Path(directory)
        if not (self.directory / integrity.INFO).is_file():
            raise ValueError(f"{directory} holds no prepared dataset")
        self.info: Any = integrity.opened(directory).info
        self.name: str = self.info.name
        self.version = str(self.info.version)
        self.metadata: dict[str, Any] = dict(self.info.metadata or {})
        missing = {"sequence", "contig", "start"} - set(self.info.features or {})
        if missing:
            raise ValueError(
                f"{directory} is no dataset of genome chunks: it has no feature"
                f" {', '.join(sorted(missing))}"
            )

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits that hold examples."""
        splits = self.info.splits
        return tuple(name for name in splits if splits[name].num_examples)

    def windows(
        self, split: str, cutting: Cutting, *, seed: int, epoch: Any = 0
    ) -> tf.data.Dataset:
        """Returns the windows of one epoch, uint8 (L,), shard by shard.

        Args:
            split: "train", "validation" or "test".
            cutting: How chunks become windows.
            seed: Of the order of shards and the random phases.
            epoch: Number of the epoch, an int or an int64 scalar.

        Returns:
            A dataset of single windows.

        Raises:
            ValueError: If there is no such split.
        """
        files = self._files(split)
        features = self.info.features
        run_key = tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])

        def cut(number: tf.Tensor, example: tf.Tensor) -> tf.Tensor:
            sequence = features.deserialize_example(example)["sequence"]
            key = tf.stack([run_key[0], run_key[1] * 2**32 + number])
            return _cut(sequence, cutting, key)

        order = _shuffled(files, run_key)
        return (
            tf.data.Dataset.from_tensor_slices(order)
            .interleave(
                tf.data.TFRecordDataset,
                cycle_length=_NUM_OPEN_SHARDS,
                block_length=1,
            )
            .enumerate()
            .map(cut, num_parallel_calls=2, deterministic=True)
            .unbatch()
        )

    def chunks(self, split: str) -> Iterator[npt.NDArray[np.uint8]]:
        """Yields the base codes of every chunk of a split, uint8 (L,)."""
        features = self.info.features
        with integrity.reading(self.directory):
            for example in tf.data.TFRecordDataset(self._files(split)):
                sequence = features.deserialize_example(example)["sequence"].numpy()
                yield alphabet.CODES[np.frombuffer(sequence, np.uint8)]

    def check(self, split: str, cutting: Cutting, *, batch_size: int) -> None:
        """Checks that a split can fill a batch with different windows.

        Args:
            split: Name of the split.
            cutting: How chunks become windows.
            batch_size: Windows in a global batch.

        Raises:
            ValueError: If windows are longer than the chunks, or too few.
        """
        chunk_length = int(self.metadata.get("chunk_length") or cutting.length)
        if cutting.length > chunk_length:
            raise ValueError(
                f"a window of {cutting.length} bases is longer than the chunks of"
                f" {self.directory}, {chunk_length} bases: build the dataset again"
                f" with --chunk_length={4 * cutting.length} or more"
            )
        found = self.count(split, cutting, at_most=batch_size)
        if found < batch_size:
            raise ValueError(
                f"split {split!r} of {self.directory} has only {found} windows of"
                f" {cutting.length} bases, fewer than --batch_size={batch_size}"
            )

    def count(self, split: str, cutting: Cutting, *, at_most: int) -> int:
        """Returns the number of tiled windows in a split, counting no further."""
        tiled = dataclasses.replace(cutting, cut="tile")
        windows = self.windows(split, tiled, seed=0).take(at_most)
        return int(windows.reduce(0, lambda n, _: n + 1))

    def _files(self, split: str) -> list[str]:
        if split not in self.splits:
            raise ValueError(
                f"{self.directory} has no split {split!r}; it has"
                f" {', '.join(self.splits)}"
            )
        return [os.fspath(path) for path in self.info.splits[split].filepaths]


def training_batches(
    data: Prepared,
    split: str,
    cutting: Cutting,
    *,
    batch_size: int,
    seed: int,
    shuffle_buffer: int = 20_000,
) -> tf.data.Dataset:
    """Returns an endless stream of global batches.

    Args:
        data: The prepared dataset.
        split: Name of the split.
        cutting: How chunks become windows.
        batch_size: Windows in a global batch, B.
        seed: Of the order, the cuts and the keys.
        shuffle_buffer: Windows that wait to be drawn.

    Returns:
        A dataset of {"bases": uint8 (B, L), "key": uint32 (B, 2)}, and where rows
        hold cuts "segment", uint8 (B, L); its plain iterator can be put into a
        `tf.train.Checkpoint`, exactly.
    """
    windows = tf.data.Dataset.counter().flat_map(
        lambda epoch: data.windows(split, cutting, seed=seed, epoch=epoch)
    )
    windows = _mixed(windows, shuffle_buffer, seed)
    return _batched(windows, cutting, batch_size, seed).prefetch(2)


def evaluation_batches(
    data: Prepared,
    split: str,
    cutting: Cutting,
    *,
    batch_size: int,
    num_batches: int,
    seed: int,
) -> tf.data.Dataset:
    """Returns the same full batches at every call: windows tiled, order mixed.

    Args:
        data: The prepared dataset.
        split: Name of the split.
        cutting: How chunks become windows; always tiled here.
        batch_size: Windows in a global batch, B.
        num_batches: Batches at most; windows that fill no batch are left out.
        seed: Of the order and the keys.

    Returns:
        A finite dataset like that of `training_batches`.
    """
    tiled = dataclasses.replace(cutting, cut="tile")
    windows = data.windows(split, tiled, seed=seed)
    buffer = max(batch_size * num_batches, 1)
    windows = _mixed(windows, buffer, seed)
    return _batched(windows, tiled, batch_size, seed).take(num_batches)


def _shuffled(files: list[str], key: tf.Tensor) -> tf.Tensor:
    """Returns the files in an order that the key, int64 (2,), decides."""
    draws = tf.random.stateless_uniform([len(files)], key)
    return tf.gather(tf.constant(files), tf.argsort(draws, stable=True))


def _cut(sequence: tf.Tensor, cutting: Cutting, key: tf.Tensor) -> tf.Tensor:
    """Cuts a chunk's letters into windows: string () → uint8 (W, L)."""
    letters = tf.io.decode_raw(sequence, tf.uint8)
    codes = tf.gather(tf.constant(alphabet.CODES), tf.cast(letters, tf.int32))
    if cutting.cut == "crop":
        room = tf.size(codes) - cutting.window
        phases = tf.clip_by_value(room + 1, 1, cutting.stride)
        phase = tf.random.stateless_uniform((), key, 0, phases, tf.int32)
        codes = codes[phase:]
    windows = tf.signal.frame(codes, cutting.window, cutting.stride)
    if cutting.max_n == 1:
        return windows
    is_n = tf.cast(tf.equal(windows, alphabet.N), tf.float32)
    return tf.boolean_mask(windows, tf.reduce_mean(is_n, axis=1) <= cutting.max_n)


def _mixed(windows: tf.data.Dataset, buffer: int, seed: int) -> tf.data.Dataset:
    """Shuffles windows in an order that the seed alone decides."""
    tf.random.set_seed(seed)  # tf.data mixes the global seed into that of a shuffle
    return windows.shuffle(buffer, seed=seed, reshuffle_each_iteration=False)


def _batched(
    windows: tf.data.Dataset, cutting: Cutting, batch_size: int, seed: int
) -> tf.data.Dataset:
    """Batches windows and gives every row its key."""

    def to_row(number: tf.Tensor, window: tf.Tensor) -> dict[str, tf.Tensor]:
        window = tf.ensure_shape(window, (cutting.window,))
        if not cutting.shortest_cut:
            return {"bases": window}
        return _cuts(window, cutting, tf.stack([seed, number]))

    def add_keys(
        number: tf.Tensor, batch: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        row = number * batch_size + tf.range(batch_size, dtype=tf.int64)
        high = tf.bitwise.bitwise_xor(row // 2**32, seed & _UINT32)
        key = tf.stack([high, tf.bitwise.bitwise_and(row, _UINT32)], axis=1)
        return {**batch, "key": tf.cast(key, tf.uint32)}

    batches = windows.enumerate().map(to_row).batch(batch_size, drop_remainder=True)
    return batches.enumerate().map(add_keys)


def _cuts(window: tf.Tensor, cutting: Cutting, key: tf.Tensor) -> dict[str, tf.Tensor]:
    """Divides a window into cuts: uint8 (L - 1,) → "bases" and "segment", (L,)."""
    longest, shortest = cutting.window, cutting.shortest_cut
    pairs = longest - 2 * shortest + 1  # lengths whose partner is long enough too
    alone = shortest - 1  # lengths whose partner is not
    # A pair's two lengths come up twice, once in either order: it weighs half.
    weights = (pairs, 2 * alone, 2 * (pairs + alone))
    draw = tf.random.stateless_uniform((), key, 0, sum(weights), tf.int32)
    is_pair = draw < pairs
    is_alone = ~is_pair & (draw < pairs + 2 * alone)
    first = tf.where(
        is_pair, shortest + draw, longest - shortest + 1 + (draw - pairs) // 2
    )
    first = tf.where(is_pair | is_alone, first, longest)
    column = tf.range(cutting.length)
    second = tf.where(is_pair & (column < longest), 2, 0)
    segment = tf.cast(tf.where(column < first, 1, second), tf.uint8)
    bases = tf.pad(window, [[0, 1]], constant_values=alphabet.PAD)
    bases = tf.where(segment > 0, bases, tf.constant(alphabet.PAD, tf.uint8))
    return {"bases": bases, "segment": segment}
