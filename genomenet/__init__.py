"""DNA models in TensorFlow and Keras, from sequence file to prediction.

`import genomenet` is quick: it opens no file and imports no TensorFlow. The names
below are loaded when they are first used.
"""

import importlib
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
    from genomenet.api.classifier import Classifier
    from genomenet.api.encoders import load_model
    from genomenet.api.fit import fit_classifier
    from genomenet.release.listing import list_datasets, list_models
    from genomenet.variants.mutagenesis import saturation_mutagenesis
    from genomenet.variants.score_files import variant_effects

__version__ = "0.1.0"

__all__ = [
    "Classifier",
    "__version__",
    "api",
    "catalog",
    "data",
    "dna",
    "evaluation",
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
    "release",
    "saturation_mutagenesis",
    "training",
    "variant_effects",
    "variants",
]

# Public name → the module that defines it; every other name is a submodule.
_HOMES: Final = {
    "Classifier": "genomenet.api.classifier",
    "fit_classifier": "genomenet.api.fit",
    "list_datasets": "genomenet.release.listing",
    "list_models": "genomenet.release.listing",
    "load_model": "genomenet.api.encoders",
    "saturation_mutagenesis": "genomenet.variants.mutagenesis",
    "variant_effects": "genomenet.variants.score_files",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'genomenet' has no attribute {name!r}")
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        value = importlib.import_module(f"genomenet.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
