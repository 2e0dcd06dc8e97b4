"""Pretrains a model on a genome: the function behind `genomenet.train`."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import keras

from genomenet import catalog, models
from genomenet.data import building, integrity, prepared, progress
from genomenet.dna import ranking, reader
from genomenet.release import export, folder
from genomenet.release import start as start_lib
from genomenet.training import command, engines, settings
from genomenet.training import pretrain as pretrain_lib
from genomenet.training import progress as progress_lib
from genomenet.training import workdir as workdir_lib

DATASET: Final = "ecoli_k12"

_SETTINGS: Final = frozenset(f.name for f in dataclasses.fields(settings.Settings))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Pretrained:
    """A pretrained model and its metrics.

    Attributes:
        metrics: Metrics of the last validation, and "steps".
        history: Rows with "step" and "loss", and rows of a validation with "step" and
            "val_loss".
        workdir: Folder of the run, with the release in `export/`; None if nothing was
            kept.
        resumed: Whether the run had already finished before this call.
        family: Family of the model, a key of `genomenet.models.FAMILIES`.
        graph: The trained Keras model.
    """

    metrics: Mapping[str, float]
    history: Sequence[Mapping[str, float]]
    workdir: pathlib.Path | None
    resumed: bool
    family: str
    graph: keras.Model

    @functools.cached_property
    def model(self) -> Any:
        """The model as `genomenet.load_model` returns it, with `embed`."""
        from genomenet.api import encoders  # needs scikit-learn, training does not

        return encoders.wrap(self.family, self.graph)

    @property
    def release(self) -> pathlib.Path | None:
        """The release folder, or None if the run has no folder."""
        return None if self.workdir is None else command.release_folder(self.workdir)

    def __repr__(self) -> str:
        scores = ", ".join(progress_lib.describe(self.metrics, "val_"))
        done = "finished before" if self.resumed else "finished"
        validation = f"validation {scores}" if scores else "not validated"
        lines = [f"{done}: {int(self.metrics['steps'])} steps, {validation}"]
        if self.workdir is None or self.release is None:
            return lines[0]
        if (curves := self.workdir / "learning_curves.png").exists():
            lines.append(f"curves:    {curves}")
        saved = self.release / "saved_model"
        lines += [
            f"model:     {self.release}",
            "in Python: import genomenet; model ="
            f' genomenet.load_model("{self.release}")',
            *(
                [f'           (or tf.saved_model.load("{saved}"), which takes strings)']
                if saved.exists()
                else []
            ),
            f"embed:     python -m genomenet.embed --model={self.release}"
            " --input=your.fa.gz --output=embeddings.parquet",
        ]
        return "\n".join(lines)


def pretrain(
    model: str | os.PathLike[str],
    dataset: str = DATASET,
    *,
    fasta: Sequence[str | os.PathLike[str]] | str | os.PathLike[str] | None = None,
    splits: str = prepared.SPLITS,
    chunk_length: int = prepared.CHUNK_LENGTH,
    data_dir: str | os.PathLike[str] | None = None,
    verify: bool = False,
    init: str = "random",
    workdir: str | os.PathLike[str] | None = None,
    distribute: str = "auto",
    flags_text: str = "",
    tell: Callable[[str], Any] | None = None,
    **options: Any,
) -> Pretrained | None:
    """Pretrains a model on a genome: the command `genomenet.train`.

    Args:
        model: Name of a model, or path of its folder.
        dataset: Name or folder of a prepared dataset; a recipe of the catalogue is
            prepared first.
        fasta: Sequence files instead of a dataset.
        splits: For `fasta`: percentages of train, validation and test.
        chunk_length: For `fasta`: maximum length of a chunk, in bases.
        data_dir: Folder of all datasets.
        verify: Whether to compare the checksums of all files of the dataset first.
        init: Initial weights: "random", or "pretrained" to train the weights of
            `model` further.
        workdir: Folder of the run, for the release. An interrupted run resumes from it.
            None keeps nothing on disk.
        distribute: Devices, as for `training.engines.devices`.
        flags_text: Command-line flags, stored in the folder of the run and in the
            release.
        tell: Called with each message about packing and export; prints to stderr by
            default.
        **options: Fields of `training.settings.Settings`, such as `steps` and
            `batch_size`, and of the family's config, such as `objective` or `masking`.
            They override the model's `config.json`.

    Returns:
        The model and its metrics; None in processes that are not the chief.

    Raises:
        ValueError: If the model, the data and the options do not match.
        TrainingError: If the loss is not finite.
        Stopped: If a signal arrives; a run with a folder has been saved.

    Example:
        >>> import genomenet  # doctest: +SKIP
        >>> run = genomenet.pretrain("selfgenomenet", fasta="genome.fa.gz", steps=300)
        >>> run.model.embed(["ACGTTGCA" * 20]).shape
        (1, 512)
    """
    files = _files(fasta)
    if not files and (splits, chunk_length) != (prepared.SPLITS, prepared.CHUNK_LENGTH):
        raise ValueError("splits and chunk_length need fasta: datasets have their own")
    if init not in (inits := (start_lib.RANDOM, start_lib.PRETRAINED)):
        raise ValueError(f"init must be {' or '.join(inits)}, got {init!r}")
    say = tell or (lambda line: print(line, file=sys.stderr))
    devices = engines.devices(distribute)
    start = None
    if init == start_lib.PRETRAINED:
        start = start_lib.read_start(model, init)
    preset = folder.read_config(catalog.model_folder(model))
    given = {key: value for key, value in options.items() if key in _SETTINGS}
    chosen = settings.from_dict({**preset["training"], **given})
    fields = {**preset["model"], **options}
    fields = {key: value for key, value in fields.items() if key not in _SETTINGS}
    config: Any = models.get_family(preset["family"]).from_dict(fields)
    is_ranked = fields.get("npmi") == "dataset"
    if getattr(config, "ranks_kmers", False) and not is_ranked:
        ranking.read(config.npmi, config.kmer)  # raises early if it is unusable
    with tempfile.TemporaryDirectory() as temporary:
        path = pathlib.Path(workdir or temporary)
        if files:
            chunking: Any = {"splits": splits, "chunk_length": chunk_length}
            genome = _pack(files, path / "genome.npz", say, **chunking)
        else:
            genome = _read(dataset, data_dir, verify)
        if is_ranked:
            fields["npmi"] = _rank(genome, path / "npmi.csv", config.kmer)
        result = pretrain_lib.run(
            family=preset["family"],
            model=fields,
            settings=chosen,
            dataset=genome,
            workdir=path,
            pretrained=start.model if start else None,
            origin=start.origin if start else None,
            devices=devices,
            flags_text=flags_text,
        )
        if not result.is_chief:
            return None
        release = command.release_folder(path)
        if workdir is not None and not (result.resumed and release.exists()):
            export.write_release(
                result.model,
                result.config.to_json(),
                directory=release,
                name=release.name,
                metrics=result.metrics,
                flags_text=flags_text,
                tell=say,
            )
        history = workdir_lib.read_metrics(path)
    return Pretrained(
        metrics=result.metrics,
        history=history,
        workdir=None if workdir is None else path,
        resumed=result.resumed,
        family=preset["family"],
        graph=result.model,
    )


def _files(
    fasta: Sequence[str | os.PathLike[str]] | str | os.PathLike[str] | None,
) -> list[str]:
    """Returns the paths of sequence files, none if there is a dataset instead."""
    if fasta is None:
        return []
    paths = [fasta] if isinstance(fasta, str | os.PathLike) else fasta
    if not (files := [os.fspath(path) for path in paths]):
        raise ValueError("fasta names no file")
    return files


def _read(
    name: str, data_dir: str | os.PathLike[str] | None, verify: bool
) -> prepared.Genome:
    """Returns a prepared genome, and prepares it first if it is missing."""
    directory = building.find(name, data_dir)
    if directory is None and pathlib.Path(name).suffix == ".npz":
        return prepared.read(name)
    if directory is None:
        from genomenet.data import catalogue  # TensorFlow

        directory = catalogue.prepare(name, data_dir)
    if verify:
        integrity.check(directory, whole=True)
    return prepared.read(directory)


def _pack(
    files: Sequence[str],
    path: pathlib.Path,
    say: Callable[[str], Any],
    **options: Any,
) -> prepared.Genome:
    """Returns the genome of sequence files, packed once into the folder of the run."""
    name = pathlib.PurePath(files[0]).name.partition(".")[0]
    if path.exists():
        packed = prepared.read(path)
        wanted = {"name": name, **options}
        if wrong := {
            k: v for k, v in packed.identity().items() if wanted.get(k, v) != v
        }:
            text = ", ".join(f"{key}={value}" for key, value in wrong.items())
            raise ValueError(f"{path} was packed with {text}: take another workdir")
        return packed
    paths = reader.expand(files)
    with progress.bar("packing", progress.guessed_bases(paths), show=True) as update:
        return prepared.pack(
            paths, path, name=name, progress=update, tell=say, **options
        )


def _rank(genome: prepared.Genome, path: pathlib.Path, k: int) -> str:
    """Ranks the k-mers of the training split once, and returns the path of the file."""
    from genomenet.data import kmer_ranking

    if not path.exists():
        counts = kmer_ranking.count_genome(genome, k).counts
        header = [f"training split of {genome.name} {genome.version}".rstrip()]
        kmer_ranking.write(kmer_ranking.rank(counts, k), path, header=header)
    return str(path)
