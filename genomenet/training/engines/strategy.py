"""Distribution strategies of TensorFlow: one device, several, or several machines."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf


@functools.cache  # two in one process would receive each other's messages
def make(name: str = "auto") -> tf.distribute.Strategy:
    """Returns the strategy of a run.

    Args:
        name: As for `engines.devices`.

    Returns:
        The strategy.

    Raises:
        ValueError: If TF_CONFIG is missing.
    """
    if name == "auto" and os.environ.get("TF_CONFIG"):
        name = "multi_worker"
    # This strategy fails if anything has touched a device before.
    if name == "multi_worker":
        if not os.environ.get("TF_CONFIG"):
            raise ValueError(
                "distribute=multi_worker needs the environment variable TF_CONFIG"
                " with the cluster and this task"
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the files of the run."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether other processes take part in the run."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def deal(
    strategy: tf.distribute.Strategy, batch: Mapping[str, Any], *, parts: int
) -> dict[str, Any]:
    """Divides a batch among the replicas of this process.

    Args:
        strategy: Strategy of the run.
        batch: Name → (B, ...), B a multiple of `parts`.
        parts: Number of replicas that share the batch: all of the run for a global
            batch, those of this process for a batch of this process's rows.

    Returns:
        Name → (B/parts, ...) for every local replica, as `strategy.run` takes it.
    """
    if parts == strategy.num_replicas_in_sync == 1:
        return {name: tf.convert_to_tensor(value) for name, value in batch.items()}

    def divide(name: str) -> Any:
        rows = batch[name].shape[0] // parts

        def local_rows(context: tf.distribute.ValueContext) -> tf.Tensor:
            start = context.replica_id_in_sync_group % parts * rows
            return tf.convert_to_tensor(batch[name][start : start + rows])

        return strategy.experimental_distribute_values_from_function(local_rows)

    return {name: divide(name) for name in batch}


def position(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """Returns the index of this process and the number of processes of the run."""
    ids: list[int] = []

    def note(context: tf.distribute.ValueContext) -> tf.Tensor:
        ids.append(context.replica_id_in_sync_group)
        return tf.constant(0)

    strategy.experimental_distribute_values_from_function(note)
    return min(ids) // len(ids), strategy.num_replicas_in_sync // len(ids)


def gather(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | int]:
    """Concatenates `x` over replicas; differentiable.

    Args:
        x: Float, (N, ...), the same shape on each of R replicas.

    Returns:
        (R·N, ...), and the index of the first row of this replica. `x` itself and 0
        outside a replica context.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return x, 0
    # all_gather drops the static shape
    everything = tf.ensure_shape(context.all_gather(x, axis=0), [None, *x.shape[1:]])
    rows = tf.shape(x)[0]
    return everything, tf.cast(context.replica_id_in_sync_group, tf.int32) * rows


def reduce_sum(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    """Sums tensors over replicas, inside a replica context."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tensors
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)
