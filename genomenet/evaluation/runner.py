"""Runs a protocol: run by run, each kept as soon as it is done."""

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

from genomenet import atomic, catalog
from genomenet import models as models_lib
from genomenet.data import examples, sources, tasks
from genomenet.evaluation import baselines, metrics, protocols, results, tables
from genomenet.evaluation import sampler as sampler_lib
from genomenet.inference import predict
from genomenet.models import classifier
from genomenet.release import folder as release_folder
from genomenet.release import start
from genomenet.training import finetune, progress
from genomenet.training import workdir as workdir_lib

_UNFINISHED: Final = "unfinished"
_SHORT: Final = 100  # bases: sequences below it are counted in 5-mers


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
    """Does all runs of a protocol that have not been done, and keeps each.

    Args:
        protocol: The protocol.
        models: Names of models, or their folders.
        sampler: Of the examples.
        seeds: Runs of each model and setting.
        workdir: Folder with `results.csv`, and what was asked: `protocol.json`.
        k: Bases of the k-mers of the baseline; 6 by default, of sequences below 100
            bases 5.
        from_scratch: Whether models with weights are also trained from random ones.

    Returns:
        The rows of all runs in the folder.

    Raises:
        ValueError: If the folder is of another evaluation, or a part makes no sense.
        Stopped: If a signal came while a model was trained.
    """
    data = sampler.data
    longest = max(int(split.lengths.max()) for split in data.splits.values())
    k = k or (5 if longest < _SHORT else 6)
    baselines.KmerLogisticRegression(data.task, k=k)  # fails now, or never
    for setting in protocol.settings:
        sampler.draw(protocol, setting, 0)
    folders = _named(models)
    for folder in folders.values():
        finetune.check(data, _shortest(folder))
    weights = {name: release_folder.find_weights(f) for name, f in folders.items()}
    has_weights = {name: path is not None for name, path in weights.items()}
    plan = protocols.plan(protocol, has_weights, seeds, from_scratch=from_scratch)
    if data.task.kind not in (tasks.BINARY, tasks.MULTICLASS):
        plan = [one for one in plan if one.name != protocols.MARKOV]
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
        for number, one in enumerate(plan):
            rows = tables.read_csv(workdir / results.TABLE)
            done = {(r[tables.MODEL], r[protocol.column], r[tables.SEED]) for r in rows}
            slug = re.sub(r"[^\w.-]+", "_", "-".join(map(str, one.key)))
            partial = workdir / _UNFINISHED / slug
            if one.key not in done:
                left = [other for other in plan[number:] if other.key not in done]
                eta = protocols.remaining(rows, left, protocol.column)
                shown = "unknown" if math.isnan(eta) else progress.duration(eta)
                _say(
                    f"run {number + 1}/{len(plan)} | {one.label}, {protocol.column}"
                    f" {one.setting}, seed {one.seed} | ETA {shown}"
                )
                row = _run(one, protocol, sampler, folders.get(one.name), partial, k)
                tables.append_row(workdir / results.TABLE, row)
            shutil.rmtree(partial, ignore_errors=True)
        if not any((workdir / _UNFINISHED).glob("*")):
            shutil.rmtree(workdir / _UNFINISHED, ignore_errors=True)
    return tables.read_csv(workdir / results.TABLE)


def _run(
    one: protocols.Run,
    protocol: protocols.Protocol,
    sampler: sampler_lib.Sampler,
    folder: pathlib.Path | None,
    partial: pathlib.Path,
    k: int,
) -> dict[str, Any]:
    """Does a run and returns its row."""
    begin = time.monotonic()
    data, origin = sampler.draw(protocol, one.setting, one.seed)
    train, test = data[examples.TRAIN], data[examples.TEST]
    pool = ""
    if folder is not None and one.init:
        recipe = protocol.recipe(one.setting, one.train)
        predicted, seconds, pool = _fine_tuned(one, recipe, data, folder, partial)
    elif one.name == protocols.CNN:
        predicted, seconds = _small_cnn(data, one.seed)
    else:
        model = _baseline(one, data, k)
        seconds = time.monotonic() - begin
        predicted = model.predict([test[n] for n in range(len(test))])
    scores = metrics.score(data.task, test.labels, predicted, resamples=0)
    return {
        tables.MODEL: one.label,
        "name": one.name,
        "init": one.init,
        "train": one.train,
        "pool": pool,
        protocol.column: one.setting,
        tables.SEED: one.seed,
        "protocol": protocol.kind,
        "dataset": data.name,
        "training_set": origin,
        "training_sequences": len(train),
        "test_sequences": len(test),
        "test_in_training": examples.overlap(data)[examples.TEST],
        "positive": data.task.positive,
        **{
            name: None if math.isnan(found.value) else found.value
            for name, found in scores.values.items()
        },
        "training_seconds": round(seconds, 2),
        "seconds": round(time.monotonic() - begin, 2),
    }


def _baseline(one: protocols.Run, data: examples.Data, k: int) -> Any:
    """Returns a baseline without layers, fitted to the training split."""
    train, task = data[examples.TRAIN], data.task
    codes = [train[number] for number in range(len(train))]
    if one.name == protocols.CHOSEN_KMER:
        tried = baselines.kmer_candidates(task)
    elif one.name == protocols.ONE_HOT:
        tried = baselines.one_hot_candidates(task, int(train.lengths.max()))
    elif one.name == protocols.MARKOV:
        return baselines.MarkovRule(task).fit(codes, train.labels)
    else:
        tried = [baselines.KmerLogisticRegression(task, k=k)]
    return baselines.select(tried, codes, train.labels, seed=one.seed)


def _fine_tuned(
    one: protocols.Run,
    recipe: protocols.Recipe,
    data: examples.Data,
    folder: pathlib.Path,
    partial: pathlib.Path,
) -> tuple[npt.NDArray[Any], float, str]:
    """Returns what a model predicts, the seconds of its training, and its pool."""
    keras.backend.clear_session()  # else graphs of hundreds of models pile up
    # Read anew for each run, so that none can change the weights of another.
    given = start.read_start(folder, one.init, dropout=protocols.DROPOUT)
    rate = models_lib.get_family(given.family).CLASSIFIER_RATE
    train, test = data[examples.TRAIN], data[examples.TEST]
    clock = partial / "seconds.txt"  # of training before it was stopped
    before = float(clock.read_text()) if clock.exists() else 0.0
    begin = time.monotonic()
    try:
        result = finetune.run(
            family=given.family,
            encoder=given.encoder,
            classifier=start.make_config(
                given,
                data,
                dropout=protocols.DROPOUT,
                augment=True,
                both_strands=True,
            ),
            data=data,
            settings=recipe.settings(one.seed, rate),
            plan=finetune.Plan(
                epochs=recipe.epochs_of(len(train)),
                train=one.train,
                patience=0,
                warmup=protocols.WARMUP,
            ),
            workdir=partial,
            pretrained=given.model,
            origin=given.origin,
        )
    finally:
        seconds = before + time.monotonic() - begin
        if partial.is_dir():
            atomic.write_text(clock, f"{seconds}")
    model: Any = result.model
    predicted = predict.Predictor(model).predict([test[n] for n in range(len(test))])
    is_number = data.task.kind == tasks.REGRESSION
    predicted = predicted[:, 0] if is_number else predicted
    return predicted, seconds, model.config.pool


def _small_cnn(data: examples.Data, seed: int) -> tuple[npt.NDArray[Any], float]:
    """Returns what the small network predicts, and the seconds of its training."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    begin = time.monotonic()
    train, test, task = data[examples.TRAIN], data[examples.TEST], data.task
    length = max(int(split.lengths.max()) for split in (train, test))
    is_number = task.kind == tasks.REGRESSION
    scale = float(train.labels.std()) or 1.0 if is_number else 1.0
    config = classifier.ClassifierConfig(
        task=task.kind,
        classes=task.classes,
        mean=float(train.labels.mean()) if is_number else 0.0,
        scale=scale,
    )
    truth, loss = train.labels, keras.losses.BinaryCrossentropy(from_logits=True)
    if task.kind == tasks.MULTICLASS:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    elif task.kind == tasks.REGRESSION:
        truth, loss = (truth - config.mean) / scale, keras.losses.MeanSquaredError()
    if config.num_outputs == 1:
        truth = truth[:, None]
    recipe = protocols.CNN_RECIPE
    network = baselines.small_cnn(length, task)
    optimizer: Any = keras.optimizers.Adam(protocols.CNN_RATE)
    network.compile(optimizer=optimizer, loss={"logits": loss})
    network.fit(
        {"bases": train.padded(length)},
        {"logits": truth.astype("float32")},
        batch_size=recipe.batch_size,
        epochs=recipe.epochs_of(len(train)),
        verbose=0,
    )
    seconds = time.monotonic() - begin
    logits = network.predict({"bases": test.padded(length)}, verbose=0)["logits"]
    found = np.asarray(classifier.probabilities(config, logits))
    return (found[:, 0] if is_number else found), seconds


def _named(models: Sequence[str]) -> dict[str, pathlib.Path]:
    """Returns the folders of models by their names; two must not share one."""
    folders: dict[str, pathlib.Path] = {}
    for given in models:
        folder = catalog.model_folder(given)
        name = folder.resolve().name
        if name in folders:
            raise ValueError(f"two models are called {name!r}: rename a folder")
        folders[name] = folder
    return folders


def _shortest(folder: pathlib.Path) -> int:
    """Returns the bases of the shortest sequence that a model can read."""
    content = release_folder.read_config(folder)
    family = models_lib.get_family(content["family"])
    return family.shortest(family.from_dict(content["model"]))


def _digest(folder: pathlib.Path, weights: pathlib.Path | None) -> str:
    """Returns a checksum of a model."""
    found = hashlib.sha256()
    for path in (folder / "config.json", weights):
        if path is not None:
            found.update(bytes.fromhex(sources.sha256(path)))
    return found.hexdigest()[:16]


def _adopt(path: pathlib.Path, identity: Mapping[str, Any]) -> None:
    """Notes what is evaluated, or refuses a folder of something else."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    models = {**old.get("models", {}), **identity["models"]}
    found = [
        f"{name}: {old[name]} → {value}"
        for name, value in identity.items()
        if name != "models" and name in old and old[name] != value
    ]
    found += [
        f"{name} has changed"
        for name, digest in old.get("models", {}).items()
        if models[name] != digest
    ]
    if found:
        raise workdir_lib.WorkdirError(
            f"{path.parent} holds another evaluation: {'; '.join(found)}. Take another"
            " workdir"
        )
    text = json.dumps({**identity, "models": models}, indent=2)
    atomic.write_text(path, text + "\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
