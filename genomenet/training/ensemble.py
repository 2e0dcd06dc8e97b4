"""Cross-validation whose models become one: the mean of their probabilities."""

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

_BOUNDS: Final = (math.log(0.25), math.log(16.0))  # of the logarithm of a temperature
_LEAST: Final = 1e-6  # of a probability in a loss


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
    """A classifier that was learnt from all folds but one.

    Attributes:
        run: As `finetune.run` returns it.
        kind: What all members of an ensemble share: how it was learnt.
        selection: What was tried and chosen, where it was.
    """

    run: loop.Result
    kind: Any = None
    selection: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """An ensemble, and what its members say of the rows that they had not seen.

    Attributes:
        run: As `finetune.run` returns it; the model is the ensemble.
        folds: Fold of each training row, int, (N,).
        predicted: As `classifier.probabilities`, of each training row by the member
            that had not seen it, after the temperature: (N, outputs).
        temperature: By which the logits of all members are divided, fitted to the
            same rows; 1 of regression.
        selections: What each member tried and chose, where it did.
    """

    run: loop.Result
    folds: npt.NDArray[np.intp]
    predicted: npt.NDArray[np.float32]
    temperature: float
    selections: Sequence[Mapping[str, Any]]


@contextlib.contextmanager
def _retracing() -> Iterator[None]:
    """Keeps TensorFlow from warning that each fold's model is traced anew."""
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
    """Learns from all folds but one, in turn, and joins the classifiers.

    Repeats of a sequence, on either strand, are in one fold. Where members would be
    learnt in different ways, as few labels may be, all are learnt as most were.

    Args:
        learn: Data, folder, and a kind of member or None, where it is free → member.
        count: Folds.
        family: As for `finetune.run`.
        encoder: As for `finetune.run`.
        classifier: As for `finetune.run`.
        data: As for `finetune.run`; its training split is cut into folds.
        settings: As for `finetune.run`.
        plan: As for `finetune.run`.
        workdir: Folder of the run; each fold has one in it, and goes on from it.
        origin: As for `finetune.run`.
        devices: As for `finetune.run`.
        flags_text: As for `finetune.run`.
        tell: Called with a line on each fold.

    Returns:
        The ensemble.

    Raises:
        ValueError: As `finetune.run`, or if there are too few sequences for folds.
    """
    devices = devices or engines.devices()
    members = models.get_family(family)
    finetune.check(data, members.shortest(members.from_dict(encoder)))
    if count < 2:
        raise ValueError(f"folds must be >= 2, got {count}")
    if classifier.over_windows != "mean":
        raise ValueError(
            f"folds={count} does not go with over_windows={classifier.over_windows}"
        )
    train = data[examples.TRAIN]
    folds = folds_lib.assign(
        train.labels, data.task, train.groups(), count=count, seed=settings.seed
    )
    parts = [
        (np.flatnonzero(folds != n), np.flatnonzero(folds == n)) for n in range(count)
    ]
    for taught, held in parts:
        if not len(held) or not few_labels.is_complete(train.take(taught), data.task):
            raise sources.DatasetError(
                f"{data.name}: folds={count} needs more training sequences: without"
                " one of the folds a class, or all labels but one, would be missing"
            )
    config = finetune.run_config(
        family, encoder, classifier, data, settings, plan, origin
    )
    cut = {**config.parts["plan"], "folds": count}
    config = dataclasses.replace(config, parts={**config.parts, "plan": cut})
    with workdir_lib.Workdir(workdir, read_only=not devices.is_chief) as folder:
        folder.adopt(config, flags_text=flags_text)

        def member(number: int, kind: Any = None) -> Member:
            taught, held = parts[number]
            name, why = f"fold_{number}", ""
            if kind is not None:
                name, why = f"{name}_again", ", learnt as most folds are"
            tell(
                f"fold {number + 1} of {count}: {len(taught):,} training sequences,"
                f" {len(held):,} held out{why}"
            )
            known = data.with_train(train.take(taught))
            return learn(known, folder.path / name, kind)

        found = [member(number) for number in range(count)]
        [(kind, _)] = collections.Counter(one.kind for one in found).most_common(1)
        for number, one in enumerate(found):
            if one.kind != kind:
                found[number] = member(number, kind)
    graphs: list[Any] = [one.run.model for one in found]
    held_out = [
        few_labels.strand_logits(graph, train.take(held))
        for graph, (_, held) in zip(graphs, parts, strict=True)
    ]
    logits = np.zeros((len(held_out[0]), len(train), classifier.num_outputs))
    for number, ((_, held), values) in enumerate(zip(parts, held_out, strict=True)):
        logits[:, held] = values
        label = finetune.scaled(train.labels[held], classifier)
        score = readouts.score(values.mean(axis=0), label, data.task)
        name = "Pearson" if data.task.kind == task_kinds.REGRESSION else "AUROC"
        if np.isfinite(score):
            tell(f"fold {number + 1} of {count}: {name} {score:.3f}, held out")
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
            metrics={"steps": sum(one.run.metrics["steps"] for one in found)},
            is_chief=devices.is_chief,
            resumed=all(one.run.resumed for one in found),
        ),
        folds=folds,
        predicted=_probabilities(shared, logits / temperature),
        temperature=temperature,
        selections=[one.selection for one in found if one.selection],
    )


def join(
    members: Sequence[classifier_lib.Classifier], *, temperature: float = 1.0
) -> classifier_lib.Classifier:
    """Returns a classifier that predicts the mean of the probabilities of several.

    Encoders with the same weights become one, of which all heads read.

    Args:
        members: Classifiers that predict the same and read the same strands; their
            readouts may differ.
        temperature: By which their logits are divided.

    Raises:
        ValueError: If they do not fit each other, or read windows by attention.
    """
    first = members[0]
    plain = [dataclasses.replace(one.config, readout=()) for one in members]
    if any(one != plain[0] for one in plain):
        raise ValueError("members of an ensemble must predict alike")
    names: tuple[str, ...] = ()
    if any(one.config.readout for one in members):
        names = tuple(dict.fromkeys(name for one in members for name in _read(one)))
    is_shared = all(
        np.array_equal(a, b)
        for one in members[1:]
        for a, b in zip(first.encoder.weights, one.encoder.weights, strict=True)
    )
    config = dataclasses.replace(
        plain[0],
        readout=names,
        members=len(members),
        encoders=1 if is_shared else len(members),
    )
    encoder = models.get_family(first.family).to_dict(first.encoder.config)
    model = classifier_lib.Classifier(first.family, encoder, config)
    for target, one in zip(model.encoders, members, strict=False):
        family_lib.transfer(one.encoder, target)
    widths = config_lib.readout_widths(first.family, encoder, config)
    ends = np.cumsum([0, *widths])
    place = {
        name: np.arange(start, stop)
        for name, start, stop in zip(
            names or _read(first), ends[:-1], ends[1:], strict=True
        )
    }
    mean, factor = np.zeros(ends[-1]), np.zeros(ends[-1])
    heads = []
    for one in members:
        at = np.concatenate([place[name] for name in _read(one)])
        own_mean, own_factor = np.zeros(len(at)), np.ones(len(at))
        if one.standardize is not None:
            own_mean = np.asarray(one.standardize.mean, np.float64)
            own_factor = np.asarray(one.standardize.factor, np.float64)
        kernel = np.asarray(one.output_layer.kernel, np.float64)
        bias = np.asarray(one.output_layer.bias, np.float64)
        heads.append((at, own_mean, own_factor, kernel, bias))
        is_new = factor[at] == 0  # the constants of the first that reads a channel
        mean[at[is_new]], factor[at[is_new]] = own_mean[is_new], own_factor[is_new]
    factor[factor == 0] = 1.0
    kernels = np.zeros((ends[-1], len(members), config.num_outputs))
    biases = np.zeros((len(members), config.num_outputs))
    for number, (at, own_mean, own_factor, kernel, bias) in enumerate(heads):
        kernels[at, number] = (own_factor / factor[at])[:, None] * kernel
        biases[number] = bias + ((mean[at] - own_mean) * own_factor) @ kernel
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
    """Returns by what logits are divided for the lowest cross-entropy.

    Args:
        config: What is predicted.
        logits: Of each strand that is read, (S, N, outputs).
        truth: Labels, as `tasks.Task.encode` gives them.

    Returns:
        0.25 to 16; 1 of regression.

    Source:
        Guo et al., On calibration of modern neural networks (2017).
    """
    from scipy import optimize

    if config.task == task_kinds.REGRESSION:
        return 1.0
    has = (
        truth if config.task == task_kinds.MULTI_LABEL else np.eye(len(config.classes))
    )
    has = np.asarray(has if config.task == task_kinds.MULTI_LABEL else has[truth], bool)

    def loss(log: float) -> float:
        found = _probabilities(config, logits / math.exp(log))
        # Of classes that exclude each other both sums have the same minimum.
        right = np.where(has, found, 1 - found)
        if config.task == task_kinds.MULTICLASS:
            right = found[has]
        return -float(np.log(np.maximum(right, _LEAST)).mean())

    found: Any = optimize.minimize_scalar(loss, bounds=_BOUNDS, method="bounded")
    return math.exp(found.x)


def _probabilities(
    config: config_lib.ClassifierConfig, logits: npt.NDArray[np.floating]
) -> npt.NDArray[np.float32]:
    """Returns what the logits of one strand or two mean."""
    each = [one.astype(np.float32) for one in logits]
    return np.asarray(classifier_lib.over_strands(config, each)[1])


def _read(model: classifier_lib.Classifier) -> tuple[str, ...]:
    return model.config.readout or (model.config.pool,)
