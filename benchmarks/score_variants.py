r"""Measures the scoring of SNVs and its share of the rate of a matrix product.

    python -m benchmarks.score_variants
    python -m benchmarks.score_variants --model=logo6 --window=200

An untrained classifier scores random SNVs of a random genome, three at each position,
as `genomenet.variant_effects` does. The time includes genome, windows and table, but
not loading and the first call. `share` is a ratio of rates: the floating-point
operations per second of the rows that are read, as TensorFlow counts them in the graph,
divided by those of a float32 product of two matrices of 2,048 × 2,048, measured
alternately. Prints one JSON line of medians.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from absl import app, flags, logging

import benchmarks
from genomenet import catalog, task_kinds
from genomenet.dna import encode, genome
from genomenet.models import classifier
from genomenet.models import classifier_config as config_lib
from genomenet.release import folder
from genomenet.variants import effects, scores, vcf

_MODEL = flags.DEFINE_string("model", "selfgenomenet", "Name of a preset.")
_WINDOW = flags.DEFINE_integer("window", 150, "Bases of a window.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Windows per batch.", lower_bound=1
)
_POSITIONS = flags.DEFINE_integer(
    "positions", 700, "Positions of 3 SNVs.", lower_bound=1
)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Number of runs of each.", lower_bound=1)
_SIZE = flags.DEFINE_integer("size", 2048, "Rows of a matrix.", lower_bound=1)


def main(argv: Sequence[str]) -> None:
    """Prints one JSON line."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    content = folder.read_config(catalog.model_folder(_MODEL.value))
    config = config_lib.ClassifierConfig(
        task=task_kinds.BINARY,
        classes=("no", "yes"),
        window=_WINDOW.value,
        length=_WINDOW.value,
        both_strands=True,
    )
    model = classifier.Classifier(content["family"], content["model"], config)
    ensemble = scores.Ensemble([model], batch_size=_BATCH_SIZE.value)
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, _POSITIONS.value + _WINDOW.value).astype(np.uint8)
    scorer = effects.VariantScorer(ensemble, genome.Genome({"chr": codes}))
    sites = _sites(codes)
    matrix = tf.constant(rng.normal(size=(_SIZE.value, _SIZE.value)), tf.float32)
    sides = {
        "score": lambda: list(scorer.score(sites)),
        "multiply": lambda: tf.linalg.matmul(matrix, matrix).numpy(),
    }
    for call in sides.values():
        call()
    medians = benchmarks.in_turn(sides, _ROUNDS.value)
    rows = 4 * len(sites)  # a reference and three alternatives
    operations = rows * _operations(model) / medians["score"]
    peak = 2 * _SIZE.value**3 / medians["multiply"]
    line = {
        "model": f"{_MODEL.value}, untrained",
        "window": _WINDOW.value,
        "variants_per_second": round(3 * len(sites) / medians["score"], 1),
        "gflops": round(operations / 1e9, 1),
        "matmul_gflops": round(peak / 1e9, 1),
        "share": round(operations / peak, 3),
    }
    print(json.dumps(line))


def _sites(codes: Any) -> list[vcf.Site]:
    """Returns all SNVs at the middle positions of a contig."""
    first = _WINDOW.value // 2
    letters = encode.decode(codes).decode()
    return [
        vcf.Site(
            contig="chr",
            position=index + 1,
            ref=letters[index],
            alts=tuple(b for b in "ACGT" if b != letters[index]),
        )
        for index in range(first, first + _POSITIONS.value)
    ]


def _operations(model: Any) -> float:
    """Returns the floating-point operations of one window, on both strands."""
    count = 4
    rows = tf.TensorSpec((count, _WINDOW.value), tf.uint8)

    def call(bases: Any) -> Any:
        return classifier.outputs(model, bases, both_strands=True)

    graph = tf.function(call, autograph=False).get_concrete_function(rows).graph
    profile = tf.compat.v1.profiler
    logging.set_verbosity(logging.ERROR)  # hides the warning of an old interface
    options = profile.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    result = profile.profile(graph, options=options)
    return result.total_float_ops / count


if __name__ == "__main__":
    app.run(main)
