"""Mutants read with nothing twice are read as each on its own."""

import numpy as np
import pytest

from genomenet import models
from genomenet.dna import encode
from genomenet.inference import outputs, substitutions
from genomenet.models import classifier
from genomenet.models import classifier_config as config_lib
from tests import harness

SELFGENOMENET = {**harness.SELFGENOMENET, "stride": 3, "gaps": [3]}
FAMILIES = {"selfgenomenet": SELFGENOMENET, "bert": harness.BERT}


def check(model, length, **options):
    codes = np.random.default_rng(length).integers(0, 4, length).astype(np.uint8)
    codes[5:7] = 4
    places, bases = encode.substitutions(codes)
    found = substitutions.Substitutions(model, batch_size=7, **options)
    before, after = found.rows(codes, places, bases)
    plain = outputs.Outputs(model, window=length, batch_size=7, **options)
    mutants = encode.substituted(codes, places, bases)
    assert np.ptp(after[:, 0]) > 1e-4
    np.testing.assert_allclose(before, plain.rows(codes[None]), atol=1e-5)
    np.testing.assert_allclose(after, plain.rows(mutants), atol=1e-5)


@pytest.mark.parametrize(
    ("family", "length", "options"),
    [
        ("selfgenomenet", 30, {"readout": ("last", "bins", "max", "mean", "kmers3")}),
        ("selfgenomenet", 95, {"readout": ("bins", "max"), "strands": "both"}),
        ("selfgenomenet", 95, {"pool": "last", "over_windows": "attention"}),
        ("selfgenomenet", 25, {"readout": ("kmers3",), "strands": "both"}),
        ("bert", 95, {"pool": "mean"}),
    ],
)
def test_classifiers(family, length, options):
    config = config_lib.ClassifierConfig(
        task="binary",
        classes=("no", "yes"),
        window=30,
        length=100,
        both_strands=True,
        **options,
    )
    model = classifier.Classifier(family, FAMILIES[family], config)
    harness.set_weights(model.weights)
    check(model, length, both_strands=True)


@pytest.mark.parametrize("pool", ["last", "mean", "max"])
def test_encoders(pool):
    members = models.get_family("selfgenomenet")
    model = members.build(members.from_dict(SELFGENOMENET))
    harness.set_weights(model.weights)
    check(model, 37, both_strands=pool != "last", pool=pool)
