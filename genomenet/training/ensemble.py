"""Cross-validation ensembles: one model per fold, probabilities averaged."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import models, task_kinds
from genomenet.data import examples, sources
from genomenet.data import folds as folds_lib
from genomenet.models import classifier as classifier_lib
from genomenet.models import classifier_config as config_lib
from genomenet.models import family as family_lib
from genomenet.training import engines, few_labels, finetune, loop, readouts
from genomenet.training import settings as settings_lib
from genomenet.training import workdir as workdir_lib

_BOUNDS: Final = (math.log(0.25), math.log(16.0))  # of the log temperature
_MIN_PROBABILITY: Final = 1e-6  # in the log of a loss


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
    """A classifier trained on all folds but one.

    Attributes:
        run: The result of `finetune.run`.
        kind: How it was trained; the same for all members of an ensemble.
        selection: The candidates and the choice, if there was a selection.
    """

    run: loop.Result
    kind: Any = None
    selection: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """An ensemble, with predictions of held-out rows by its members.

    Attributes:
        run: A result as `finetune.run` returns it; the model is the ensemble.
        folds: Fold of each training row, int, (N,).
        predicted: Prediction of each training row by the member that was not trained
            on it, after temperature scaling, as `classifier.probabilities`:
            (N, outputs).
        temperature: Divisor of the logits of all members, fitted to the same rows;
            1 for regression.
        selections: The selection of each member that made one.
    """

    run: loop.Result
    folds: npt.NDArray[np.intp]
    predicted: npt.NDArray[np.float32]
    temperature: float
    selections: Sequence[Mapping[str, Any]]


@contextlib.contextmanager
def _retracing() -> Iterator[None]:
    """Suppresses TensorFlow's warning that each fold's model is retraced."""
    logger = logging.getLogger("tensorflow")

    def is_other(record: logging.LogRecord) -> bool:
        return "retracing" not in record.getMessage()

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


@_retracing()
def run(
    learn: Callable[[examples.Data, pathlib.Path, Any], Member],
    *,
    count: int,
    family: str,
    encoder: Mapping[str, Any],
    classifier: config_lib.ClassifierConfig,
    data: examples.Data,
    settings: settings_lib.Settings,
    plan: finetune.Plan,
    workdir: str | os.PathLike[str],
    origin: Mapping[str, Any] | None = None,
    devices: loop.Devices | None = None,
    flags_text: str = "",
    tell: Callable[[str], Any] = print,
) -> Result:
    """Trains a classifier on all folds but one, in turn, and joins them.

    Repeats of a sequence, on either strand, are in the same fold. With few labels,
    members may be trained in different ways; the others are then trained again in the
    way of the most common kind.

    Args:
        learn: Function of data, folder and kind of member → member. It chooses the
            kind if the argument is None.
        count: Number of folds.
        family: As for `finetune.run`.
        encoder: As for `finetune.run`.
        classifier: As for `finetune.run`.
        data: As for `finetune.run`; its training split is divided into folds.
        settings: As for `finetune.run`.
        plan: As for `finetune.run`.
        workdir: Folder of the run; each fold has a subfolder, from which it resumes.
        origin: As for `finetune.run`.
        devices: As for `finetune.run`.
        flags_text: As for `finetune.run`.
        tell: Called with progress lines about each fold.

    Returns:
        The ensemble.

    Raises:
        ValueError: As `finetune.run`; or if there are too few sequences for `count`
            folds.
    """
    devices = devices or engines.devices()
    family_module = models.get_family(family)
    finetune.check(data, family_module.min_length(family_module.from_dict(encoder)))
    if count < 2:
        raise ValueError(f"folds must be >= 2, got {count}")
    if classifier.over_windows != "mean":
        raise ValueError(
            f"folds={count} needs over_windows=mean, got {classifier.over_windows}"
        )
    train = data[examples.TRAIN]
    folds = folds_lib.assign(
        train.labels, data.task, train.groups(), count=count, seed=settings.seed
    )
    parts = [
        (np.flatnonzero(folds != n), np.flatnonzero(folds == n)) for n in range(count)
    ]
    for train_rows, held_rows in parts:
        if not len(held_rows) or not few_labels.is_complete(
            train.take(train_rows), data.task
        ):
            raise sources.DatasetError(
                f"{data.name}: folds={count} needs more training sequences: without"
                " one of the folds, a class has none left or all labels are equal"
            )
    config = finetune.run_config(
        family, encoder, classifier, data, settings, plan, origin
    )
    plan_fields = {**config.parts["plan"], "folds": count}
    config = dataclasses.replace(config, parts={**config.parts, "plan": plan_fields})
    with workdir_lib.Workdir(workdir, read_only=not devices.is_chief) as folder:
        folder.adopt(config, flags_text=flags_text)

        def train_member(index: int, kind: Any = None) -> Member:
            train_rows, held_rows = parts[index]
            name, note = f"fold_{index}", ""
            if kind is not None:
                name, note = f"{name}_again", ", trained as most folds are"
            tell(
                f"fold {index + 1} of {count}: {len(train_rows):,} training sequences,"
                f" {len(held_rows):,} held out{note}"
            )
            known = data.with_train(train.take(train_rows))
            return learn(known, folder.path / name, kind)

        trained = [train_member(index) for index in range(count)]
        [(kind, _)] = collections.Counter(
            member.kind for member in trained
        ).most_common(1)
        for index, member in enumerate(trained):
            if member.kind != kind:
                trained[index] = train_member(index, kind)
    graphs: list[Any] = [member.run.model for member in trained]
    held_out = [
        few_labels.strand_logits(graph, train.take(held_rows))
        for graph, (_, held_rows) in zip(graphs, parts, strict=True)
    ]
    logits = np.zeros((len(held_out[0]), len(train), classifier.num_outputs))
    for index, ((_, held_rows), values) in enumerate(zip(parts, held_out, strict=True)):
        logits[:, held_rows] = values
        label = finetune.scaled(train.labels[held_rows], classifier)
        score = readouts.score(values.mean(axis=0), label, data.task)
        name = "Pearson" if data.task.kind == task_kinds.REGRESSION else "AUROC"
        if np.isfinite(score):
            tell(f"fold {index + 1} of {count}: {name} {score:.3f}, held out")
    shared = graphs[0].config
    temperature = fit_temperature(shared, logits, train.labels)
    model = join(graphs, temperature=temperature)
    done = dataclasses.replace(
        config,
        parts={**config.parts, "classifier": config_lib.to_dict(model.config)},
    )
    return Result(
        run=loop.Result(
            model=model,
            config=done,
            metrics={"steps": sum(member.run.metrics["steps"] for member in trained)},
            is_chief=devices.is_chief,
            resumed=all(member.run.resumed for member in trained),
        ),
        folds=folds,
        predicted=_probabilities(shared, logits / temperature),
        temperature=temperature,
        selections=[member.selection for member in trained if member.selection],
    )


def join(
    members: Sequence[classifier_lib.Classifier], *, temperature: float = 1.0
) -> classifier_lib.Classifier:
    """Returns a classifier that predicts the mean probabilities of its members.

    If all encoders have the same weights, the heads share one encoder.

    Args:
        members: Classifiers of the same task and strands; their readouts may differ.
        temperature: Divisor of their logits.

    Raises:
        ValueError: If their configs differ otherwise, or they read windows by
            attention.
    """
    first = members[0]
    plain = [dataclasses.replace(member.config, readout=()) for member in members]
    if any(member != plain[0] for member in plain):
        raise ValueError("members of an ensemble must predict alike")
    names: tuple[str, ...] = ()
    if any(member.config.readout for member in members):
        names = tuple(
            dict.fromkeys(name for member in members for name in _read(member))
        )
    is_shared = all(
        np.array_equal(a, b)
        for member in members[1:]
        for a, b in zip(first.encoder.weights, member.encoder.weights, strict=True)
    )
    config = dataclasses.replace(
        plain[0],
        readout=names,
        members=len(members),
        encoders=1 if is_shared else len(members),
    )
    encoder = models.get_family(first.family).to_dict(first.encoder.config)
    model = classifier_lib.Classifier(first.family, encoder, config)
    for target, member in zip(model.encoders, members, strict=False):
        family_lib.transfer(member.encoder, target)
    widths = config_lib.readout_widths(first.family, encoder, config)
    ends = np.cumsum([0, *widths])
    columns = {
        name: np.arange(start, stop)
        for name, start, stop in zip(
            names or _read(first), ends[:-1], ends[1:], strict=True
        )
    }
    mean, factor = np.zeros(ends[-1]), np.zeros(ends[-1])
    heads = []
    for member in members:
        used = np.concatenate([columns[name] for name in _read(member)])
        member_mean, member_factor = np.zeros(len(used)), np.ones(len(used))
        if member.standardize is not None:
            member_mean = np.asarray(member.standardize.mean, np.float64)
            member_factor = np.asarray(member.standardize.factor, np.float64)
        kernel = np.asarray(member.output_layer.kernel, np.float64)
        bias = np.asarray(member.output_layer.bias, np.float64)
        heads.append((used, member_mean, member_factor, kernel, bias))
        is_new = factor[used] == 0  # constants of the first member that reads it
        mean[used[is_new]], factor[used[is_new]] = (
            member_mean[is_new],
            member_factor[is_new],
        )
    factor[factor == 0] = 1.0
    kernels = np.zeros((ends[-1], len(members), config.num_outputs))
    biases = np.zeros((len(members), config.num_outputs))
    for index, (used, member_mean, member_factor, kernel, bias) in enumerate(heads):
        kernels[used, index] = (member_factor / factor[used])[:, None] * kernel
        biases[index] = bias + ((mean[used] - member_mean) * member_factor) @ kernel
    layers: tuple[Any, Any] = model.standardize, model.output_layer
    if layers[0] is not None:
        layers[0].mean.assign(mean)
        layers[0].factor.assign(factor)
    layers[1].kernel.assign(kernels.reshape(ends[-1], -1) / temperature)
    layers[1].bias.assign(biases.reshape(-1) / temperature)
    return model


def fit_temperature(
    config: config_lib.ClassifierConfig,
    logits: npt.NDArray[np.floating],
    truth: npt.NDArray[Any],
) -> float:
    """Returns the divisor of the logits that gives the lowest cross-entropy.

    Args:
        config: What is predicted.
        logits: Logits of each strand that is read, (S, N, outputs).
        truth: Labels, as `tasks.Task.encode` gives them.

    Returns:
        A temperature of 0.25 to 16; 1 for regression.

    Source:
        Guo et al., On calibration of modern neural networks (2017).
    """
    from scipy import optimize

    if config.task == task_kinds.REGRESSION:
        return 1.0
    is_true = (
        truth if config.task == task_kinds.MULTI_LABEL else np.eye(len(config.classes))
    )
    is_true = np.asarray(
        is_true if config.task == task_kinds.MULTI_LABEL else is_true[truth], bool
    )

    def loss(log_temperature: float) -> float:
        predicted = _probabilities(config, logits / math.exp(log_temperature))
        # With two classes each row counts twice, which does not move the minimum.
        right = np.where(is_true, predicted, 1 - predicted)
        if config.task == task_kinds.MULTICLASS:
            right = predicted[is_true]
        return -float(np.log(np.maximum(right, _MIN_PROBABILITY)).mean())

    optimum: Any = optimize.minimize_scalar(loss, bounds=_BOUNDS, method="bounded")
    return math.exp(optimum.x)


def _probabilities(
    config: config_lib.ClassifierConfig, logits: npt.NDArray[np.floating]
) -> npt.NDArray[np.float32]:
    """Returns the predictions from the logits of one or two strands."""
    each = [strand_logits.astype(np.float32) for strand_logits in logits]
    return np.asarray(classifier_lib.over_strands(config, each)[1])


def _read(model: classifier_lib.Classifier) -> tuple[str, ...]:
    return model.config.readout or (model.config.pool,)
