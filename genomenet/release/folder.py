"""Reads and loads the folders of named models, with Keras only."""

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
from genomenet.models import classifier, config_fields
from genomenet.models import classifier_config as config_lib
from genomenet.release import download, listing
from genomenet.training import settings as settings_lib

FORMAT: Final = 1
WEIGHTS: Final = listing.WEIGHTS
_MODEL_KEYS: Final = ("family", "model", "classifier", "pool")
# Control characters, unpaired surrogates, line ends, and bidirectional controls.
_UNPRINTABLE: Final = ("Cc", "Cs", "Zl", "Zp")
_BIDIRECTIONAL: Final = frozenset(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads and checks the `config.json` of a model's folder.

    Args:
        folder: The folder.

    Returns:
        Its content: "format", "family", "model", "training" and all other keys.

    Raises:
        ValueError: If the file is missing, not JSON, or of another format; if a field
            is unknown, of the wrong type or invalid; or if the model is trained and a
            field is missing.
    """
    folder = pathlib.Path(folder)
    path = folder / "config.json"
    content = json_file.read(path)
    is_ours = isinstance(content, dict) and type(content.get("format")) is int
    if isinstance(content, dict) and "family" in content and "format" not in content:
        raise ValueError(f'{path} lacks "format": {FORMAT}')
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
        raise ValueError(f"{path} is nested too deeply") from None
    except ValueError as e:
        raise ValueError(f"{path}: {e}") from e
    return content


def load_model(name: str | os.PathLike[str]) -> keras.Model:
    """Loads a trained model.

    Args:
        name: Name of a model in `models/`, or the path of a release folder. Weights
            that are missing there are taken from the user's cache, or downloaded
            according to `models/index.json`.

    Returns:
        The Keras model of the family with its weights; a
        `models.classifier.Classifier` for a folder written by `genomenet.finetune`.

    Raises:
        ValueError: If there is no such model, or its weights are missing, damaged or
            those of another model.
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
    from genomenet.release import weights as weights_lib  # needs h5py, presets do not

    if "weights" in content:
        weights_lib.check_digest(weights, content["weights"])
    held = sum(map(math.prod, weights_lib.read_shapes(weights).values()))
    needed = count_parameters(content)
    if held < needed:  # checked before anything of that size is allocated
        raise ValueError(
            f"{weights} does not match the model: it has {held:,} parameters, but the"
            f" model of config.json has {needed:,}"
        )
    model = build(content)
    load_weights(model, weights)
    return model


def load_classifier(name: str | os.PathLike[str]) -> classifier.Classifier:
    """Loads a classifier, a result of `genomenet.finetune`.

    Args:
        name: Release folder or name of the classifier.

    Returns:
        The classifier.

    Raises:
        ValueError: If there is no such model, or it is an encoder without a head.
    """
    if "classifier" not in read_config(catalog.model_folder(name)):
        raise ValueError(
            f"{name} is an encoder and does not predict labels: fine-tune it with"
            f" python -m genomenet.finetune --model={name} --table=labelled.tsv"
        )
    return cast(classifier.Classifier, load_model(name))


def find_weights(folder: pathlib.Path) -> pathlib.Path | None:
    """Returns the weights of a model: from its folder, the cache, or the network.

    Args:
        folder: Folder of the model.

    Returns:
        The file; None for a preset.

    Raises:
        ValueError: If the weights cannot be downloaded or are damaged, or the folder is
            that of a training run.
    """
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    if os.path.lexists(folder / WEIGHTS):
        raise ValueError(f"{folder / WEIGHTS} is not a file or is a broken link")
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
    """Builds the model that a `config.json` describes, with random weights.

    Args:
        content: Content of the file.

    Returns:
        A model of the family, or a classifier over one.

    Raises:
        ValueError: If a field is invalid.
    """
    if "classifier" in content:
        fields = config_lib.from_dict(content["classifier"])
        return classifier.Classifier(content["family"], content["model"], fields)
    family = models.get_family(content["family"])
    return family.build(family.from_dict(content["model"]))


def count_parameters(content: Mapping[str, Any]) -> int:
    """Returns the number of parameters of `build(content)`, without building it."""
    if "classifier" in content:
        fields = config_lib.from_dict(content["classifier"])
        return config_lib.num_parameters(content["family"], content["model"], fields)
    family = models.get_family(content["family"])
    return family.num_parameters(family.from_dict(content["model"]))


def digest(content: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of the model's description in a `config.json`.

    Args:
        content: Content of the file.

    Returns:
        Hexadecimal digest. It does not depend on the layout of the file or on how the
        model was trained.
    """
    fields = {key: content[key] for key in _MODEL_KEYS if key in content}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def load_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Loads all weights of a model from a file with exactly these weights.

    Args:
        model: The model, built.
        path: A `.weights.h5` file of Keras.

    Raises:
        ValueError: If the file is damaged or belongs to another model.
    """
    from genomenet.release import weights as weights_lib

    expected = [(weight.path, tuple(weight.shape)) for weight in model.weights]
    weights_lib.check(pathlib.Path(path), expected)
    try:
        with warnings.catch_warnings():
            # Keras only warns about weights that it does not load.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except Exception as e:  # HDF5 and Keras raise various types
        raise ValueError(f"{path} does not match the model: {_cause(e)}") from e


def _cause(error: Exception) -> str:
    """Returns the reason from a Keras error, on one line."""
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
        config_fields.check_complete(family.Config, content["model"])
        if "classifier" in content:
            config_fields.check_complete(
                config_lib.ClassifierConfig, content["classifier"]
            )
        # Settings that no longer exist are allowed: the model was trained with them.
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
                f"{', '.join(k for k in _MODEL_KEYS if k in content)} differ from those"
                " released with the weights, according to 'config_sha256': copy the"
                " file again, or delete 'config_sha256' if the change is intended"
            )


def _check_text(name: str, value: Any) -> None:
    """Raises if a string contains control characters or line ends."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_text(name, key)
            _check_text(key, item)
    elif isinstance(value, list):
        for item in value:
            _check_text(name, item)
    elif isinstance(value, str):
        for letter in value:
            is_control = unicodedata.category(letter) in _UNPRINTABLE
            if is_control or letter in _BIDIRECTIONAL:
                raise ValueError(
                    f"{json_file.short(name)} contains the control character"
                    f" U+{ord(letter):04X}: {json_file.short(value)}"
                )
