"""The recipe for genomes: chunks of contigs, split without leakage."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, ClassVar, Final, cast

import numpy as np
import tensorflow_datasets as tfds

from genomenet import startup
from genomenet.data import (
    genome_index,
    identity,
    leakage,
    packed_chunks,
    prepared,
    progress,
    sources,
)
from genomenet.data.builders import base
from genomenet.dna import files
from genomenet.dna import splits as splits_lib

CHUNK_LENGTH: Final = prepared.CHUNK_LENGTH
MIN_LENGTH: Final = prepared.MIN_LENGTH
SPLITS: Final = prepared.SPLITS


class GenomeChunks(base.Recipe, skip_registration=True):
    """A genome in chunks, to train models on unlabelled DNA.

    An example is `{"sequence": Text, "contig": Text, "start": int64}`: a segment of
    one contig in upper-case `ACGTN`, and its 0-based start on the forward strand. Runs
    of N over 100 bases are left out, and no two splits share a block of the genome
    (see `genomenet.dna.splits`).

    A recipe of the catalogue subclasses this and overrides `_sources`.

    Args:
        name: Name of the dataset; by default that of the recipe.
        sources: Sequence files to read; by default those of the recipe. Patterns are
            allowed, and `-` for standard input.
        chunk_length: Maximum length of a chunk, in bases.
        min_length: Minimum length of a segment between long runs of N, in bases;
            shorter ones are left out.
        splits: Percentages of train, validation and test, such as `90/5/5`.
        seed: Seed of the splits.
        **kwargs: Arguments of `tfds.core.GeneratorBasedBuilder`, such as `data_dir`.

    Raises:
        DatasetError: If an option is invalid.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    BASE = "GenomeChunks"

    KNOWN: ClassVar[Mapping[str, identity.Known] | None] = None
    """Sequences to take from the files, recognised by content; all if None."""

    def __init__(
        self,
        *,
        name: str | None = None,
        sources: Sequence[str | os.PathLike[str]] = (),
        chunk_length: int = CHUNK_LENGTH,
        min_length: int = MIN_LENGTH,
        splits: str = SPLITS,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        _check(chunk_length, min_length, splits)
        super().__init__(
            name=name,
            sources=[os.fspath(path) for path in sources],
            options={
                "chunk_length": chunk_length,
                "min_length": min_length,
                "splits": splits,
                "seed": seed,
            },
            **kwargs,
        )

        self._packed: packed_chunks.Writer | None = None

    def _info(self) -> tfds.core.DatasetInfo:
        """Declares the features."""
        return self.dataset_info(
            description="Chunks of sequence files, made by genomenet.",
            features=tfds.features.FeaturesDict(
                {
                    "sequence": tfds.features.Text(),
                    "contig": tfds.features.Text(),
                    "start": np.int64,
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        """Reads the files once, assigns units to splits, and sets up their examples."""
        paths = self.files(dl_manager)
        if self.beam_is_used and files.STDIN in paths:
            raise sources.DatasetError(
                "Beam workers cannot read standard input: name the files"
            )
        spool = None if self.beam_is_used else self._spool()
        min_length = self.options["min_length"]
        with progress.bar(
            "reading", progress.guessed_bases(paths), show=self.shows_progress
        ) as update:
            index = genome_index.index(
                paths,
                min_length=min_length,
                known=self.KNOWN,
                spool=spool,
                progress=update,
            )
        units = genome_index.plan(
            index.contigs,
            shares=sources.parse_splits(self.options["splits"]),
            chunk_length=self.options["chunk_length"],
            min_length=min_length,
            seed=self.options["seed"],
        )
        used = {path for path, _ in index.origins.values()}
        if self.KNOWN is not None:
            paths = [path for path in paths if path in used]
        self.note(_metadata(self, index, units, self.fingerprints(paths)))
        startup.load_tensorflow()
        if spool is None:
            return {split: self._beam(index, part) for split, part in units.items()}
        total = sum(contig.bases for contig in index.contigs)
        update = self._open_files.enter_context(
            progress.bar("writing", total, show=self.shows_progress)
        )
        path = pathlib.Path(self.data_dir) / packed_chunks.FILE
        self._packed = packed_chunks.Writer(path)
        self._open_files.enter_context(self._packed)
        return {
            split: self._packed.packing(
                split, self._generate_examples(part, index, spool, update)
            )
            for split, part in units.items()
        }

    def _generate_splits(self, dl_manager: Any, download_config: Any) -> Any:
        """Generates all splits, and notes the digest of their bases."""
        result = super()._generate_splits(dl_manager, download_config)
        if self._packed is not None:
            self.note({"digest": self._packed.digest})
        return result

    def _generate_examples(
        self,
        units: Sequence[splits_lib.Unit],
        index: genome_index.Index,
        spool: BinaryIO,
        update: Any,
    ) -> Any:
        """Yields the examples of a split."""
        return genome_index.examples(
            units,
            index.offsets,
            spool,
            chunk_length=self.options["chunk_length"],
            min_length=self.options["min_length"],
            progress=update,
        )

    def _beam(self, index: genome_index.Index, units: Sequence[splits_lib.Unit]) -> Any:
        """Returns the Beam transform that yields the examples of a split.

        Each worker reads one file again, by its path, and needs nothing else.
        """
        import apache_beam as beam  # pyright: ignore[reportMissingImports]

        units_of_file: dict[str, dict[str, list[splits_lib.Unit]]] = {}
        for unit in units:
            path, record = index.origins[unit.contig]
            units_of_file.setdefault(path, {}).setdefault(record, []).append(unit)
        options = {key: self.options[key] for key in ("chunk_length", "min_length")}
        return beam.Create(list(units_of_file.items())) | beam.FlatMap(_read, **options)

    def _spool(self) -> BinaryIO:
        """Opens an unnamed temporary file, which vanishes however this process ends."""
        # Beside the dataset, as /tmp may be small or in memory.
        folder = None if "://" in self.data_dir else self.data_dir
        spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        return cast(BinaryIO, self._open_files.enter_context(spool))


def _read(
    element: tuple[str, Mapping[str, Sequence[splits_lib.Unit]]], **options: int
) -> Iterator[genome_index.Example]:
    """Yields the examples of a split in one file."""
    path, units = element
    yield from genome_index.read_examples(path, units, **options)


def _check(chunk_length: int, min_length: int, splits: str) -> None:
    """Raises an error if an option is invalid."""
    if min_length < 1:
        raise sources.DatasetError(f"min_length={min_length} is under one base")
    if chunk_length < min_length:
        raise sources.DatasetError(
            f"chunk_length={chunk_length} is shorter than min_length={min_length}"
        )
    sources.parse_splits(splits)


def _metadata(
    builder: GenomeChunks,
    index: genome_index.Index,
    units: Mapping[str, Sequence[splits_lib.Unit]],
    fingerprints: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Returns the metadata: what went into a dataset, and what was left out."""
    return {
        "recipe": builder.BASE,
        **builder.options,
        "sources": fingerprints,
        "records": index.num_records,
        "contigs": len(index.contigs),
        "bases": {name: sum(u.bases for u in part) for name, part in units.items()},
        "units": {name: len(part) for name, part in units.items()},
        "skipped": {
            **dataclasses.asdict(index.skipped),
            "other_records": index.not_wanted,
        },
        **leakage.facts(index.contigs, units, index.words),
    }
