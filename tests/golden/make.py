r"""Writes golden outputs, which tests compare on whichever Keras backend runs.

    python -m tests.golden.make

Weights are drawn from a generator seeded by their names and stored, as are the
inputs. Run it again only when numerics are meant to change, and say so in the
CHANGELOG.
"""

import pathlib
import zlib
from typing import Final

import keras
import numpy as np

from genomenet.models import selfgenomenet
from tests import harness

FOLDER: Final = pathlib.Path(__file__).parent
CONFIG: Final = selfgenomenet.Config(
    length=30, kernel_size=6, stride=3, filters=10, units=6, gaps=(1, 3)
)
OUTPUTS: Final = ("context", *selfgenomenet.POOLS[:3], "loss", "accuracy")


def draw_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns name → values, which depend on the name and the shape alone."""
    return {
        weight.path: np.random.default_rng(zlib.crc32(weight.path.encode()))
        .normal(scale=0.5, size=weight.shape)
        .astype("float32")
        for weight in model.weights
    }


def draw_inputs() -> dict[str, np.ndarray]:
    """Returns full windows, and rows of several lengths with N and padding."""
    rng = np.random.default_rng(0)
    windows = rng.integers(0, 4, (4, CONFIG.length)).astype("uint8")
    windows[1, 10:14] = 4
    padded = rng.integers(0, 5, (5, 47)).astype("uint8")
    for row, length in zip(padded, (6, 7, 9, 30, 47), strict=True):
        row[length:] = 5
    return {"windows": windows, "padded": padded}


def outputs(
    model: keras.Model, windows: np.ndarray, padded: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns name → array for every name in `OUTPUTS`."""
    result = selfgenomenet.loss(model, {"bases": windows}, training=False)
    found = {
        "context": model({"bases": windows})["context"],
        "loss": result.per_example,
        "accuracy": result.metrics["accuracy"],
    }
    for pool in selfgenomenet.POOLS[:3]:
        found[pool] = selfgenomenet.embed(model, {"bases": padded}, pool)
    return {name: harness.array(found[name]) for name in OUTPUTS}


def main() -> None:
    """Writes selfgenomenet.npz beside this file."""
    model = selfgenomenet.build(CONFIG)
    weights, inputs = draw_weights(model), draw_inputs()
    for weight in model.weights:
        weight.assign(weights[weight.path])
    versions = {
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "numpy": np.__version__,
    }
    np.savez_compressed(
        FOLDER / "selfgenomenet.npz",
        **{f"weight:{name}": value for name, value in weights.items()},
        **{f"input:{name}": value for name, value in inputs.items()},
        **{f"output:{k}": value for k, value in outputs(model, **inputs).items()},
        **{f"version:{name}": value for name, value in versions.items()},
    )


if __name__ == "__main__":
    main()
