"""Folders of named models: reading, listing and loading them; keras only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import pathlib
import unicodedata
import warnings
from collections.abc import Mapping
from typing import Any, Final, cast

import keras

from genomenet import catalog, json_file, models
from genomenet.models import classifier
from genomenet.models import classifier_config as config_lib
from genomenet.models import family as family_lib
from genomenet.release import download, listing
from genomenet.training import settings as settings_lib

FORMAT: Final = 1
WEIGHTS: Final = listing.WEIGHTS
_OF_MODEL: Final = ("family", "model", "classifier", "pool")
# Control characters, halves of a character, line ends, and what turns text around.
_UNPRINTABLE: Final = ("Cc", "Cs", "Zl", "Zp")
_TURNS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads and checks the `config.json` of a model's folder.

    Args:
        folder: The folder.

    Returns:
        Its content: "format", "family", "model", "training" and what else is there.

    Raises:
        ValueError: If it is missing, not JSON, or not of this format; if a field is
            unknown, of another type or makes no sense; or if the model is trained
            and a field is missing.
    """
    folder = pathlib.Path(folder)
    path = folder / "config.json"
    content = json_file.read(path)
    is_ours = isinstance(content, dict) and type(content.get("format")) is int
    if not is_ours or content["format"] != FORMAT:
        raise ValueError(f"{path} is not a model of format {FORMAT}")
    if not isinstance(content.get("model"), dict):
        raise ValueError(f'{path} has no "model"')
    content.setdefault("training", {})
    is_trained = (folder / WEIGHTS).exists() or (folder / "checkpoints").is_dir()
    try:
        _check_text("config", content)
        _check(content, is_trained=is_trained)
    except RecursionError:
        raise ValueError(f"{path} is not JSON: it nests too deeply") from None
    except ValueError as e:
        raise ValueError(f"{path}: {e}") from e
    return content


def load_model(name: str | os.PathLike[str]) -> keras.Model:
    """Loads a trained model.

    Args:
        name: Name of a model in `models/`, or the path of a release folder. Weights
            that the checkout lacks are looked for in the user's cache, then fetched
            as `models/index.json` says.

    Returns:
        The Keras model with its weights, as its family describes it; of a folder that
        `genomenet.finetune` wrote a `models.classifier.Classifier`.

    Raises:
        ValueError: If there is no such model, or its weights are missing, damaged or
            of another model.
    """
    folder = catalog.model_folder(name)
    content = read_config(folder)
    weights = find_weights(folder)
    if weights is None:
        raise ValueError(
            f"{folder.name} has no trained weights: train it with"
            f" python -m genomenet.train --model={name}"
        )
    if weights.parent != folder:
        content = read_config(weights.parent)
    from genomenet.release import weights as weights_lib  # with h5py: not for presets

    if "weights" in content:
        weights_lib.check_digest(weights, content["weights"])
    held = sum(map(math.prod, weights_lib.read_shapes(weights).values()))
    needed = count_parameters(content)
    if held < needed:  # seen before anything of that size is made
        raise ValueError(
            f"{weights} does not fit the model: it holds {held:,} numbers, and the"
            f" model of config.json has {needed:,}"
        )
    model = build(content)
    load_weights(model, weights)
    return model


def load_classifier(name: str | os.PathLike[str]) -> classifier.Classifier:
    """Loads what `genomenet.finetune` made.

    Args:
        name: Its release folder, or the name of a model.

    Returns:
        The classifier.

    Raises:
        ValueError: If there is no such model, or it is an encoder without a head.
    """
    if "classifier" not in read_config(catalog.model_folder(name)):
        raise ValueError(
            f"{name} is an encoder, which predicts no labels: fine-tune it with"
            f" python -m genomenet.finetune --model={name} --table=labelled.tsv"
        )
    return cast(classifier.Classifier, load_model(name))


def find_weights(folder: pathlib.Path) -> pathlib.Path | None:
    """Returns the weights of a model: in its folder, in the cache, or fetched.

    Args:
        folder: Of the model.

    Returns:
        The file; None for a preset.

    Raises:
        ValueError: If they cannot be fetched, or are damaged, or the folder is that of
            a run.
    """
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    if os.path.lexists(folder / WEIGHTS):
        raise ValueError(f"{folder / WEIGHTS} is not a file, or a link to none")
    if (folder / "checkpoints").is_dir():
        released = sorted(folder.glob(f"export/*/{WEIGHTS}"))
        raise ValueError(
            f"{folder} is the folder of a run, not of a model: "
            + (
                f"its model is {released[0].parent}"
                if released
                else f"finish it, or use python -m genomenet.export --workdir={folder}"
            )
        )
    fetched = download.find(folder.name, WEIGHTS)
    return None if fetched is None else fetched / WEIGHTS


def build(content: Mapping[str, Any]) -> keras.Model:
    """Returns the model that a `config.json` describes, with fresh weights.

    Args:
        content: Of the file.

    Returns:
        A model of the family, or the classifier over one.

    Raises:
        ValueError: If a number or word in it makes no sense.
    """
    if "classifier" in content:
        fields = config_lib.from_dict(content["classifier"])
        return classifier.Classifier(content["family"], content["model"], fields)
    family = models.get_family(content["family"])
    return family.build(family.from_dict(content["model"]))


def count_parameters(content: Mapping[str, Any]) -> int:
    """Returns the numbers in all weights of `build(content)`, without building it."""
    if "classifier" in content:
        fields = config_lib.from_dict(content["classifier"])
        return config_lib.num_parameters(content["family"], content["model"], fields)
    family = models.get_family(content["family"])
    return family.num_parameters(family.from_dict(content["model"]))


def digest(content: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of what a `config.json` says of the trained model.

    Args:
        content: Of the file.

    Returns:
        Hexadecimal; how the file is laid out, and how the model was trained, do not
        matter.
    """
    fields = {key: content[key] for key in _OF_MODEL if key in content}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def load_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Loads every weight of a model from a file that holds no other, or fails.

    Args:
        model: The model, built.
        path: A `.weights.h5` file of Keras.

    Raises:
        ValueError: If the file is damaged or of another model.
    """
    from genomenet.release import weights as weights_lib

    expected = [(weight.path, tuple(weight.shape)) for weight in model.weights]
    weights_lib.check(pathlib.Path(path), expected)
    try:
        with warnings.catch_warnings():
            # Keras only warns of weights that it leaves as they are.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except Exception as e:  # whatever HDF5 and Keras trip over
        raise ValueError(f"{path} does not fit the model: {_cause(e)}") from e


def _cause(error: Exception) -> str:
    """Returns the reason in an error of Keras, on one line."""
    text = str(error)
    # "A total of 2 objects could not be loaded. Example error message for object
    # <Dense …>:", the reason, and a list of all objects.
    _, mark, reason = text.partition("Example error message for object ")
    if mark:
        text = reason.partition("List of objects that could not be loaded")[0]
    return json_file.printable(" ".join(text.split())) or type(error).__name__


def _check(content: Mapping[str, Any], *, is_trained: bool) -> None:
    """Checks the fields of every part of a `config.json`."""
    family = models.get_family(content.get("family", ""))
    for part in ("training", "classifier", "weights"):
        if not isinstance(content.get(part, {}), dict):
            raise ValueError(f"{part!r} must be an object of fields")
    training = content["training"]
    if is_trained:
        family_lib.check_complete(family.Config, content["model"])
        if "classifier" in content:
            family_lib.check_complete(
                config_lib.ClassifierConfig, content["classifier"]
            )
        # What is not a setting any more was one when the model was trained.
        known = {field.name for field in dataclasses.fields(settings_lib.Settings)}
        training = {key: training[key] for key in known & set(training)}
    settings_lib.from_dict(training)
    family.from_dict(content["model"])
    if "classifier" in content:
        fields = config_lib.from_dict(content["classifier"])
        config_lib.check(content["family"], content["model"], fields)
    if "weights" in content:
        weights = content["weights"]
        is_digest = isinstance(weights.get("sha256"), str)
        if type(weights.get("size")) is not int or not is_digest:
            raise ValueError("'weights' must have an integer 'size' and a 'sha256'")
        if weights.get("config_sha256", digest(content)) != digest(content):
            raise ValueError(
                f"{', '.join(k for k in _OF_MODEL if k in content)} are not those that"
                " were released with the weights, as 'config_sha256' tells: copy the"
                " file again, or delete 'config_sha256' if the change is meant"
            )


def _check_text(name: str, value: Any) -> None:
    """Refuses text that cannot be written on one line."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_text(name, key)
            _check_text(key, item)
    elif isinstance(value, list):
        for item in value:
            _check_text(name, item)
    elif isinstance(value, str):
        for letter in value:
            if unicodedata.category(letter) in _UNPRINTABLE or letter in _TURNS:
                raise ValueError(
                    f"{json_file.short(name)} holds the control character"
                    f" U+{ord(letter):04X}: {json_file.short(value)}"
                )
