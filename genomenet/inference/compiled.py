"""Functions of a model and arrays, compiled by TensorFlow or by JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from genomenet.dna import alphabet


def function(model: keras.Model, call: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function, under Keras' backend.

    Args:
        model: The model; its weights may change between calls.
        call: A function of the model and arrays, in `keras.ops`.

    Returns:
        A function of the arrays alone, NumPy in and NumPy out. TensorFlow traces it
        for the first shapes and once more for all others, JAX for all shapes.
    """
    if keras.backend.backend() == "jax":
        import jax

        def stateless(values: list[Any], *arrays: Any) -> Any:
            pairs = list(zip(model.variables, values, strict=True))
            with keras.StatelessScope(state_mapping=pairs):
                return call(model, *arrays)

        compiled = jax.jit(stateless)
        return lambda *arrays: np.asarray(
            compiled([v.value for v in model.variables], *arrays)
        )
    import tensorflow as tf

    traced = tf.function(
        lambda *arrays: call(model, *arrays), autograph=False, reduce_retracing=True
    )
    return lambda *arrays: traced(*map(tf.constant, arrays)).numpy()


def over_rows(size: int, width: int) -> Callable[[Callable[[Any], Any], Any], Any]:
    """Returns what calls a function on at most some rows at a time.

    Args:
        size: Rows at a time.
        width: Of what the function makes of a row.

    Returns:
        A function of a function, (rows, L) → (rows, width), and its rows, (N, L).
    """
    if keras.backend.backend() == "tensorflow":
        from genomenet.release import parts

        return parts.over_rows(size, width)

    def apply(call: Callable[[Any], Any], rows: Any) -> Any:
        count, length = rows.shape
        if count <= size:
            return call(rows)
        padded = ops.pad(rows, ((0, -count % size), (0, 0)))
        found = ops.map(call, ops.reshape(padded, (-1, size, length)))
        return ops.reshape(found, (-1, width))[:count]

    return apply


def pad_to_few(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pads rows where JAX compiles each length: to one of four an octave.

    Args:
        rows: Codes, uint8, (B, L).

    Returns:
        uint8, (B, L or somewhat more).
    """
    if keras.backend.backend() != "jax":
        return rows
    step = max(1, 1 << (rows.shape[1].bit_length() - 3))
    rest = -rows.shape[1] % step
    return np.pad(rows, ((0, 0), (0, rest)), constant_values=alphabet.PAD)
