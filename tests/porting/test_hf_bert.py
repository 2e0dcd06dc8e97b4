import json

import numpy as np
import pytest
from safetensors import numpy as safetensors

from genomenet.dna import kmer
from genomenet.models import bert
from genomenet.porting import hf_bert
from tests import harness


def config(**fields):
    return bert.Config(
        kmer=3,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=20,
        length=20,
        **fields,
    )


@pytest.fixture
def written(tmp_path):
    model = bert.build(config())
    harness.set_weights(model.weights)
    return model, hf_bert.write(model, tmp_path / "hf")


def change(folder, change_weights):
    weights = safetensors.load_file(folder / "model.safetensors")
    change_weights(weights)
    safetensors.save_file(weights, folder / "model.safetensors")


def edit(folder, **values):
    content = json.loads((folder / "config.json").read_text())
    content.update(values)
    (folder / "config.json").write_text(json.dumps(content))


def test_every_weight_has_one_name():
    model = bert.build(config())
    pairs = hf_bert.pairs(model.config)
    ours = [id(hf_bert.variable_of(model, pair.ours)) for pair in pairs]
    assert sorted(ours) == sorted(map(id, model.weights))
    assert len({pair.theirs for pair in pairs}) == len(pairs)


def test_round_trip_is_bit_equal(written, tmp_path):
    model, folder = written
    found, content = hf_bert.read(folder)
    assert content["family"] == "bert"
    for ours, theirs in zip(model.weights, found.weights, strict=True):
        np.testing.assert_array_equal(harness.array(ours), harness.array(theirs))
    again = hf_bert.write(found, tmp_path / "again")
    for file in sorted(p.name for p in folder.iterdir()):
        assert (folder / file).read_bytes() == (again / file).read_bytes(), file
    assert (folder / "vocab.txt").read_text().split() == kmer.vocabulary(3)


def test_no_pooler_is_kept_so(written):
    _, folder = written

    def drop(weights):
        for name in list(weights):
            if "pooler" in name:
                del weights[name]

    change(folder, drop)
    model, content = hf_bert.read(folder)
    assert content["model"]["pooler"] is False
    bases = np.zeros((1, 9), "uint8")
    assert set(model({"bases": bases})) == {"logits", "sequence_output"}


def test_names_of_other_releases(written):
    model, folder = written

    def rename(weights):
        for name in list(weights):
            value = weights.pop(name)
            name = name.removeprefix("bert.")
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
            weights[name.replace("LayerNorm.bias", "LayerNorm.beta")] = value
        weights["embeddings.position_ids"] = np.arange(20)[None]
        weights["cls.predictions.decoder.bias"] = weights["cls.predictions.bias"]
        weights["cls.predictions.decoder.weight"] = weights[
            "embeddings.word_embeddings.weight"
        ].copy()

    change(folder, rename)
    found, _ = hf_bert.read(folder)
    for ours, theirs in zip(model.weights, found.weights, strict=True):
        np.testing.assert_array_equal(harness.array(ours), harness.array(theirs))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda w: w.pop("bert.encoder.layer.1.output.dense.bias"), "has no weight"),
        (
            lambda w: w.update({"cls.seq_relationship.bias": np.zeros(2)}),
            "left over: cls.seq_relationship.bias",
        ),
        (
            lambda w: w.update({"cls.predictions.bias": np.zeros(7, "float32")}),
            r"has the shape \(7,\), which does not fit output_bias \(69,\)",
        ),
        (
            lambda w: w.update(
                {"cls.predictions.decoder.weight": np.zeros((69, 8), "float32")}
            ),
            "is not tied to",
        ),
        (
            lambda w: w.update({"bert.embeddings.position_ids": np.ones((1, 20))}),
            "are not 0, 1, 2",
        ),
        (
            lambda w: w.update({"classifier.bias": np.zeros(2, "float32")}),
            "left over: classifier.bias",
        ),
        (
            lambda w: w.update({"pooler.dense.bias": np.zeros(8, "float32")}),
            "pooler.dense.bias' is there under another name, too",
        ),
        (
            lambda w: w.update(
                {"cls.predictions.bias": np.full(69, np.nan, "float32")}
            ),
            "'cls.predictions.bias' holds NaN or infinity",
        ),
        (
            lambda w: w.update({"cls.predictions.bias": np.zeros(69, "int8")}),
            "'cls.predictions.bias' holds whole numbers",
        ),
    ],
)
def test_weights_that_do_not_fit(written, broken, message):
    _, folder = written
    change(folder, broken)
    with pytest.raises(ValueError, match=message):
        hf_bert.read(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_act": "gelu_new"}, "hidden_act='gelu_new' is not supported"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"is_decoder": True}, "is_decoder"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"rope_theta": 10_000}, "unknown key 'rope_theta'"),
        ({"vocab_size": 30522}, "vocab_size=30522 is none of 69, 261"),
        ({"vocab_size": [69]}, r"json: vocab_size must be a whole number, got \[69\]"),
        ({"max_position_embeddings": None}, "must be a whole number, got None"),
        ({"hidden_size": 8.0}, "hf/config.json: hidden_size must be an integer"),
    ],
)
def test_configs_that_change_the_numbers(written, values, message):
    _, folder = written
    edit(folder, **values)
    with pytest.raises(ValueError, match=message):
        hf_bert.read(folder)


def test_harmless_keys_are_ignored(written):
    _, folder = written
    edit(folder, num_labels=3, torch_dtype="float32", id2label={"0": "a"}, top_k=50)
    hf_bert.read(folder)


def test_a_vocabulary_in_another_order(written):
    _, folder = written
    tokens = kmer.vocabulary(3)
    tokens[6], tokens[7] = tokens[7], tokens[6]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    with pytest.raises(ValueError, match=r"vocab.txt, line 7: 'AAC' stands where"):
        hf_bert.read(folder)


def test_a_vocabulary_that_is_no_text(written):
    _, folder = written
    (folder / "vocab.txt").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ValueError, match=r"vocab.txt cannot be read: not a text file"):
        hf_bert.read(folder)


def test_damaged_and_missing_files(written, tmp_path):
    _, folder = written
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="model.safetensors is damaged"):
        hf_bert.read(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="neither model.safetensors nor"):
        hf_bert.read(folder)
