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

_SEEN_WINDOWS: Final = 2048  # training windows from which chance level is computed


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
    """Pretrains a model on Keras's backend, or resumes an interrupted run.

    Args:
        family: A key of `genomenet.models.FAMILIES`.
        model: Fields of the family's config, as JSON values.
        settings: How to train.
        dataset: A prepared genome, or an argument of `prepared.read`.
        workdir: Folder of the run.
        pretrained: A model of the family with the initial weights; random if None.
        origin: Description of `pretrained`, saved and compared when a run resumes.
        devices: Where to compute, from `engines.devices`; one device by default.
        flags_text: The command's flags, saved in the folder.

    Returns:
        The trained model and its metrics.

    Raises:
        ValueError: If the model, the settings, the dataset and the folder do not
            fit each other.
        TrainingError: If the loss is not finite.
        Stopped: If a signal arrived; the run has been saved.
    """
    devices = devices or engines.devices()
    devices.check(settings)
    family_module = models.get_family(family)
    config = family_module.from_dict(model)
    genome = dataset if isinstance(dataset, prepared.Genome) else prepared.read(dataset)
    run_config = workdir_lib.RunConfig(
        family=family,
        model=family_module.to_dict(config),
        settings=settings,
        dataset=genome.identity(),
        parts={"init": dict(origin)} if origin else {},
    )
    with workdir_lib.Workdir(workdir, read_only=not devices.is_chief) as folder:
        window = family_module.window(config)
        train = genome.rows("train", window, seed=settings.seed)
        if len(train) < settings.batch_size:
            raise ValueError(
                f"split 'train' of {genome.path} has only {len(train)} windows of"
                f" {window.bases} bases, fewer than batch_size={settings.batch_size}"
            )
        fewest = family_module.min_batch_size(config, devices.num_replicas)
        if settings.batch_size < fewest:
            raise ValueError(
                f"batch_size={settings.batch_size} is too small: the objective"
                f" compares rows with each other and needs {fewest}"
                + (f" on {devices.num_replicas} devices" if fewest > 2 else "")
            )
        folder.adopt(run_config, flags_text=flags_text)
        held_out = _held_out(genome, window, settings, devices.num_replicas, fewest)

        def batches(first: int, worker: int, num_workers: int) -> Any:
            size = settings.batch_size
            share = {"worker": worker, "num_workers": num_workers}
            return rows.stream(train, first * size, size, **share)

        def baseline(model: keras.Model) -> dict[str, float]:
            seen_rows = _tiled(genome, "train", window, settings)
            num_batches = -(-_SEEN_WINDOWS // settings.batch_size)
            seen_batches = _full_batches(seen_rows, settings.batch_size, num_batches)
            scores = family_module.trivial_baseline(model, seen_batches, held_out)
            names = {"loss": "val_chance_loss", "accuracy": "val_chance"}
            return {name: scores[key] for key, name in names.items() if key in scores}

        job = loop.Job(
            objective=family_module,
            make_model=lambda: family_lib.build_from(family_module, config, pretrained),
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
    """Returns the rows of a split, tiled without random offsets for evaluation."""
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

    If the split is too small for the objective, there are none and a message says so.
    """
    if "validation" not in genome.chunks.splits:
        return []
    try:
        tiled = _tiled(genome, "validation", window, settings)
    except ValueError:  # no chunk is as long as a window
        return []
    size = min(settings.batch_size, len(tiled))
    size -= size % num_replicas
    if size < fewest:
        print(
            f"split 'validation' of {genome.path} has {len(tiled)} windows of"
            f" {window.bases} bases, too few to validate on",
            file=sys.stderr,
        )
        return []
    return _full_batches(tiled, size, settings.eval_batches)


def _full_batches(split_rows: rows.Rows, size: int, at_most: int) -> list[rows.Batch]:
    """Returns the first full batches, at most `at_most`."""
    num_batches = min(at_most, len(split_rows) // size) if size else 0
    return [split_rows.batch(i * size, size) for i in range(num_batches)]
