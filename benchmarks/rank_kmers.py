r"""Measures the counting of k-mers, also with jellyfish and KMC if installed.

    python -m benchmarks.rank_kmers --input=chr20.fa

genomenet is timed from bases in memory to the counts and the ranking, without reading
and decompression. The other programs read a plain FASTA file from the page cache and
write their table. All programs count every k-mer of the given strand only.
"""

import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags

from genomenet.data import kmer_ranking
from genomenet.dna import encode, kmer, reader

_INPUT = flags.DEFINE_string("input", None, "A sequence file.", required=True)
_K = flags.DEFINE_integer("k", 6, "Bases of a k-mer.", lower_bound=3, upper_bound=8)
_REPEATS = flags.DEFINE_integer(
    "repeats", 3, "Number of runs; medians are reported.", lower_bound=1
)


def main(argv: Sequence[str]) -> None:
    """Counts with each program alternately and prints one JSON line."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    k = _K.value
    reading = time.process_time()
    records = list(reader.read(_INPUT.value))
    reading = time.process_time() - reading
    counter = kmer_ranking.Counter(k)

    def count() -> None:
        nonlocal counter
        counter = kmer_ranking.Counter(k)
        for record in records:
            counter.add(record.codes)

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        fasta = folder / "input.fa"
        with fasta.open("wb") as file:
            for index, record in enumerate(records):
                letters = encode.decode(record.codes)
                file.write(b">%d\n" % index)
                for start in range(0, len(letters), 80):
                    file.write(letters[start : start + 80] + b"\n")
        programs: dict[str, Callable[[], None]] = {
            "genomenet": count,
            "genomenet_rank": lambda: _rank(counter),
        }
        if shutil.which("jellyfish"):
            programs["jellyfish"] = lambda: _jellyfish(fasta, k)
        if shutil.which("kmc"):
            programs["kmc"] = lambda: _kmc(fasta, k)
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        for _ in range(_REPEATS.value):
            for name, program in programs.items():
                runs[name].append(_timed(program))
        same = {
            name: (_table(name, folder, k) == counter.counts.tolist())
            for name in programs
            if not name.startswith("genomenet")
        }
    result: dict[str, Any] = {
        "input": pathlib.Path(_INPUT.value).name,
        "bases": sum(record.codes.size for record in records),
        "k": k,
        "kmers": int(counter.counts.sum()),
        "cores": len(os.sched_getaffinity(0)),
        "reading_cpu_seconds": round(reading, 3),
        "same_counts": same,
    }
    for name, pairs in runs.items():
        seconds, cpu = map(statistics.median, zip(*pairs, strict=True))
        result[f"{name}_seconds"] = round(seconds, 3)
        result[f"{name}_cpu_seconds"] = round(cpu, 3)
    print(json.dumps(result))


def _rank(counter: kmer_ranking.Counter) -> None:
    kmer_ranking.rank(counter.counts, counter.k, min_count=1)


def _jellyfish(fasta: pathlib.Path, k: int) -> None:
    table = fasta.with_name("jellyfish.jf")
    threads = len(os.sched_getaffinity(0))
    _quietly(
        ["jellyfish", "count", "-m", k, "-s", 4**k, "-t", threads, "-o", table, fasta]
    )


def _kmc(fasta: pathlib.Path, k: int) -> None:
    # Without these flags, KMC drops k-mers that occur once, caps counts at 255, and
    # joins both strands.
    limits = ["-ci1", "-cs4294967295", "-b"]
    threads = len(os.sched_getaffinity(0))
    table = fasta.with_name("kmc")
    _quietly(
        ["kmc", f"-k{k}", *limits, f"-t{threads}", "-fm", fasta, table, fasta.parent]
    )


def _table(program: str, folder: pathlib.Path, k: int) -> list[int]:
    """Returns the counts that a program wrote, in the order of our vocabulary."""
    text = folder / f"{program}.tsv"
    if program == "jellyfish":
        _quietly(["jellyfish", "dump", "-c", "-o", text, folder / "jellyfish.jf"])
    else:
        _quietly(["kmc_dump", "-ci1", folder / "kmc", text])
    pairs = (line.split() for line in text.read_text().splitlines())
    counts = {word: int(count) for word, count in pairs}
    return [counts.get(word, 0) for word in kmer.vocabulary(k)[kmer.NUM_SPECIAL :]]


def _quietly(command: Sequence[Any]) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


def _timed(function: Callable[[], None]) -> tuple[float, float]:
    """Returns seconds and CPU seconds, including those of finished subprocesses."""
    cpu, start = _cpu(), time.perf_counter()
    function()
    return time.perf_counter() - start, _cpu() - cpu


def _cpu() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    app.run(main)
