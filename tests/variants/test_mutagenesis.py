"""Every substitution against the effects of the same variants."""

import numpy as np
import pytest

from genomenet.dna import encode
from genomenet.inference import predict
from genomenet.models import bert, classifier
from genomenet.models import classifier_config as config_lib
from genomenet.variants import mutagenesis, score_files, scores
from tests import harness

TEXT = "".join(np.random.default_rng(4).choice(list("ACGT"), 40))


@pytest.fixture(scope="module")
def model():
    config = config_lib.ClassifierConfig(
        task="multiclass", classes=("a", "b", "c"), window=20, length=60
    )
    model = classifier.Classifier("selfgenomenet", harness.SELFGENOMENET, config)
    harness.set_weights(model.weights)
    return model


def test_each_mutant_is_predicted(model):
    texts = [TEXT, TEXT[:25] + "nR"]
    found = mutagenesis.saturation_mutagenesis(model, texts, score="prob_b")
    assert found.effects.shape == (2, 40, 4)
    assert np.isnan(found.effects[1, 25:]).all()
    predictor = predict.Predictor(model)
    for row, codes in enumerate(found.codes):
        mutants = np.repeat(codes[None], 4 * len(codes), axis=0)
        mutants[np.arange(len(mutants)), np.arange(len(mutants)) // 4] = np.tile(
            np.arange(4), len(codes)
        )
        values = predictor.predict([codes, *mutants])[:, 1]
        expected = (values[1:] - values[0]).reshape(-1, 4)
        expected[codes > 3] = np.nan
        np.testing.assert_allclose(
            found.effects[row, : len(codes)], expected, atol=1e-5
        )
    np.testing.assert_allclose(found.centred[0].sum(axis=1), 0, atol=1e-6)


def test_deletions_and_insertions(model):
    texts = [TEXT, TEXT[:25] + "nR"]
    found = mutagenesis.saturation_mutagenesis(
        model, texts, score="prob_b", deletions=True, insertions=True
    )
    assert found.deletions is not None
    assert found.insertions is not None
    predictor = predict.Predictor(model)
    for row, text in enumerate(texts):
        size = len(text)
        rows = [text[:at] + text[at + 1 :] + "N" for at in range(size)]
        rows += [
            (text[:at] + base + text[at:])[:size]
            for at in range(size)
            for base in "ACGT"
        ]
        values = predictor.predict([encode.encode(x) for x in (text, *rows)])[:, 1]
        expected = values[1:] - values[0]
        expected[:size][found.codes[row] > 3] = np.nan
        mine = found.deletions[row, :size], found.insertions[row, :size].reshape(-1)
        np.testing.assert_allclose(np.concatenate(mine), expected, atol=1e-5)
    assert np.isnan(found.deletions[1, 25:]).all()
    assert np.isnan(found.insertions[1, 27:]).all()


def test_a_masked_language_model_gives_likelihoods():
    model = bert.build(bert.from_dict(harness.BERT))
    harness.set_weights(model.weights)
    found = mutagenesis.saturation_mutagenesis(model, TEXT)
    assert found.score == "likelihood"
    alts = ",".join(sorted(set("ACGT") - {TEXT[20]}))
    table = score_files.variant_effects(model, [("c", 21, TEXT[20], alts)], {"c": TEXT})
    here = [n for n, base in enumerate("ACGT") if base != TEXT[20]]
    np.testing.assert_allclose(
        found.effects[0, 20, here], table["likelihood"], rtol=1e-4
    )
    with pytest.raises(ValueError, match="'likelihood'.*'l2' or 'cosine'"):
        mutagenesis.saturation_mutagenesis(model, TEXT, deletions=True)


def test_arguments_are_checked(model):
    with pytest.raises(ValueError, match="needs a score.*logit_a"):
        mutagenesis.saturation_mutagenesis(model, TEXT)
    with pytest.raises(ValueError, match="no sequence"):
        mutagenesis.saturation_mutagenesis(model, [])
    with pytest.raises(ValueError, match="'!' at position 1"):
        mutagenesis.saturation_mutagenesis(model, ["!"])


def test_lengths_are_checked_before_the_first_sequence_is_read(model, monkeypatch):
    monkeypatch.setattr(scores, "Scorer", None)
    with pytest.raises(ValueError, match="record 'b': 3 bases are too few.* least 8"):
        mutagenesis.saturation_mutagenesis(
            model, [TEXT, "ACG"], names=["a", "b"], score="prob_b"
        )
    encoder = bert.build(bert.from_dict(harness.BERT))
    most = encoder.config.max_length
    with pytest.raises(ValueError, match=f"'1': {most + 1} .* too many.* most {most}"):
        mutagenesis.saturation_mutagenesis(encoder, "A" * (most + 1))
