"""Scores of bases, motifs and records as a notebook meets them."""

import json

import numpy as np
import pytest

import genomenet
from tests import harness


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    config = {
        "format": 1,
        "family": "selfgenomenet",
        "model": harness.SELFGENOMENET,
        "training": {},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return genomenet.Classifier.from_preset(folder, classes=["no", "yes"])


@pytest.fixture
def records(tmp_path):
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list("ACGT"), 400))
    (tmp_path / "genome.fa").write_text(f">chr1\n{text}\n")
    (tmp_path / "peaks.bed").write_text("chr1\t10\t60\nchr1\t100\t180\n")
    files = {
        "paths": str(tmp_path / "peaks.bed"),
        "genome": str(tmp_path / "genome.fa"),
    }
    return genomenet.read_records(**files, width=60)


def test_intervals_are_records_that_a_classifier_takes(classifier, records):
    assert [record.name for record in records] == ["chr1:5-65", "chr1:110-170"]
    np.testing.assert_array_equal(
        classifier.predict(records), classifier.predict([r.codes for r in records])
    )


def test_a_classifier_is_explained_and_drawn(classifier, records):
    found = genomenet.explain(classifier, records, target="no", steps=2)
    assert found.names == ("chr1:5-65", "chr1:110-170")
    assert found.scores.shape == (2, 60)
    assert found.plot(1).startswith(b"\x89PNG")
    assert found.plot(1)._repr_png_() == bytes(found.plot(1))
    assert "chr1:110-170" in found._repr_html_()
    other = genomenet.explain(classifier, records, target="yes", steps=2)
    np.testing.assert_allclose(found.scores, -other.scores, atol=1e-6)


def test_mutagenesis_draws_itself(classifier, records):
    found = genomenet.saturation_mutagenesis(classifier, [records[0].codes])
    assert found.plot().startswith(b"\x89PNG")


def test_a_planted_motif_shows_itself():
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(120)]
    planted = [f"{x[:20]}ATGCAAAT{x[28:]}" for x in sequences]
    widths = {"min_width": 8, "max_width": 8, "num_motifs": 1}
    found = genomenet.discover_motifs(planted, sequences, **widths)
    assert found.motifs[0].consensus in ("ATGCAAAT", "ATTTGCAT")
    assert repr(found).startswith("1 motif\n")
    assert "data:image/png" in found._repr_html_()
