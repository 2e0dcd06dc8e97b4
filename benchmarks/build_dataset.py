r"""Measures the build of a prepared dataset from sequence files, with start-up.

    python -m benchmarks.build_dataset --fasta=chr20.fa.gz

The build runs the command `genomenet.build_dataset` in a separate process.
`processor_seconds` distinguishes a slow build from a busy machine.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from absl import app, flags

from genomenet.data import building

_FASTA = flags.DEFINE_string(
    "fasta", None, "Sequence files or patterns, comma-separated.", required=True
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Parent of the temporary folder; None: that of the system."
)


def main(argv: Sequence[str]) -> None:
    """Builds the files once and prints one JSON line."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    with tempfile.TemporaryDirectory(dir=_DATA_DIR.value) as root:
        command = [sys.executable, "-m", "genomenet.build_dataset"]
        command += [f"--fasta={_FASTA.value}", "--name=measured", f"--data_dir={root}"]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            sys.exit(f"the build of {_FASTA.value} failed: see the messages above")
        path = pathlib.Path(root, "measured", "1.0.0")
        size = sum(file.stat().st_size for file in path.iterdir())
        facts = building.metadata(path)
    kept = sum(facts["bases"].values())
    bases = kept + facts["skipped"]["n_bases"] + facts["skipped"]["short_bases"]
    result = {
        "fasta": _FASTA.value,
        "bases": bases,
        "bases_kept": kept,
        "seconds": round(seconds, 2),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "megabases_per_second": round(bases / 1e6 / seconds, 1),
        "bytes_per_base_kept": round(size / kept, 4),
        "peak_memory_mb": round(usage.ru_maxrss / 1e3, 1),  # kB on Linux
    }
    print(json.dumps(result))


if __name__ == "__main__":
    app.run(main)
