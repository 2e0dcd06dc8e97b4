r"""Measures the motif finder on random peaks with planted motifs.

    python -m benchmarks.find_motifs --sequences=1000,4000,16000

Each set of sequences is searched in a separate process and gives one JSON line. There
are as many controls as sequences. In 60 % of the sequences, one of six words is planted
on either strand, with one base in ten changed.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
from absl import app, flags

from genomenet.dna import encode
from genomenet.motifs.discovery import discover
from genomenet.motifs.discovery import options as options_lib

_SEQUENCES = flags.DEFINE_list("sequences", ["4000"], "Numbers of sequences.")
_LENGTH = flags.DEFINE_integer("length", 200, "Bases of a sequence.", lower_bound=30)
_MOTIFS = flags.DEFINE_integer("num_motifs", 5, "Motifs to find.", lower_bound=1)
_SHUFFLED = flags.DEFINE_bool(
    "shuffled", False, "Whether controls are shuffled sequences."
)

_WORDS = (
    "ATGCAAATTA",
    "TGACTCAGCA",
    "CCACGTGACC",
    "TGTTTACTTA",
    "GGAAGTGCCC",
    "TTGGCA",
)


def main(argv: Sequence[str]) -> None:
    """Searches each set of sequences and prints one JSON line for it."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    if len(_SEQUENCES.value) == 1:
        print(json.dumps(_measured(int(_SEQUENCES.value[0]))))
        return
    for count in _SEQUENCES.value:
        # A separate process, as the peak of memory of a process never falls.
        command = [sys.executable, "-m", "benchmarks.find_motifs"]
        others = [
            f"--length={_LENGTH.value}",
            f"--num_motifs={_MOTIFS.value}",
            f"--shuffled={_SHUFFLED.value}",
        ]
        subprocess.run([*command, *others, f"--sequences={count}"], check=True)


def _measured(count: int) -> dict[str, object]:
    """Returns the figures of one search."""
    rng = np.random.default_rng(count)
    primary = [(f"{i}", _random(rng)) for i in range(count)]
    controls = [(f"{i}", _random(rng)) for i in range(count)]
    for _, codes in primary:
        if rng.random() < 0.6:
            site = encode.encode(_WORDS[rng.integers(len(_WORDS))])
            changed = rng.random(len(site)) < 0.1
            site[changed] = rng.integers(0, 4, changed.sum())
            start = rng.integers(0, len(codes) - len(site) + 1)
            reverse = encode.reverse_complement(site)
            codes[start : start + len(site)] = site if rng.random() < 0.5 else reverse
    options = options_lib.Options(num_motifs=_MOTIFS.value)
    memory = _peak()
    start, cpu = time.perf_counter(), time.process_time()
    result = discover.discover(primary, None if _SHUFFLED.value else controls, options)
    return {
        "sequences": count,
        "length": _LENGTH.value,
        "controls": result.controls,
        "motifs": [motif.consensus for motif in result.motifs],
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "cores": len(os.sched_getaffinity(0)),
        "peak_mb": round(_peak() - memory),
    }


def _random(rng: np.random.Generator) -> np.ndarray:
    return rng.choice(4, _LENGTH.value, p=[0.28, 0.22, 0.22, 0.28]).astype(np.uint8)


def _peak() -> float:
    """Returns the peak memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    app.run(main)
