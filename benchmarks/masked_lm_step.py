r"""Measures a pretraining step of BERT for DNA against `transformers` on PyTorch.

    python -m benchmarks.masked_lm_step --model=logo6 --batch_size=10
    python -m benchmarks.masked_lm_step --model=dnabert6 --batch_size=2

Both sides run alternately in one process, with the same weights and the same masked
tokens, and with AdamW. Each step reads another batch. Prints two JSON lines. In "full",
each row is one sequence. In "mix", sequences have the lengths of GeneMask; genomenet
packs them into rows, and `transformers` pads them to the longest of the batch, as it
does by default. Needs the extra `peers`.
"""

import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
import torch
import transformers
from absl import app, flags

from benchmarks import bert_step
from genomenet import catalog
from genomenet.models import bert
from genomenet.models.bert import objective
from genomenet.porting import hf_bert, hf_config
from genomenet.release import folder

_MODEL = flags.DEFINE_string("model", "logo6", "A preset of BERT.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 10, "Rows per step.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 7, "Number of timed steps of each side.")
_JIT_COMPILE = flags.DEFINE_bool("jit_compile", True, "Whether XLA compiles the step.")
_ADAM = {"lr": 1e-4, "betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.01}


def main(argv: Sequence[str]) -> None:
    """Prints one JSON line for full rows and one for the mix of lengths."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    values = folder.read_config(catalog.model_folder(_MODEL.value))["model"]
    config = bert.from_dict(values)
    for kind in ("full", "mix"):
        print(json.dumps({"rows": kind, **_compare(config, kind)}), flush=True)


def _compare(config: bert.Config, kind: str) -> dict[str, Any]:
    keras.utils.set_random_seed(0)
    batches = [_batch(config, kind, seed) for seed in range(_STEPS.value + 1)]
    model = bert.build(config)
    sides = {"ours": _ours(model), "transformers": _theirs(model)}
    first, seconds = {}, {name: [] for name in sides}
    for name, prepare in sides.items():
        step = prepare(batches[0])
        start = time.perf_counter()
        loss = step()
        first[name] = (round(loss, 4), round(time.perf_counter() - start, 2))
    rates = []
    for batch in batches[1:]:
        rates.append(_matmul_rate())
        for name, prepare in sides.items():
            step = prepare(batch)
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    counts = [_counted(model, batch) for batch in batches[1:]]
    tokens, bases = (
        {name: statistics.mean(c[part][name] for c in counts) for name in sides}
        for part in range(2)
    )
    rate = statistics.median(rates)
    flop = bert_step.flop(config, _BATCH_SIZE.value)
    return {
        "model": _MODEL.value,
        "batch_size": _BATCH_SIZE.value,
        "jit_compile": _JIT_COMPILE.value,
        "first_loss_and_seconds": first,
        "seconds_per_step": {n: round(s, 3) for n, s in medians.items()},
        "tokens_per_second": {n: round(tokens[n] / s) for n, s in medians.items()},
        "bases_per_second": {n: round(bases[n] / s) for n, s in medians.items()},
        "tokens_ratio": round(
            tokens["ours"]
            / medians["ours"]
            / (tokens["transformers"] / medians["transformers"]),
            2,
        ),
        "bases_ratio": round(
            bases["ours"]
            / medians["ours"]
            / (bases["transformers"] / medians["transformers"]),
            2,
        ),
        "share_of_matmul_rate": round(flop / medians["ours"] / rate, 3),
        "matmul_gflop_per_second": round(rate / 1e9),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _batch(config: bert.Config, kind: str, seed: int) -> dict[str, np.ndarray]:
    """Returns random rows, each of one sequence or of several segments."""
    size = _BATCH_SIZE.value
    if kind == "mix":
        return bert_step.mixed_rows(config, size, seed)
    rng = np.random.default_rng(seed)
    bases = rng.integers(0, 4, (size, config.length - 1)).astype("uint8")
    key = rng.integers(0, 2**32, (size, 2), dtype=np.uint32)
    last = rng.integers(0, 4, (size, 1)).astype("uint8")
    return {"bases": np.concatenate([bases, last], axis=1), "key": key}


def _ours(model: bert.BertMaskedLM) -> Callable:
    """Returns a function that prepares a step of a batch; preparation is not timed."""
    weights = model.trainable_variables
    values = [weight.value for weight in weights]
    optimizer = keras.optimizers.AdamW(
        _ADAM["lr"],
        weight_decay=_ADAM["weight_decay"],
        beta_1=_ADAM["betas"][0],
        beta_2=_ADAM["betas"][1],
        epsilon=_ADAM["eps"],
    )
    optimizer.build(weights)

    @tf.function(jit_compile=_JIT_COMPILE.value)
    def differentiate(rows: Any) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            losses = bert.loss(model, rows, training=True)
            total = tf.reduce_sum(losses.per_example * losses.weight)
            loss = total / tf.reduce_sum(losses.weight)
        gradients = tape.gradient(loss, values)
        return loss, [tf.convert_to_tensor(g) for g in gradients]

    @tf.function
    def step(rows: Any) -> tf.Tensor:
        loss, gradients = differentiate(rows)
        optimizer.apply(gradients, weights)
        return loss

    def prepare(batch: Mapping[str, np.ndarray]) -> Callable[[], float]:
        rows = {name: tf.constant(value) for name, value in batch.items()}
        return lambda: float(step(rows))

    return prepare


def _peer(model: bert.BertMaskedLM) -> Any:
    values = hf_config.write(model.config)
    del values["architectures"]
    config = transformers.BertConfig(**values)
    theirs = transformers.BertForMaskedLM(config)
    state = theirs.state_dict()
    for pair in hf_bert.pairs(model.config):
        value = np.asarray(hf_bert.variable_of(model, pair.ours))
        value = value.T if pair.is_transposed else value
        state[pair.theirs] = torch.tensor(np.ascontiguousarray(value))
    state["cls.predictions.decoder.weight"] = state[
        "bert.embeddings.word_embeddings.weight"
    ]
    state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"]
    theirs.load_state_dict(state)
    return theirs.train()


def _theirs(model: bert.BertMaskedLM) -> Callable:
    """Returns a function that prepares a step on B sequences, padded to the longest."""
    theirs = _peer(model)
    optimizer = torch.optim.AdamW(theirs.parameters(), **_ADAM)

    def prepare(batch: Mapping[str, np.ndarray]) -> Callable[[], float]:
        arguments = _padded(model, batch)

        def step() -> float:
            optimizer.zero_grad()
            loss = theirs(**arguments).loss
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    return prepare


def _padded(
    model: bert.BertMaskedLM, batch: Mapping[str, np.ndarray]
) -> dict[str, torch.Tensor]:
    """Returns the arguments of `transformers`: sequences, masks and labels."""
    ids, inputs, selected = _sequences(model, batch)
    longest = max(map(len, ids))
    padded = np.zeros((len(ids), longest), "int64")
    labels = np.full((len(ids), longest), -100, "int64")
    mask = np.zeros((len(ids), longest), "int64")
    for row, (real, masked, target) in enumerate(
        zip(ids, inputs, selected, strict=True)
    ):
        padded[row, : len(real)] = masked
        mask[row, : len(real)] = 1
        labels[row, : len(real)][target] = real[target]
    return {
        "input_ids": torch.tensor(padded),
        "attention_mask": torch.tensor(mask),
        "labels": torch.tensor(labels),
    }


def _sequences(
    model: bert.BertMaskedLM, batch: Mapping[str, np.ndarray]
) -> tuple[list, list, list]:
    """Returns ids, masked ids and targets of the first B sequences of a batch."""
    tokens = model.tokens(batch["bases"], segment=batch.get("segment"))
    masked = objective.mask(model.config, tokens, batch["key"])
    sequences: tuple[list, list, list] = ([], [], [])
    segments = np.asarray(tokens["segment_ids"])
    for row, segment in enumerate(segments):
        for index in range(1, int(segment.max()) + 1):
            is_in = segment == index
            if not is_in.any():
                continue
            for part, whole in zip(
                sequences,
                (tokens["token_ids"], masked.inputs, masked.selected),
                strict=True,
            ):
                part.append(np.asarray(whole)[row][is_in])
    rows = _BATCH_SIZE.value
    return sequences[0][:rows], sequences[1][:rows], sequences[2][:rows]


def _counted(
    model: bert.BertMaskedLM, batch: Mapping[str, np.ndarray]
) -> tuple[dict[str, int], dict[str, int]]:
    """Returns token positions (with padding) and real bases of a step of each side."""
    ids, _, _ = _sequences(model, batch)
    overlap = 3 - model.config.kmer  # [CLS] and [SEP], minus k - 1 tokens
    longest = max(map(len, ids))
    slots = model.tokens(batch["bases"], segment=batch.get("segment"))["token_ids"]
    tokens = {"ours": int(np.prod(slots.shape)), "transformers": len(ids) * longest}
    return tokens, {
        "ours": int((batch["bases"] < 5).sum()),
        "transformers": sum(len(sequence) - overlap for sequence in ids),
    }


def _matmul_rate(size: int = 2048) -> float:
    x = tf.random.stateless_normal((size, size), (0, 0))
    start = time.perf_counter()
    tf.matmul(x, x).numpy()
    return 2 * size**3 / (time.perf_counter() - start)


if __name__ == "__main__":
    app.run(main)
