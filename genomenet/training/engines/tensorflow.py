"""The steps, data and checkpoints of a run under a strategy of TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from genomenet.training import gradients as gradients_lib
from genomenet.training import loop, schedule
from genomenet.training import settings as settings_lib
from genomenet.training import workdir as workdir_lib
from genomenet.training.engines import checkpoint as checkpoint_lib
from genomenet.training.engines import strategy as strategy_lib


class Devices:
    """The devices of a run; implements `loop.Devices`.

    Args:
        distribute: As for `engines.devices`.
    """

    def __init__(self, distribute: str):
        self.strategy = strategy_lib.make(distribute)
        self.is_chief = strategy_lib.is_chief(self.strategy)
        self.num_replicas: int = self.strategy.num_replicas_in_sync
        device_types = {
            device.device_type for device in tf.config.get_visible_devices()
        }
        self.is_cpu = device_types == {"CPU"}

    def check(self, settings: settings_lib.Settings) -> None:
        """Raises a ValueError if the devices do not support the settings."""
        loop.check_batch_size(settings, self.num_replicas)
        if settings.precision == "mixed_float16" and self.num_replicas > 1:
            raise ValueError(
                "precision=mixed_float16 needs one device, got"
                f" {self.num_replicas}; use mixed_bfloat16 with several"
            )

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Returns the context in which models are built."""
        return self.strategy.scope()

    def engine(
        self,
        job: loop.Job,
        settings: settings_lib.Settings,
        folder: workdir_lib.Workdir,
    ) -> loop.Engine:
        """Makes the engine of a run."""
        return _Engine(self.strategy, job, settings, folder)


class _Engine:
    """One process's part of a run; implements `loop.Engine`."""

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
        self._steps = Steps(
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
        """Does nothing: the model's own weights are trained."""


class Steps:
    """The compiled steps of a run.

    Args:
        objective: As in `loop.Job`.
        model: The model, built under the strategy.
        optimizer: The optimizer, built under the strategy.
        strategy: Strategy of the run.
        settings: Settings of the run.
    """

    def __init__(
        self,
        objective: Any,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        strategy: tf.distribute.Strategy,
        settings: settings_lib.Settings,
    ):
        self._objective = objective
        self._model = model
        self._optimizer = optimizer
        self._strategy = strategy
        self._settings = settings
        self._replicas = strategy.num_replicas_in_sync
        _, processes = strategy_lib.position(strategy)
        self._own_replicas = self._replicas // processes
        self._weights = model.trainable_variables
        self._sums: list[tf.Variable] = []
        if settings.accumulate > 1:
            with strategy.scope():
                self._sums = [
                    tf.Variable(
                        tf.zeros(w.shape),
                        trainable=False,
                        synchronization=tf.VariableSynchronization.ON_READ,
                        aggregation=tf.VariableAggregation.SUM,
                    )
                    for w in self._weights
                ]
        self._differentiate_replica = self._gradients
        self._gather = strategy_lib.gather
        if settings.jit_compile:
            self._differentiate_replica = tf.function(
                self._gradients, jit_compile=True, autograph=False
            )
            if self._replicas > 1:
                self._gather = _refuse

    def train(
        self, batches: Sequence[Mapping[str, Any]], stop: bool
    ) -> dict[str, tf.Tensor]:
        """Makes one optimizer step.

        Args:
            batches: This process's rows of `accumulate` global batches.
            stop: Whether this process has been asked to stop.

        Returns:
            Sums over all rows, each of a metric times the row's weight: "weight",
            "loss", the family's metrics, and "stop", which is above 0 if any process
            was asked to stop.
        """
        stop_here = tf.constant(float(stop))
        rows = [
            strategy_lib.deal(self._strategy, batch, parts=self._own_replicas)
            for batch in batches
        ]
        if len(rows) == 1:
            return self._local(self._step(rows[0], stop_here))
        sums = [self._local(self._accumulate(r, stop_here)) for r in rows]
        totals = {name: tf.add_n([s[name] for s in sums]) for name in sums[0]}
        self._apply_accumulated(totals["weight"])
        return totals

    def evaluate(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Scores one global batch; returns sums as `train` does."""
        rows = strategy_lib.deal(self._strategy, batch, parts=self._replicas)
        return self._local(self._evaluate(rows))

    @tf.function(autograph=False)
    def _step(self, rows: Any, stop: tf.Tensor) -> Any:
        def on_replica(rows: Any, stop: tf.Tensor) -> dict[str, tf.Tensor]:
            gradients, sums = self._differentiate_replica(rows)
            sums = self._reduced({**sums, "stop": stop})
            self._apply(strategy_lib.reduce_sum(gradients), sums["weight"])
            return sums

        return self._strategy.run(on_replica, args=(rows, stop))

    @tf.function(autograph=False)
    def _accumulate(self, rows: Any, stop: tf.Tensor) -> Any:
        def on_replica(rows: Any, stop: tf.Tensor) -> dict[str, tf.Tensor]:
            gradients, sums = self._differentiate_replica(rows)
            for total, gradient in zip(self._sums, gradients, strict=True):
                total.assign_add(gradient)
            return self._reduced({**sums, "stop": stop})

        return self._strategy.run(on_replica, args=(rows, stop))

    @tf.function(autograph=False)
    def _apply_accumulated(self, weight: tf.Tensor) -> None:
        def on_replica(weight: tf.Tensor) -> None:
            gradients = [tf.identity(total) for total in self._sums]
            self._apply(strategy_lib.reduce_sum(gradients), weight)
            for total in self._sums:
                total.assign(tf.zeros_like(total))

        self._strategy.run(on_replica, args=(weight,))

    @tf.function(autograph=False)
    def _evaluate(self, rows: Any) -> Any:
        def on_replica(rows: Any) -> dict[str, tf.Tensor]:
            output = self._objective.loss(
                self._model, rows, training=False, gather=self._gather
            )
            return self._reduced(gradients_lib.sums(output))

        return self._strategy.run(on_replica, args=(rows,))

    def _gradients(self, rows: Any) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
        with tf.GradientTape() as tape:
            output = self._objective.loss(
                self._model, rows, training=True, gather=self._gather
            )
            sums = gradients_lib.sums(output)
            loss = sums["loss"]
            if self._is_scaled:
                loss = self._optimizer.scale_loss(loss)
        variables = [w.value for w in self._weights]
        gradients = tape.gradient(
            loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return [tf.convert_to_tensor(g) for g in gradients], sums

    def _apply(self, gradients: list[tf.Tensor], weight: tf.Tensor) -> None:
        """Applies summed gradients: mean, clip, update."""
        scale = self._optimizer.dynamic_scale if self._is_scaled else 1.0
        factor = gradients_lib.factor(
            gradients, weight, clip_norm=self._settings.clip_norm, scale=scale
        )
        # Keras sums over replicas again, and all R replicas hold the same sum.
        factor /= self._replicas
        self._optimizer.apply([g * factor for g in gradients], self._weights)

    @property
    def _is_scaled(self) -> bool:
        return isinstance(self._optimizer, keras.optimizers.LossScaleOptimizer)

    def _reduced(self, sums: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        names = list(sums)
        stacked = tf.stack([tf.cast(sums[name], tf.float32) for name in names])
        [total] = strategy_lib.reduce_sum([stacked])
        return dict(zip(names, tf.unstack(total), strict=True))

    def _local(self, values: Any) -> dict[str, tf.Tensor]:
        return {
            name: self._strategy.experimental_local_results(value)[0]
            for name, value in values.items()
        }


def _refuse(x: tf.Tensor) -> tuple[tf.Tensor, int]:
    raise ValueError(
        "jit_compile does not support negatives=global on several devices: leave it"
        " out, or use negatives=local"
    )
