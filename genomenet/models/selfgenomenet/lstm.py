"""The recurrence of an LSTM whose inputs are already projected to the gates."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from genomenet.layers import initializers


@keras.saving.register_keras_serializable(package="genomenet")
class ProjectedLstmCell(keras.layers.Layer):
    """An LSTM cell that receives the input's contribution to the gates.

    The gates are in the order of Keras: input, forget, cell, output.

    Args:
        units: Channels of the state, H.

    Call arguments:
        inputs: Float, (B, 4H): contribution of the input to the gates, with the bias.
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
            initializer=initializers.Orthogonal(),
        )

    def call(
        self, inputs: Any, states: Any, training: bool = False
    ) -> tuple[Any, list[Any]]:
        hidden, cell = states
        gates = inputs + ops.matmul(hidden, self.recurrent_kernel)  # (B, 4H)
        in_gate, forget_gate, candidate, out_gate = _activate(gates)
        cell = forget_gate * cell + in_gate * candidate
        hidden = out_gate * ops.tanh(cell)
        return hidden, [hidden, cell]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@ops.custom_gradient
def unrolled(gate_inputs: Any, recurrent_kernel: Any) -> tuple[Any, Any]:
    """Runs the cell from the zero state over all steps, with an unrolled loop.

    Equal to a `keras.layers.RNN` of `ProjectedLstmCell` in value and in gradient. The
    gradient is implemented here because that is faster: the kernel's gradient is one
    product over all steps instead of a sum of small ones, and terms that do not depend
    on later steps are computed for all steps at once. It has no second derivative.

    Args:
        gate_inputs: Float, (P, B, 4H), P static: the steps in order.
        recurrent_kernel: Float, (H, 4H).

    Returns:
        The hidden states, (P, B, H).
    """
    width = recurrent_kernel.shape[0]
    inputs: Any = ops.unstack(gate_inputs, axis=0)
    hidden = cell = ops.zeros_like(inputs[0][:, :width])
    steps = []
    for step, gates in enumerate(inputs):
        if step:  # the first hidden state is zero
            gates = gates + ops.matmul(hidden, recurrent_kernel)
        in_gate, forget_gate, candidate, out_gate = _activate(gates)
        cell = forget_gate * cell + in_gate * candidate
        squashed = ops.tanh(cell)
        hidden = out_gate * squashed
        steps.append(
            (in_gate, forget_gate, candidate, out_gate, cell, squashed, hidden)
        )
    states = ops.stack([step[-1] for step in steps])

    def grad(*args: Any, upstream: Any = None) -> tuple[Any, Any]:
        upstream = args[0] if upstream is None else upstream
        in_gate, forget_gate, candidate, out_gate, cells, squashed = (
            ops.stack(parts) for parts in list(zip(*steps, strict=True))[:-1]
        )
        previous_cells = ops.pad(cells[:-1], ((1, 0), (0, 0), (0, 0)))
        # Derivatives by each gate, and of the hidden state by the cell state.
        gate_factors: Any = ops.unstack(
            ops.concatenate(
                [
                    candidate * in_gate * (1 - in_gate),
                    previous_cells * forget_gate * (1 - forget_gate),
                    in_gate * (1 - candidate * candidate),
                    squashed * out_gate * (1 - out_gate),
                ],
                axis=-1,
            )
        )
        cell_factors: Any = ops.unstack(out_gate * (1 - squashed * squashed))
        d_states: Any = ops.unstack(upstream)
        back_kernel = _transposed(recurrent_kernel)
        d_gates: list[Any] = [None] * len(steps)
        d_hidden, d_cell = d_states[-1], None
        for step in reversed(range(len(steps))):
            through = d_hidden * cell_factors[step]
            d_cell = through if d_cell is None else through + d_cell
            d_gates[step] = gate_factors[step] * ops.concatenate(
                [d_cell, d_cell, d_cell, d_hidden], axis=-1
            )
            if step:
                d_hidden = d_states[step - 1] + ops.matmul(d_gates[step], back_kernel)
                d_cell = d_cell * steps[step][1]
        d_inputs = ops.stack(d_gates)
        d_kernel = ops.matmul(
            ops.transpose(ops.reshape(states[:-1], (-1, width))),
            ops.reshape(d_inputs[1:], (-1, 4 * width)),
        )
        return d_inputs, d_kernel

    return states, grad


def _transposed(kernel: Any) -> Any:
    """Transposes (H, 4H) once; a plain transpose would be moved into every product."""
    parts = ops.reshape(kernel, (-1, 4, kernel.shape[0]))
    return ops.reshape(ops.transpose(parts, (1, 2, 0)), (-1, kernel.shape[0]))


def _activate(gates: Any) -> tuple[Any, Any, Any, Any]:
    parts: Any = ops.split(gates, 4, axis=-1)
    in_gate, forget_gate, candidate, out_gate = parts
    return (
        ops.sigmoid(in_gate),
        ops.sigmoid(forget_gate),
        ops.tanh(candidate),
        ops.sigmoid(out_gate),
    )
