"""The encoder of Self-GenomeNet: one linear convolution over one-hot bases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from genomenet.dna import alphabet
from genomenet.layers import initializers


@keras.saving.register_keras_serializable(package="genomenet")
class PatchEncoder(keras.layers.Layer):
    """Embeds overlapping patches of bases by one linear convolution.

    A convolution without padding and without activation. N and padding are all-zero
    columns. As it is linear, `fold` composes it with a linear map that follows, so
    that its channels need not be computed for every patch.

    Args:
        filters: Channels of an embedding.
        kernel_size: Bases of a patch.
        stride: Bases between the starts of neighbouring patches.

    Attributes:
        edit: None, or a function of the one-hot bases of patches,
            (B, P, kernel_size, 4), and their codes, (B, P, kernel_size), that returns
            vectors to be used instead, for attribution.

    Call arguments:
        bases: Codes of `dna.alphabet`, (B, L).

    Returns:
        Float, (B, P, filters), with P = (L - kernel_size) // stride + 1.

    Raises:
        ValueError: If L, where it is static, is below `kernel_size`.

    Example:
        >>> import numpy as np
        >>> PatchEncoder(8, kernel_size=4, stride=2)(np.zeros((1, 8), "uint8")).shape
        TensorShape([1, 3, 8])

    Source:
        Gündüz et al., Self-GenomeNet (2023). Differences: none.
    """

    def __init__(self, filters: int, *, kernel_size: int, stride: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.stride = stride
        self.edit: Callable[[Any, Any], Any] | None = None

    def build(self, bases_shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, alphabet.NUM_BASES, self.filters),
            initializer=initializers.GlorotUniform(),
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.filters,), initializer="zeros"
        )

    def call(self, bases: Any) -> Any:
        kernel, bias = self._flat_kernel(), ops.cast(self.bias, self.compute_dtype)
        return ops.matmul(self.patches(bases), kernel) + bias  # (B, P, C)

    def patches(self, bases: Any) -> Any:
        """Returns the one-hot patches, flat: (B, L) → (B, P, 4·kernel_size)."""
        length = bases.shape[1]
        if length is not None and length < self.kernel_size:
            raise ValueError(
                f"{length} bases are fewer than one patch of {self.kernel_size}"
            )
        # Not ops.extract_sequences, which fails for integers on a GPU with JAX.
        num_patches = (ops.shape(bases)[1] - self.kernel_size) // self.stride + 1
        starts = ops.arange(num_patches, dtype="int32")[:, None] * self.stride
        columns = starts + np.arange(self.kernel_size, dtype="int32")
        frames = ops.take(ops.cast(bases, "int32"), columns, axis=1)
        # (B, P, kernel_size)
        one_hot = ops.one_hot(frames, alphabet.NUM_BASES, dtype=self.compute_dtype)
        if self.edit is not None:
            one_hot = self.edit(one_hot, frames)
        shape = ops.shape(frames)
        width = self.kernel_size * alphabet.NUM_BASES
        return ops.reshape(one_hot, (shape[0], shape[1], width))

    def fold(self, kernel: Any, bias: Any) -> tuple[Any, Any]:
        """Composes the encoder with the linear map x @ kernel + bias.

        Args:
            kernel: Float, (filters, D).
            bias: Float, (D,).

        Returns:
            The kernel, (4·kernel_size, D), and bias, (D,), that map `patches` to the
            result of both maps in turn. Gradients reach all four weights.
        """
        own_bias = ops.cast(self.bias, self.compute_dtype)
        folded_bias = ops.matmul(own_bias[None], kernel)[0] + bias
        return ops.matmul(self._flat_kernel(), kernel), folded_bias

    def compute_output_shape(
        self, bases_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        length = bases_shape[1]
        num_patches = (
            None if length is None else (length - self.kernel_size) // self.stride + 1
        )
        return (bases_shape[0], num_patches, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "stride": self.stride,
        }

    def _flat_kernel(self) -> Any:
        width = self.kernel_size * alphabet.NUM_BASES
        kernel = ops.reshape(self.kernel, (width, self.filters))
        return ops.cast(kernel, self.compute_dtype)
