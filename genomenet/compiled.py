"""Compiles functions of a model and arrays with TensorFlow or JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet


def function(model: keras.Model, call: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function with the current Keras backend.

    Args:
        model: The model; its weights may change between calls.
        call: A function of the model and arrays, written in `keras.ops`.

    Returns:
        A function of the arrays only. It takes NumPy arrays and returns the outputs of
        `call` as NumPy arrays. TensorFlow traces it for the first shapes and once more
        for all others, JAX for every shape.
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
    """Wraps a function in `tf.function` without AutoGraph.

    TensorFlow counts traces per code object and warns when the same code is traced
    often, for example when five models are loaded in a row. The traces of a
    `functools.partial` object are counted for each object separately.

    Args:
        call: A function of tensors.
        **options: Arguments of `tf.function`.

    Raises:
        ValueError: If Keras runs on another backend.
    """
    if (backend := keras.backend.backend()) != "tensorflow":
        raise ValueError(f"this needs KERAS_BACKEND=tensorflow, not {backend}")
    import tensorflow as tf

    return tf.function(functools.partial(call), autograph=False, **options)


def pad_to_few(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pads rows on JAX to one of four lengths per power of two.

    JAX compiles once for every length. On other backends the rows are returned
    unchanged.

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
