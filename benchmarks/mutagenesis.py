r"""Measures the prediction of all substitutions of a sequence.

    python -m benchmarks.mutagenesis
    python -m benchmarks.mutagenesis --model=selfgenomenet_1000 --length=1000

An untrained classifier of Self-GenomeNet reads the sequence as one window. One side
computes as `genomenet.saturation_mutagenesis` does. The other side predicts each mutant
completely, as `score_variants` does, in batches of the same size. Both run alternately.
Prints one JSON line with the median number of mutants per second, without the first
call.
"""

import json
import os
from collections.abc import Sequence

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from absl import app, flags

import benchmarks
from genomenet import catalog, task_kinds
from genomenet.dna import encode
from genomenet.inference import outputs, substitutions
from genomenet.models import classifier
from genomenet.models import classifier_config as config_lib
from genomenet.release import folder

_MODEL = flags.DEFINE_string("model", "selfgenomenet", "Name of a preset.")
_LENGTH = flags.DEFINE_integer("length", 150, "Bases of the sequence.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Mutants per batch.", lower_bound=1
)
_BOTH_STRANDS = flags.DEFINE_bool("both_strands", True, "Whether to read both strands.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Number of runs of each.", lower_bound=1)


def main(argv: Sequence[str]) -> None:
    """Prints one JSON line."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    content = folder.read_config(catalog.model_folder(_MODEL.value))
    config = config_lib.ClassifierConfig(
        task=task_kinds.BINARY,
        classes=("no", "yes"),
        pool="max",
        window=_LENGTH.value,
        length=_LENGTH.value,
        both_strands=_BOTH_STRANDS.value,
    )
    model = classifier.Classifier(content["family"], content["model"], config)
    options = {"batch_size": _BATCH_SIZE.value, "both_strands": _BOTH_STRANDS.value}
    ours = substitutions.Substitutions(model, **options)
    plain = outputs.Outputs(model, window=_LENGTH.value, **options)
    codes = np.random.default_rng(0).integers(0, 4, _LENGTH.value).astype(np.uint8)
    positions, bases = encode.substitutions(codes)
    mutants = encode.substituted(codes, positions, bases)
    sides = {
        "ours": lambda: ours.rows(codes, positions, bases)[1],
        "each_mutant": lambda: plain.rows(mutants),
    }
    rows = {side: call() for side, call in sides.items()}
    medians = benchmarks.in_turn(sides, _ROUNDS.value)
    line = {
        "model": f"{_MODEL.value}, untrained",
        "length": _LENGTH.value,
        **options,
        "largest_difference": float(np.abs(rows["ours"] - rows["each_mutant"]).max()),
        "mutants_per_second": {
            side: round(len(mutants) / median, 1) for side, median in medians.items()
        },
        "times_faster": round(medians["each_mutant"] / medians["ours"], 3),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    app.run(main)
