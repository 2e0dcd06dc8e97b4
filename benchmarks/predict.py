r"""Measures predicting a file against calling the SavedModel on strings.

    python -m benchmarks.predict
    python -m benchmarks.predict --model=runs/x/export/x --input=x.fa --window=1000

The other side extracts the same windows with Biopython and Python's slices, calls the
endpoint `predict` for one batch at a time, and writes a TSV file with `csv`. Both read
the same file alternately. Prints one JSON line with the median number of windows per
second, without the loading of models and the first call. The default model is an
untrained `selfgenomenet`, and the default input has 300 kb in three records.
"""

import csv
import functools
import json
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from absl import app, flags
from Bio import SeqIO

from genomenet import catalog, task_kinds
from genomenet.dna import tiling
from genomenet.inference import predict_files
from genomenet.models import classifier_config as config_lib
from genomenet.release import export, folder

_MODEL = flags.DEFINE_string("model", None, "Release folder of a classifier.")
_INPUT = flags.DEFINE_string("input", None, "A FASTA file, not compressed.")
_WINDOW = flags.DEFINE_integer("window", 150, "Bases of a window.", lower_bound=1)
_STRIDE = flags.DEFINE_integer("stride", None, "Bases between starts of windows.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Windows per batch.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of runs of each.", lower_bound=1)


def main(argv: Sequence[str]) -> None:
    """Prints one JSON line."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(_measure(pathlib.Path(name))))


def _measure(scratch: pathlib.Path) -> dict[str, Any]:
    model = _MODEL.value or _untrained(scratch / "model")
    fasta = pathlib.Path(_INPUT.value or _random_bases(scratch / "x.fa"))
    warm_up = _random_bases(scratch / "warm.fa", length=100 * _WINDOW.value)
    stride = _STRIDE.value or _WINDOW.value
    options = predict_files.Options(
        window=_WINDOW.value, stride=stride, batch_size=_BATCH_SIZE.value
    )
    predictor = predict_files.load(model, options)
    predict_files.load = lambda name, options: predictor  # compiled once
    endpoint = tf.saved_model.load(os.fspath(pathlib.Path(model) / "saved_model"))

    def ours(path: pathlib.Path) -> int:
        return predict_files.predict_files(
            model,
            os.fspath(path),
            scratch / "ours.tsv",
            options,
            warn=print,
            show_progress=False,
        ).rows

    naive = functools.partial(_naive, endpoint, scratch / "naive.tsv", stride)
    sides: dict[str, Callable[[pathlib.Path], int]] = {"ours": ours, "naive": naive}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    rows = {side: call(warm_up) for side, call in sides.items()}
    for _ in range(_ROUNDS.value):
        for side, call in sides.items():
            start = time.perf_counter()
            rows[side] = call(fasta)
            seconds[side].append(time.perf_counter() - start)
    if rows["ours"] != rows["naive"]:
        raise ValueError(f"both sides must write the same number of rows, got {rows}")
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    return {
        "model": os.fspath(_MODEL.value or "selfgenomenet, untrained"),
        "window": _WINDOW.value,
        "stride": stride,
        "batch_size": _BATCH_SIZE.value,
        "both_strands": predictor.model.config.both_strands,
        "windows": rows["ours"],
        "largest_difference": _difference(scratch),
        "windows_per_second": {
            side: round(rows[side] / median, 1) for side, median in medians.items()
        },
        "times_faster": round(medians["naive"] / medians["ours"], 3),
    }


def _naive(endpoint: Any, output: pathlib.Path, stride: int, path: pathlib.Path) -> int:
    window, size = _WINDOW.value, _BATCH_SIZE.value
    intervals, windows = [], []
    for record in SeqIO.parse(path, "fasta"):
        bases = str(record.seq)
        for start in tiling.starts(len(bases), window=window, stride=stride):
            windows.append(bases[start : start + window])
            intervals.append((record.id, start, start + len(windows[-1])))
    with output.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        for start in range(0, len(windows), size):
            outputs = endpoint.predict(tf.constant(windows[start : start + size]))
            labels = outputs["label"].numpy()
            values = outputs["probabilities"].numpy()
            for index, row in enumerate(values):
                label = labels[index].decode()
                interval = intervals[start + index]
                writer.writerow([*interval, label, *(f"{p:.6g}" for p in row)])
    return len(windows)


def _difference(scratch: pathlib.Path) -> float:
    """Returns the largest difference between the probabilities of both sides."""
    ours = (scratch / "ours.tsv").read_text().splitlines()[1:]
    naive = (scratch / "naive.tsv").read_text().splitlines()
    values = [[row.split("\t")[4:] for row in rows] for rows in (ours, naive)]
    first, second = np.array(values, float)
    return float(np.abs(first - second).max())


def _untrained(path: pathlib.Path) -> str:
    content = folder.read_config(catalog.model_folder("selfgenomenet"))
    config = config_lib.ClassifierConfig(
        task=task_kinds.BINARY,
        classes=("no", "yes"),
        pool="last",
        window=_WINDOW.value,
        length=_WINDOW.value,
        both_strands=True,
    )
    content = {**content, "classifier": config_lib.to_dict(config)}
    model = folder.build(content)
    return os.fspath(
        export.write_release(model, content, directory=path, name="x", metrics={})
    )


def _random_bases(path: pathlib.Path, *, length: int = 100_000) -> pathlib.Path:
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for index in range(3):
            bases = "".join(rng.choice(list("ACGT"), length))
            file.write(f">r{index}\n{bases}\n")
    return path


if __name__ == "__main__":
    app.run(main)
