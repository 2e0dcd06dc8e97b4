r"""Measures a training step of Self-GenomeNet against two plain implementations.

    python -m benchmarks.pretrain_step

Prints one JSON line per comparison. Both sides have the same weights, the same batch
and an optimizer. The other side is one of two:

*   layers: Conv1D → keras.layers.LSTM, with the same loss;
*   loop: the same network, but the loss as a Python loop over gaps and positions.

Steps of both sides alternate, so that a busy machine slows both. Medians are reported.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from genomenet.layers import strand
from genomenet.losses import reverse_complement
from genomenet.models import selfgenomenet

# Name → other side, and fields that differ from the default model.
_CASES: Final = {
    "layers_150": ("layers", {}),
    "layers_1000": (
        "layers",
        {"length": 1000, "kernel_size": 40, "stride": 20, "gaps": (1,)},
    ),
    "loop_gaps": ("loop", {"gaps": tuple(range(3, 20))}),
}

_COMPARE = flags.DEFINE_multi_enum(
    "compare", list(_CASES), list(_CASES), "Comparisons to run."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Sequences per step.", lower_bound=1
)
_STEPS = flags.DEFINE_integer(
    "steps", 15, "Number of timed steps of each side.", lower_bound=1
)
_UNITS = flags.DEFINE_integer("units", 512, "Channels of the LSTM.", lower_bound=1)
_JIT_COMPILE = flags.DEFINE_bool(
    "jit_compile", False, "Whether XLA compiles the step of both sides."
)

Loss = Callable[[tf.Tensor], tf.Tensor]
Side = tuple[Loss, list[keras.Variable]]


def main(argv: Sequence[str]) -> None:
    """Runs the comparisons and prints one JSON line each."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    for name in _COMPARE.value:
        print(json.dumps({"comparison": name, **_compare(*_CASES[name])}), flush=True)


def _compare(opponent: str, fields: dict[str, Any]) -> dict[str, Any]:
    config = selfgenomenet.Config(units=_UNITS.value, **fields)
    rng = np.random.default_rng(0)
    shape = (_BATCH_SIZE.value, config.length)
    bases = tf.constant(rng.integers(0, 4, shape).astype("uint8"))
    ours = selfgenomenet.build(config)
    theirs = selfgenomenet.build(config)
    theirs.set_weights(ours.get_weights())
    sides = {"ours": _ours(ours), opponent: _OPPONENTS[opponent](theirs)}
    _warm_up()
    first_losses, first_seconds, steps = {}, {}, {}
    for side, (loss, weights) in sides.items():
        start = time.perf_counter()
        steps[side] = _step(loss, weights)
        first_losses[side] = float(steps[side](bases))
        first_seconds[side] = time.perf_counter() - start
    seconds = {side: [] for side in steps}
    rates = []
    for _ in range(_STEPS.value):
        rates.append(_matmul_rate())
        for side, step in steps.items():
            start = time.perf_counter()
            last = float(step(bases))
            seconds[side].append(time.perf_counter() - start)
            if not np.isfinite(last):
                raise ValueError(f"the loss of {side} is not finite: {last}")
    medians = {side: statistics.median(values) for side, values in seconds.items()}
    rate, flop = statistics.median(rates), _flop(config)
    return {
        "batch_size": _BATCH_SIZE.value,
        "length": config.length,
        "patches": config.num_patches,
        "gaps": list(config.gaps),
        "units": config.units,
        "jit_compile": _JIT_COMPILE.value,
        "steps": _STEPS.value,
        "loss": first_losses,
        "seconds_per_step": _rounded(medians),
        "times_faster": round(medians[opponent] / medians["ours"], 2),
        "seconds_to_first_step": _rounded(first_seconds),
        "times_sooner": round(first_seconds[opponent] / first_seconds["ours"], 2),
        "gflop_per_step": round(flop / 1e9, 2),
        "matmul_gflop_per_second": round(rate / 1e9, 1),
        "share_of_matmul_rate": round(flop / medians["ours"] / rate, 3),
    }


def _warm_up() -> None:
    """Runs a small step, so that the start-up of TensorFlow counts for neither side."""
    dense = keras.layers.Dense(1)
    dense.build((None, 1))
    _step(lambda x: dense(x)[:, 0], dense.trainable_variables)(tf.ones((2, 1)))


def _step(loss: Loss, weights: list[keras.Variable]) -> Loss:
    """Returns one training step as a compiled function."""
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(weights)
    values = [weight.value for weight in weights]

    @tf.function(jit_compile=_JIT_COMPILE.value)
    def step(bases: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(bases))
        optimizer.apply(tape.gradient(value, values), weights)
        return value

    return step


def _ours(model: selfgenomenet.SelfGenomeNet) -> Side:
    """Returns the loss of genomenet."""

    def loss(bases: tf.Tensor) -> tf.Tensor:
        return selfgenomenet.loss(model, {"bases": bases}, training=True).per_example

    return loss, model.trainable_variables


def _layers(model: selfgenomenet.SelfGenomeNet) -> Side:
    """Returns the same loss over Keras layers with the same weights."""
    config, net = model.config, model.context_net
    convolution = keras.layers.Conv1D(
        config.filters, config.kernel_size, strides=config.stride
    )
    convolution.build((None, config.length, 4))
    convolution.set_weights(net.encoder.get_weights())
    lstm = keras.layers.LSTM(config.units, return_sequences=True)
    lstm.build((None, config.num_patches, config.filters))
    lstm.set_weights(
        [w.numpy() for w in (net.kernel, net.cell.recurrent_kernel, net.bias)]
    )

    def loss(bases: tf.Tensor) -> tf.Tensor:
        views = tf.concat([bases, strand.reverse_complement(bases)], axis=0)
        context = lstm(convolution(tf.one_hot(views, 4)))
        predictions = [
            projection(context[:, : config.num_patches - gap - 1])
            for gap, projection in zip(config.gaps, model.projections, strict=True)
        ]
        return reverse_complement.reverse_complement_contrastive(
            predictions, context, config.gaps
        )[0]

    weights = [*convolution.trainable_variables, *lstm.trainable_variables]
    for projection in model.projections:
        weights += projection.trainable_variables
    return loss, weights


def _loop(model: selfgenomenet.SelfGenomeNet) -> Side:
    """Returns a loss with one (2B, 2B) product for every gap and position."""
    config = model.config

    def loss(bases: tf.Tensor) -> tf.Tensor:
        views = tf.concat([bases, strand.reverse_complement(bases)], axis=0)
        context = model({"bases": views})["context"]
        num_rows = context.shape[0]
        labels = (tf.range(num_rows) + num_rows // 2) % num_rows
        itself = tf.linalg.diag(tf.fill([num_rows], 1e30))
        per_gap = []
        for gap, projection in zip(config.gaps, model.projections, strict=True):
            per_position = []
            for j in range(1, config.num_patches - gap):
                prediction = projection(context[:, j - 1])
                target = context[:, config.num_patches - j - gap - 1]
                logits = tf.matmul(prediction, target, transpose_b=True) - itself
                per_position.append(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                )
            per_gap.append(tf.add_n(per_position) / len(per_position))
        return tf.add_n(per_gap) / len(per_gap)

    return loss, model.trainable_variables


_OPPONENTS: Final = {"layers": _layers, "loop": _loop}


def _flop(config: selfgenomenet.Config) -> float:
    """Counts the floating-point operations of our matrix products in a step.

    A multiply-add counts as 2. The backward pass takes twice the forward pass.
    """
    rows, patches, units = 2 * _BATCH_SIZE.value, config.num_patches, config.units
    width, gates = 4 * config.kernel_size, 4 * units
    fold = width * config.filters * gates
    first = rows * patches * width * gates  # its input needs no gradient
    recurrent = rows * (patches - 1) * units * gates
    positions = sum(patches - gap - 1 for gap in config.gaps)
    head = positions * rows * units * (units + rows)
    return 2 * (3 * (fold + recurrent + head) + 2 * first)


def _matmul_rate(size: int = 2048) -> float:
    """Returns the floating-point operations per second of a float32 product."""
    x = tf.random.stateless_normal((size, size), (0, 0))
    start = time.perf_counter()
    tf.matmul(x, x).numpy()
    return 2 * size**3 / (time.perf_counter() - start)


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


if __name__ == "__main__":
    app.run(main)
