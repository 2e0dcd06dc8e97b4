"""Folders of named models: reading, listing and loading them; keras only."""

from __future__ import annotations

import json
import os
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any, Final, cast

import keras

from genomenet import catalog, models
from genomenet.models import classify
from genomenet.release import download

FORMAT: Final = 1
WEIGHTS: Final = "model.weights.h5"


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads and checks the `config.json` of a model's folder.

    Args:
        folder: The folder.

    Returns:
        Its content: "format", "family", "model", "training" and what else is there.

    Raises:
        ValueError: If it is missing, not JSON, or not of this format.
    """
    path = pathlib.Path(folder) / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise ValueError(f"{path} cannot be read: {e.strerror}") from e
    except ValueError as e:
        raise ValueError(f"{path} is not JSON: {e}") from e
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not a model of format {FORMAT}")
    if not isinstance(content.get("model"), dict):
        raise ValueError(f'{path} has no "model"')
    content.setdefault("training", {})
    models.get_family(content.get("family", ""))
    return content


def load_model(name: str | os.PathLike[str]) -> keras.Model:
    """Loads a trained model.

    Args:
        name: Name of a model in `models/`, or the path of a release folder. Weights
            that the checkout lacks are looked for in the user's cache, then fetched
            as `models/index.json` says.

    Returns:
        The Keras model with its weights, as its family describes it; of a folder that
        `genomenet.finetune` wrote a `models.classify.Classifier`.

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
    model = build(content)
    load_weights(model, weights)
    return model


def load_classifier(name: str | os.PathLike[str]) -> classify.Classifier:
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
    return cast(classify.Classifier, load_model(name))


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
        fields = classify.from_dict(content["classifier"])
        return classify.Classifier(content["family"], content["model"], fields)
    family = models.get_family(content["family"])
    return family.build(family.from_dict(content["model"]))


def load_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Loads every weight of a model from a file, or fails.

    Args:
        model: The model, built.
        path: A `.weights.h5` file of Keras.

    Raises:
        ValueError: If the file is damaged or of another model.
    """
    try:
        with warnings.catch_warnings():
            # Keras only warns of weights that it leaves as they are.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except (OSError, ValueError, KeyError, UserWarning) as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise ValueError(f"{path} does not fit the model: {reason}") from e


def list_models() -> dict[str, str]:
    """Lists all models by name.

    Returns:
        Name → "preset" (no weights: to be trained), "local" (trained, on this
        machine) or "remote" (trained, fetched when it is loaded), sorted.
    """
    states = dict.fromkeys(download.names(), "remote")
    for name in catalog.model_names():
        is_here = (catalog.models_root() / name / WEIGHTS).is_file()
        states[name] = "local" if is_here else states.get(name, "preset")
    for name, state in states.items():
        if state == "remote" and download.cached(name, WEIGHTS) is not None:
            states[name] = "local"
    return dict(sorted(states.items()))


def list_datasets() -> list[str]:
    """Lists the datasets of the catalogue.

    Returns:
        The names, for `python -m genomenet.build_dataset --dataset=NAME`.
    """
    return catalog.dataset_names()
