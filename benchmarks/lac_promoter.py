r"""Compares what a model says of mutations in the lac promoter with what was measured.

    python -m genomenet.finetune --model=selfgenomenet_bacteria2 \
      --dataset=lac_promoter --strands=forward --workdir=lac
    python -m benchmarks.lac_promoter --model=lac/export/lac

Measured is, for each position and each of the three other bases, the mean label of the
held-out sequences with that base less the mean of those with the wild type's. Predicted
is the mean over some held-out sequences of the difference that the base makes, by
`genomenet.saturation_mutagenesis`. Beside the model stands a ridge regression on the
bases, with the training sequences. One JSON line: Spearman correlation of all 225
mutations and of those in each site, and the mean size of effects in each site; and of
the predictions of the test sequences themselves.
"""

import json
import os
from collections.abc import Sequence
from typing import Any, Final

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
from absl import app, flags
from scipy import stats
from sklearn import linear_model

import genomenet
from genomenet import catalog
from genomenet.data import tables
from genomenet.dna import alphabet, encode

_MODEL = flags.DEFINE_string("model", None, "Name or release folder.", required=True)
_COUNT = flags.DEFINE_integer("count", 200, "Sequences that are mutated.")

WILD_TYPE: Final = encode.encode(
    "AATTAATGTGAGTTAGCTCACTCATTAGGCACCCCAGGCTTTACACTTTATGCTTCCGGCTCGTATGTTGTGTGG"
)
SITES: Final = {"crp": (6, 22), "minus_35": (39, 45), "minus_10": (63, 69)}
_PENALTY: Final = 10.0


def main(argv: Sequence[str]) -> None:
    """Prints one JSON line."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    path = catalog.dataset_folder("lac_promoter") / "lac_promoter.tsv.gz"
    rows = list(tables.read_tables([str(path)]))
    codes = np.stack([encode.encode(row.sequence) for row in rows])
    labels = np.array([float(row.label) for row in rows])
    splits = np.array([row.split for row in rows])
    held_out = splits != "train"
    measured = _measured(codes[held_out], labels[held_out])
    is_test = splits == "test"

    rng = np.random.default_rng(0)
    chosen = rng.choice(np.flatnonzero(held_out), _COUNT.value, replace=False)
    regression = genomenet.load_model(_MODEL.value)
    found = genomenet.saturation_mutagenesis(regression, list(codes[chosen]))
    there = WILD_TYPE[None, :, None].astype(np.intp)
    own = np.take_along_axis(found.effects, there.repeat(len(chosen), 0), 2)
    model = (found.effects - own).mean(0)

    size = len(WILD_TYPE) * alphabet.NUM_BASES
    ridge = linear_model.Ridge(_PENALTY)
    ridge.fit(
        encode.one_hot(codes[splits == "train"]).reshape(-1, size),
        labels[splits == "train"],
    )
    weights = ridge.coef_.reshape(len(WILD_TYPE), alphabet.NUM_BASES)
    linear = weights - np.take_along_axis(weights, there[0], 1)

    values = np.asarray(regression.predict(codes[is_test]))
    print(
        json.dumps(
            {
                "model": _compare(model, measured),
                "ridge": _compare(linear, measured),
                "test": {
                    "model": _spearman(values[:, 0], labels[is_test]),
                    "ridge": _spearman(
                        ridge.predict(encode.one_hot(codes[is_test]).reshape(-1, size)),
                        labels[is_test],
                    ),
                },
            }
        )
    )


def _measured(
    codes: npt.NDArray[np.uint8], labels: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Returns the mean label of each base less that of the wild type, (L, 4)."""
    one_hot = encode.one_hot(codes)
    means = np.einsum("nlb,n->lb", one_hot, labels) / one_hot.sum(0)
    return means - means[np.arange(len(WILD_TYPE)), WILD_TYPE][:, None]


def _compare(found: Any, measured: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Returns correlations, and mean sizes of effects, by site."""
    is_mutation = WILD_TYPE[:, None] != np.arange(alphabet.NUM_BASES)
    place = np.arange(len(WILD_TYPE))
    parts = {
        name: (place >= start) & (place < end) for name, (start, end) in SITES.items()
    }
    parts["elsewhere"] = ~np.any(list(parts.values()), axis=0)
    parts = {"all": place >= 0, **parts}
    answer: dict[str, Any] = {}
    for name, is_in in parts.items():
        cells = is_mutation & is_in[:, None]
        answer[name] = {
            "spearman": _spearman(found[cells], measured[cells]),
            "size": round(float(np.abs(found[cells]).mean()), 3),
            "measured_size": round(float(np.abs(measured[cells]).mean()), 3),
        }
    return answer


def _spearman(found: Any, truth: Any) -> float:
    return round(float(stats.spearmanr(found, truth)[0]), 3)


if __name__ == "__main__":
    app.run(main)
