"""Lists named models and datasets without loading Keras or TensorFlow."""

from __future__ import annotations

from typing import Final

from genomenet import catalog
from genomenet.release import download

WEIGHTS: Final = "model.weights.h5"


def list_models() -> dict[str, str]:
    """Lists all models by name.

    Returns:
        Name → "preset" (without weights), "local" (trained, on this machine) or
        "remote" (trained, downloaded on first use), sorted by name.
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
