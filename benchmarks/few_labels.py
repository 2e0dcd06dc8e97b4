r"""Compares `fit_classifier` without options with fixed methods, on few labels.

    python -m benchmarks.few_labels --model=logo6_genemask_human \
      --datasets=oct4_mafk,prom_core --tables=cohn_enh=train.tsv:test.tsv --folder=few

A draw is some sequences of each class of the training split. From it learn:
`fit_classifier`; a linear head over each readout and strand of the frozen encoder, its
penalty chosen by cross-validation; the choice of readouts that `fit_classifier` makes,
without the training of all weights after it, of these weights, of those of `--others`,
of random ones, and of the bases alone (k-mer counts and one-hot positions); and the
baselines of `genomenet.evaluate`. One JSON line a draw, with the AUROC of each method;
predictions are kept in `--folder`, so that a second call goes on where the first was
stopped. At the end a table of means over draws, also in `table.md`, and all scores in
`few_labels.csv`, of which `models/update.py` makes its table. The last rows are
differences with 95 % intervals, for which test sequences are resampled in pairs:
`fit_classifier` less its own linear probe, of the family's pool of both strands, and
the choice with these weights less that with others.
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
_OTHERS = flags.DEFINE_list("others", [], "Models to compare with.")
_DATASETS = flags.DEFINE_list("datasets", [], "Names of prepared datasets.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the datasets.")
_TABLES = flags.DEFINE_list("tables", [], "NAME=TRAIN.tsv:TEST.tsv, joined by commas.")
_SHOTS = flags.DEFINE_list("shots", ["10", "100"], "Sequences of each class.")
_DRAWS = flags.DEFINE_integer("draws", 3, "Draws of each task and number of shots.")
_TEST = flags.DEFINE_integer("test", 2_000, "Sequences of each test set, at most.")
_FOLDER = flags.DEFINE_string("folder", None, "Of the results.", required=True)
_QUICK = flags.DEFINE_bool("quick", False, "fit_classifier(quick=True).")

OURS: Final = "fit_classifier"
OF_BASES: Final = "k-mers and positions"
OF_RANDOM: Final = "random weights"
_RESAMPLES: Final = 500

Array = npt.NDArray[Any]


def main(argv: Sequence[str]) -> None:
    """Prints one JSON line a draw and one a number of shots, and writes the table."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    folder = pathlib.Path(_FOLDER.value)
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[tuple[str, int, int], dict[str, Array]] = {}
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
                found[name, shots, seed] = predicted = {}
                for part, predict in parts.items():
                    words = [name, shots, seed, *pathlib.Path(part).name.split()]
                    path = folder / f"{'-'.join(map(str, words))}.npz"
                    if not path.exists():
                        new = dict(predict(data, shots, seed, heads))
                        with atomic.replacing(path) as half, half.open("wb") as file:
                            np.savez_compressed(file, allow_pickle=False, **new)
                    with np.load(path) as file:
                        predicted.update(file)
                scores[name, shots, seed] = own = {
                    method: _auroc(values, truths[name], data.task)
                    for method, values in predicted.items()
                }
                row = {method: round(score, 4) for method, score in own.items()}
                line = {"task": name, "shots": shots, "draw": seed, "auroc": row}
                print(json.dumps(line), flush=True)
    _write(folder / "few_labels.csv", scores)
    text = "".join(_tables(found, scores, truths, kinds))
    (folder / "table.md").write_text(text, encoding="utf-8")
    print(text)


def _read() -> Iterator[tuple[str, examples.Data]]:
    """Yields the name and the examples of each task, its test set cut to a size."""
    for name in _DATASETS.value:
        directory = catalogue.prepare(name, _DATA_DIR.value)
        yield name, _cut(examples.read_prepared(directory))
    for given in _TABLES.value:
        name, files = given.split("=")
        train, test = files.split(":")
        tables = {examples.TRAIN: train, examples.TEST: test}
        yield name, _cut(examples.read_tables(tables))


def _cut(data: examples.Data) -> examples.Data:
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
    """Yields the name of each method and what it predicts of the test set."""
    drawn = _draw(data, shots, seed)
    begin = time.monotonic()
    fit = genomenet.fit_classifier(
        _MODEL.value, drawn, seed=seed, quick=_QUICK.value, tell=_say
    )
    assert fit is not None
    _say(f"{data.name}, {shots} a class: {time.monotonic() - begin:.0f} s")
    yield OURS, np.asarray(fit.classifier.predict(_codes(drawn[examples.TEST])))
    yield from heads(_MODEL.value).of_each(shots, seed)
    for name in protocols.BASELINES:
        if name not in runner.left_out(data.task):
            yield name, runner.predict_baseline(name, drawn, seed=seed)[0]


def _others() -> list[str]:
    """Returns whose chosen readouts are compared, these weights first."""
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
    """Returns the name of the choice of readouts of a model."""
    return f"chosen readouts of {pathlib.Path(name).name}"


class _Heads:
    """Linear heads over what a frozen encoder reads of the rows of all draws."""

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
        """Yields each readout and strand, and what a head over it predicts."""
        for readout in self._tried:
            for strands in classifier.STRANDS:
                name = f"{'+'.join(readout)}, {strands}"
                yield name, self._predict(shots, seed, [readout], [strands])

    def chosen(self, shots: int, seed: int, *, is_of_bases: bool = False) -> Array:
        """Returns the prediction of what cross-validation chooses of all."""
        tried = self._tried
        if is_of_bases:
            tried = [one for one in tried if set(one) <= set(readout_lib.OF_BASES)]
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
    return [split[number] for number in range(len(split))]


def _write(
    path: pathlib.Path, scores: Mapping[tuple[str, int, int], Mapping[str, float]]
) -> None:
    """Writes a row for each task, number of shots, draw and method."""
    with atomic.replacing(path) as half, half.open("w", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["task", "shots", "draw", "method", "auroc"])
        for (task, shots, draw), own in scores.items():
            for method, score in own.items():
                name = f"{OURS} of {_MODEL.value}" if method == OURS else method
                writer.writerow([task, shots, draw, name, f"{score:.4f}"])


def _tables(
    found: Mapping[tuple[str, int, int], Mapping[str, Array]],
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
                method: np.mean([own[method] for own in of_draws])
                for method in of_draws[0]
            }
        yield f"\n{shots} sequences of each class, mean of {_DRAWS.value} draws\n\n"
        yield f"| AUROC | {' | '.join(truths)} | mean |\n"
        yield f"|---|{'--:|' * (len(truths) + 1)}\n"
        for method in dict.fromkeys(m for own in columns.values() for m in own):
            row = [own.get(method, np.nan) for own in columns.values()]
            cells = " | ".join(f"{value:.3f}" for value in [*row, np.mean(row)])
            yield f"| {method} | {cells} |\n"
        best = [max(own, key=lambda name: own[name]) for own in columns.values()]
        yield f"| best | {' | '.join(best)} | |\n"
        own, *others = map(_chosen, [*_others(), OF_BASES])
        pairs = [(OURS, _probe()), *((own, other) for other in others)]
        drawn = {}
        for task, truth in truths.items():
            draws = [found[task, shots, seed] for seed in range(_DRAWS.value)]
            for method in dict.fromkeys(name for pair in pairs for name in pair):
                each = [_drawn(draw[method], truth, kinds[task]) for draw in draws]
                drawn[task, method] = np.mean(each, axis=0)
        for first, second in pairs:
            each = [drawn[task, first] - drawn[task, second] for task in truths]
            cells = " | ".join(map(_interval, [*each, np.mean(each, axis=0)]))
            yield f"| {first} less {second} | {cells} |\n"


def _probe() -> str:
    """Returns the name of the linear probe: of the family's pool, both strands."""
    family = release_folder.read_config(catalog.model_folder(_MODEL.value))["family"]
    return f"{models.get_family(family).CLASSIFIER_POOL}, {classifier.BOTH}"


def _drawn(predicted: Array, truth: Array, task: Any) -> Array:
    """Returns the AUROC of all test rows, then of rows drawn with return."""
    rng, size = np.random.default_rng(0), len(truth)
    weights = np.ones((size, _RESAMPLES + 1))
    for number in range(1, _RESAMPLES + 1):
        weights[:, number] = np.bincount(rng.integers(0, size, size), minlength=size)
    return metrics.weighted_scores(task, truth, predicted, weights)["auroc"]


def _interval(differences: Array) -> str:
    low, high = np.nanpercentile(differences[1:], [2.5, 97.5])
    return f"{differences[0]:+.3f} [{low:+.3f}, {high:+.3f}]"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    app.run(main)
