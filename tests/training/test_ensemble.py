"""Several classifiers as one, with tiny encoders."""

import numpy as np
import pytest

from genomenet.data import tasks
from genomenet.dna import encode
from genomenet.evaluation import report
from genomenet.inference import outputs, substitutions
from genomenet.interpret import attribution
from genomenet.models import classifier
from genomenet.models import classifier_config as config_lib
from genomenet.models import family as family_lib
from genomenet.training import ensemble
from tests.models import test_classifier as single


def members(count=3, **fields):
    found = []
    for number in range(count):
        found.append(single.build(**fields))
        rng = np.random.default_rng(number)
        for weight in found[-1].weights:
            weight.assign(np.abs(rng.normal(size=weight.shape)) * 0.3)
    return found


@pytest.mark.parametrize("task", single.CLASSES)
def test_the_mean_of_probabilities_of_fine_tuned_models(task):
    each = members(task=task, both_strands=True)
    model = ensemble.join(each)
    assert (model.config.members, model.config.encoders) == (3, 3)
    bases = single.rows(20, 40, 95)
    expected = np.mean([classifier.predict(one, bases) for one in each], axis=0)
    found = single.array(classifier.predict(model, bases))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    count = config_lib.num_parameters(model.family, single.SELF, model.config)
    assert count == sum(int(np.prod(w.shape)) for w in model.weights)
    again = classifier.Classifier(model.family, single.SELF, model.config)
    family_lib.transfer(model, again)
    np.testing.assert_array_equal(classifier.predict(again, bases), found)
    assert config_lib.from_dict(config_lib.to_dict(model.config)) == model.config


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_heads_that_read_different_things_of_one_encoder(task):
    own = [("mean", "kmers3"), ("max",), ("onehot", "max", "mean")]
    fields = {"strands": "forward", "length": 40, "task": task}
    each = [members(1, readout=names, **fields)[0] for names in own]
    for number, one in enumerate(each):
        family_lib.transfer(each[0].encoder, one.encoder)
        rng = np.random.default_rng(number)
        one.standardize.mean.assign(rng.normal(size=one.standardize.mean.shape))
        factor = rng.random(one.standardize.factor.shape) + 0.1
        factor[number] = 0.0  # a channel that never changed
        one.standardize.factor.assign(factor)
    model = ensemble.join(each)
    assert (model.config.members, model.config.encoders) == (3, 1)
    assert model.config.readout == ("mean", "kmers3", "max", "onehot")
    bases = single.rows(40, 40, 33)
    expected = np.mean([classifier.predict(one, bases) for one in each], axis=0)
    found = single.array(classifier.predict(model, bases))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_only_what_predicts_alike_is_joined():
    one, other = members(1, both_strands=True)[0], members(1)[0]
    with pytest.raises(ValueError, match="must predict alike"):
        ensemble.join([one, other])


@pytest.mark.parametrize("task", ["binary", "multiclass", "multi_label"])
def test_temperature_undoes_what_is_too_sure(task):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 1 if task == "binary" else 3)) * 1.5
    config = config_lib.ClassifierConfig(task=task, classes=single.CLASSES[task])
    chances = np.asarray(classifier.probabilities(config, logits.astype("float32")))
    if task == "multi_label":
        truth = rng.random(chances.shape) < chances
    else:
        truth = (chances.cumsum(axis=1) < rng.random((4000, 1))).sum(axis=1)
    for factor in (0.5, 1.0, 4.0):
        found = ensemble.fit_temperature(config, factor * logits[None], truth)
        assert found == pytest.approx(factor, rel=0.1)
        cooler = ensemble.join(
            members(2, task=task, both_strands=True), temperature=factor
        )
        assert cooler.config.members == 2


def test_mutants_are_those_of_all_encoders():
    model = ensemble.join(members(2, both_strands=True))
    [codes] = single.rows(60)
    at, bases = np.array([3, 40]), np.array([0, 1], np.uint8)
    before, after = substitutions.Substitutions(model).rows(codes, at, bases)
    direct = outputs.Outputs(model, window=60)
    mutants = encode.substituted(codes, at, bases)
    np.testing.assert_allclose(before, direct.rows(codes[None]), atol=1e-5)
    np.testing.assert_allclose(after, direct.rows(mutants), atol=1e-5)


def test_attributions_are_those_of_all_encoders():
    """Of numbers the mean of the members' own."""
    each = members(2, task="regression")
    [codes] = single.rows(60)
    options = {"method": "integrated_gradients", "steps": 3}
    found = [
        attribution.explain(one, [("x", codes)], **options).scores
        for one in (ensemble.join(each), *each)
    ]
    np.testing.assert_allclose(found[0], (found[1] + found[2]) / 2, atol=1e-6)


def test_folds_have_a_mean_and_a_spread():
    task = tasks.Task(kind="binary", classes=("no", "yes"))
    folds = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    truth = np.array([0, 1, 1, 0, 1, 1, 1, 1])
    yes = np.array([0.1, 0.9, 0.8, 0.6, 0.4, 0.7, 0.9, 0.9])
    found = report.score_folds(task, truth, np.stack([1 - yes, yes], axis=1), folds)
    assert found["metrics"]["auroc"]["mean"] == 0.75  # the third has one class
    assert found["metrics"]["auroc"]["spread"] == pytest.approx(
        np.std([1, 0.5], ddof=1)
    )
    assert [one["rows"] for one in found["each"]] == [3, 3, 2]
    lines = list(report._of_folds({**found, "temperature": 1.5}))
    assert lines[0].startswith("3 folds of the training split")
    assert lines[-1].endswith("temperature 1.50")
