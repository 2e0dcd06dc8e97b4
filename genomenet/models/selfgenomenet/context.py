"""The context network of Self-GenomeNet: one LSTM over the patches."""

from __future__ import annotations

from typing import Any, Final

import keras
from keras import ops

from genomenet.models.selfgenomenet import encoder as encoder_lib

# An unrolled loop is faster, but its graph grows with the number of patches.
_MAX_UNROLLED: Final = 32


@keras.saving.register_keras_serializable(package="genomenet")
class ProjectedLstmCell(keras.layers.Layer):
    """An LSTM cell whose input has already been through the input map.

    The gates stand in Keras' order: input, forget, cell, output.

    Args:
        units: Channels of the state, H.

    Call arguments:
        inputs: Float, (B, 4H): the input's part of the four gates, with the bias.
        states: Hidden and cell state, (B, H) each.

    Returns:
        The new hidden state, and both new states.
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [units, units]
        self.output_size = units

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, 4 * self.units),
            initializer="orthogonal",
        )

    def call(
        self, inputs: Any, states: Any, training: bool = False
    ) -> tuple[Any, list[Any]]:
        hidden, cell = states
        gates = inputs + ops.matmul(hidden, self.recurrent_kernel)  # (B, 4H)
        parts: Any = ops.split(gates, 4, axis=-1)
        enter, forget, fresh, leave = parts
        cell = ops.sigmoid(forget) * cell + ops.sigmoid(enter) * ops.tanh(fresh)
        hidden = ops.sigmoid(leave) * ops.tanh(cell)
        return hidden, [hidden, cell]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="genomenet")
class ContextNet(keras.layers.Layer):
    """Summarises a sequence from left to right, patch by patch.

    An LSTM over the encoder's embeddings. The encoder and the LSTM's input map are
    both linear, so the layer owns both and runs their product (`fold=True`): the
    same weights and the same states, without `filters` channels at every patch.

    Args:
        units: Channels of the state, H.
        filters: Channels of the encoder.
        kernel_size: Bases of a patch.
        stride: Bases between the starts of neighbouring patches.
        fold: Whether to compose the two linear maps; else each runs by itself.

    Call arguments:
        bases: Codes of `dna.alphabet`, (B, L). Padding on the right leaves the
            states before it unchanged.

    Returns:
        Float, (B, P, H). State p has seen patches 0..p only.

    Example:
        >>> import numpy as np
        >>> net = ContextNet(8, filters=16, kernel_size=4, stride=2)
        >>> net(np.zeros((1, 8), "uint8")).shape
        TensorShape([1, 3, 8])

    Source:
        Gündüz et al., Self-GenomeNet (2023). Differences: none in value; the
        folding is ours.
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
        self.cell = ProjectedLstmCell(units, name="cell", dtype=self.dtype_policy)
        self._loop = self._rnn(unroll=False)
        self._unrolled = self._rnn(unroll=True)

    def build(self, bases_shape: tuple[int | None, ...]) -> None:
        self.encoder.build(bases_shape)
        gates = 4 * self.units
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.encoder.filters, gates),
            initializer="glorot_uniform",
        )
        self.bias = self.add_weight(
            name="bias", shape=(gates,), initializer=self._initial_bias
        )
        self.cell.build((None, gates))
        self._loop.build((None, None, gates))
        self._unrolled.build((None, None, gates))

    def call(self, bases: Any) -> Any:
        return self.run(self.gate_inputs(bases))

    def gate_inputs(self, bases: Any) -> Any:
        """Returns what the bases add to the gates: (B, L) → (B, P, 4H)."""
        kernel = ops.cast(self.kernel, self.compute_dtype)
        bias = ops.cast(self.bias, self.compute_dtype)
        if not self.fold:
            return ops.matmul(self.encoder(bases), kernel) + bias
        kernel, bias = self.encoder.fold(kernel, bias)
        # Patch before row, as the recurrence reads them: turning the patches costs
        # less than turning the gates, and a compiler drops the two turns that meet.
        patches = ops.transpose(self.encoder.patches(bases), (1, 0, 2))
        return ops.transpose(ops.matmul(patches, kernel) + bias, (1, 0, 2))

    def run(self, gate_inputs: Any, mask: Any = None) -> Any:
        """Runs the recurrence.

        Args:
            gate_inputs: Float, (B, P, 4H), of `gate_inputs`.
            mask: Optional bool, (B, P); a False patch leaves the state unchanged.

        Returns:
            Float, (B, P, H).
        """
        num_patches = gate_inputs.shape[1]
        is_short = num_patches is not None and num_patches <= _MAX_UNROLLED
        rnn = self._unrolled if is_short else self._loop
        return rnn(gate_inputs, mask=mask)

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

    def _rnn(self, *, unroll: bool) -> keras.layers.RNN:
        return keras.layers.RNN(
            self.cell,
            return_sequences=True,
            unroll=unroll,
            name="unrolled" if unroll else "loop",
            dtype=self.dtype_policy,
        )

    def _initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Zeros, but ones at the forget gate, as in Keras."""
        is_forget = (ops.arange(shape[0]) // self.units) == 1
        return ops.cast(is_forget, dtype or "float32")
