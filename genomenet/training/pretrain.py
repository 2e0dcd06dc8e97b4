"""Pretraining of every family on a prepared genome."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from genomenet import models
from genomenet.data import integrity, pipeline
from genomenet.models import family as family_lib
from genomenet.training import engine, loop
from genomenet.training import settings as settings_lib
from genomenet.training import strategy as strategy_lib
from genomenet.training import workdir as workdir_lib


def run(
    *,
    family: str,
    model: Mapping[str, Any],
    settings: settings_lib.Settings,
    dataset: str | os.PathLike[str],
    workdir: str | os.PathLike[str],
    pretrained: keras.Model | None = None,
    origin: Mapping[str, Any] | None = None,
    strategy: tf.distribute.Strategy | None = None,
    flags_text: str = "",
) -> loop.Result:
    """Pretrains a model, or goes on with a run that was stopped.

    Args:
        family: A key of `genomenet.models.FAMILIES`.
        model: Fields of the family's config, as JSON values.
        settings: How to train.
        dataset: Folder of a prepared dataset.
        workdir: Folder of the run.
        pretrained: A model of the family to begin with; fresh weights if None.
        origin: What `pretrained` is: kept, and compared when a run goes on.
        strategy: Where to compute, of `strategy.make`; one device by default.
        flags_text: The command's flags, kept in the folder.

    Returns:
        The trained model and its metrics.

    Raises:
        ValueError: If the model, the settings, the dataset and the folder do not
            fit each other.
        TrainingError: If the loss is not finite.
        Stopped: If a signal came; the run has been saved.
    """
    strategy = strategy or strategy_lib.make("none")
    members = models.get_family(family)
    config = members.from_dict(model)
    data = pipeline.Prepared(dataset)
    run_config = workdir_lib.RunConfig(
        family=family,
        model=members.to_dict(config),
        settings=settings,
        dataset=_identity(data),
        parts={"init": dict(origin)} if origin else {},
    )
    read_only = not strategy_lib.is_chief(strategy)
    with (
        integrity.reading(dataset),
        workdir_lib.Workdir(workdir, read_only=read_only) as folder,
    ):
        cutting = pipeline.Cutting(**dataclasses.asdict(members.window(config)))
        engine.check(settings, strategy)
        data.check("train", cutting, batch_size=settings.batch_size)
        folder.adopt(run_config, flags_text=flags_text)
        held_out = _held_out(data, cutting, settings, strategy)

        def baseline(model: keras.Model) -> dict[str, float]:
            seen = pipeline.evaluation_batches(
                data,
                "train",
                cutting,
                batch_size=settings.batch_size,
                num_batches=-(-loop.SEEN_WINDOWS // settings.batch_size),
                seed=settings.seed,
            )
            return loop.trivial_scores(members, model, list(seen), held_out)

        job = loop.Job(
            objective=members,
            make_model=lambda: family_lib.begin(members, config, pretrained),
            batches=pipeline.training_batches(
                data,
                "train",
                cutting,
                batch_size=settings.batch_size,
                seed=settings.seed,
                shuffle_buffer=settings.shuffle_buffer,
            ),
            held_out=held_out,
            bases_per_row=cutting.length,
            baseline=baseline,
        )
        return loop.run(job, run_config, folder=folder, engine=engine.make(strategy))


def _identity(data: pipeline.Prepared) -> dict[str, Any]:
    """Returns what tells one prepared dataset from another."""
    keys = ("chunk_length", "min_length", "splits", "seed", "bases")
    return {
        "name": data.name,
        "version": data.version,
        **{key: data.metadata[key] for key in keys if key in data.metadata},
    }


def _held_out(
    data: pipeline.Prepared,
    cutting: pipeline.Cutting,
    settings: settings_lib.Settings,
    strategy: tf.distribute.Strategy,
) -> list[dict[str, tf.Tensor]]:
    """Reads the validation batches once; they are the same at every evaluation."""
    if "validation" not in data.splits:
        return []
    replicas = strategy.num_replicas_in_sync
    found = data.count("validation", cutting, at_most=settings.batch_size)
    batch_size = found - found % replicas
    if not batch_size:
        return []
    return list(
        pipeline.evaluation_batches(
            data,
            "validation",
            cutting,
            batch_size=batch_size,
            num_batches=settings.eval_batches,
            seed=settings.seed,
        )
    )
