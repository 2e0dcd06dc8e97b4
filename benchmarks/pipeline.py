"""Measures the reading of batches of rows from a prepared genome.

python -m benchmarks.pipeline --dataset=DIR
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence

from absl import app, flags

_DATASET = flags.DEFINE_string(
    "dataset", None, "Folder of a prepared dataset.", required=True
)
_LENGTH = flags.DEFINE_integer("length", 150, "Bases of a window.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Windows per batch.")
_SHORTEST_CUT = flags.DEFINE_integer(
    "shortest_cut", 0, "Bases of the shortest segment; GeneMask: 6."
)
_SECONDS = flags.DEFINE_float("seconds", 10.0, "Seconds to measure.")


def main(argv: Sequence[str]) -> None:
    """Prints one JSON line."""
    del argv
    from genomenet.data import prepared, rows
    from genomenet.dna import tiling

    window = tiling.Window(
        length=_LENGTH.value,
        stride=_LENGTH.value,
        shortest_cut=_SHORTEST_CUT.value,
    )
    train = prepared.read(_DATASET.value).rows("train", window, seed=0)
    batches = rows.stream(train, 0, _BATCH_SIZE.value)
    for _ in range(100):
        next(batches)
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
        "shortest_cut": _SHORTEST_CUT.value,
        "megabases_per_second": round(bases / seconds / 1e6, 2),
        "cores": len(os.sched_getaffinity(0)),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    app.run(main)
