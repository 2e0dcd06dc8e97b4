"""Functions of a model and arrays, compiled by TensorFlow or by JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet


def function(model: keras.Model, call: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function, under Keras' backend.

    Args:
        model: The model; its weights may change between calls.
        call: A function of the model and arrays, in `keras.ops`.

    Returns:
        A function of the arrays alone, NumPy in and NumPy out, as many as `call`
        returns. TensorFlow traces it for the first shapes and once more for all
        others, JAX for all shapes.
    """
    if keras.backend.backend() == "jax":
        import jax

        def stateless(values: list[Any], *arrays: Any) -> Any:
            pairs = list(zip(model.variables, values, strict=True))
            with keras.StatelessScope(state_mapping=pairs):
                return call(model, *arrays)

        compiled = jax.jit(stateless)
        return lambda *arrays: keras.tree.map_structure(
            np.asarray, compiled([v.value for v in model.variables], *arrays)
        )
    import tensorflow as tf

    traced = graph(lambda *arrays: call(model, *arrays), reduce_retracing=True)
    return lambda *arrays: keras.tree.map_structure(
        np.asarray, traced(*map(tf.constant, arrays))
    )


def graph(call: Callable[..., Any], **options: Any) -> Any:
    """Returns a function as `tf.function` without AutoGraph.

    TensorFlow counts traces by the code of a function, and warns when that code is
    traced often, as where five models are read in a row; of a partial object it counts
    those of the object alone.

    Args:
        call: A function of tensors.
        **options: Of `tf.function`.

    Raises:
        ValueError: If Keras runs on another backend.
    """
    if (backend := keras.backend.backend()) != "tensorflow":
        raise ValueError(f"this needs KERAS_BACKEND=tensorflow, not {backend}")
    import tensorflow as tf

    return tf.function(functools.partial(call), autograph=False, **options)


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
