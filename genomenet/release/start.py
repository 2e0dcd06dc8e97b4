"""The start of an experiment: initial weights and the config of a classifier."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Final

import keras

from genomenet import catalog, models, task_kinds
from genomenet.data import examples, sources
from genomenet.models import classifier as classifier_lib
from genomenet.models import classifier_config as config_lib
from genomenet.release import folder

PRETRAINED: Final = "pretrained"
RANDOM: Final = "random"
# Config fields that determine the meaning of a head's weights.
_HEAD_FIELDS: Final = (
    *("task", "classes", "pool", "over_windows", "mean", "scale"),
    *("readout", "strands"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """The initial model of an experiment.

    Attributes:
        family: A key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config, as JSON values.
        model: The pretrained encoder, or None for random weights.
        classifier: The classifier that `model` is the encoder of, if it was fine-tuned
            before.
        origin: Name and checksum of the weights, for the record.
    """

    family: str
    encoder: Mapping[str, Any]
    model: keras.Model | None
    classifier: classifier_lib.Classifier | None
    origin: Mapping[str, Any]

    def for_task(self, config: config_lib.ClassifierConfig) -> keras.Model | None:
        """Returns the model with the initial weights: the classifier or the encoder.

        Args:
            config: Config of the new classifier. The given classifier matches if it has
                the same task, classes and readout.

        Returns:
            The classifier if it matches, else the encoder, or None for random weights.
        """
        if self.classifier is None:
            return self.model
        given = self.classifier.config
        matches = all(
            getattr(given, name) == getattr(config, name) for name in _HEAD_FIELDS
        )
        return self.classifier if matches else self.model


def read_start(
    name: str | os.PathLike[str], init: str | None = None, *, dropout: float = 0.0
) -> Start:
    """Reads a preset or a trained model as the start of an experiment.

    Args:
        name: Name of a model, or path of its folder.
        init: Initial weights, "pretrained" or "random"; by default pretrained if the
            model has weights.
        dropout: Share of channels that the encoder drops in training.

    Returns:
        The start.

    Raises:
        ValueError: If there is no such model, or `init` is "pretrained" and the model
            has no weights.
    """
    path = catalog.model_folder(name)
    content = folder.read_config(path)
    family = models.get_family(content["family"])
    config = family.with_dropout(family.from_dict(content["model"]), dropout)
    weights = None if init == RANDOM else folder.find_weights(path)
    if init == PRETRAINED and weights is None:
        raise ValueError(
            f"{path.name} has no trained weights for init=pretrained: train it with"
            f" python -m genomenet.train --model={name}, or use init=random"
        )
    model: Any = None
    classifier: classifier_lib.Classifier | None = None
    origin: dict[str, Any] = {"from": RANDOM, "model": path.name}
    if weights is not None:
        model = folder.load_model(path)
        if isinstance(model, classifier_lib.Classifier):
            classifier, model = model, model.encoder
        origin = {**origin, "from": PRETRAINED, "sha256": sources.sha256(weights)}
    return Start(
        family=content["family"],
        encoder=family.to_dict(config),
        model=model,
        classifier=classifier,
        origin=origin,
    )


def make_config(
    start: Start,
    data: examples.Data,
    *,
    pool: str | None = None,
    window: int | None = None,
    **fields: Any,
) -> config_lib.ClassifierConfig:
    """Returns the config of a classifier for labelled data.

    Args:
        start: Start of the experiment.
        data: Labelled sequences. They set the maximum length, and for regression the
            training split sets mean and scale.
        pool: How a window becomes one vector; the family's default if None.
        window: Bases per window. By default the length of the longest sequence if it is
            at most twice the training length of the model, else the training length.
        **fields: More fields of `models.classifier_config.ClassifierConfig`.

    Returns:
        The config.
    """
    family = models.get_family(start.family)
    encoder = family.from_dict(start.encoder)
    longest = max(int(split.lengths.max()) for split in data.splits.values())
    width = window or 0
    if window is None:
        at_once = min(2 * encoder.length, encoder.max_length)
        is_short = longest <= at_once
        width = longest if is_short else min(encoder.length, encoder.max_length)
        width = max(width, family.min_length(encoder))
    if data.task.kind == task_kinds.REGRESSION:
        truth = data[examples.TRAIN].labels
        fields = {
            "mean": float(truth.mean()),
            "scale": float(truth.std()) or 1.0,
            **fields,
        }
    return config_lib.ClassifierConfig(
        task=data.task.kind,
        classes=data.task.classes,
        positive=data.task.positive,
        pool=pool or family.CLASSIFIER_POOL,
        window=width,
        length=longest,
        **fields,
    )
