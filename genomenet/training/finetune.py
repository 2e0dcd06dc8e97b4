"""Fine-tuning of a pretrained or a randomly initialised encoder on labels."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from genomenet import compiled, models, task_kinds
from genomenet.data import batches, examples, sources
from genomenet.layers import strand
from genomenet.models import classifier as classifier_lib
from genomenet.models import classifier_config as config_lib
from genomenet.models import family as family_lib
from genomenet.training import engines, loop
from genomenet.training import settings as settings_lib
from genomenet.training import workdir as workdir_lib

ALL: Final = "all"
HEAD: Final = "head"
HEAD_FIRST: Final = "head_first"
HEAD_RATE: Final = 1e-2  # peak learning rate if only the head is trained
FEW: Final = 1_000  # training sequences up to which the head comes first; docs/log.md
BEST: Final = "best.weights.h5"

_HEAD_STEPS: Final = 200  # fewest steps of a head that is trained first
_SAVE_STEPS: Final = 50  # fewest steps between checkpoints; an epoch may be one step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """How a model is fine-tuned, in addition to the settings of every run.

    Attributes:
        epochs: Passes over the training data.
        train: Which weights are trained: "all"; "head", a linear probe; or
            "head_first", a linear probe followed by all weights.
        patience: Evaluations without a lower validation loss after which a run ends;
            0 never ends it early. Without a validation split there is no evaluation.
        class_weights: Whether classes are weighted to contribute equally.
        warmup: Share of all steps in which the rate rises, in [0, 1].

    Raises:
        ValueError: If a value is out of range or unknown.
    """

    epochs: int = 10
    train: str = ALL
    patience: int = 3
    class_weights: bool = False
    warmup: float = 0.1

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs must be >= 1, got {self.epochs}")
        if self.train not in (kinds := (ALL, HEAD, HEAD_FIRST)):
            raise ValueError(f"train must be {', '.join(kinds)}, got {self.train!r}")
        if self.patience < 0:
            raise ValueError(f"patience must be >= 0, got {self.patience}")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup must be 0 to 1, got {self.warmup}")


def run(
    *,
    family: str,
    encoder: Mapping[str, Any],
    classifier: config_lib.ClassifierConfig,
    data: examples.Data,
    settings: settings_lib.Settings,
    plan: Plan,
    workdir: str | os.PathLike[str],
    pretrained: keras.Model | None = None,
    origin: Mapping[str, Any] | None = None,
    devices: loop.Devices | None = None,
    flags_text: str = "",
) -> loop.Result:
    """Fine-tunes a model, or resumes an interrupted run.

    Args:
        family: A key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config, as JSON values.
        classifier: What is predicted.
        data: The training split and, optionally, a validation split on which the run
            is evaluated after each epoch.
        settings: How to train; the numbers of steps follow from the plan.
        plan: How to fine-tune.
        workdir: Folder of the run.
        pretrained: The initial weights: a model of the family for those of the
            encoder, or a classifier for those of the head too; random if None.
        origin: Description of `pretrained`, saved and compared when a run resumes.
        devices: Where to compute, from `engines.devices`; one device by default.
        flags_text: The command's flags, saved in the folder.

    Returns:
        The classifier and its metrics. With a validation split, its weights are those
        of the lowest validation loss.

    Raises:
        ValueError: If the arguments do not fit each other.
        TrainingError: If the loss is not finite.
        Stopped: If a signal arrived; the run has been saved.
    """
    devices = devices or engines.devices()
    module = models.get_family(family)
    # All checks come before the run takes the folder.
    check(data, module.min_length(module.from_dict(encoder)))
    config_lib.check(family, encoder, classifier)
    train, validation = data[examples.TRAIN], data.get(examples.VALIDATION)
    weights = np.ones(len(train), np.float32)
    if plan.class_weights:
        weights = examples.class_weights(train, data.task)
    settings = resolve(settings, plan, len(train))
    devices.check(settings)
    config = run_config(family, encoder, classifier, data, settings, plan, origin)
    with workdir_lib.Workdir(workdir, read_only=not devices.is_chief) as folder:
        folder.adopt(config, flags_text=flags_text)
        is_classifier = isinstance(pretrained, classifier_lib.Classifier)
        if plan.train == HEAD_FIRST and not is_classifier:
            pretrained = run(
                family=family,
                encoder=encoder,
                classifier=classifier,
                data=data,
                settings=dataclasses.replace(settings, learning_rate=HEAD_RATE),
                plan=_head_plan(plan, settings),
                workdir=folder.path / HEAD,
                pretrained=pretrained,
                origin=origin,
                devices=devices,
            ).model

        def make_model() -> classifier_lib.Classifier:
            model = classifier_lib.Classifier(family, encoder, classifier)
            if pretrained is not None:
                has_head = isinstance(pretrained, classifier_lib.Classifier)
                family_lib.transfer(pretrained, model if has_head else model.encoder)
            model.encoder.trainable = plan.train != HEAD
            return model

        reader = _Reader(plan, classifier, settings, make_model, devices)
        length = max(int(split.lengths.max()) for split in (train, validation) if split)
        held_out: list[Any] = []
        if validation is not None:
            arrays = reader.arrays(validation, length, np.ones(len(validation)))
            held_out = list(
                batches.in_order(
                    arrays, batch_size=settings.batch_size, seed=settings.seed
                )
            )
        train_arrays = reader.arrays(train, length, weights)
        parts = 1
        if devices.is_cpu and devices.num_replicas == 1 and plan.train != HEAD:
            most = models.get_family(family).BASES_AT_ONCE
            parts = batches.num_parts(settings.batch_size, length, most=most)

        def endless(first: int, worker: int, num_workers: int) -> Any:
            whole = batches.endless(
                train_arrays,
                batch_size=settings.batch_size,
                seed=settings.seed,
                first=first // parts,
            )
            return batches.dealt(whole, worker, num_workers, parts=parts)

        job = loop.Job(
            objective=classifier_lib,
            make_model=reader.make_model,
            batches=endless,
            held_out=held_out,
            bases_per_row=int(train.lengths.mean()),
            baseline=lambda model: _baseline(data),
            is_done=lambda rows: _is_done(rows, plan.patience),
            best=folder.path / BEST if held_out else None,
            parts=parts,
        )
        return loop.run(job, config, folder=folder, devices=devices)


def keep(
    model: classifier_lib.Classifier,
    data: examples.Data,
    settings: settings_lib.Settings,
    plan: Plan,
    workdir: str | os.PathLike[str],
    *,
    origin: Mapping[str, Any] | None = None,
    devices: loop.Devices | None = None,
    flags_text: str = "",
) -> loop.Result:
    """Records a classifier whose head was fitted without optimizer steps as a run.

    Args:
        model: The classifier.
        data: The data that it was fitted to.
        settings: As for `run`.
        plan: As for `run`; the record says that only the head was trained.
        workdir: Folder of the run.
        origin: As for `run`.
        devices: As for `run`.
        flags_text: As for `run`.

    Returns:
        The run, with 0 steps.
    """
    devices = devices or engines.devices()
    encoder = models.get_family(model.family).to_dict(model.encoder.config)
    plan = dataclasses.replace(plan, train=HEAD)
    config = run_config(
        model.family,
        encoder,
        model.config,
        data,
        resolve(settings, plan, len(data[examples.TRAIN])),
        plan,
        origin,
    )
    with workdir_lib.Workdir(workdir, read_only=not devices.is_chief) as folder:
        folder.adopt(config, flags_text=flags_text)
    return loop.Result(
        model=model,
        config=config,
        metrics={"steps": 0},
        is_chief=devices.is_chief,
        resumed=False,
    )


def rate(family: family_lib.Family, train: str) -> float:
    """Returns the default peak learning rate.

    Args:
        family: The family of the model.
        train: As in `Plan`.

    Returns:
        `HEAD_RATE` for "head", else the rate of the family; a tenth of it for
        "head_first", which keeps more of what was learnt in pretraining.
    """
    if train == HEAD:
        return HEAD_RATE
    return family.CLASSIFIER_RATE * (0.1 if train == HEAD_FIRST else 1.0)


def resolve(
    settings: settings_lib.Settings, plan: Plan, rows: int
) -> settings_lib.Settings:
    """Returns the settings with the numbers of steps that follow from a plan.

    Args:
        settings: How to train.
        plan: How to fine-tune.
        rows: Number of examples in an epoch.

    Returns:
        The settings, with an evaluation after every epoch and at least 50 steps
        between checkpoints.
    """
    per_epoch = batches.steps_per_epoch(rows, settings.batch_size)
    return dataclasses.replace(
        settings,
        steps=plan.epochs * per_epoch,
        warmup_steps=round(plan.warmup * plan.epochs * per_epoch),
        eval_every=per_epoch,
        checkpoint_every=per_epoch * -(-_SAVE_STEPS // per_epoch),
        keep=2,
    )


def run_config(
    family: str,
    encoder: Mapping[str, Any],
    classifier: config_lib.ClassifierConfig,
    data: examples.Data,
    settings: settings_lib.Settings,
    plan: Plan,
    origin: Mapping[str, Any] | None,
) -> workdir_lib.RunConfig:
    """Returns the configuration of a run for its folder; arguments as for `run`."""
    module = models.get_family(family)
    return workdir_lib.RunConfig(
        family=family,
        model=module.to_dict(module.from_dict(encoder)),
        settings=settings,
        dataset=_identity(data),
        parts={
            "classifier": config_lib.to_dict(classifier),
            "plan": dataclasses.asdict(plan),
            "init": dict(origin or {"from": "random"}),
        },
    )


def scaled(truth: np.ndarray, config: config_lib.ClassifierConfig) -> np.ndarray:
    """Returns labels as the loss reads them: standardised for regression."""
    if config.task == task_kinds.REGRESSION:
        return (truth - config.mean) / config.scale
    return truth


def _head_plan(plan: Plan, settings: settings_lib.Settings) -> Plan:
    """Returns the plan for training the head before all weights."""
    per_epoch = settings.eval_every
    epochs = max(plan.epochs, -(-_HEAD_STEPS // per_epoch))
    return dataclasses.replace(plan, train=HEAD, epochs=epochs)


class _Reader:
    """Turns examples into arrays: of bases, or of vectors if the encoder is frozen.

    A frozen encoder runs once instead of in every epoch.
    """

    def __init__(
        self,
        plan: Plan,
        config: config_lib.ClassifierConfig,
        settings: settings_lib.Settings,
        make_model: Any,
        devices: loop.Devices,
    ):
        self._config = config
        self._batch_size = settings.batch_size
        self._model: classifier_lib.Classifier | None = None
        self.make_model = make_model
        if plan.train == HEAD:
            with loop.weights_of(settings), devices.scope():
                model = make_model()
            self._model, self.make_model = model, lambda: model

    def arrays(
        self, split: examples.Examples, length: int, weights: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Returns all rows of a split as `classifier.loss` reads them."""
        label = scaled(split.labels, self._config)
        common = {
            "label": label.astype("float32")
            if label.dtype.kind == "f"
            else label.astype("int32"),
            "weight": weights.astype("float32"),
        }
        bases = split.padded(length)
        if self._model is None:
            return {"bases": bases, **common}
        vectors, is_valid = self._embed(self._model, bases)
        return {"vectors": vectors, "is_valid": is_valid, **common}

    def _embed(
        self, model: classifier_lib.Classifier, bases: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the vectors of all windows, of both strands or one."""

        def read(model: classifier_lib.Classifier, rows: Any) -> Any:
            strands = [model.read(rows)]
            if self._config.augment:
                strands.append(model.read(strand.reverse_padded(rows)))
            vectors, is_valid = zip(*strands, strict=True)
            return ops.stack(vectors, axis=1), ops.stack(is_valid, axis=1)

        call = compiled.function(model, read)
        most = models.get_family(model.family).BASES_AT_ONCE
        size = max(1, min(self._batch_size, most // bases.shape[1]))
        parts = [
            [array[: len(indices)] for array in call(rows)]
            for indices, rows in batches.by_length(list(bases), batch_size=size)
        ]
        vectors, is_valid = zip(*parts, strict=True)
        return np.concatenate(vectors).astype("float32"), np.concatenate(is_valid)


def check(data: examples.Data, shortest: int) -> None:
    """Rejects data on which a model cannot be trained.

    Args:
        data: All splits.
        shortest: Bases of the shortest sequence that the model can read.

    Raises:
        DatasetError: If a sequence is shorter, a class has no training example, or
            all training examples have the same label.
    """
    for name, split in data.splits.items():
        short = np.flatnonzero(split.lengths < shortest)
        if len(short):
            row = int(short[0])
            raise sources.DatasetError(
                f"{data.name}, {name}: {split.ids[row]} has {split.lengths[row]} bases,"
                f" the model reads at least {shortest}"
                + (f" ({len(short)} such sequences)" if len(short) > 1 else "")
            )
    if data.task.kind in (task_kinds.BINARY, task_kinds.MULTICLASS):
        counts = np.bincount(data["train"].labels, minlength=len(data.task.classes))
        for name, count in zip(data.task.classes, counts, strict=True):
            if not count:
                raise sources.DatasetError(
                    f"{data.name}: class {name!r} has no training example"
                )
    labels = data[examples.TRAIN].labels
    if len(labels) and not np.ptp(labels, axis=0).any():
        raise sources.DatasetError(
            f"{data.name}: all {len(labels):,} training examples have the same label:"
            " nothing can be learnt from them"
        )


def _identity(data: examples.Data) -> dict[str, Any]:
    """Returns what identifies a set of examples."""
    return {
        "name": data.name,
        "task": data.task.kind,
        **{
            f"{name}_{what}": value
            for name, split in data.splits.items()
            for what, value in (("rows", len(split)), ("digest", split.digest()))
        },
    }


def _baseline(data: examples.Data) -> dict[str, float]:
    """Returns the loss and accuracy of guessing by the training label frequencies."""
    truth, held_out = data["train"].labels, data["validation"].labels
    if data.task.kind == task_kinds.REGRESSION:
        spread = float(truth.std()) or 1.0
        return {
            "val_chance_loss": float(np.mean(((held_out - truth.mean()) / spread) ** 2))
        }
    if data.task.kind == task_kinds.MULTI_LABEL:
        share = (truth.sum(0) + 1) / (len(truth) + 2)
        loss = -np.where(held_out, np.log(share), np.log1p(-share))
        hit = (share > 0.5) == held_out
        return {"val_chance_loss": float(loss.mean()), "val_chance": float(hit.mean())}
    counts = np.bincount(truth, minlength=len(data.task.classes)) + 1
    share = counts / counts.sum()
    return {
        "val_chance_loss": float(-np.log(share[held_out]).mean()),
        "val_chance": float((held_out == share.argmax()).mean()),
    }


def _is_done(rows: Sequence[Mapping[str, float]], patience: int) -> bool:
    """Whether the last `patience` evaluations did not lower the loss."""
    losses = [row["val_loss"] for row in rows if "val_loss" in row]
    if not patience or len(losses) <= patience:
        return False
    return min(losses[-patience:]) >= min(losses[:-patience])
