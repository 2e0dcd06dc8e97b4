"""Processes large inputs in parts inside a TensorFlow graph, to limit memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def in_parts(
    call: Callable[[Any, Any], Any],
    stop_of: Callable[[Any], Any],
    *,
    count: Any,
    width: int,
) -> Any:
    """Calls a function on consecutive parts of the rows.

    Args:
        call: First row and one past the last row → their values, (rows, width).
        stop_of: First row of a part → one past its last row.
        count: Number of rows, N. If it is 0, `call` is still called once.
        width: Width of the values.

    Returns:
        float32, (N, width).
    """
    results = tf.TensorArray(
        tf.float32, 1, dynamic_size=True, infer_shape=False, element_shape=(None, width)
    )

    def body(index: Any, start: Any, results: Any) -> tuple[Any, Any, Any]:
        stop = tf.minimum(stop_of(start), count)
        values = tf.cast(call(start, stop), tf.float32)
        return index + 1, stop, results.write(index, values)

    _, _, results = tf.while_loop(
        lambda index, start, _: (index == 0) | (start < count),
        body,
        (0, 0, results),
        parallel_iterations=1,
    )
    return results.concat()


def over_rows(size: int, width: int) -> Callable[[Callable[[Any], Any], Any], Any]:
    """Returns a function that applies another function to parts of its rows.

    Args:
        size: Maximum rows of a part.
        width: Width of the function's output.

    Returns:
        A function of another function, (rows, …) → (rows, width), and of rows, (N, …).
    """

    def apply(call: Callable[[Any], Any], rows: Any) -> Any:
        if rows.shape[0] is not None and rows.shape[0] <= size:
            return call(rows)
        return in_parts(
            lambda start, stop: call(rows[start:stop]),
            lambda start: start + size,
            count=tf.shape(rows)[0],
            width=width,
        )

    return apply
