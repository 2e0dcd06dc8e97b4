"""SavedModels of released models, which are not part of a wheel."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import tensorflow as tf

from genomenet import atomic, catalog, json_file
from genomenet.data import sources
from genomenet.release import download, export, folder

_TOLERANCE: Final = 1e-4  # absolute, for outputs on another machine


def saved_model(name: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the SavedModel of a trained model, which plain TensorFlow can load.

    The SavedModel in the model's folder is used if there is one. Otherwise, as after an
    installation from a wheel, it is exported once into the user's cache and compared
    with the golden outputs of the release.

    Args:
        name: Name of a model in `models/`, or the path of a release folder.

    Returns:
        The folder, for `tf.saved_model.load`.

    Raises:
        ValueError: If there is no such model, it has no weights, its outputs differ
            from the release, or Keras does not run on TensorFlow.

    Example:
        >>> import genomenet, tensorflow as tf  # doctest: +SKIP
        >>> model = tf.saved_model.load(genomenet.saved_model("selfgenomenet_chr20"))
        >>> model.embed(["ACGTN" * 30])["embedding"]
    """
    path = catalog.model_folder(name)
    if (path / "saved_model" / "saved_model.pb").is_file():
        return path / "saved_model"
    if not export.has_saved_model():
        raise ValueError("a SavedModel needs KERAS_BACKEND=tensorflow")
    model = folder.load_model(name)
    digest = sources.sha256(str(folder.find_weights(path)))
    target = download.cache() / "saved_models" / f"{path.name}-{digest[:16]}"
    if not target.is_dir():
        with atomic.replacing(target) as partial:
            export.save_model(model, partial)
            if (path / "golden.json").is_file():
                _check(partial, json_file.read(path / "golden.json"), path)
    return target


def _check(saved: pathlib.Path, cases: Any, path: pathlib.Path) -> None:
    """Raises ValueError if the outputs of a SavedModel differ from the golden ones."""
    loaded: Any = tf.saved_model.load(os.fspath(saved))
    for case in cases:
        values = _values(loaded, case)
        expected = np.asarray(case.get("embed", case.get("predict")))
        if not np.allclose(values[: len(expected)], expected, atol=_TOLERANCE):
            raise ValueError(
                f"{path / 'golden.json'}: the outputs of the exported model differ for"
                f" the case {case['case']!r}"
            )


def _values(loaded: Any, case: Mapping[str, Any]) -> np.ndarray:
    sequences = tf.constant([case["sequence"]])
    if "embed" in case:
        return loaded.embed(sequences)["embedding"].numpy()[0]
    outputs = loaded.predict(sequences)
    return outputs["probabilities" if "probabilities" in outputs else "value"].numpy()[
        0
    ]
