"""Runs a protocol, and writes the result of each run as soon as it is done."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pathlib
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt

from genomenet import atomic, catalog, task_kinds
from genomenet import models as models_lib
from genomenet.data import examples, sources, tasks
from genomenet.evaluation import (
    baselines,
    gapped_kmers,
    metrics,
    protocols,
    results,
    tables,
)
from genomenet.evaluation import sampler as sampler_lib
from genomenet.inference import predict
from genomenet.models import classifier
from genomenet.models import classifier_config as config_lib
from genomenet.release import folder as release_folder
from genomenet.release import start
from genomenet.training import few_labels, finetune, loop, progress
from genomenet.training import workdir as workdir_lib

_UNFINISHED: Final = "unfinished"
_SHORT: Final = 100  # bases; for shorter sequences the default k is 5


def run(
    protocol: protocols.Protocol,
    models: Sequence[str],
    sampler: sampler_lib.Sampler,
    *,
    seeds: int,
    workdir: str | os.PathLike[str],
    k: int | None = None,
    from_scratch: bool = True,
) -> list[dict[str, Any]]:
    """Does all unfinished runs of a protocol, and keeps the result of each.

    Args:
        protocol: The protocol.
        models: Names of models, or their folders.
        sampler: Sampler of the examples.
        seeds: Number of runs of each model and setting.
        workdir: Folder with the results, `results.csv`, and the identity of the
            evaluation, `protocol.json`.
        k: Bases of the k-mers of the baseline. The default is 6, or 5 if all sequences
            are shorter than 100 bases.
        from_scratch: Whether models with weights are also trained from random initial
            weights.

    Returns:
        The rows of all runs in the folder.

    Raises:
        ValueError: If the folder belongs to another evaluation, or an argument is
            invalid.
        Stopped: If a signal arrived during the training of a model.
    """
    data = sampler.data
    k = k or _default_k(data)
    baselines.KmerLogisticRegression(data.task, k=k)  # checks k before any run
    sizes = {
        setting: len(sampler.draw(protocol, setting, 0)[0][examples.TRAIN])
        for setting in protocol.settings
    }
    folders = _named(models)
    for folder in folders.values():
        finetune.check(data, _shortest(folder))
    weights = {name: release_folder.find_weights(f) for name, f in folders.items()}
    has_weights = {name: path is not None for name, path in weights.items()}
    plan = protocols.plan(protocol, has_weights, seeds, from_scratch=from_scratch)
    for name, reason in left_out(data.task).items():
        _say(f"skipping {name}: {reason}")
    plan = [
        planned
        for planned in plan
        if planned.name not in left_out(data.task)
        and (
            planned.train != protocols.READOUTS
            or sizes[planned.setting] <= finetune.FEW
        )
    ]
    workdir = pathlib.Path(workdir)
    with workdir_lib.Workdir(workdir):
        identity = {
            "protocol": protocol.kind,
            "dataset": data.name,
            **{f"{name}_digest": s.digest() for name, s in data.splits.items()},
            "k": k,
            **({"positive": data.task.positive} if data.task.positive else {}),
            "models": {n: _digest(folders[n], path) for n, path in weights.items()},
        }
        _adopt(workdir / results.IDENTITY, identity)
        for index, planned in enumerate(plan):
            rows = tables.read_csv(workdir / results.TABLE)
            done = {(r[tables.MODEL], r[protocol.column], r[tables.SEED]) for r in rows}
            slug = re.sub(r"[^\w.-]+", "_", "-".join(map(str, planned.key)))
            partial = workdir / _UNFINISHED / slug
            if planned.key not in done:
                remaining = [other for other in plan[index:] if other.key not in done]
                eta = protocols.remaining(rows, remaining, protocol.column)
                shown = "unknown" if math.isnan(eta) else progress.duration(eta)
                _say(
                    f"run {index + 1}/{len(plan)} | {planned.label}, {protocol.column}"
                    f" {planned.setting}, seed {planned.seed} | ETA {shown}"
                )
                row = _run(
                    planned, protocol, sampler, folders.get(planned.name), partial, k
                )
                tables.append_row(workdir / results.TABLE, row)
            shutil.rmtree(partial, ignore_errors=True)
        if not any((workdir / _UNFINISHED).glob("*")):
            shutil.rmtree(workdir / _UNFINISHED, ignore_errors=True)
    return tables.read_csv(workdir / results.TABLE)


def left_out(task: tasks.Task) -> dict[str, str]:
    """Returns the baselines that cannot be run → the reason."""
    reasons = {}
    if task.kind not in (task_kinds.BINARY, task_kinds.MULTICLASS):
        reasons[protocols.MARKOV] = "it needs classes that exclude each other"
    if task.kind != task_kinds.BINARY:
        reasons[protocols.GAPPED] = "it needs two classes"
    elif not gapped_kmers.is_installed():
        reasons[protocols.GAPPED] = "it needs pip install 'genomenet[audit]'"
    return reasons


def _run(
    planned: protocols.Run,
    protocol: protocols.Protocol,
    sampler: sampler_lib.Sampler,
    folder: pathlib.Path | None,
    partial: pathlib.Path,
    k: int,
) -> dict[str, Any]:
    """Does a run and returns its row."""
    begin = time.monotonic()
    data, origin = sampler.draw(protocol, planned.setting, planned.seed)
    train, test = data[examples.TRAIN], data[examples.TEST]
    pool = ""
    if folder is not None and planned.init:
        recipe = protocol.recipe(planned.setting, planned.train)
        predicted, seconds, pool = _fine_tuned(planned, recipe, data, folder, partial)
    else:
        predicted, seconds = predict_baseline(
            planned.name, data, seed=planned.seed, k=k
        )
    scores = metrics.score(data.task, test.labels, predicted, resamples=0)
    return {
        tables.MODEL: planned.label,
        "name": planned.name,
        "init": planned.init,
        "train": planned.train,
        "pool": pool,
        protocol.column: planned.setting,
        tables.SEED: planned.seed,
        "protocol": protocol.kind,
        "dataset": data.name,
        "training_set": origin,
        "training_sequences": len(train),
        "test_sequences": len(test),
        "test_in_training": examples.overlap(data)[examples.TEST],
        "positive": data.task.positive,
        **{
            name: None if math.isnan(metric.value) else metric.value
            for name, metric in scores.values.items()
        },
        "training_seconds": round(seconds, 2),
        "seconds": round(time.monotonic() - begin, 2),
    }


def predict_baseline(
    name: str, data: examples.Data, *, seed: int = 0, k: int | None = None
) -> tuple[npt.NDArray[Any], float]:
    """Fits a baseline to the training split and predicts the test split.

    Args:
        name: One of `protocols.BASELINES` that is not in `left_out`.
        data: The examples.
        seed: Seed of folds and of the initial weights of the network.
        k: Bases of the k-mers of `protocols.KMER`; as for `run`.

    Returns:
        Probabilities, or numbers for regression, as `metrics.score` takes them; and the
        duration of the fit in seconds.
    """
    if name == protocols.CNN:
        return _small_cnn(data, seed)
    begin = time.monotonic()
    train, test, task = data[examples.TRAIN], data[examples.TEST], data.task
    codes = [train[row] for row in range(len(train))]
    candidates: list[Any]
    if name == protocols.CHOSEN_KMER:
        candidates = baselines.kmer_candidates(task)
    elif name == protocols.ONE_HOT:
        candidates = baselines.one_hot_candidates(task, int(train.lengths.max()))
    elif name == protocols.GAPPED:
        candidates = [gapped_kmers.GappedKmerSvm(task, seed=seed)]
    elif name == protocols.MARKOV:
        candidates = [baselines.MarkovRule(task)]
    else:
        candidates = [baselines.KmerLogisticRegression(task, k=k or _default_k(data))]
    model = baselines.select(candidates, codes, train.labels, seed=seed)
    seconds = time.monotonic() - begin
    return model.predict([test[n] for n in range(len(test))]), seconds


def _default_k(data: examples.Data) -> int:
    longest = max(int(split.lengths.max()) for split in data.splits.values())
    return 5 if longest < _SHORT else 6


def _fine_tuned(
    planned: protocols.Run,
    recipe: protocols.Recipe,
    data: examples.Data,
    folder: pathlib.Path,
    partial: pathlib.Path,
) -> tuple[npt.NDArray[Any], float, str]:
    """Returns the predictions of a model, its seconds of training, and its pool."""
    keras.backend.clear_session()  # else graphs of hundreds of models accumulate
    # Read again for each run, so that no run can change the weights of another.
    initial = start.read_start(folder, planned.init, dropout=protocols.DROPOUT)
    rate = models_lib.get_family(initial.family).CLASSIFIER_RATE
    train, test = data[examples.TRAIN], data[examples.TEST]
    clock = partial / "seconds.txt"  # seconds of training before a stop
    before = float(clock.read_text()) if clock.exists() else 0.0
    begin = time.monotonic()
    is_chosen = planned.train == protocols.READOUTS
    job: dict[str, Any] = {
        "family": initial.family,
        "encoder": initial.encoder,
        "classifier": start.make_config(
            initial,
            data,
            dropout=protocols.DROPOUT,
            augment=True,
            both_strands=True,
        ),
        "data": data,
        "settings": recipe.settings(planned.seed, rate),
        "plan": finetune.Plan(
            epochs=recipe.epochs_of(len(train)),
            train=finetune.HEAD if is_chosen else planned.train,
            patience=0,
            warmup=protocols.WARMUP,
        ),
        "workdir": partial,
        "origin": initial.origin,
    }
    try:
        if is_chosen:
            encoder = initial.model
            if encoder is None:
                family = models_lib.get_family(initial.family)
                with loop.weights_of(job["settings"]):
                    encoder = family.build(
                        family.from_dict(initial.encoder), head=False
                    )
            result = few_labels.run(**job, pretrained=encoder, tune=False).run
        else:
            result = finetune.run(**job, pretrained=initial.model)
    finally:
        seconds = before + time.monotonic() - begin
        if partial.is_dir():
            atomic.write_text(clock, f"{seconds}")
    model: Any = result.model
    predicted = predict.Predictor(model).predict([test[n] for n in range(len(test))])
    is_number = data.task.kind == task_kinds.REGRESSION
    predicted = predicted[:, 0] if is_number else predicted
    return predicted, seconds, "" if is_chosen else model.config.pool


def _small_cnn(data: examples.Data, seed: int) -> tuple[npt.NDArray[Any], float]:
    """Returns the predictions of the small network, and its seconds of training."""
    keras.backend.clear_session()
    begin = time.monotonic()
    train, test, task = data[examples.TRAIN], data[examples.TEST], data.task
    length = max(int(split.lengths.max()) for split in (train, test))
    is_number = task.kind == task_kinds.REGRESSION
    config = config_lib.ClassifierConfig(
        task=task.kind,
        classes=task.classes,
        mean=float(train.labels.mean()) if is_number else 0.0,
        scale=float(train.labels.std()) or 1.0 if is_number else 1.0,
    )
    truth = finetune.scaled(train.labels, config)
    loss: Any = keras.losses.BinaryCrossentropy(from_logits=True)
    if task.kind == task_kinds.MULTICLASS:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    elif task.kind == task_kinds.REGRESSION:
        loss = keras.losses.MeanSquaredError()
    if config.num_outputs == 1:
        truth = truth[:, None]
    recipe = protocols.CNN_RECIPE
    with loop.weights_of(recipe.settings(seed, protocols.CNN_RATE)):
        network = baselines.small_cnn(length, task)
    optimizer: Any = keras.optimizers.Adam(protocols.CNN_RATE)
    network.compile(optimizer=optimizer, loss={"logits": loss})
    bases, truth = train.padded(length), truth.astype("float32")
    rng = np.random.default_rng(seed)  # `fit` would draw the order from a global seed
    for _ in range(recipe.epochs_of(len(train))):
        order = rng.permutation(len(train))
        for first in range(0, len(train), recipe.batch_size):
            rows = order[first : first + recipe.batch_size]
            network.train_on_batch({"bases": bases[rows]}, {"logits": truth[rows]})
    seconds = time.monotonic() - begin
    logits = network.predict({"bases": test.padded(length)}, verbose=0)["logits"]
    predicted = np.asarray(classifier.probabilities(config, logits))
    return (predicted[:, 0] if is_number else predicted), seconds


def _named(models: Sequence[str]) -> dict[str, pathlib.Path]:
    """Returns name → folder of models; names must be unique."""
    folders: dict[str, pathlib.Path] = {}
    for model in models:
        folder = catalog.model_folder(model)
        name = folder.resolve().name
        if name in folders:
            raise ValueError(f"two models are called {name!r}: rename a folder")
        folders[name] = folder
    return folders


def _shortest(folder: pathlib.Path) -> int:
    """Returns the length in bases of the shortest sequence that a model can read."""
    content = release_folder.read_config(folder)
    family = models_lib.get_family(content["family"])
    return family.min_length(family.from_dict(content["model"]))


def _digest(folder: pathlib.Path, weights: pathlib.Path | None) -> str:
    """Returns a checksum of the configuration and weights of a model."""
    digest = hashlib.sha256()
    for path in (folder / "config.json", weights):
        if path is not None:
            digest.update(bytes.fromhex(sources.sha256(path)))
    return digest.hexdigest()[:16]


def _adopt(path: pathlib.Path, identity: Mapping[str, Any]) -> None:
    """Writes the identity of an evaluation, or refuses the folder of another one."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    models = {**old.get("models", {}), **identity["models"]}
    differences = [
        f"{name}: {old[name]} → {value}"
        for name, value in identity.items()
        if name != "models" and name in old and old[name] != value
    ]
    differences += [
        f"{name} has changed"
        for name, digest in old.get("models", {}).items()
        if models[name] != digest
    ]
    if differences:
        raise workdir_lib.WorkdirError(
            f"{path.parent} holds another evaluation: {'; '.join(differences)}. Give"
            " another workdir"
        )
    text = json.dumps({**identity, "models": models}, indent=2)
    atomic.write_text(path, text + "\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
