"""One experiment: from the name of a model and labelled sequences to a classifier."""

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
# Fields on which it depends what the numbers of a head mean.
_OF_HEAD: Final = (
    *("task", "classes", "pool", "over_windows", "mean", "scale"),
    *("readout", "strands"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """What an experiment begins with.

    Attributes:
        family: A key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config, as JSON values.
        model: The pretrained model, or None: weights are drawn.
        classifier: What `model` is the encoder of, where it was fine-tuned before.
        origin: Name and checksum of the weights, for the record.
    """

    family: str
    encoder: Mapping[str, Any]
    model: keras.Model | None
    classifier: classifier_lib.Classifier | None
    origin: Mapping[str, Any]

    def for_task(self, config: config_lib.ClassifierConfig) -> keras.Model | None:
        """Returns whose weights to begin with: the classifier's if it fits, or `model`.

        Args:
            config: What is to be predicted. A classifier fits if it predicts the same
                from vectors that are made alike.

        Returns:
            The classifier, the encoder, or None.
        """
        if self.classifier is None:
            return self.model
        given = self.classifier.config
        same = all(getattr(given, name) == getattr(config, name) for name in _OF_HEAD)
        return self.classifier if same else self.model


def read_start(
    name: str | os.PathLike[str], init: str | None = None, *, dropout: float = 0.0
) -> Start:
    """Reads a preset or a trained model to begin with.

    Args:
        name: Name of a model, or path of its folder.
        init: "pretrained" or "random"; by default pretrained where it has weights.
        dropout: Share of channels that the encoder drops in training.

    Returns:
        The start.

    Raises:
        ValueError: If there is no such model, or no weights where they are asked for.
    """
    path = catalog.model_folder(name)
    content = folder.read_config(path)
    family = models.get_family(content["family"])
    config = family.with_dropout(family.from_dict(content["model"]), dropout)
    weights = None if init == RANDOM else folder.find_weights(path)
    if init == PRETRAINED and weights is None:
        raise ValueError(
            f"{path.name} has no trained weights for init=pretrained: train it with"
            f" python -m genomenet.train --model={name}, or take init=random"
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
    """Returns what is predicted from data with a model.

    Args:
        start: Of the experiment.
        data: Whose training split tells lengths, and of regression the scale.
        pool: How a window becomes one vector; the family's default if None.
        window: Bases read at once. By default the longest sequence if it is at most
            twice as long as the model's training rows, else such a row.
        **fields: More of `models.classifier_config.ClassifierConfig`.

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
        width = max(width, family.shortest(encoder))
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
