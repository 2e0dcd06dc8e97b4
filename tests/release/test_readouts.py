"""A classifier that reads several readouts, as it is released."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from genomenet.dna import encode
from genomenet.inference import predict
from genomenet.models import bert, classifier
from genomenet.models import classifier_config as config_lib
from genomenet.release import export, folder
from tests import harness

BERT = {**harness.BERT, "max_position_embeddings": 64}


@pytest.mark.slow
def test_every_reader_of_a_release_agrees(tmp_path):
    config = config_lib.ClassifierConfig(
        task="multiclass",
        classes=("a", "b", "c"),
        readout=("mean", "cls", "middle_bins", "embeddings_bins", "kmers3", "onehot"),
        strands="both",
        both_strands=True,
        window=40,
        length=40,
    )
    model = classifier.Classifier("bert", BERT, config)
    harness.set_weights(model.weights, scale=0.2)
    release = export.write_release(
        model,
        {
            "format": 1,
            "family": "bert",
            "model": bert.to_dict(bert.from_dict(BERT)),
            "training": {},
            "classifier": config_lib.to_dict(config),
        },
        directory=tmp_path / "r",
        name="r",
        metrics={},
    )
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGTN"), n)) for n in (40, 40, 25, 7)]
    sequences = [encode.encode(text) for text in texts]
    expected = [np.asarray(classifier.predict(model, s[None]))[0] for s in sequences]
    again = folder.load_classifier(release)
    assert again.config == config
    assert dataclasses.asdict(again.config)["readout"] == config.readout
    found = predict.Predictor(again).predict(sequences)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    saved = tf.saved_model.load(str(release / "saved_model"))
    found = saved.predict(tf.constant(texts))["probabilities"].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_release_from_before_there_were_ensembles_loads(tmp_path):
    config = config_lib.ClassifierConfig(
        task="binary", classes=("no", "yes"), window=40, length=40
    )
    model = classifier.Classifier("bert", BERT, config)
    fields = config_lib.to_dict(config)
    for name in ("members", "encoders", "readout", "strands", "positive"):
        del fields[name]
    content = {
        "format": 1,
        "family": "bert",
        "model": bert.to_dict(bert.from_dict(BERT)),
        "training": {},
        "classifier": fields,
    }
    (tmp_path / "config.json").write_text(json.dumps(content))
    model.save_weights(tmp_path / "model.weights.h5")
    again = folder.load_classifier(tmp_path)
    assert again.config == config
    bases = np.arange(40, dtype=np.uint8)[None] % 4
    np.testing.assert_array_equal(
        classifier.predict(again, bases), classifier.predict(model, bases)
    )
