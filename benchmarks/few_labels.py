r"""Compares `fit_classifier` without options with fixed methods, with few labels.

    python -m benchmarks.few_labels --model=logo6_genemask_human \
      --datasets=oct4_mafk,prom_core --tables=cohn_enh=train.tsv:test.tsv --folder=few

A draw is a sample of sequences of each class from the training split. These methods are
trained on each draw:

*   `fit_classifier`;
*   a linear head over each readout and strand of the frozen encoder, with a penalty
    chosen by cross-validation;
*   the chosen readouts: the linear heads that `fit_classifier` chooses and averages
    before all weights are trained, with the weights of `--model`, those of `--others`,
    random weights, and the bases alone (k-mer counts and one-hot positions);
*   the baselines of `genomenet.evaluate`.

Prints one JSON line per draw with the AUROC of each method. Predictions are kept in
`--folder`, so that the same call resumes a stopped run. At the end, prints a table of
means over draws, also in `table.md`, and writes all scores to `few_labels.csv`, from
which `models/update.py` makes its table. The last rows of the table are differences
with 95 % intervals from paired resampling of the test sequences: `fit_classifier` minus
the linear probe of the family's pool and both strands, and the chosen readouts with the
weights of `--model` minus those with other weights.
"""

import csv
import dataclasses
import functools
import json
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
from absl import app, flags
from scipy import special

import genomenet
from genomenet import atomic, catalog, models
from genomenet.data import catalogue, examples
from genomenet.evaluation import metrics, protocols, runner
from genomenet.layers import readout as readout_lib
from genomenet.models import classifier_config as classifier
from genomenet.release import folder as release_folder
from genomenet.release import start
from genomenet.training import few_labels, loop, readouts
from genomenet.training import settings as settings_lib

_MODEL = flags.DEFINE_string("model", None, "Name or release folder.", required=True)
_OTHERS = flags.DEFINE_list("others", [], "Further models to compare.")
_DATASETS = flags.DEFINE_list("datasets", [], "Names of prepared datasets.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the datasets.")
_TABLES = flags.DEFINE_list("tables", [], "NAME=TRAIN.tsv:TEST.tsv, comma-separated.")
_SHOTS = flags.DEFINE_list("shots", ["10", "100"], "Sequences of each class.")
_DRAWS = flags.DEFINE_integer("draws", 3, "Draws per task and number of shots.")
_TEST = flags.DEFINE_integer("test", 2_000, "Largest number of test sequences.")
_FOLDER = flags.DEFINE_string("folder", None, "Folder of results.", required=True)
_QUICK = flags.DEFINE_bool("quick", False, "Whether to fit with quick=True.")

OURS: Final = "fit_classifier"
OF_BASES: Final = "k-mers and positions"
OF_RANDOM: Final = "random weights"
_RESAMPLES: Final = 500

Array = npt.NDArray[Any]


def main(argv: Sequence[str]) -> None:
    """Prints one JSON line per draw, and prints and writes the tables."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    folder = pathlib.Path(_FOLDER.value)
    folder.mkdir(parents=True, exist_ok=True)
    predictions: dict[tuple[str, int, int], dict[str, Array]] = {}
    scores: dict[tuple[str, int, int], dict[str, float]] = {}
    truths, kinds = {}, {}
    for name, data in _read():
        truths[name], kinds[name] = data[examples.TEST].labels, data.task
        heads = functools.cache(functools.partial(_Heads, data))
        parts: dict[str, Any] = {"": _predict, OF_BASES: _predict_bases}
        parts |= {
            other: functools.partial(_predict_other, other) for other in _others()
        }
        for seed in range(_DRAWS.value):
            for shots in map(int, _SHOTS.value):
                predictions[name, shots, seed] = predicted = {}
                for part, predict in parts.items():
                    words = [name, shots, seed, *pathlib.Path(part).name.split()]
                    path = folder / f"{'-'.join(map(str, words))}.npz"
                    if not path.exists():
                        arrays = dict(predict(data, shots, seed, heads))
                        with atomic.replacing(path) as temp, temp.open("wb") as file:
                            np.savez_compressed(file, allow_pickle=False, **arrays)
                    with np.load(path) as file:
                        predicted.update(file)
                scores[name, shots, seed] = aurocs = {
                    method: _auroc(values, truths[name], data.task)
                    for method, values in predicted.items()
                }
                row = {method: round(score, 4) for method, score in aurocs.items()}
                line = {"task": name, "shots": shots, "draw": seed, "auroc": row}
                print(json.dumps(line), flush=True)
    _write(folder / "few_labels.csv", scores)
    text = "".join(_tables(predictions, scores, truths, kinds))
    (folder / "table.md").write_text(text, encoding="utf-8")
    print(text)


def _read() -> Iterator[tuple[str, examples.Data]]:
    """Yields the name and the examples of each task, with a limited test set."""
    for name in _DATASETS.value:
        directory = catalogue.prepare(name, _DATA_DIR.value)
        yield name, _limit_test(examples.read_prepared(directory))
    for argument in _TABLES.value:
        name, files = argument.split("=")
        train, test = files.split(":")
        tables = {examples.TRAIN: train, examples.TEST: test}
        yield name, _limit_test(examples.read_tables(tables))


def _limit_test(data: examples.Data) -> examples.Data:
    train, test = data[examples.TRAIN], data[examples.TEST]
    rows = np.random.default_rng(0).permutation(len(test))[: _TEST.value]
    splits = {examples.TRAIN: train, examples.TEST: test.take(np.sort(rows))}
    return dataclasses.replace(data, splits=splits)


def _draw(data: examples.Data, shots: int, seed: int) -> examples.Data:
    return data.with_train(
        examples.draw_shots(data[examples.TRAIN], data.task, shots, seed=seed)
    )


def _predict(
    data: examples.Data, shots: int, seed: int, heads: Any
) -> Iterator[tuple[str, Array]]:
    """Yields the name of each method and its predictions of the test set."""
    drawn = _draw(data, shots, seed)
    started = time.monotonic()
    fit = genomenet.fit_classifier(
        _MODEL.value, drawn, seed=seed, quick=_QUICK.value, tell=_say
    )
    assert fit is not None
    _say(f"{data.name}, {shots} per class: {time.monotonic() - started:.0f} s")
    yield OURS, np.asarray(fit.classifier.predict(_codes(drawn[examples.TEST])))
    yield from heads(_MODEL.value).of_each(shots, seed)
    for name in protocols.BASELINES:
        if name not in runner.left_out(data.task):
            yield name, runner.predict_baseline(name, drawn, seed=seed)[0]


def _others() -> list[str]:
    """Returns the names of the compared weights, those of `--model` first."""
    return [_MODEL.value, *_OTHERS.value, OF_RANDOM]


def _predict_other(
    other: str, data: examples.Data, shots: int, seed: int, heads: Any
) -> Iterator[tuple[str, Array]]:
    yield _chosen(other), heads(other).chosen(shots, seed)


def _predict_bases(
    data: examples.Data, shots: int, seed: int, heads: Any
) -> Iterator[tuple[str, Array]]:
    yield _chosen(OF_BASES), heads(_MODEL.value).chosen(shots, seed, is_of_bases=True)


def _chosen(name: str) -> str:
    """Returns the name of the method with the chosen readouts of a model."""
    return f"chosen readouts of {pathlib.Path(name).name}"


class _Heads:
    """Linear heads over the features of a frozen encoder for all draws."""

    def __init__(self, data: examples.Data, model: str):
        is_random = model == OF_RANDOM
        given = start.read_start(
            _MODEL.value if is_random else model,
            protocols.RANDOM if is_random else protocols.PRETRAINED,
        )
        family = models.get_family(given.family)
        encoder: Any = given.model
        if encoder is None:
            with loop.weights_of(settings_lib.for_classifier(seed=0)):
                encoder = family.build(family.from_dict(given.encoder), head=False)
        config = start.make_config(given, data, augment=True, both_strands=True)
        self._data = data
        self._tried = few_labels.candidates(given.family, config, data)
        reader = few_labels.Reader(
            given.family, given.encoder, config, self._tried, encoder
        )
        self._draws = {
            (shots, seed): _draw(data, shots, seed)[examples.TRAIN]
            for shots in map(int, _SHOTS.value)
            for seed in range(_DRAWS.value)
        }
        self._train = {
            key: {kind: reader.read(split, kind) for kind in classifier.STRANDS}
            for key, split in self._draws.items()
        }
        test = data[examples.TEST]
        self._test = {kind: reader.read(test, kind) for kind in classifier.STRANDS}

    def of_each(self, shots: int, seed: int) -> Iterator[tuple[str, Array]]:
        """Yields the name of each readout and strand with predictions of its head."""
        for readout in self._tried:
            for strands in classifier.STRANDS:
                name = f"{'+'.join(readout)}, {strands}"
                yield name, self._predict(shots, seed, [readout], [strands])

    def chosen(self, shots: int, seed: int, *, is_of_bases: bool = False) -> Array:
        """Returns the predictions of the heads that cross-validation chooses."""
        tried = self._tried
        if is_of_bases:
            of_bases = set(readout_lib.OF_BASES)
            tried = [readout for readout in tried if set(readout) <= of_bases]
        return self._predict(shots, seed, tried, list(classifier.STRANDS))

    def _predict(
        self, shots: int, seed: int, tried: Sequence[Any], kinds: Sequence[str]
    ) -> Array:
        split, task = self._draws[shots, seed], self._data.task
        features = {kind: self._train[shots, seed][kind] for kind in kinds}
        choice = readouts.choose(
            features, tried, split.labels, task, split.groups(), seed=seed
        )
        head = readouts.fit(choice, features, split.labels, task)
        of_test = self._test[choice.strands]
        read = np.concatenate([of_test[name] for name in choice.readout], axis=1)
        logits = head(read)
        if logits.shape[1] == 1:
            logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
        return special.softmax(logits, axis=1)


def _auroc(predicted: Array, truth: Array, task: Any) -> float:
    return metrics.score(task, truth, predicted, resamples=0)["auroc"].value


def _codes(split: examples.Examples) -> list[Array]:
    return [split[index] for index in range(len(split))]


def _write(
    path: pathlib.Path, scores: Mapping[tuple[str, int, int], Mapping[str, float]]
) -> None:
    """Writes a row for each task, number of shots, draw and method."""
    with atomic.replacing(path) as temp, temp.open("w", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["task", "shots", "draw", "method", "auroc"])
        for (task, shots, draw), aurocs in scores.items():
            for method, score in aurocs.items():
                name = f"{OURS} of {_MODEL.value}" if method == OURS else method
                writer.writerow([task, shots, draw, name, f"{score:.4f}"])


def _tables(
    predictions: Mapping[tuple[str, int, int], Mapping[str, Array]],
    scores: Mapping[tuple[str, int, int], Mapping[str, float]],
    truths: Mapping[str, Array],
    kinds: Mapping[str, Any],
) -> Iterator[str]:
    """Yields a table of mean AUROC for each number of shots."""
    for shots in map(int, _SHOTS.value):
        columns = {}
        for task in truths:
            of_draws = [scores[task, shots, seed] for seed in range(_DRAWS.value)]
            columns[task] = {
                method: np.mean([aurocs[method] for aurocs in of_draws])
                for method in of_draws[0]
            }
        yield f"\n{shots} sequences of each class, mean of {_DRAWS.value} draws\n\n"
        yield f"| AUROC | {' | '.join(truths)} | mean |\n"
        yield f"|---|{'--:|' * (len(truths) + 1)}\n"
        for method in dict.fromkeys(m for means in columns.values() for m in means):
            row = [means.get(method, np.nan) for means in columns.values()]
            cells = " | ".join(f"{value:.3f}" for value in [*row, np.mean(row)])
            yield f"| {method} | {cells} |\n"
        best = [max(means, key=lambda name: means[name]) for means in columns.values()]
        yield f"| best | {' | '.join(best)} | |\n"
        chosen, *others = map(_chosen, [*_others(), OF_BASES])
        pairs = [(OURS, _probe()), *((chosen, other) for other in others)]
        resampled = {}
        for task, truth in truths.items():
            draws = [predictions[task, shots, seed] for seed in range(_DRAWS.value)]
            for method in dict.fromkeys(name for pair in pairs for name in pair):
                aurocs = [_resampled(x[method], truth, kinds[task]) for x in draws]
                resampled[task, method] = np.mean(aurocs, axis=0)
        for first, second in pairs:
            gaps = [resampled[task, first] - resampled[task, second] for task in truths]
            cells = " | ".join(map(_interval, [*gaps, np.mean(gaps, axis=0)]))
            yield f"| {first} less {second} | {cells} |\n"


def _probe() -> str:
    """Returns the name of the linear probe with the family's pool and both strands."""
    family = release_folder.read_config(catalog.model_folder(_MODEL.value))["family"]
    return f"{models.get_family(family).CLASSIFIER_POOL}, {classifier.BOTH}"


def _resampled(predicted: Array, truth: Array, task: Any) -> Array:
    """Returns the AUROC of all test rows, then of each bootstrap sample of rows."""
    rng, size = np.random.default_rng(0), len(truth)
    weights = np.ones((size, _RESAMPLES + 1))
    for index in range(1, _RESAMPLES + 1):
        weights[:, index] = np.bincount(rng.integers(0, size, size), minlength=size)
    return metrics.weighted_scores(task, truth, predicted, weights)["auroc"]


def _interval(differences: Array) -> str:
    low, high = np.nanpercentile(differences[1:], [2.5, 97.5])
    return f"{differences[0]:+.3f} [{low:+.3f}, {high:+.3f}]"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    app.run(main)
