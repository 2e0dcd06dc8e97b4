"""Initial weights that depend only on the seed, not on Keras's backend.

The initializers of Keras draw with the generator of the backend, so that a seed gives
different weights on TensorFlow and JAX. These draw with NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="genomenet")
class Normal(keras.initializers.RandomNormal):
    """Draws from a normal distribution with mean 0; `stddev` as in Keras."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        draws = _generator(self).normal(self.mean, self.stddev, shape)
        return ops.convert_to_tensor(draws, dtype or keras.config.floatx())


@keras.saving.register_keras_serializable(package="genomenet")
class GlorotUniform(keras.initializers.GlorotUniform):
    """Draws uniformly from an interval whose width depends on the shape.

    The last two axes are input and output channels; any axes before them are the
    positions of a kernel.
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        *positions, inputs, outputs = shape
        limit = math.sqrt(6 / (math.prod(positions) * (inputs + outputs)))
        draws = _generator(self).uniform(-limit, limit, shape)
        return ops.convert_to_tensor(draws, dtype or keras.config.floatx())


@keras.saving.register_keras_serializable(package="genomenet")
class Orthogonal(keras.initializers.Orthogonal):
    """Draws a matrix with orthonormal rows or columns, whichever are fewer."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        rows, columns = shape
        draws = _generator(self).normal(size=(max(shape), min(shape)))
        q, r = np.linalg.qr(draws)
        q *= np.sign(np.diag(r))  # uniform over all such matrices
        q = q if rows >= columns else q.T
        return ops.convert_to_tensor(self.gain * q, dtype or keras.config.floatx())


def _generator(initializer: Any) -> np.random.Generator:
    """Returns a generator with the initializer's seed.

    If none is given, Keras draws the seed from Python's generator, which
    `keras.utils.set_random_seed` seeds.
    """
    return np.random.default_rng(initializer.seed)
