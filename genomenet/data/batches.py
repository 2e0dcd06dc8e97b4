"""Arrays in memory → tf.data of batches of one static shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

_shuffle: Any = tf.random.experimental.stateless_shuffle  # pyright: ignore[reportAttributeAccessIssue]
Arrays = Mapping[str, npt.NDArray[Any]]


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Returns the batches that hold all rows once."""
    return -(-rows // batch_size)


def endless(
    arrays: Arrays, *, batch_size: int, seed: int, first: int = 0
) -> tf.data.Dataset:
    """Returns batches in which every epoch has all rows, in an order of its own.

    Args:
        arrays: Name → (N, ...); among them "weight", (N,).
        batch_size: Rows of a batch, B.
        seed: Of the orders and the keys.
        first: Number of the first batch.

    Returns:
        A dataset without end of dicts, name → (B, ...), and "key", uint32, (B, 2).
        Where N is no multiple of B, the last batch of an epoch is filled with rows of
        weight 0.
    """
    rows = len(arrays["weight"])
    filler = steps_per_epoch(rows, batch_size) * batch_size - rows

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        key = tf.stack([tf.constant(seed, tf.int64), number])
        order = _shuffle(tf.range(rows), key)
        order = tf.concat([order, tf.fill([filler], -1)], axis=0)
        order = tf.reshape(order, (-1, batch_size))
        return tf.data.Dataset.from_tensor_slices(order)

    begin, skipped = divmod(first, steps_per_epoch(rows, batch_size))
    order = tf.data.Dataset.range(begin, 2**31).flat_map(epoch).skip(skipped)
    return _gathered(order, arrays, batch_size, seed, first).prefetch(2)


def in_order(arrays: Arrays, *, batch_size: int, seed: int) -> tf.data.Dataset:
    """Returns the rows once, in their order, in batches as `endless` makes them."""
    rows = len(arrays["weight"])
    filler = steps_per_epoch(rows, batch_size) * batch_size - rows
    order = np.concatenate([np.arange(rows), np.full(filler, -1)]).astype("int32")
    batches = tf.data.Dataset.from_tensor_slices(order.reshape(-1, batch_size))
    return _gathered(batches, arrays, batch_size, seed)


def _gathered(
    order: tf.data.Dataset,
    arrays: Arrays,
    batch_size: int,
    seed: int,
    first_batch: int = 0,
) -> tf.data.Dataset:
    tensors = {name: tf.constant(array) for name, array in arrays.items()}

    def gather(number: tf.Tensor, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        is_real = rows >= 0
        batch = {
            name: tf.gather(tensor, tf.maximum(rows, 0))
            for name, tensor in tensors.items()
        }
        batch["weight"] = tf.where(is_real, batch["weight"], 0.0)
        first = tf.cast(number * batch_size, tf.uint32)
        numbers = first + tf.cast(tf.range(batch_size), tf.uint32)
        batch["key"] = tf.stack(
            [tf.fill([batch_size], tf.constant(seed, tf.uint32)), numbers], axis=1
        )
        return batch

    return order.enumerate(first_batch).map(
        gather, num_parallel_calls=2, deterministic=True
    )
