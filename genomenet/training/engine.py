"""The steps, data and checkpoints of a run under a strategy of TensorFlow."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from genomenet.training import checkpoint as checkpoint_lib
from genomenet.training import loop, schedule
from genomenet.training import settings as settings_lib
from genomenet.training import step as step_lib
from genomenet.training import strategy as strategy_lib
from genomenet.training import workdir as workdir_lib


def make(strategy: tf.distribute.Strategy) -> loop.MakeEngine:
    """Returns what makes the engine of a run.

    Args:
        strategy: Where to compute, of `strategy.make`.

    Returns:
        For `loop.run`.
    """
    return functools.partial(_Engine, strategy)


def check(settings: settings_lib.Settings, strategy: tf.distribute.Strategy) -> None:
    """Checks that the settings go with the devices.

    Args:
        settings: Of the run.
        strategy: Of the run.

    Raises:
        ValueError: If they do not.
    """
    replicas = strategy.num_replicas_in_sync
    if settings.batch_size % replicas:
        raise ValueError(
            f"--batch_size={settings.batch_size} cannot be dealt evenly to"
            f" {replicas} replicas"
        )
    if settings.precision == "mixed_float16" and replicas > 1:
        raise ValueError(
            "--precision=mixed_float16 works on one device only; with several take"
            " mixed_bfloat16"
        )


class _Engine:
    """One process's part of a run; follows `loop.Engine`."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        job: loop.Job,
        settings: settings_lib.Settings,
        folder: workdir_lib.Workdir,
    ):
        self.is_alone = not strategy_lib.is_multi_worker(strategy)
        with strategy.scope():
            self.model = job.make_model()
            self.optimizer = schedule.make_optimizer(settings, self.model)
        self._accumulate = settings.accumulate
        self._steps = step_lib.Steps(
            job.objective,
            self.model,
            self.optimizer,
            strategy=strategy,
            settings=settings,
        )
        self._job = job
        self._worker, self._num_workers = strategy_lib.position(strategy)
        self._batches = job.batches(0, self._worker, self._num_workers)
        self._checkpoints = checkpoint_lib.Checkpoints(
            folder.checkpoints,
            model=self.model,
            optimizer=self.optimizer,
            keep=settings.keep,
            read_only=folder.read_only,
        )
        self.save = self._checkpoints.save
        self.evaluate = self._steps.evaluate

    @property
    def latest_step(self) -> int | None:
        return self._checkpoints.latest_step

    def restore(self) -> tuple[int, dict[str, float]]:
        step, totals = self._checkpoints.restore()
        if step:
            self.close()
            first = step * self._accumulate
            self._batches = self._job.batches(first, self._worker, self._num_workers)
        return step, totals

    def close(self) -> None:
        self._batches.close()

    def train(self, stop: bool) -> Mapping[str, Any]:
        batches = [next(self._batches) for _ in range(self._accumulate)]
        return self._steps.train(batches, stop)

    def write_back(self) -> None:
        """The model's own weights are trained."""
