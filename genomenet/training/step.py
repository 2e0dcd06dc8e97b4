"""One optimizer step and one evaluation step, under any strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from genomenet.models import family as family_lib
from genomenet.training import settings as settings_lib
from genomenet.training import strategy as strategy_lib


class Steps:
    """The compiled steps of a run.

    Gradients are of the sum of weighted losses; they are summed over micro-batches
    and replicas and then divided by the summed weights, so that neither changes the
    result.

    Args:
        family: Of the model.
        model: Built under the strategy.
        optimizer: Built under the strategy.
        strategy: Of the run.
        settings: Of the run.
    """

    def __init__(
        self,
        family: family_lib.Family,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        strategy: tf.distribute.Strategy,
        settings: settings_lib.Settings,
    ):
        self._family = family
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
            "loss", the family's metrics, and "stop", above 0 if any process was
            asked to stop.
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
            output = self._family.loss(
                self._model, rows, training=False, gather=self._gather
            )
            return self._reduced(_sums(output))

        return self._strategy.run(on_replica, args=(rows,))

    def _gradients(self, rows: Any) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
        with tf.GradientTape() as tape:
            output = self._family.loss(
                self._model, rows, training=True, gather=self._gather
            )
            sums = _sums(output)
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
        factor = tf.math.divide_no_nan(1.0, weight)
        if self._settings.clip_norm:
            norm = tf.linalg.global_norm(gradients) * factor
            if self._is_scaled:  # the optimizer divides by the scale later
                norm /= tf.cast(self._optimizer.dynamic_scale, tf.float32)
            clip = self._settings.clip_norm
            factor *= clip / tf.maximum(norm, clip)
        # Keras sums over replicas once more: they hold R copies of one sum.
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


def _sums(output: family_lib.LossOutput) -> dict[str, tf.Tensor]:
    """Returns summed weight, loss and metrics of a replica's rows."""
    weight = tf.reduce_sum(output.weight)
    sums = {
        "weight": weight,
        "loss": tf.reduce_sum(output.per_example * output.weight),
    }
    for name, value in output.metrics.items():
        sums[name] = tf.cast(value, tf.float32) * weight
    return sums


def _refuse(x: tf.Tensor) -> tuple[tf.Tensor, int]:
    raise ValueError(
        "--jit_compile does not reach over several devices: leave it out, or take"
        " --negatives=local"
    )
