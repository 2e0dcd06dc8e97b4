import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from genomenet.dna import alphabet, kmer
from genomenet.layers import precision
from genomenet.models import bert
from tests import harness


def config(**fields):
    values = {**harness.BERT, "masking": "kmer_span", **fields}
    return bert.Config(**values)


def build(**fields):
    model = bert.build(config(**fields))
    harness.set_weights(model.weights, scale=0.1)
    return model


def batch_of(rows=4, length=40, seed=0, cut=17):
    rng = np.random.default_rng(seed)
    bases = rng.integers(0, 4, (rows, length)).astype("uint8")
    bases[0, 5] = alphabet.N
    segment = np.ones((rows, length), "uint8")
    segment[1:, cut:] = 2
    segment[:, -1] = 0
    bases[segment == 0] = alphabet.PAD
    key = rng.integers(0, 2**32, (rows, 2), dtype=np.uint32)
    return {"bases": bases, "segment": segment, "key": key}


def test_padding_changes_no_vector():
    harness.check_padding(bert, build())


@pytest.mark.parametrize("masking", ["genemask", "kmer_span", "token"])
def test_objective(masking):
    model = build(masking=masking)
    batch = batch_of()
    result = bert.loss(model, batch, training=True)
    assert float(ops.max(result.weight)) > 1
    for value in (result.per_example, result.weight):
        assert tuple(value.shape) == (4,)
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
    weights = model.trainable_weights

    def total():
        return ops.mean(bert.loss(model, batch, training=True).per_example)

    for weight, gradient in zip(
        weights, harness.gradients(total, weights), strict=True
    ):
        assert gradient is not None, weight.path
        assert np.abs(gradient).max() > 0, weight.path
    with precision.policy("mixed_bfloat16"):
        mixed = bert.build(model.config)
        mixed.set_weights(model.get_weights())
        rounded = bert.loss(mixed, batch, training=True)
    np.testing.assert_allclose(
        harness.array(rounded.per_example), harness.array(result.per_example), rtol=0.05
    )


def test_loss_is_that_of_the_whole_head():
    model = build()
    batch = batch_of()
    tokens = model.tokens(batch["bases"], segment=batch["segment"])
    masked = bert.objective.mask(model.config, tokens, batch["key"])
    states = model.backbone.encode({**tokens, "token_ids": masked.inputs})
    logits = harness.array(model.predict_tokens(states)).astype("float64")
    targets = harness.array(tokens["token_ids"])
    selected = harness.array(masked.selected)
    logits -= logits.max(-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    nats = -np.take_along_axis(logits, targets[..., None], -1)[..., 0]
    result = bert.loss(model, batch, training=False)
    count = selected.sum(1)
    np.testing.assert_array_equal(harness.array(result.weight), count)
    np.testing.assert_allclose(
        harness.array(result.per_example),
        (nats * selected).sum(1) / np.maximum(count, 1),
        rtol=1e-4,
    )
    hits = (logits.argmax(-1) == targets)[selected].mean()
    np.testing.assert_allclose(float(result.metrics["accuracy"]), hits, rtol=1e-5)
    is_hidden = selected & (harness.array(masked.inputs) == kmer.MASK_ID)
    hits = (logits.argmax(-1) == targets)[is_hidden].mean()
    found, weight = result.metrics["accuracy_hidden"]
    np.testing.assert_allclose(float(found), hits, rtol=1e-5)
    assert float(weight) == is_hidden.sum()


def test_no_target_is_no_loss():
    model = build(mlm_probability=0.0)
    result = bert.loss(model, batch_of(), training=True)
    assert not harness.array(result.per_example).any()
    assert not harness.array(result.weight).any()
    assert float(result.metrics["accuracy"]) == 0


def test_training_keeps_to_the_limit_and_says_so():
    model = build(max_predictions=6, mlm_probability=0.5)
    batch = batch_of()
    trained = bert.loss(model, batch, training=True)
    assert harness.array(trained.weight).max() <= 6
    assert float(trained.metrics["dropped"][0]) > 0
    judged = bert.loss(model, batch, training=False)
    assert harness.array(judged.weight).max() > 6
    assert float(judged.metrics["dropped"][0]) == 0


def test_a_packed_row_is_the_sum_of_its_sequences():
    model, cut = build(), 17
    batch = batch_of(cut=cut)
    packed = bert.loss(model, batch, training=False)
    totals, counts = np.zeros(4), np.zeros(4)
    for number, columns in ((1, slice(0, cut)), (2, slice(cut, None))):
        is_here = batch["segment"] == number
        is_here[0] = (batch["segment"][0] == 1) & (number == 1)
        length = 40
        bases = np.full((4, length), alphabet.PAD, "uint8")
        segment = np.zeros((4, length), "uint8")
        for row in range(4):
            part = batch["bases"][row, is_here[row]]
            bases[row, : len(part)] = part
            segment[row, : len(part)] = number
        del columns
        alone = {"bases": bases, "segment": segment, "key": batch["key"]}
        result = bert.loss(model, alone, training=False)
        count = harness.array(result.weight)
        totals += harness.array(result.per_example) * count
        counts += count
    np.testing.assert_array_equal(harness.array(packed.weight), counts)
    np.testing.assert_allclose(
        harness.array(packed.per_example) * counts, totals, rtol=1e-4
    )


def test_the_trivial_baseline_counts_k_mers():
    model = build(masking="token", mlm_probability=0.5)
    bases = np.zeros((3, 40), "uint8")
    bases[:, 20:] = 3
    batch = {"bases": bases, "key": np.arange(6, dtype="uint32").reshape(3, 2)}
    found = bert.trivial_baseline(model, [batch] * 50, [batch])
    tokens = kmer.tokenize(bases[0], 3)
    frequency = np.bincount(tokens, minlength=69) / len(tokens)
    entropy = -sum(f * np.log(f) for f in frequency if f)
    assert 0.3 < found["accuracy"] < 0.7
    assert abs(found["loss"] - entropy) < 0.5
    assert bert.trivial_baseline(model, [], []) == {}


@pytest.mark.parametrize("pool", bert.POOLS)
def test_padding_changes_no_embedding(pool):
    model = build()
    bases = batch_of()["bases"][1:, :30]
    padded = np.pad(bases, ((0, 0), (0, 8)), constant_values=alphabet.PAD)
    found = harness.array(bert.embed(model, {"bases": bases}, pool))
    again = harness.array(bert.embed(model, {"bases": padded}, pool))
    if pool == "none":
        assert found.shape == (3, len(bert.spans(model.config, 30)), 16)
        again = again[:, : found.shape[1]]
    np.testing.assert_allclose(found, again, atol=1e-5)


@pytest.mark.parametrize(("blocks", "half"), [(1, 1), (2, 1), (3, 2)])
def test_readouts_read_the_states_that_they_name(blocks, half):
    model = build(num_hidden_layers=blocks)
    bases = batch_of()["bases"][:, :30]
    states, _ = model.backbone.encode(model.tokens(bases), return_all=True)
    for name, layer in (("mean", -1), ("middle_mean", half), ("embeddings_mean", 0)):
        expected = harness.array(states[layer])[:, 1:-1].mean(1)
        found = harness.array(bert.embed(model, {"bases": bases}, name))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_pools_are_what_they_say():
    model = build()
    bases = batch_of()["bases"][:, :30]
    tokens = harness.array(bert.embed(model, {"bases": bases}, "none"))
    for pool, expected in (("mean", tokens.mean(1)), ("max", tokens.max(1))):
        found = harness.array(bert.embed(model, {"bases": bases}, pool))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(ValueError, match="no pool 'last'; it has mean, cls, max, none"):
        bert.embed(model, {"bases": bases}, "last")


def test_too_long_a_sequence():
    model = build()
    bases = np.zeros((1, 41), "uint8")
    with pytest.raises(ValueError, match="41 bases are more than the model reads"):
        bert.embed(model, {"bases": bases})
    with pytest.raises(ValueError, match="41 tokens are more than 40 positions"):
        model({"bases": bases})


def test_called_with_bases_or_with_tokens(tmp_path):
    model = build(pooler=True)
    bases = batch_of()["bases"][:, :30]
    tokens = model.tokens(bases)
    given = {name: tokens[name] for name in ("token_ids", "padding_mask")}
    from_bases, from_tokens = model({"bases": bases}), model(given)
    assert set(from_bases) == {"logits", "sequence_output", "pooled_output"}
    for name, value in from_bases.items():
        np.testing.assert_allclose(
            harness.array(value), harness.array(from_tokens[name]), atol=1e-6
        )
    assert tuple(from_bases["logits"].shape) == (4, 30, 69)
    file = tmp_path / "model.keras"
    model.save(file)
    loaded = keras.saving.load_model(file)
    np.testing.assert_allclose(
        harness.array(loaded({"bases": bases})["logits"]),
        harness.array(from_bases["logits"]),
        atol=1e-5,
    )


def test_config_round_trip_and_its_limits():
    found = config()
    assert bert.from_dict(bert.to_dict(found)) == found
    assert found.max_length == 40
    for fields, message in (
        ({"kmer": 2}, "kmer must be 3 to 8"),
        ({"hidden_size": 15}, "hidden_size=15"),
        ({"masking": "all"}, "masking must be one of"),
        ({"mlm_probability": 1.0}, "mlm_probability must be a share"),
        ({"length": 60}, "more than max_position_embeddings=40 can hold"),
        ({"length": 7}, "must be at least"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be an integer >= 1"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(found, **fields)
    with pytest.raises(ValueError, match="has no 'layers'"):
        bert.from_dict({"layers": 3})
