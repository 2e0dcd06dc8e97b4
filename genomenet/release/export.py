"""Writes release folders."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import keras
import numpy as np

from genomenet import atomic, models
from genomenet.dna import alphabet, encode
from genomenet.layers import precision
from genomenet.models import classifier as classifier_lib
from genomenet.models import family as family_lib
from genomenet.release import card, folder, weights

_GOLDEN_VALUES: Final = 5  # number of values of each output
_LOCAL_FLAGS: Final = ("--workdir=", "--data_dir=", "--fasta=")


def write_release(
    model: keras.Model,
    config: Mapping[str, Any],
    *,
    directory: str | os.PathLike[str],
    name: str,
    metrics: Mapping[str, float],
    flags_text: str = "",
    tell: Callable[[str], Any] = print,
) -> pathlib.Path:
    """Writes a trained model as a release folder, atomically.

    Args:
        model: The trained model.
        config: Content of its `config.json`.
        directory: The folder to write; an existing one is replaced.
        name: Name of the model.
        metrics: Name → value.
        flags_text: Flags of the command, one per line; flags with folders of this
            machine are omitted.
        tell: Called with a line if no SavedModel is written.

    Returns:
        The folder: `config.json`, `model.weights.h5`, `metrics.json`, `golden.json`,
        `train.flags`, a card, `README.md`, and on TensorFlow `saved_model/`.
    """
    family = models.get_family(config["family"])
    flags_text = "".join(
        line
        for line in flags_text.splitlines(keepends=True)
        if not line.startswith(_LOCAL_FLAGS)
    )
    fields = family.from_dict(config["model"])
    content = {**config, "model": family.to_dict(fields)}
    if not isinstance(model, classifier_lib.Classifier):
        content["pool"] = family.POOLS[0]
    directory = pathlib.Path(directory)
    if model.dtype_policy.name != "float32":
        model = _in_float32(model, config)
    with atomic.replacing(directory) as partial:
        partial.mkdir(parents=True)
        family_lib.save_weights(model, partial / folder.WEIGHTS)
        content["weights"] = {
            **weights.describe(partial / folder.WEIGHTS),
            "config_sha256": folder.digest(content),
        }
        if has_saved_model():
            save_model(model, partial / "saved_model")
        else:
            tell(
                "no SavedModel was written, as it needs KERAS_BACKEND=tensorflow;"
                f' genomenet.saved_model("{directory}") writes it on that backend'
            )
        for file, value in (
            ("config.json", content),
            ("metrics.json", dict(metrics)),
            ("golden.json", _golden(model, family)),
        ):
            text = json.dumps(value, indent=2) + "\n"
            (partial / file).write_text(text, encoding="utf-8")
        (partial / "train.flags").write_text(flags_text, encoding="utf-8")
        text = card.stub(name, content, metrics, flags_text)
        (partial / "README.md").write_text(text, encoding="utf-8")
    return directory


def has_saved_model() -> bool:
    """Returns whether releases get a SavedModel, which needs TensorFlow."""
    return keras.backend.backend() == "tensorflow"


def save_model(model: keras.Model, path: pathlib.Path) -> None:
    """Writes the SavedModel of a trained encoder or classifier."""
    from genomenet.release import signatures  # TensorFlow

    family = models.family_of(model)
    if isinstance(model, classifier_lib.Classifier):
        shortest = family.min_length(model.encoder.config)
        signatures.save_classifier(model, path, shortest=shortest)
    else:
        config: Any = model.config
        shortest = family.min_length(config)
        signatures.save(model, family, path, shortest=shortest)


def _in_float32(model: keras.Model, config: Mapping[str, Any]) -> keras.Model:
    """Returns a float32 model with the same weights."""
    with precision.policy("float32"):
        copy = folder.build(config)
    for ours, theirs in zip(copy.weights, model.weights, strict=True):
        ours.assign(theirs)
    return copy


def _golden(model: keras.Model, family: family_lib.Family) -> list[dict[str, Any]]:
    """Returns test sequences and the first values of the model's outputs."""
    rng = np.random.default_rng(0)
    classifier = model if isinstance(model, classifier_lib.Classifier) else None
    encoder: Any = model if classifier is None else classifier.encoder
    config = encoder.config
    cases = []
    short = min(max(64, family.min_length(config)), config.max_length)
    for case, length in (
        ("plain", short),
        ("rich in N", short),
        ("long", min(2 * config.length, config.max_length)),
    ):
        codes = rng.integers(0, alphabet.NUM_BASES, length).astype(np.uint8)
        if case == "rich in N":
            codes[length // 4 : 3 * length // 4] = alphabet.N
        if classifier is not None:
            name, outputs = "predict", classifier_lib.predict(classifier, codes[None])
        else:
            name = "embed"
            outputs = family.embed(model, {"bases": codes[None]}, family.POOLS[0])
        values = np.asarray(outputs)[0, :_GOLDEN_VALUES]
        cases.append(
            {
                "case": case,
                "sequence": encode.decode(codes).decode(),
                name: [float(value) for value in values],
            }
        )
    return cases
