r"""Compares predicted with measured effects of mutations in the lac promoter.

    python -m genomenet.finetune --model=selfgenomenet_bacteria2 \
      --dataset=lac_promoter --strands=forward --workdir=lac
    python -m benchmarks.lac_promoter --model=lac/export/lac

A mutation is one of the three other bases at a position of the wild type. Its measured
effect is the mean label of the held-out sequences with this base minus the mean label
of those with the base of the wild type. Its predicted effect is the mean difference
over some held-out sequences, from `genomenet.saturation_mutagenesis`. A ridge
regression on the bases of the training sequences is the baseline. Prints one JSON line
with the Spearman correlation over all 225 mutations and in each site, the mean size of
effects in each site, and the correlation of predictions with the test labels.
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
_COUNT = flags.DEFINE_integer("count", 200, "Number of mutated sequences.")

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
    effects = genomenet.saturation_mutagenesis(regression, list(codes[chosen])).effects
    wild_type = WILD_TYPE[None, :, None].astype(np.intp)
    reference = np.take_along_axis(effects, wild_type.repeat(len(chosen), 0), 2)
    model = (effects - reference).mean(0)

    size = len(WILD_TYPE) * alphabet.NUM_BASES
    ridge = linear_model.Ridge(_PENALTY)
    ridge.fit(
        encode.one_hot(codes[splits == "train"]).reshape(-1, size),
        labels[splits == "train"],
    )
    weights = ridge.coef_.reshape(len(WILD_TYPE), alphabet.NUM_BASES)
    linear = weights - np.take_along_axis(weights, wild_type[0], 1)

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
    """Returns the mean label of each base minus that of the wild type, (L, 4)."""
    one_hot = encode.one_hot(codes)
    means = np.einsum("nlb,n->lb", one_hot, labels) / one_hot.sum(0)
    return means - means[np.arange(len(WILD_TYPE)), WILD_TYPE][:, None]


def _compare(predicted: Any, measured: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Returns the correlation and the mean sizes of effects, by site."""
    is_mutation = WILD_TYPE[:, None] != np.arange(alphabet.NUM_BASES)
    positions = np.arange(len(WILD_TYPE))
    parts = {
        name: (positions >= start) & (positions < end)
        for name, (start, end) in SITES.items()
    }
    parts["elsewhere"] = ~np.any(list(parts.values()), axis=0)
    parts = {"all": positions >= 0, **parts}
    result: dict[str, Any] = {}
    for name, is_in in parts.items():
        cells = is_mutation & is_in[:, None]
        result[name] = {
            "spearman": _spearman(predicted[cells], measured[cells]),
            "size": round(float(np.abs(predicted[cells]).mean()), 3),
            "measured_size": round(float(np.abs(measured[cells]).mean()), 3),
        }
    return result


def _spearman(predicted: Any, truth: Any) -> float:
    return round(float(stats.spearmanr(predicted, truth)[0]), 3)


if __name__ == "__main__":
    app.run(main)
