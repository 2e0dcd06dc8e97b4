"""The notebook's classifier: Keras' manners, the command's predictions."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import genomenet
from genomenet.api import batches, inputs
from genomenet.api import classifier as classifier_lib
from genomenet.data import tasks
from genomenet.dna import encode, reader
from genomenet.inference import predict, predict_files
from genomenet.models import classifier

ROOT = pathlib.Path(__file__).parents[2]
TINY = {
    "length": 40,
    "kernel_size": 8,
    "stride": 4,
    "filters": 16,
    "units": 8,
    "gaps": [1],
}
MOTIF = "GATTACAGATTACA"


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    config = {"format": 1, "family": "selfgenomenet", "model": TINY, "training": {}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def make(preset, classes=("no", "yes"), **options):
    return genomenet.Classifier.from_preset(preset, classes=classes, **options)


def examples(count=64, shortest=30, longest=120):
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        text = "".join(rng.choice(list("ACGT"), rng.integers(shortest, longest)))
        found.append(text[:10] + MOTIF + text[24:] if number % 2 else text)
    return found, [("no", "yes")[number % 2] for number in range(count)]


def test_fit_learns_and_keeps_keras_contract(preset):
    sequences, truth = examples()
    model = make(preset, dropout=0.0)
    history = model.fit(
        sequences,
        truth,
        epochs=2,
        validation_split=0.25,
        class_weight={"yes": 2.0},
        sample_weight=np.ones(64),
        callbacks=[keras.callbacks.EarlyStopping(patience=5)],
        verbose=0,
    )
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    schedule = model.optimizer._learning_rate
    assert schedule.steps == 2 * len(batches.Batches(*as_arrays(sequences[:48], truth)))
    found = model.evaluate(sequences, truth, return_dict=True, verbose=0)
    assert set(found) == {"loss", "accuracy"}
    scores = model.score(sequences, truth)
    assert scores["accuracy"].value == pytest.approx(found["accuracy"])
    assert scores["auroc"].low <= scores["auroc"].value <= scores["auroc"].high
    assert "64 sequences, with 95 % intervals" in str(scores)


def as_arrays(sequences, truth):
    codes = inputs.read_sequences(sequences, shortest=1)
    return codes, np.arange(len(codes))


@pytest.mark.slow
def test_predictions_are_those_of_the_command(preset):
    sequences, _ = examples()
    model = make(preset, over_windows="attention")
    codes = [encode.encode(text) for text in sequences]
    expected = predict.Predictor(model.graph).predict(codes)
    np.testing.assert_array_equal(model.predict(sequences), expected)
    for few in (7, 64):
        found = model.predict(sequences, batch_size=few)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(model.predict_on_batch(sequences), expected, atol=1e-6)
    data = batches.Batches(codes, np.zeros(64))
    direct = keras.Model.predict(model, data, verbose=0)
    assert direct.shape == (64, 2)


def test_sequences_of_every_kind_are_the_same(preset):
    from Bio import Seq

    model = make(preset)
    text = "ACGTTGCANNACGT"
    expected = model.predict([text])
    codes = encode.encode(text)
    padded = np.pad(codes, (0, 3), constant_values=5)
    kinds = (text.lower(), text.encode(), Seq.Seq(text), codes, padded)
    for given in (*kinds, text.replace("T", "U")):
        np.testing.assert_array_equal(model.predict([given]), expected)
    np.testing.assert_array_equal(model.predict(np.array([text])), expected)
    np.testing.assert_array_equal(model.predict(codes[None]), expected)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("ACGT", TypeError, "single sequence"),
        (["ACGTACGT", "ACG"], ValueError, r"sequences\[1\] has 3 bases"),
        (
            [reader.Record(name="short", codes=encode.encode("ACG"), source="x.fa")],
            ValueError,
            r"sequences\[0\] \(record 'short'\) has 3 bases",
        ),
        (["ACGTACGT", "ACGTACGTX"], ValueError, r"sequences\[1\].*'X' at position 9"),
        ([1.5], TypeError, "got float"),
        ([np.full(9, 9, np.uint8)], ValueError, "code 9"),
    ],
)
def test_wrong_sequences_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        inputs.read_sequences(given, shortest=8)


def test_labels_of_every_kind_are_the_same():
    task = tasks.Task(kind="multiclass", classes=("a", "b", "c"))
    for given in (
        ["b", "c", "a"],
        [b"b", b"c", b"a"],
        np.array(["b", "c", "a"]),
        [1, 2, 0],
        np.array([1.0, 2.0, 0.0]),
        np.eye(3)[[1, 2, 0]],
    ):
        assert inputs.read_labels(given, task).tolist() == [1, 2, 0]
    task = tasks.Task(kind="multi_label", classes=("a", "b", "c"))
    for given in (["a;c", ""], [["a", "c"], []], [[1, 0, 1], [0, 0, 0]]):
        assert inputs.read_labels(given, task).tolist() == [[1, 0, 1], [0, 0, 0]]
    task = tasks.Task(kind="regression")
    assert inputs.read_labels([1, 2.5], task).tolist() == [1.0, 2.5]


@pytest.mark.parametrize("given", [["d"], [3], [-1], [[1, 1, 0]], [0.5], [[1, 0]]])
def test_wrong_labels_are_refused(given):
    task = tasks.Task(kind="multiclass", classes=("a", "b", "c"))
    with pytest.raises(ValueError, match=r"labels\[0\]"):
        inputs.read_labels(given, task)


def test_a_fit_pads_to_four_lengths_and_reads_every_sequence_once():
    sequences, _ = examples(101)
    codes, rows = as_arrays(sequences, None)
    data = batches.Batches(codes, rows, batch_size=8, shuffle=True)
    orders = []
    for _ in range(2):
        read = [data[number] for number in range(len(data))]
        assert len({x["bases"].shape[1] for x, _ in read}) <= 4
        orders.append(np.concatenate([y for _, y in read]).tolist())
        for x, y in read:
            for row, number in zip(x["bases"], y, strict=True):
                np.testing.assert_array_equal(row[row < 5], codes[number])
        data.on_epoch_end()
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(101))
    assert orders[0] != orders[1]


def test_own_compile_is_kept(preset):
    sequences, truth = examples(16)
    model = make(preset)
    model.compile(
        keras.optimizers.SGD(0.25),
        metrics=[keras.metrics.SparseTopKCategoricalAccuracy(1)],
    )
    model.fit(sequences, truth, verbose=0)
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert float(model.optimizer.learning_rate) == 0.25


@pytest.mark.slow
def test_batches_by_hand(preset):
    sequences, truth = examples(8)
    model = make(preset)
    before = [w.numpy() for w in model.trainable_weights]
    found = model.train_on_batch(
        sequences, truth, class_weight={0: 1.0, 1: 3.0}, return_dict=True
    )
    assert np.isfinite(found["loss"])
    after = [w.numpy() for w in model.trainable_weights]
    assert any((a != b).any() for a, b in zip(before, after, strict=True))
    assert np.isfinite(model.test_on_batch(sequences, truth)[0])


@pytest.mark.slow
def test_strings_through_tf_data(preset):
    import tensorflow as tf

    sequences, truth = examples(16)
    numbers = [int(label == "yes") for label in truth]
    data = tf.data.Dataset.from_tensor_slices((sequences, numbers)).batch(8)
    model = make(preset)
    model.fit(data, epochs=1, verbose=0)
    expected = model.evaluate(sequences, truth, verbose=0)
    np.testing.assert_allclose(model.evaluate(data, verbose=0), expected, rtol=1e-4)
    np.testing.assert_allclose(model.predict(data), model.predict(sequences), atol=1e-6)


def test_regression_takes_the_scale_of_its_labels(preset):
    sequences, _ = examples(16)
    truth = np.arange(16) * 10.0 + 500
    model = make(preset, classes=None, task="regression")
    model.predict(sequences)
    model.fit(sequences, truth, epochs=1, verbose=0)
    assert model.config.mean == truth.mean()
    assert model.config.scale == pytest.approx(truth.std())
    assert np.abs(model.predict(sequences) - truth.mean()).max() < 10 * truth.std()
    assert model.evaluate(sequences, truth, verbose=0) < 50  # of the variance
    assert "pearson" in model.score(sequences, truth).values


def test_several_labels(preset):
    sequences, _ = examples(16)
    model = make(preset, classes=["a", "b"], task="multi_label")
    model.fit(sequences, ["a", "a;b", "", "b"] * 4, verbose=0)
    assert model.predict(sequences).shape == (16, 2)
    assert len(model.predict_labels(sequences)) == 16


def test_a_linear_probe_leaves_the_encoder(preset):
    sequences, truth = examples(16)
    model = make(preset)
    model.encoder.trainable = False
    before = [w.numpy() for w in model.encoder.weights]
    model.fit(sequences, truth, verbose=0)
    for old, new in zip(before, model.encoder.weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


CONTINUE = """
import sys, keras, numpy as np
from genomenet import Classifier
model = keras.saving.load_model(sys.argv[1])
found = model.predict(["ACGTACGTAC", "TTTTACGTAGGGTAGCNN" * 9])
np.save(sys.argv[2], found)
model.fit(["ACGTACGTAC", "TTTTACGTAGGGTAGCNN" * 9], ["no", "yes"], verbose=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_saved_and_loaded_in_a_new_process(preset, tmp_path, backend):
    if backend == "jax":
        pytest.importorskip("jax")
    sequences, truth = examples(16)
    model = make(preset, positive="no", over_windows="attention")
    model.fit(sequences, truth, verbose=0)
    path = tmp_path / "model.keras"
    model.save(path)
    here = keras.saving.load_model(path).predict(sequences)
    np.testing.assert_array_equal(here, model.predict(sequences))
    done = subprocess.run(
        [sys.executable, "-c", CONTINUE, path, tmp_path / "found.npy"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = model.predict(["ACGTACGTAC", "TTTTACGTAGGGTAGCNN" * 9])
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-6)


def test_the_config_holds_what_later_readouts_need(preset):
    model = make(preset, positive="no", pool="mean", dtype="mixed_bfloat16")
    config = model.get_config()
    assert (config["pool"], config["readout"], config["strands"]) == ("mean", [], "")
    assert (config["augment"], config["both_strands"]) == (True, True)
    assert (config["task"], config["positive"]) == ("binary", "no")
    copy = genomenet.Classifier.from_config(config)
    assert copy.get_config() == config
    assert copy.encoder.compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"
    assert copy.compute_output_spec({"bases": np.zeros((3, 9))}).shape == (3, 2)


def test_export_takes_strings(preset, tmp_path):
    import tensorflow as tf

    model = make(preset)
    model.export(tmp_path / "saved")
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    found = saved.predict(tf.constant(["ACGTACGTAC"]))
    np.testing.assert_allclose(
        found["probabilities"], model.predict(["ACGTACGTAC"]), atol=1e-6
    )


def test_a_preset_is_what_commands_take(preset, tmp_path):
    model = make(preset, dtype="mixed_bfloat16")
    model.save_to_preset(tmp_path / "mine")
    again = genomenet.load_model(str(tmp_path / "mine"))
    assert again.config == model.config
    for ours, theirs in zip(again.graph.weights, model.graph.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    output = tmp_path / "x.tsv"
    (tmp_path / "x.fa").write_text(">a\nACGTACGTACGT\n")
    predict_files.predict_files(
        tmp_path / "mine", str(tmp_path / "x.fa"), output, warn=print
    )
    assert output.read_text().splitlines()[1].startswith("a\t0\t12\t")


def test_a_graph_is_wrapped_with_its_weights(preset):
    graph = make(preset, pool="mean").graph
    codes = encode.encode("ACGTACGTAC")[None]
    np.testing.assert_allclose(
        classifier_lib.wrap(graph).predict(codes),
        np.asarray(classifier.predict(graph, codes)),
        atol=1e-6,
    )
