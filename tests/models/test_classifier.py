import keras
import numpy as np
import pytest
from keras import ops

from genomenet.dna import alphabet
from genomenet.models import classifier
from genomenet.models import classifier_config as config_lib
from tests import harness

SELF = {**harness.SELFGENOMENET, "stride": 4, "gaps": [1]}
BERT = {**harness.BERT, "max_position_embeddings": 64}
FAMILIES = pytest.mark.parametrize(
    ("family", "encoder"), [("selfgenomenet", SELF), ("bert", BERT)]
)
CLASSES = {
    "binary": ("no", "yes"),
    "multiclass": ("a", "b", "c"),
    "multi_label": ("x", "y", "z"),
    "regression": (),
}


def array(x):
    return np.asarray(ops.convert_to_numpy(x))


def build(family="selfgenomenet", encoder=SELF, task="binary", **fields):
    values = {"window": 40, "dropout": 0.0, **fields}
    config = config_lib.ClassifierConfig(task=task, classes=CLASSES[task], **values)
    model = classifier.Classifier(family, encoder, config)
    harness.set_weights(model.weights, scale=0.2)
    return model


def rows(*lengths, seed=0):
    rng = np.random.default_rng(seed)
    bases = np.full((len(lengths), max(lengths)), alphabet.PAD, "uint8")
    for row, length in zip(bases, lengths, strict=True):
        row[:length] = rng.integers(0, 4, length)
    return bases


def labels(task, count):
    rng = np.random.default_rng(1)
    if task == "regression":
        return rng.normal(size=count).astype("float32")
    if task == "multi_label":
        return rng.integers(0, 2, (count, 3)).astype("int32")
    return rng.integers(0, len(CLASSES[task]), count).astype("int32")


@FAMILIES
@pytest.mark.parametrize("over_windows", config_lib.OVER_WINDOWS)
def test_padding_changes_no_prediction(family, encoder, over_windows):
    model = build(family, encoder, over_windows=over_windows)
    bases = rows(20, 40, 95)
    together = array(classifier.predict(model, bases))
    for number, length in enumerate((20, 40, 95)):
        alone = array(classifier.predict(model, bases[number : number + 1, :length]))
        np.testing.assert_allclose(together[number], alone[0], atol=1e-5)


@FAMILIES
def test_long_sequences_are_the_mean_of_their_windows(family, encoder):
    model = build(family, encoder)
    bases = rows(95)
    vectors, is_valid = (array(x) for x in model.read(bases))
    shortest = 3 if family == "bert" else 8
    stride = 40 - shortest + 1
    alone = [
        array(model.read(bases[:, start : start + 40])[0])[0, 0]
        for start in range(0, 95 - shortest + 1, stride)
    ]
    np.testing.assert_allclose(vectors[0, : len(alone)], alone, atol=1e-5)
    assert is_valid.sum() == len(alone) >= 3
    expected = model.output_layer(np.mean(alone, axis=0)[None])
    np.testing.assert_allclose(model({"bases": bases})["logits"], expected, atol=1e-5)


@FAMILIES
@pytest.mark.parametrize("over_windows", config_lib.OVER_WINDOWS)
def test_windows_of_n_do_not_count(family, encoder, over_windows):
    model = build(family, encoder, over_windows=over_windows)
    bases = rows(95)
    bases[:, 30:] = alphabet.N
    vectors, is_valid = map(array, model.read(bases))
    assert is_valid[0].tolist() == [True] + [False] * (is_valid.shape[1] - 1)
    alone = array(model.read(bases[:, :40])[0])
    np.testing.assert_allclose(vectors[:, 0], alone[:, 0], atol=1e-5)
    np.testing.assert_allclose(
        classifier.predict(model, bases),
        classifier.predict(model, bases[:, :40]),
        atol=1e-5,
    )
    bases[:] = alphabet.N
    assert array(model.read(bases)[1]).any()


@FAMILIES
@pytest.mark.parametrize("task", CLASSES)
def test_loss_reaches_every_weight(family, encoder, task):
    model = build(family, encoder, task, over_windows="attention", augment=True)
    batch = {
        "bases": rows(60, 50, 33, 20),
        "label": labels(task, 4),
        "weight": np.array([1, 2, 1, 0], "float32"),
        "key": np.arange(8, dtype="uint32").reshape(4, 2),
    }

    def total():
        found = classifier.loss(model, batch, training=True)
        return ops.sum(found.per_example * found.weight)

    found = harness.gradients(total, model.trainable_weights)
    for weight, gradient in zip(model.trainable_weights, found, strict=True):
        # All windows get the same more: the shares stay.
        if not weight.path.endswith("attention/bias"):
            assert np.abs(gradient).max() > 0, weight.path


@pytest.mark.parametrize("task", CLASSES)
def test_probabilities_and_loss_by_hand(task):
    model = build(task=task, mean=3.0, scale=2.0)
    bases, label = rows(40, 40, 30), labels(task, 3)
    logits = array(model({"bases": bases})["logits"]).astype("float64")
    found = array(classifier.predict(model, bases))
    batch = {"bases": bases, "label": label, "weight": np.ones(3, "float32")}
    per_row = array(classifier.loss(model, batch, training=False).per_example)
    one = np.arange(3)
    if task == "binary":
        expected = 1 / (1 + np.exp(-logits[:, 0]))
        np.testing.assert_allclose(found[:, 1], expected, rtol=1e-5)
        np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
        np.testing.assert_allclose(per_row, -np.log(found[one, label]), rtol=1e-4)
    elif task == "multiclass":
        expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        np.testing.assert_allclose(per_row, -np.log(found[one, label]), rtol=1e-4)
    elif task == "multi_label":
        each = -np.where(label, np.log(found), np.log1p(-found)).mean(1)
        np.testing.assert_allclose(per_row, each, rtol=1e-4)
    else:
        np.testing.assert_allclose(found[:, 0], logits[:, 0] * 2 + 3, rtol=1e-5)
        np.testing.assert_allclose(per_row, (logits[:, 0] - label) ** 2, rtol=1e-4)


def test_both_strands_give_the_same_answer():
    model = build(both_strands=True)
    bases = rows(40)
    other = 3 - bases[:, ::-1]
    np.testing.assert_allclose(
        array(classifier.predict(model, bases)),
        array(classifier.predict(model, other)),
        atol=1e-6,
    )


def test_vectors_stand_for_bases():
    model = build(augment=True)
    batch = {"label": labels("binary", 2), "weight": np.ones(2, "float32")}
    batch["key"] = np.array([[0, 0], [0, 1]], "uint32")
    bases = rows(60, 60)
    both = [model.read(bases), model.read(3 - bases[:, ::-1])]
    vectors, is_valid = (
        np.stack([array(pair[part]) for pair in both], axis=1) for part in range(2)
    )
    for training in (False, True):
        of_bases = classifier.loss(model, {**batch, "bases": bases}, training=training)
        of_vectors = classifier.loss(
            model,
            {**batch, "vectors": vectors, "is_valid": is_valid},
            training=training,
        )
        np.testing.assert_allclose(
            array(of_bases.per_example), array(of_vectors.per_example), atol=1e-5
        )


def test_a_pool_or_window_that_the_family_lacks_is_refused():
    with pytest.raises(ValueError, match="has no pool 'cls'; it has last, mean, max"):
        build(pool="cls")
    with pytest.raises(ValueError, match="a window of 4 bases is out of range"):
        build(window=4)


def test_logits_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy("float32")
    logits = model({"bases": rows(40, 20)})["logits"]
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"


READOUTS = {
    "selfgenomenet": ("last", "mean", "max", "bins", "kmers3", "kmers5", "onehot"),
    "bert": (
        *("mean", "cls", "max", "bins", "middle_mean", "middle_bins"),
        *("embeddings_mean", "embeddings_bins", "kmers4", "onehot"),
    ),
}


@FAMILIES
@pytest.mark.parametrize("strands", config_lib.STRANDS)
def test_padding_changes_no_readout(family, encoder, strands):
    fields = {"strands": strands, "both_strands": strands == "both", "length": 40}
    model = build(family, encoder, readout=READOUTS[family], **fields)
    bases = rows(40, 20, 9)
    vectors, _ = model.read(bases)
    assert vectors.shape[-1] == model.vector_width
    widths = config_lib.readout_widths(family, encoder, model.config)
    assert len(widths) == len(model.config.readout)
    assert sum(widths) == model.vector_width
    total = sum(int(np.prod(weight.shape)) for weight in model.weights)
    assert total == config_lib.num_parameters(family, encoder, model.config)
    together = array(classifier.predict(model, bases))
    for number, length in enumerate((40, 20, 9)):
        short = bases[number : number + 1, :length]
        alone, _ = model.read(short)
        np.testing.assert_allclose(vectors[number], alone[0], atol=1e-5)
        alone = array(classifier.predict(model, short))
        np.testing.assert_allclose(together[number], alone[0], atol=1e-5)


def test_strands_are_averaged_as_logits():
    fields = {"readout": ("mean", "kmers3"), "strands": "both", "both_strands": True}
    model = build(**fields)
    bases = rows(40, 40)
    both = [array(model({"bases": b})["logits"]) for b in (bases, 3 - bases[:, ::-1])]
    expected = 1 / (1 + np.exp(-np.mean(both, axis=0)[:, 0]))
    found = array(classifier.predict(model, bases))[:, 1]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"readout": ("mean", "mean")}, "readout .*mean, mean"),
        ({"strands": "reverse"}, "strands must be one of both, forward"),
        ({"strands": "forward", "both_strands": True}, "with both_strands=True"),
        ({"strands": "forward", "augment": True}, "augment reads both strands"),
        ({"readout": ("onehot",), "length": 50}, "window=40 and length=50"),
        ({"readout": ("cls",)}, "no readout 'cls'; it has last, mean, max, bins"),
    ],
)
def test_readouts_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        build(**fields)
