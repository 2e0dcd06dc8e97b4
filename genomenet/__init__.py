"""DNA models in TensorFlow and Keras, from sequence file to prediction.

`import genomenet` is fast: it opens no file and does not import TensorFlow. The names
below are loaded on first use.
"""

import contextlib
import importlib
import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from genomenet import (
        api,
        catalog,
        data,
        dna,
        evaluation,
        inference,
        interpret,
        layers,
        losses,
        models,
        motifs,
        porting,
        release,
        training,
        variants,
    )
    from genomenet.api.audit import audit_task
    from genomenet.api.classifier import Classifier
    from genomenet.api.encoders import load_model
    from genomenet.api.explain import explain
    from genomenet.api.fit import fit_classifier, read_data
    from genomenet.api.inputs import read_records
    from genomenet.api.motifs import discover_motifs
    from genomenet.api.pretrain import pretrain
    from genomenet.release.listing import list_datasets, list_models
    from genomenet.release.saved import saved_model
    from genomenet.variants.mutagenesis import saturation_mutagenesis
    from genomenet.variants.score_files import variant_effects

__version__ = "0.2.0"

__all__ = [
    "Classifier",
    "__version__",
    "api",
    "audit_task",
    "catalog",
    "data",
    "discover_motifs",
    "dna",
    "evaluation",
    "explain",
    "fit_classifier",
    "inference",
    "interpret",
    "layers",
    "list_datasets",
    "list_models",
    "load_model",
    "losses",
    "models",
    "motifs",
    "porting",
    "pretrain",
    "read_data",
    "read_records",
    "release",
    "saturation_mutagenesis",
    "saved_model",
    "training",
    "variant_effects",
    "variants",
]

# Public name → the module that defines it; every other name is a submodule.
_HOMES: Final = {
    "Classifier": "genomenet.api.classifier",
    "audit_task": "genomenet.api.audit",
    "discover_motifs": "genomenet.api.motifs",
    "explain": "genomenet.api.explain",
    "fit_classifier": "genomenet.api.fit",
    "list_datasets": "genomenet.release.listing",
    "list_models": "genomenet.release.listing",
    "load_model": "genomenet.api.encoders",
    "pretrain": "genomenet.api.pretrain",
    "read_data": "genomenet.api.fit",
    "read_records": "genomenet.api.inputs",
    "saturation_mutagenesis": "genomenet.variants.mutagenesis",
    "saved_model": "genomenet.release.saved",
    "variant_effects": "genomenet.variants.score_files",
}

# Names that need no TensorFlow, which takes seconds to load.
_QUICK: Final = {"catalog", "dna", "list_datasets", "list_models"}
_KERAS: Final = "tensorflow"  # the default backend of Keras


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'genomenet' has no attribute {name!r}")
    if name not in _QUICK and os.environ.get("KERAS_BACKEND", _KERAS) == _KERAS:
        from genomenet import startup

        with contextlib.suppress(ImportError):  # only JAX is installed
            startup.load_tensorflow()  # hides its start-up messages
    try:
        value = importlib.import_module(_HOMES.get(name, f"genomenet.{name}"))
    except ModuleNotFoundError as e:
        if e.name != _KERAS:
            raise
        raise ImportError(f"genomenet.{name} needs TensorFlow") from e
    if name in _HOMES:
        value = getattr(value, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
