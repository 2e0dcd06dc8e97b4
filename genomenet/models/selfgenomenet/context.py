"""The context network of Self-GenomeNet: one LSTM over the patches."""

from __future__ import annotations

from typing import Any, Final

import keras
from keras import ops

from genomenet.layers import initializers
from genomenet.models.selfgenomenet import encoder as encoder_lib
from genomenet.models.selfgenomenet import lstm

# An unrolled loop is faster, but its graph grows with the number of patches.
_MAX_UNROLLED: Final = 64


@keras.saving.register_keras_serializable(package="genomenet")
class ContextNet(keras.layers.Layer):
    """Summarises a sequence from left to right, patch by patch.

    An LSTM over the encoder's embeddings. The encoder and the LSTM's input map are
    both linear, so the layer owns both and runs their product (`fold=True`). Weights
    and states are the same, but `filters` channels per patch need not be computed.

    Args:
        units: Channels of the state, H.
        filters: Channels of the encoder.
        kernel_size: Bases of a patch.
        stride: Bases between the starts of neighbouring patches.
        fold: Whether to compose the two linear maps; else they run separately.

    Call arguments:
        bases: Codes of `dna.alphabet`, (B, L). Padding on the right leaves the
            states before it unchanged.

    Returns:
        Float, (B, P, H). State p depends on patches 0..p only.

    Example:
        >>> import numpy as np
        >>> net = ContextNet(8, filters=16, kernel_size=4, stride=2)
        >>> net(np.zeros((1, 8), "uint8")).shape
        TensorShape([1, 3, 8])

    Source:
        Gündüz et al., Self-GenomeNet (2023). Differences: none in value; the
        folding is added here.
    """

    def __init__(
        self,
        units: int,
        *,
        filters: int,
        kernel_size: int,
        stride: int,
        fold: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.fold = fold
        self.encoder = encoder_lib.PatchEncoder(
            filters,
            kernel_size=kernel_size,
            stride=stride,
            name="encoder",
            dtype=self.dtype_policy,
        )
        self.cell = lstm.ProjectedLstmCell(units, name="cell", dtype=self.dtype_policy)
        self._loop = keras.layers.RNN(
            self.cell, return_sequences=True, name="loop", dtype=self.dtype_policy
        )

    def build(self, bases_shape: tuple[int | None, ...]) -> None:
        self.encoder.build(bases_shape)
        gates = 4 * self.units
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.encoder.filters, gates),
            initializer=initializers.GlorotUniform(),
        )
        self.bias = self.add_weight(
            name="bias", shape=(gates,), initializer=self._initial_bias
        )
        self.cell.build((None, gates))
        self._loop.build((None, None, gates))

    def call(self, bases: Any) -> Any:
        return self.run(self.gate_inputs(bases))

    def gate_inputs(self, bases: Any) -> Any:
        """Returns the contribution of bases to the gates: (B, L) → (B, P, 4H)."""
        kernel = ops.cast(self.kernel, self.compute_dtype)
        bias = ops.cast(self.bias, self.compute_dtype)
        if not self.fold:
            return ops.matmul(self.encoder(bases), kernel) + bias
        kernel, bias = self.encoder.fold(kernel, bias)
        # Patch axis first, as the recurrence reads it: transposing patches costs less
        # than transposing gates, and the compiler cancels adjacent transposes.
        patches = ops.transpose(self.encoder.patches(bases), (1, 0, 2))
        # The bias is one more row of the kernel, which costs less than adding it.
        patches = ops.pad(patches, ((0, 0), (0, 0), (0, 1)), constant_values=1)
        kernel = ops.concatenate([kernel, bias[None]], axis=0)  # (4·K + 1, 4H)
        return ops.transpose(ops.matmul(patches, kernel), (1, 0, 2))

    def run(self, gate_inputs: Any) -> Any:
        """Runs the recurrence: `gate_inputs`, (B, P, 4H) → (B, P, H)."""
        num_patches = gate_inputs.shape[1]
        if num_patches is None or num_patches > _MAX_UNROLLED:
            return self._loop(gate_inputs)
        kernel = ops.cast(self.cell.recurrent_kernel, self.compute_dtype)
        states = lstm.unrolled(ops.transpose(gate_inputs, (1, 0, 2)), kernel)
        return ops.transpose(states, (1, 0, 2))

    def compute_output_shape(
        self, bases_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*self.encoder.compute_output_shape(bases_shape)[:2], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "filters": self.encoder.filters,
            "kernel_size": self.encoder.kernel_size,
            "stride": self.encoder.stride,
            "fold": self.fold,
        }

    def _initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Returns zeros, but ones for the forget gate, as in Keras."""
        is_forget = (ops.arange(shape[0]) // self.units) == 1
        return ops.cast(is_forget, dtype or "float32")
