r"""Measures masking in the training graph against a plain loop over sequences.

    python -m benchmarks.masking

GeneMask, k = 6, on random k-mers, on one thread. Prints one JSON line per batch size
with the median seconds per batch of four alternating sides: the loop ("loop"), a call
of genomenet's masking compiled by XLA ("call"), the same masking inside a compiled
graph that masks many batches, without the cost of a call from Python ("in_graph"), and
a call of it as a plain graph ("plain_graph"). The last line holds the seconds of a
training step of a model, without the optimizer, with the first batch size.
"""

import json
import math
import os
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import tensorflow as tf
from absl import app, flags

import benchmarks
from genomenet import catalog
from genomenet.dna import kmer
from genomenet.layers import masking
from genomenet.models import bert
from genomenet.release import folder

_K: Final = 6
_SPAN: Final = (0, -2, -1, 1, 2, 3)  # the centre comes first, so it wins ties
_LOOPED: Final = 20  # batches masked in one graph

_BATCH_SIZES = flags.DEFINE_multi_integer("batch_size", [10, 250], "Rows per batch.")
_LENGTH = flags.DEFINE_integer("length", 512, "Tokens of a row.", lower_bound=16)
_RATE = flags.DEFINE_float("rate", 0.0176, "Probability of a centre.")
_MODEL = flags.DEFINE_string("model", "logo3", "A preset of BERT, for the step.")
_ROUNDS = flags.DEFINE_integer("rounds", 15, "Number of runs of each.", lower_bound=1)


def main(argv: Sequence[str]) -> None:
    """Prints one JSON line per batch size and one for a training step."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for batch_size in _BATCH_SIZES.value:
        print(json.dumps(_measure(batch_size)), flush=True)
    print(json.dumps(_step(_BATCH_SIZES.value[0])), flush=True)


def _step(batch_size: int) -> dict[str, Any]:
    """Returns the seconds of a step of a model, with its masking."""
    content = folder.read_config(catalog.model_folder(_MODEL.value))
    model = bert.build(bert.from_dict(content["model"]))
    rng = np.random.default_rng(0)
    shape = (batch_size, model.config.length)
    bases = tf.constant(rng.integers(0, 4, shape, dtype="uint8"))
    key = tf.constant(rng.integers(0, 2**32, (batch_size, 2), "uint32"))

    @tf.function(jit_compile=True, autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape:
            losses = bert.loss(model, {"bases": bases, "key": key}, training=True)
            loss = tf.reduce_mean(losses.per_example)
        weights = [weight.value for weight in model.trainable_variables]
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, weights)]

    step()
    seconds = benchmarks.in_turn({"step": lambda: step()[0].numpy()}, _ROUNDS.value)
    return {"model": _MODEL.value, "batch_size": batch_size, "seconds": seconds}


def _measure(batch_size: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shape = (batch_size, _LENGTH.value)
    ids = rng.integers(kmer.NUM_SPECIAL, kmer.vocabulary_size(_K), shape, "int32")
    ids[:, 0], ids[:, -1] = kmer.CLS_ID, kmer.SEP_ID
    segment = np.ones_like(ids)
    position = np.broadcast_to(np.arange(shape[1], dtype="int32"), shape)
    key = rng.integers(0, 2**32, (batch_size, 2), "uint32")
    ranks = (rng.permutation(4**_K) + 1).astype("int32")
    given = [tf.constant(x) for x in (ids, segment, position, key)]

    def ours(
        ids: tf.Tensor, segment: tf.Tensor, position: tf.Tensor, key: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        masked = masking.mask_tokens(
            ids,
            segment,
            position,
            key,
            k=_K,
            strategy="genemask",
            rate=_RATE.value,
            ranks=ranks,
        )
        return masked.inputs, masked.selected

    def repeated(
        ids: tf.Tensor, segment: tf.Tensor, position: tf.Tensor, key: tf.Tensor
    ) -> tf.Tensor:
        inputs = ids
        for index in tf.range(_LOOPED):
            # Each batch has a new key and depends on the result of the last batch, so
            # XLA cannot leave out any.
            batch_key = key + tf.cast(index, tf.uint32)
            inputs, selected = ours(ids, segment, position, batch_key)
            segment = tf.where(selected & (inputs < 0), 2, segment)
        return inputs

    compiled = tf.function(ours, jit_compile=True)
    looped = tf.function(repeated, jit_compile=True)
    graph = tf.function(ours)
    table = ranks.tolist()
    sides: dict[str, Callable[[], Any]] = {
        "loop": lambda: _mask_batch(ids, segment, table),
        "call": lambda: [x.numpy() for x in compiled(*given)],
        "in_graph": lambda: looped(*given).numpy(),
        "plain_graph": lambda: [x.numpy() for x in graph(*given)],
    }
    shares = {"loop": sides["loop"]()[1].mean(), "ours": sides["call"]()[1].mean()}
    for name in ("in_graph", "plain_graph"):
        sides[name]()
    seconds = benchmarks.in_turn(sides, _ROUNDS.value)
    seconds["in_graph"] /= _LOOPED
    return {
        "batch_size": batch_size,
        "length": shape[1],
        "seconds": {name: float(f"{value:.3g}") for name, value in seconds.items()},
        "ratio": {
            name: round(seconds["loop"] / value, 1)
            for name, value in seconds.items()
            if name != "loop"
        },
        "share": {name: round(float(value), 4) for name, value in shares.items()},
    }


def _mask_batch(
    ids: np.ndarray, segment: np.ndarray, ranks: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Masks rows one by one and returns inputs and targets, (B, T)."""
    pairs = zip(ids.tolist(), segment.tolist(), strict=True)
    rows = [_mask_row(row, segments, ranks) for row, segments in pairs]
    inputs, selected = zip(*rows, strict=True)
    return np.array(inputs, "int32"), np.array(selected)


def _mask_row(
    ids: list[int], segment: list[int], ranks: list[int]
) -> tuple[list[int], list[bool]]:
    """Applies GeneMask as a loop over tokens, spans and neighbours."""
    rate, length = _RATE.value, len(ids)
    selected = [False] * length
    centres: dict[int, list[int]] = {}
    for i, token in enumerate(ids):
        if token >= kmer.NUM_SPECIAL and random.random() < rate:
            centres.setdefault(segment[i], []).append(i)

    def around(i: int, offsets: Sequence[int]) -> list[int]:
        return [
            i + d
            for d in offsets
            if 0 <= i + d < length
            and segment[i + d] == segment[i]
            and ids[i + d] >= kmer.NUM_SPECIAL
        ]

    for positions in centres.values():
        best = []
        for centre in positions:
            span = around(centre, _SPAN)
            for i in span:
                selected[i] = True
            best.append(min((ranks[ids[i] - kmer.NUM_SPECIAL], i) for i in span))
        half = math.ceil(len(best) / 2)
        for _, token in sorted(best)[:half] if half >= 5 else best:
            for i in around(token, range(1 - _K, _K)):
                selected[i] = True

    inputs = list(ids)
    for i in range(length):
        if selected[i]:
            draw = random.random()
            if draw < 0.8:
                inputs[i] = kmer.MASK_ID
            elif draw < 0.9:
                inputs[i] = random.randrange(kmer.NUM_SPECIAL, kmer.vocabulary_size(_K))
    return inputs, selected


if __name__ == "__main__":
    app.run(main)
