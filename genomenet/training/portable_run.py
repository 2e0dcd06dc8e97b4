"""Pretraining of every family on a packed genome, on JAX."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any, Final

import keras

from genomenet import models
from genomenet.models import family as family_lib
from genomenet.training import (
    loop,
    portable_arrays,
    portable_data,
    portable_engine,
    portable_genome,
)
from genomenet.training import settings as settings_lib
from genomenet.training import workdir as workdir_lib

WEIGHTS: Final = "model.npz"

_MIN_LENGTH: Final = 100  # bases; this and the seed as of genomenet.build_dataset
_SPLIT_SEED: Final = 0


def run(
    *,
    family: str,
    model: Mapping[str, Any],
    settings: settings_lib.Settings,
    genome: portable_genome.PackedGenome,
    name: str,
    workdir: str | os.PathLike[str],
    pretrained: keras.Model | None = None,
    origin: Mapping[str, Any] | None = None,
    splits: str = "90/5/5",
    chunk_length: int = 16_384,
    flags_text: str = "",
) -> loop.Result:
    """Pretrains a model, or goes on with a run that was stopped.

    Args:
        family: A key of `genomenet.models.FAMILIES`.
        model: Fields of the family's config, as JSON values.
        settings: How to train.
        genome: The genome.
        name: Of the genome.
        workdir: Folder of the run; in the end with the weights, `model.npz`.
        pretrained: A model of the family to begin with; fresh weights if None.
        origin: What `pretrained` is: kept, and compared when a run goes on.
        splits: Percentages of train, validation and test.
        chunk_length: Bases in a chunk, at most.
        flags_text: The command's flags, kept in the folder.

    Returns:
        The trained model and its metrics.

    Raises:
        ValueError: If the model, the settings, the genome and the folder do not fit
            each other.
        TrainingError: If the loss is not finite.
        Stopped: If a signal came; the run has been saved.
    """
    if keras.backend.backend() != "jax":
        raise ValueError(
            f"this trains on JAX, but Keras runs on {keras.backend.backend()}: set"
            " KERAS_BACKEND=jax, or use genomenet.train"
        )
    if settings.precision == "mixed_float16":
        raise ValueError("precision mixed_float16 needs genomenet.train")
    members = models.get_family(family)
    config = members.from_dict(model)
    window = members.window(config)
    options = {
        "chunk_length": chunk_length,
        "min_length": _MIN_LENGTH,
        "splits": splits,
        "seed": _SPLIT_SEED,
    }
    chunks = portable_data.plan(genome, **options, tell=_tell)
    bases = {split: int((c[:, 1] - c[:, 0]).sum()) for split, c in chunks.items()}
    run_config = workdir_lib.RunConfig(
        family=family,
        model=members.to_dict(config),
        settings=settings,
        dataset={"name": name, "version": genome.digest(), **options, "bases": bases},
        parts={"init": dict(origin)} if origin else {},
    )
    with workdir_lib.Workdir(workdir) as folder:
        batch_size = settings.batch_size
        seen = _tiled(genome, chunks, "train", window, settings.seed)
        _check(seen, name, batch_size, chunk_length)
        folder.adopt(run_config, flags_text=flags_text)
        held_out = []
        if "validation" in chunks:
            rows = _tiled(genome, chunks, "validation", window, settings.seed)
            held_out = _batches(rows, batch_size, settings.eval_batches)

        def baseline(model: keras.Model) -> dict[str, float]:
            batches = _batches(seen, batch_size, -(-loop.SEEN_WINDOWS // batch_size))
            return loop.trivial_scores(members, model, batches, held_out)

        job = loop.Job(
            objective=members,
            make_model=lambda: family_lib.begin(members, config, pretrained),
            batches=portable_data.Rows(
                genome, chunks["train"], window, seed=settings.seed
            ),
            held_out=held_out,
            bases_per_row=window.length,
            baseline=baseline,
        )
        result = loop.run(
            job, run_config, folder=folder, engine=portable_engine.JaxEngine
        )
        path = pathlib.Path(workdir) / WEIGHTS
        portable_arrays.save_model(result.model, path, step=settings.steps)
        return result


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _tiled(
    genome: portable_genome.PackedGenome,
    chunks: Mapping[str, Any],
    split: str,
    window: family_lib.Window,
    seed: int,
) -> portable_data.Rows:
    """Returns the rows of a split as they are for evaluation."""
    window = dataclasses.replace(window, cut="tile")
    return portable_data.Rows(genome, chunks[split], window, seed=seed)


def _batches(
    rows: portable_data.Rows, batch_size: int, at_most: int
) -> list[portable_data.Batch]:
    """Returns the first full batches; smaller ones where there is not one."""
    count = rows.count()
    size = min(batch_size, count)
    number = min(at_most, count // size) if size else 0
    return [rows.batch(i * size, size) for i in range(number)]


def _check(
    rows: portable_data.Rows, name: str, batch_size: int, chunk_length: int
) -> None:
    """Checks that the training split can fill a batch with different rows."""
    length = rows.window.length
    if length > chunk_length:
        raise ValueError(
            f"a window of {length} bases is longer than --chunk_length={chunk_length}"
        )
    if rows.count() < batch_size:
        raise ValueError(
            f"the training split of {name} has only {rows.count()} windows of"
            f" {length} bases, fewer than --batch_size={batch_size}"
        )
