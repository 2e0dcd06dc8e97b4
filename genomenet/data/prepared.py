"""A prepared genome for training: packed chunks, with a name.

Reading needs no TensorFlow if the packed file exists, either beside the shards of a
dataset, or made from sequence files by `pack`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from genomenet import atomic
from genomenet.data import (
    genome_index,
    integrity,
    leakage,
    packed_chunks,
    rows,
    sources,
)
from genomenet.dna import tiling

CHUNK_LENGTH: Final = 16_384
MIN_LENGTH: Final = 100
SPLITS: Final = "90/5/5"
_OPTIONS: Final = ("chunk_length", "min_length", "splits", "seed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Genome:
    """A prepared genome.

    Attributes:
        name: Name of the dataset, or of the file.
        version: Version of the dataset; empty for a file.
        path: Its folder or file, for messages.
        options: Options of its chunks and splits: "chunk_length", "min_length",
            "splits" and "seed", as far as they are known.
        chunks: Its chunks.
    """

    name: str
    version: str
    path: pathlib.Path
    options: Mapping[str, Any]
    chunks: packed_chunks.PackedChunks

    def identity(self) -> dict[str, Any]:
        """Returns what identifies this genome, for the record of a run."""
        return {
            "name": self.name,
            "version": self.version,
            **self.options,
            "bases": self.chunks.bases(),
            "digest": self.chunks.digest,
        }

    def rows(self, split: str, window: tiling.Window, *, seed: int) -> rows.Rows:
        """Returns the rows of a split.

        Args:
            split: Name of the split.
            window: How chunks become rows.
            seed: Seed of all random draws.

        Returns:
            The rows.

        Raises:
            ValueError: If there is no such split, or no chunk is as long as a window.
        """
        chunk_length = int(self.options.get("chunk_length") or window.length)
        if window.length > chunk_length:
            raise ValueError(
                f"a window of {window.length} bases is longer than the chunks of"
                f" {self.path}, {chunk_length} bases: build the dataset again with"
                f" chunk_length={4 * window.length} or more"
            )
        try:
            intervals = self.chunks.intervals(split)
            return rows.Rows(self.chunks.genome, intervals, window, seed=seed)
        except ValueError as e:
            raise ValueError(f"split {split!r} of {self.path}: {e}") from e


def read(path: str | os.PathLike[str]) -> Genome:
    """Reads a prepared genome.

    Args:
        path: Folder of a prepared dataset, or a file that `pack` wrote. If a dataset
            has no packed file yet, it is made from the shards, once.

    Returns:
        The genome.

    Raises:
        ValueError: If the path is neither.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        chunks = packed_chunks.load(path)
        return Genome(
            name=str(chunks.about.get("name", path.name.split(".")[0])),
            version="",
            path=path,
            options={key: chunks.about[key] for key in _OPTIONS if key in chunks.about},
            chunks=chunks,
        )
    info = path / integrity.INFO
    if not info.is_file():
        raise ValueError(f"{path} holds no prepared dataset")
    integrity.check(path)
    facts = integrity.metadata(path)
    content = json.loads(info.read_text(encoding="utf-8"))
    return Genome(
        name=content["name"],
        version=content["version"],
        path=path,
        options={key: facts[key] for key in _OPTIONS if key in facts},
        chunks=_chunks(path, facts),
    )


def _chunks(
    directory: pathlib.Path, facts: Mapping[str, Any]
) -> packed_chunks.PackedChunks:
    """Returns the packed chunks of a dataset, packed again if they do not match it.

    Args:
        directory: Folder of the dataset.
        facts: Its metadata. They hold the digest of the bases if it was built in one
            process; else the checksums of the shards identify the packed file.

    Raises:
        ValueError: If the shards hold other bases than those that were built.
    """
    path, shards = directory / packed_chunks.FILE, integrity.digest(facts)
    digest = facts.get("digest")

    def is_match(chunks: packed_chunks.PackedChunks) -> bool:
        same_shards = chunks.about.get("shards") == shards
        return chunks.digest == digest if digest else same_shards

    if path.is_file():
        with contextlib.suppress(ValueError):
            chunks = packed_chunks.load(path)
            if is_match(chunks):
                return chunks
    from genomenet.data import shards as shards_lib  # TensorFlow

    shards_lib.Prepared(directory).pack(path, about={"shards": shards})
    chunks = packed_chunks.load(path)
    if not is_match(chunks):
        raise ValueError(
            f"{directory}: the shards do not hold the bases that were built: build the"
            " dataset again, with overwrite"
        )
    return chunks


def pack(
    paths: Sequence[str],
    path: str | os.PathLike[str],
    *,
    name: str,
    chunk_length: int = CHUNK_LENGTH,
    min_length: int = MIN_LENGTH,
    splits: str = SPLITS,
    seed: int = 0,
    progress: Callable[[int], Any] = lambda bases: None,
    tell: Callable[[str], Any] = lambda line: None,
) -> Genome:
    """Packs sequence files, with chunks and splits as `build_dataset` makes them.

    Args:
        paths: Files, as for `dna.reader.read`.
        path: The file to write.
        name: Name of the genome.
        chunk_length: Maximum length of a chunk, in bases.
        min_length: Minimum length of a segment between long runs of N, in bases;
            shorter ones are left out.
        splits: Percentages of train, validation and test.
        seed: Seed of the splits.
        progress: Called with the number of bases of each record that was read.
        tell: Called with each message about repeated contigs.

    Returns:
        The genome.

    Raises:
        SequenceFileError: If a file is not usable as it is.
        DatasetError: If the genome is too small for these splits.
    """
    lengths: Any = {"chunk_length": chunk_length, "min_length": min_length}
    about = {"name": name, **lengths, "splits": splits, "seed": seed}
    path = pathlib.Path(path)
    with (
        atomic.parents(path),
        tempfile.TemporaryFile(dir=path.parent) as spool,
        packed_chunks.Writer(path, about=about) as writer,
    ):
        index = genome_index.index(
            paths, min_length=min_length, spool=spool, progress=progress
        )
        units = genome_index.plan(
            index.contigs, shares=sources.parse_splits(splits), seed=seed, **lengths
        )
        for line in leakage.notes(leakage.facts(index.contigs, units, index.words)):
            tell(line)
        for split, part in units.items():
            examples = genome_index.examples(part, index.offsets, spool, **lengths)
            for _ in writer.packing(split, examples):
                pass
    return read(path)
