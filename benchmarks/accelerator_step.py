r"""Measures a pretraining step of BERT for DNA on an accelerator, with JAX.

    KERAS_BACKEND=jax python -m benchmarks.accelerator_step --model=dnabert6 \
      --batch_size=64

The step is that of `genomenet.train`, in mixed_bfloat16, on random rows with the
lengths of GeneMask. Prints one JSON line with the tokens per second and their share of
the rate at which the device multiplies matrices of 8,192 × 8,192 in bfloat16, which is
measured in the same run. The operations of a step are counted by a formula
(`benchmarks.bert_step`).
"""

import json
import statistics
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from jax import sharding

from benchmarks import bert_step
from genomenet import catalog
from genomenet.models import bert, family
from genomenet.release import folder
from genomenet.training import loop, schedule
from genomenet.training import settings as settings_lib
from genomenet.training.engines import jax as engine

_MODEL = flags.DEFINE_string("model", "dnabert6", "A preset of BERT.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Rows per step.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 20, "Number of timed steps.", lower_bound=1)
_MATRIX = flags.DEFINE_integer("matrix", 8192, "Rows of a matrix.", lower_bound=1)
_DROPOUT = flags.DEFINE_float(
    "dropout", None, "Dropout rate; None: that of the preset."
)


def main(argv: Sequence[str]) -> None:
    """Prints one JSON line."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    values = folder.read_config(catalog.model_folder(_MODEL.value))["model"]
    config = bert.from_dict(values)
    if _DROPOUT.value is not None:
        config = bert.with_dropout(config, _DROPOUT.value)
    settings = settings_lib.Settings(
        batch_size=_BATCH_SIZE.value,
        precision="mixed_bfloat16",
        weight_decay=0.01,
        clip_norm=1.0,
    )
    mesh = sharding.Mesh(np.array(jax.devices()[:1]), ("rows",))
    with loop.weights_of(settings):
        model = family.build_from(bert, config, None)
        optimizer = schedule.make_optimizer(settings, model)
        steps = engine.Steps(bert, model, optimizer, settings, mesh)
        batches = [
            bert_step.mixed_rows(config, _BATCH_SIZE.value, seed)
            for seed in range(_STEPS.value)
        ]
        start = time.perf_counter()
        jax.block_until_ready(steps.train(batches[:1]))
        first = time.perf_counter() - start
        seconds = []
        for batch in batches:
            start = time.perf_counter()
            jax.block_until_ready(steps.train([batch]))
            seconds.append(time.perf_counter() - start)
    second = statistics.median(seconds)
    rate = _matmul_rate(_MATRIX.value)
    count = bert_step.flop(config, _BATCH_SIZE.value)
    result = {
        "model": _MODEL.value,
        "device": jax.devices()[0].device_kind,
        "batch_size": _BATCH_SIZE.value,
        "dropout": config.hidden_dropout_prob,
        "first_step_seconds": round(first, 1),
        "step_seconds": round(second, 4),
        "tokens_per_second": round(_BATCH_SIZE.value * config.length / second),
        "tflop_per_second": round(count / second / 1e12, 1),
        "matmul_tflop_per_second": round(rate / 1e12, 1),
        "share": round(count / second / rate, 3),
    }
    print(json.dumps(result), flush=True)


def _matmul_rate(size: int, repeats: int = 10) -> float:
    """Returns the operations per second of a large product in bfloat16."""
    key = jax.random.key(0)
    x = jax.random.normal(key, (size, size), jnp.bfloat16)
    product = jax.jit(lambda a, b: a @ b)
    jax.block_until_ready(product(x, x))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(product(x, x))
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(seconds)


if __name__ == "__main__":
    app.run(main)
