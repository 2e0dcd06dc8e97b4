r"""Measures masking in the training graph against a plain loop over sequences.

    python -m benchmarks.masking

GeneMask, k = 6, on random k-mers. One JSON line each batch size: seconds a batch of
the loop, of a call of ours compiled by XLA, of ours as a part of a compiled graph
that masks many batches (so without the cost of a call from Python), and of a call of
ours as a plain graph; on one thread, all in turn, medians. A last line: seconds of a
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
_SPAN: Final = (0, -2, -1, 1, 2, 3)  # the centre first: it wins among equals
_LOOPED: Final = 20  # batches masked in one graph

_BATCH_SIZES = flags.DEFINE_multi_integer("batch_size", [10, 250], "Rows a batch.")
_LENGTH = flags.DEFINE_integer("length", 512, "Tokens of a row.", lower_bound=16)
_RATE = flags.DEFINE_float("rate", 0.0176, "Probability of a centre.")
_MODEL = flags.DEFINE_string("model", "logo3", "A preset of BERT, for the step.")
_ROUNDS = flags.DEFINE_integer("rounds", 15, "Times each is run.", lower_bound=1)


def main(argv: Sequence[str]) -> None:
    """Prints one JSON line a batch size."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for batch_size in _BATCH_SIZES.value:
        print(json.dumps(_measure(batch_size)), flush=True)
    print(json.dumps(_step(_BATCH_SIZES.value[0])), flush=True)


def _step(batch_size: int) -> dict[str, Any]:
    """Returns the seconds of a step of a model, its masking included."""
    content = folder.read_config(catalog.model_folder(_MODEL.value))
    model = bert.build(bert.from_dict(content["model"]))
    rng = np.random.default_rng(0)
    shape = (batch_size, model.config.length)
    bases = tf.constant(rng.integers(0, 4, shape, dtype="uint8"))
    key = tf.constant(rng.integers(0, 2**32, (batch_size, 2), "uint32"))

    @tf.function(jit_compile=True, autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape:
            found = bert.loss(model, {"bases": bases, "key": key}, training=True)
            loss = tf.reduce_mean(found.per_example)
        weights = [weight.value for weight in model.trainable_variables]
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, weights)]

    step()
    found = benchmarks.in_turn({"step": lambda: step()[0].numpy()}, _ROUNDS.value)
    return {"model": _MODEL.value, "batch_size": batch_size, "seconds": found}


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
        found = masking.mask_tokens(
            ids,
            segment,
            position,
            key,
            k=_K,
            strategy="genemask",
            rate=_RATE.value,
            ranks=ranks,
        )
        return found.inputs, found.selected

    def repeated(
        ids: tf.Tensor, segment: tf.Tensor, position: tf.Tensor, key: tf.Tensor
    ) -> tf.Tensor:
        inputs = ids
        for number in tf.range(_LOOPED):
            # A new key and the last batch's result: nothing can be left out.
            now = key + tf.cast(number, tf.uint32)
            inputs, selected = ours(ids, segment, position, now)
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
    """Masks one row after another: inputs and targets, (B, T)."""
    pairs = zip(ids.tolist(), segment.tolist(), strict=True)
    rows = [_mask_row(row, number, ranks) for row, number in pairs]
    inputs, selected = zip(*rows, strict=True)
    return np.array(inputs, "int32"), np.array(selected)


def _mask_row(
    ids: list[int], segment: list[int], ranks: list[int]
) -> tuple[list[int], list[bool]]:
    """GeneMask as a loop over tokens, spans and neighbours."""
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

    for found in centres.values():
        best = []
        for centre in found:
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
