"""A prepared dataset of genome chunks, whose shards are read with tf.data."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from genomenet.data import integrity, packed_chunks
from genomenet.dna import alphabet


class Prepared:
    """A prepared dataset of chunks, as `genomenet.build_dataset` writes it.

    Args:
        directory: Its folder, `<data_dir>/<name>/<version>`.

    Raises:
        ValueError: If the folder holds no such dataset.
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

    def dataset(self, split: str) -> tf.data.Dataset:
        """Returns the chunks of a split, for other TensorFlow programs.

        Args:
            split: Name of the split.

        Returns:
            A dataset of {"bases": uint8 (L,), "contig": string (), "start": int64 ()}
            in the order of the shards: codes of `dna.alphabet`, and their positions.

        Raises:
            ValueError: If there is no such split.
        """
        features = self.info.features

        def read(example: tf.Tensor) -> dict[str, tf.Tensor]:
            chunk = features.deserialize_example(example)
            letters = tf.cast(tf.io.decode_raw(chunk["sequence"], tf.uint8), tf.int32)
            bases = tf.gather(tf.constant(alphabet.CODES), letters)
            return {"bases": bases, "contig": chunk["contig"], "start": chunk["start"]}

        return tf.data.TFRecordDataset(self._files(split)).map(
            read, num_parallel_calls=2, deterministic=True
        )

    def pack(
        self, path: str | os.PathLike[str], *, about: Mapping[str, Any] | None = None
    ) -> None:
        """Writes the chunks of all splits as `packed_chunks.Writer` does."""
        reading = integrity.reading(self.directory)
        with reading, packed_chunks.Writer(path, about=about) as writer:
            for split in self.splits:
                for chunk in self.dataset(split):
                    contig = chunk["contig"].numpy().decode()
                    start = int(chunk["start"])
                    writer.add(split, contig, start, chunk["bases"].numpy())

    def _files(self, split: str) -> list[str]:
        if split not in self.splits:
            raise ValueError(
                f"{self.directory} has no split {split!r}; it has"
                f" {', '.join(self.splits)}"
            )
        return [os.fspath(path) for path in self.info.splits[split].filepaths]
