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
            "unexpected .*cls.seq_relationship.bias",
        ),
        (
            lambda w: w.update({"cls.predictions.bias": np.zeros(7, "float32")}),
            r"has the shape \(7,\), which does not match output_bias \(69,\)",
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
            "unexpected .*classifier.bias",
        ),
        (
            lambda w: w.update({"pooler.dense.bias": np.zeros(8, "float32")}),
            "pooler.dense.bias' also occurs under another name",
        ),
        (
            lambda w: w.update(
                {"cls.predictions.bias": np.full(69, np.nan, "float32")}
            ),
            "'cls.predictions.bias' contains NaN or infinity",
        ),
        (
            lambda w: w.update({"cls.predictions.bias": np.zeros(69, "int8")}),
            "'cls.predictions.bias' contains integers",
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
        ({"vocab_size": 30522}, "vocab_size=30522 must be one of 69, 261"),
        ({"vocab_size": [69]}, r"json: vocab_size must be an integer, got \[69\]"),
        ({"max_position_embeddings": None}, "must be an integer, got None"),
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
    with pytest.raises(ValueError, match=r"vocab.txt, line 7: 'AAC' must be 'AAT'"):
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


def vocabulary(**moved):
    """Returns token → index, of which some have another."""
    return {**{token: n for n, token in enumerate(kmer.vocabulary(3))}, **moved}


def name_vocabulary(folder, **files):
    """Removes all files that name tokens, and writes others."""
    for path in [*folder.glob("vocab*"), *folder.glob("*token*")]:
        path.unlink()
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


SWAPPED = vocabulary(AAT=7, AAC=6)
WRONG_ORDER = r"'AAC' \(index 6\) must be 'AAT'"


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer": {"model": {"vocab": vocabulary()}}},
        {"tokenizer": {"model": {"vocab": [[t, 0.0] for t in kmer.vocabulary(3)]}}},
        {"vocab": vocabulary()},
        {"vocab": vocabulary(), "added_tokens": {"[MASK]": 4}},
        {
            "vocab": vocabulary(),
            "tokenizer": {
                "model": {"vocab": vocabulary()},
                "added_tokens": [{"id": 0, "content": "[PAD]"}],
            },
            "special_tokens_map": {"unk_token": {"content": "[UNK]"}},
            "tokenizer_config": {
                "model_max_length": 10**30,
                "added_tokens_decoder": {"3": {"content": "[SEP]"}},
            },
        },
    ],
)
def test_vocabularies_in_any_file(written, files):
    _, folder = written
    name_vocabulary(folder, **files)
    hf_bert.read(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"tokenizer": {"model": {"vocab": SWAPPED}}},
            "tokenizer.json: " + WRONG_ORDER,
        ),
        ({"vocab": SWAPPED}, "vocab.json: " + WRONG_ORDER),
        (
            {"vocab": vocabulary(), "tokenizer": {"model": {"vocab": SWAPPED}}},
            "tokenizer.json: " + WRONG_ORDER,
        ),
        ({"vocab": vocabulary(AAC=6)}, "both have the index 6"),
        ({"vocab": vocabulary(XXX=69)}, "'XXX' .index 69. is beyond"),
        ({"vocab": vocabulary(AAT=-1)}, "'AAT' .index -1. is beyond"),
        ({"vocab": {"[PAD]": 0}}, "vocab.json has 1 tokens, not 69"),
        ({"vocab": vocabulary(AAT="6")}, "'AAT' has the index '6', which must be"),
        ({"vocab": vocabulary(AAT=True)}, "'AAT' has the index True"),
        ({"vocab": []}, "vocab.json is not a JSON object"),
        ({"tokenizer": {"model": 3}}, "tokenizer.json has no vocabulary"),
        (
            {"tokenizer": {"model": {"vocab": [[1, 0.0]]}}},
            "1 .index 0. must be ",
        ),
        (
            {"added_tokens": {"[MASK]": 3}},
            r"'\[MASK\]' .index 3. must be ",
        ),
        ({"added_tokens": {"N": 69}}, "'N' .index 69. is beyond"),
        (
            {"tokenizer": {"model": {"vocab": vocabulary()}, "added_tokens": [3]}},
            "tokenizer.json: added_tokens",
        ),
        (
            {"tokenizer_config": {"added_tokens_decoder": {"0": {"content": "x"}}}},
            "tokenizer_config.json: 'x' .index 0. must be ",
        ),
        ({"tokenizer_config": {"added_tokens_decoder": {"a": "x"}}}, "must be an int"),
        ({"special_tokens_map": {"mask_token": "<mask>"}}, "mask_token is '<mask>'"),
    ],
)
def test_vocabularies_that_are_not_ours(written, files, message):
    _, folder = written
    name_vocabulary(folder, **files)
    with pytest.raises(ValueError, match=message) as error:
        hf_bert.read(folder)
    assert "\n" not in str(error.value)


def test_no_vocabulary_is_told(written):
    _, folder = written
    name_vocabulary(folder)
    with pytest.warns(UserWarning, match="hf has no vocab.txt"):
        hf_bert.read(folder)


def heads(weights):
    return [name for name in weights if name.startswith("cls.")]


def test_an_encoder_without_a_head_gets_a_fresh_one(written):
    model, folder = written

    def classify(weights):
        for name in heads(weights):
            del weights[name]
        weights["classifier.weight"] = np.zeros((2, 8), "float32")

    change(folder, classify)
    with pytest.warns(UserWarning, match=r"no masked-LM head.*classifier.weight"):
        found, _ = hf_bert.read(folder)
    for ours, theirs in zip(
        model.backbone.weights, found.backbone.weights, strict=True
    ):
        np.testing.assert_array_equal(harness.array(ours), harness.array(theirs))
    with pytest.warns(UserWarning, match="no masked-LM head"):
        again, _ = hf_bert.read(folder)
    np.testing.assert_array_equal(
        harness.array(found.transform.kernel), harness.array(again.transform.kernel)
    )
    assert np.std(harness.array(found.transform.kernel)) > 0


def test_half_a_head_is_an_error(written):
    _, folder = written
    change(folder, lambda w: w.pop("cls.predictions.bias"))
    with pytest.raises(ValueError, match=r"has no weight 'cls.predictions.bias'"):
        hf_bert.read(folder)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model.", "bert."]
)
def test_what_a_model_was_wrapped_in_is_taken_off(written, prefix):
    model, folder = written

    def wrap(weights):
        for name in list(weights):
            weights[prefix + name] = weights.pop(name)

    change(folder, wrap)
    found, _ = hf_bert.read(folder)
    for ours, theirs in zip(model.weights, found.weights, strict=True):
        np.testing.assert_array_equal(harness.array(ours), harness.array(theirs))


def split(folder, **moved):
    """Splits the weights into two files with their index."""
    weights = safetensors.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, parts = {}, ({}, {})
    for n, (name, value) in enumerate(sorted(weights.items())):
        parts[n % 2][name] = value
        names[name] = f"part-{n % 2}-of-2.safetensors"
    for n, part in enumerate(parts):
        safetensors.save_file(part, folder / f"part-{n}-of-2.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {**names, **moved}}))
    return index


def test_weights_in_parts(written):
    model, folder = written
    split(folder)
    found, _ = hf_bert.read(folder)
    for ours, theirs in zip(model.weights, found.weights, strict=True):
        np.testing.assert_array_equal(harness.array(ours), harness.array(theirs))


@pytest.mark.parametrize(
    ("moved", "message"),
    [
        ({"cls.predictions.bias": "../part-0-of-2.safetensors"}, "not the name of"),
        ({"cls.predictions.bias": "/etc/passwd"}, "not the name of"),
        ({"cls.predictions.bias": ".hidden.safetensors"}, "not the name of"),
        ({"cls.predictions.bias": "config.json"}, "not the name of"),
        ({"cls.predictions.bias": ["a"]}, "not the name of"),
        (
            {"cls.predictions.bias": "part-3-of-2.safetensors"},
            "cannot be read: No such",
        ),
        ({"x": "part-0-of-2.safetensors"}, "part-0-of-2.safetensors has no weight 'x'"),
    ],
)
def test_an_index_of_other_parts(written, moved, message):
    _, folder = written
    split(folder, **moved)
    if message.startswith("cannot"):
        (folder / "part-0-of-2.safetensors").rename(folder / "a")
    with pytest.raises(ValueError, match=message):
        hf_bert.read(folder)


def test_parts_without_their_index_and_left_over_weights(written):
    _, folder = written
    index = split(folder)
    content = json.loads(index.read_text())
    del content["weight_map"]["cls.predictions.bias"]
    index.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="unlisted weight 'cls.predictions"):
        hf_bert.read(folder)
    index.write_text("{}")
    with pytest.raises(ValueError, match="has no weight_map"):
        hf_bert.read(folder)
    index.unlink()
    with pytest.raises(ValueError, match="only shards such as part-0-of-2.safetensors"):
        hf_bert.read(folder)


@pytest.mark.parametrize(
    "file", ["model.safetensors", "config.json", "vocab.txt", "special_tokens_map.json"]
)
def test_pointers_of_git_lfs(written, file):
    _, folder = written
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1\n"
    (folder / file).write_text(text)
    with pytest.raises(ValueError, match=f"{file} is a Git LFS pointer"):
        hf_bert.read(folder)


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 1 << 40]}},
        {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}},
        {"a": {"dtype": "X", "shape": [1], "data_offsets": [0, 4]}},
        {
            "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        },
        {"a": {"dtype": "F32", "shape": [0, 1 << 62, 9], "data_offsets": [0, 0]}},
        None,
    ],
)
def test_headers_of_safetensors(written, header):
    _, folder = written
    text = b"" if header is None else json.dumps(header).encode()
    size = 1 << 50 if header is None else len(text)
    (folder / "model.safetensors").write_bytes(
        size.to_bytes(8, "little") + text + bytes(4)
    )
    with pytest.raises(ValueError, match=r"model.safetensors") as error:
        hf_bert.read(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        {"hidden_size": 1 << 12},
        {"num_hidden_layers": 200},
        {"intermediate_size": 90000},
    ],
)
def test_a_config_of_a_larger_model_is_seen_first(written, values, monkeypatch):
    _, folder = written
    edit(folder, **values)
    monkeypatch.setattr(bert, "build", None)
    with pytest.raises(ValueError, match=r"has no weight|has [\d,]+ parameters"):
        hf_bert.read(folder)
