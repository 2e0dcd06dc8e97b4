"""Measures the pipeline: prepared genome → batches of windows.

python -m benchmarks.pipeline --dataset=DIR
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence

from absl import app, flags

_DATASET = flags.DEFINE_string("dataset", None, "Prepared folder.", required=True)
_LENGTH = flags.DEFINE_integer("length", 150, "Bases a window.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Windows a batch.")
_BUFFER = flags.DEFINE_integer("shuffle_buffer", 20_000, "Windows that wait.")
_SECONDS = flags.DEFINE_float("seconds", 10.0, "Time to measure, after the buffer.")


def main(argv: Sequence[str]) -> None:
    """Prints one JSON line."""
    del argv
    from genomenet.data import pipeline

    batches = iter(
        pipeline.training_batches(
            pipeline.Prepared(_DATASET.value),
            "train",
            pipeline.Cutting(length=_LENGTH.value, stride=_LENGTH.value, cut="crop"),
            batch_size=_BATCH_SIZE.value,
            seed=0,
            shuffle_buffer=_BUFFER.value,
        )
    )
    next(batches)  # fills the buffer
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < _SECONDS.value:
        next(batches)
        count += 1
    seconds = time.perf_counter() - begin
    bases = count * _BATCH_SIZE.value * _LENGTH.value
    result = {
        "benchmark": "pipeline",
        "length": _LENGTH.value,
        "batch_size": _BATCH_SIZE.value,
        "shuffle_buffer": _BUFFER.value,
        "megabases_per_second": round(bases / seconds / 1e6, 2),
        "cores": len(os.sched_getaffinity(0)),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    app.run(main)
