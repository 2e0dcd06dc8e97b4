"""Large inputs in parts, inside a TensorFlow graph: memory is that of one part."""

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
    """Calls a function on some rows after the others.

    Args:
        call: First row and one past the last → their values, (rows, width).
        stop_of: First row of a part → one past its last.
        count: Rows, N; where there are none, `call` still gets them once.
        width: Of the values.

    Returns:
        float32, (N, width).
    """
    found = tf.TensorArray(
        tf.float32, 1, dynamic_size=True, infer_shape=False, element_shape=(None, width)
    )

    def body(number: Any, start: Any, found: Any) -> tuple[Any, Any, Any]:
        stop = tf.minimum(stop_of(start), count)
        values = tf.cast(call(start, stop), tf.float32)
        return number + 1, stop, found.write(number, values)

    _, _, found = tf.while_loop(
        lambda number, start, _: (number == 0) | (start < count),
        body,
        (0, 0, found),
        parallel_iterations=1,
    )
    return found.concat()


def over_rows(size: int, width: int) -> Callable[[Callable[[Any], Any], Any], Any]:
    """Returns what calls a function on at most some rows at a time.

    Args:
        size: Rows at a time.
        width: Of what the function makes of a row.

    Returns:
        A function of a function, (rows, …) → (rows, width), and its rows, (N, …).
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
