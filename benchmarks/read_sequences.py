r"""Measures the reading of sequence files into uint8 codes, on one core.

    python -m benchmarks.read_sequences --input=chr20.fa

Read the file once before, so that the speed of the disk is not measured.
"""

import json
import os
import resource
import time
from collections.abc import Sequence

from absl import app, flags

from genomenet.dna import reader

_INPUT = flags.DEFINE_list(
    "input", None, "Sequence files or patterns, comma-separated.", required=True
)


def main(argv: Sequence[str]) -> None:
    """Reads the files and prints one JSON line."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    bases = records = 0
    start = time.perf_counter()
    for record in reader.read(_INPUT.value):
        records += 1
        bases += record.codes.size
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB on Linux
    result = {
        "input": _INPUT.value,
        "records": records,
        "bases": bases,
        "seconds": round(seconds, 3),
        "megabases_per_second": round(bases / 1e6 / seconds, 1),
        "peak_memory_mb": round(peak / 1e3, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    app.run(main)
