"""Pretraining of every family on a prepared genome, on TensorFlow or JAX."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import keras

from genomenet import models
from genomenet.data import prepared, rows
from genomenet.dna import tiling
from genomenet.models import family as family_lib
from genomenet.training import engines, loop
from genomenet.training import settings as settings_lib
from genomenet.training import workdir as workdir_lib

_SEEN_WINDOWS: Final = 2048  # of the training split, for the scores of guessing


def run(
    *,
    family: str,
    model: Mapping[str, Any],
    settings: settings_lib.Settings,
    dataset: prepared.Genome | str | os.PathLike[str],
    workdir: str | os.PathLike[str],
    pretrained: keras.Model | None = None,
    origin: Mapping[str, Any] | None = None,
    devices: loop.Devices | None = None,
    flags_text: str = "",
) -> loop.Result:
    """Pretrains a model, or goes on with a run that was stopped.

    Keras's backend computes it.

    Args:
        family: A key of `genomenet.models.FAMILIES`.
        model: Fields of the family's config, as JSON values.
        settings: How to train.
        dataset: A prepared genome, or what `prepared.read` takes.
        workdir: Folder of the run.
        pretrained: A model of the family to begin with; fresh weights if None.
        origin: What `pretrained` is: kept, and compared when a run goes on.
        devices: Where to compute, of `engines.devices`; one device by default.
        flags_text: The command's flags, kept in the folder.

    Returns:
        The trained model and its metrics.

    Raises:
        ValueError: If the model, the settings, the dataset and the folder do not
            fit each other.
        TrainingError: If the loss is not finite.
        Stopped: If a signal came; the run has been saved.
    """
    devices = devices or engines.devices()
    devices.check(settings)
    members = models.get_family(family)
    config = members.from_dict(model)
    genome = dataset if isinstance(dataset, prepared.Genome) else prepared.read(dataset)
    run_config = workdir_lib.RunConfig(
        family=family,
        model=members.to_dict(config),
        settings=settings,
        dataset=genome.identity(),
        parts={"init": dict(origin)} if origin else {},
    )
    with workdir_lib.Workdir(workdir, read_only=not devices.is_chief) as folder:
        window = members.window(config)
        train = genome.rows("train", window, seed=settings.seed)
        if len(train) < settings.batch_size:
            raise ValueError(
                f"split 'train' of {genome.path} has only {len(train)} windows of"
                f" {window.bases} bases, fewer than batch_size={settings.batch_size}"
            )
        fewest = members.fewest_rows(config, devices.num_replicas)
        if settings.batch_size < fewest:
            raise ValueError(
                f"batch_size={settings.batch_size} is too small: the objective"
                f" compares rows, of which it needs {fewest}"
                + (f" on {devices.num_replicas} devices" if fewest > 2 else "")
            )
        folder.adopt(run_config, flags_text=flags_text)
        held_out = _held_out(genome, window, settings, devices.num_replicas, fewest)

        def batches(first: int, worker: int, num_workers: int) -> Any:
            size = settings.batch_size
            share = {"worker": worker, "num_workers": num_workers}
            return rows.stream(train, first * size, size, **share)

        def baseline(model: keras.Model) -> dict[str, float]:
            seen = _tiled(genome, "train", window, settings)
            number = -(-_SEEN_WINDOWS // settings.batch_size)
            read = _full_batches(seen, settings.batch_size, number)
            found = members.trivial_baseline(model, read, held_out)
            names = {"loss": "val_chance_loss", "accuracy": "val_chance"}
            return {name: found[key] for key, name in names.items() if key in found}

        job = loop.Job(
            objective=members,
            make_model=lambda: family_lib.begin(members, config, pretrained),
            batches=batches,
            held_out=held_out,
            bases_per_row=window.length,
            baseline=baseline,
        )
        return loop.run(job, run_config, folder=folder, devices=devices)


def _tiled(
    genome: prepared.Genome,
    split: str,
    window: tiling.Window,
    settings: settings_lib.Settings,
) -> rows.Rows:
    """Returns the rows of a split as they are for evaluation."""
    tiled = dataclasses.replace(window, cut="tile")
    return genome.rows(split, tiled, seed=settings.seed)


def _held_out(
    genome: prepared.Genome,
    window: tiling.Window,
    settings: settings_lib.Settings,
    num_replicas: int,
    fewest: int,
) -> list[rows.Batch]:
    """Returns the validation batches, the same at every evaluation.

    There are none where the split is too small for the objective, which is said.
    """
    if "validation" not in genome.chunks.splits:
        return []
    try:
        found = _tiled(genome, "validation", window, settings)
    except ValueError:  # no chunk is as long as a window
        return []
    size = min(settings.batch_size, len(found))
    size -= size % num_replicas
    if size < fewest:
        print(
            f"split 'validation' of {genome.path} has {len(found)} windows of"
            f" {window.bases} bases, too few to validate on",
            file=sys.stderr,
        )
        return []
    return _full_batches(found, size, settings.eval_batches)


def _full_batches(found: rows.Rows, size: int, at_most: int) -> list[rows.Batch]:
    """Returns the first full batches."""
    number = min(at_most, len(found) // size) if size else 0
    return [found.batch(i * size, size) for i in range(number)]
