import keras
import numpy as np
import pytest
from keras import ops

from genomenet.layers import transformer
from tests import harness


def make_block(**options):
    return transformer.EncoderBlock(2, 12, **options)


def make_embedding():
    return transformer.TokenEmbedding(11, 8, max_positions=9)


def states(rows=3, length=5, width=8, seed=0):
    x = np.random.default_rng(seed).standard_normal((rows, length, width))
    return x.astype("float32")


def test_harness_of_the_block(tmp_path):
    harness.check_layer(make_block, states(), shape=(3, 5, 8), path=tmp_path)


def test_embedding_is_the_normalised_sum():
    layer = make_embedding()
    ids = np.array([[3, 0, 10], [1, 1, 1]], "int32")
    layer(ids)
    harness.set_weights(layer.weights)
    tokens, positions, types = (
        harness.array(w) for w in (layer.tokens, layer.positions, layer.types)
    )
    for places, given in (([0, 1, 2], None), ([5, 0, 8], np.int32([[5, 0, 8]] * 2))):
        x = tokens[ids] + positions[places] + types[0]
        centred = x - x.mean(-1, keepdims=True)
        x = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        x = x * harness.array(layer.norm.gamma) + harness.array(layer.norm.beta)
        np.testing.assert_allclose(
            harness.array(layer(ids, given)), x, atol=1e-5, rtol=1e-5
        )


def test_what_is_masked_changes_nothing():
    block, x = make_block(), states()
    mask = np.ones((3, 1, 1, 5), bool)
    mask[..., 3:] = False
    before = harness.array(block(x, mask))
    changed = x.copy()
    changed[:, 3:] += 7
    after = harness.array(block(changed, mask))
    np.testing.assert_allclose(after[:, :3], before[:, :3], atol=1e-6)
    assert np.abs(harness.array(block(changed))[:, :3] - before[:, :3]).max() > 1e-3


def test_scores_are_those_of_the_fast_way():
    block, x = make_block(), states()
    block(x)
    harness.set_weights(block.trainable_weights)
    mask = np.random.default_rng(1).random((3, 1, 5, 5)) < 0.5
    mask |= np.eye(5, dtype=bool)
    found, scores = block(x, mask, return_scores=True)
    np.testing.assert_allclose(
        harness.array(found), harness.array(block(x, mask)), atol=1e-5
    )
    scores = harness.array(scores)
    assert scores.shape == (3, 2, 5, 5)
    np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-5)
    assert not scores[~np.broadcast_to(mask, scores.shape)].any()


def test_attention_weights_are_dropped_in_training_only():
    block, x = make_block(attention_dropout=0.5), states()
    still = harness.array(block(x, training=False))
    np.testing.assert_array_equal(still, harness.array(block(x, training=False)))
    dropped = harness.array(block(x, training=True))
    assert np.abs(dropped - still).max() > 1e-6
    assert np.isfinite(dropped).all()


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match="9 channels for 2 heads"):
        make_block()(ops.zeros((1, 2, 9)))


def test_wanted_tokens_alone_are_the_same():
    layer = transformer.EncoderBlock(2, 16)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 8)).astype("float32")
    segment = np.array([[1, 1, 1, 2, 2, 2, 0], [1] * 7])
    mask = segment[:, None, :, None] == segment[:, None, None, :]
    at = np.array([[5, 0, 3], [6, 6, 1]])
    whole, scores = layer(x, mask, return_scores=True)
    some, of_some = layer(x, mask, at=at, return_scores=True)
    rows = np.arange(2)[:, None]
    np.testing.assert_allclose(some, np.asarray(whole)[rows, at], atol=1e-6)
    expected = np.moveaxis(np.asarray(scores), 1, 2)[rows, at]
    np.testing.assert_allclose(np.moveaxis(of_some, 1, 2), expected, atol=1e-6)
    np.testing.assert_allclose(layer(x, mask, at=at), some, atol=1e-6)


def test_fresh_positions_are_waves_of_the_usual_spread():
    layer = transformer.TokenEmbedding(11, 64, max_positions=128, stddev=0.02)
    layer(np.zeros((1, 3), "int32"))
    found = harness.array(layer.positions)
    assert np.sqrt((found**2).mean()) == pytest.approx(0.02, rel=1e-4)
    # How like two positions are depends on how far apart they are, and on no more.
    products = found @ found.T
    for distance in (1, 2, 5, 60):
        along = np.diagonal(products, distance)
        np.testing.assert_allclose(along, along[0], atol=1e-6)
    assert products[0, 0] > products[0, 1] > products[0, 2] > products[0, 5]
    odd = transformer.TokenEmbedding(11, 7, max_positions=1)
    odd(np.zeros((1, 1), "int32"))
    assert harness.array(odd.positions).shape == (1, 7)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="is done on JAX alone")
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_rows_taken_for_a_gpu_have_the_same_gradient(monkeypatch, dtype):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 12, (4, 9)).astype("int32")
    positions = np.tile(np.arange(9, dtype="int32"), (4, 1))
    seen = rng.normal(size=(4, 9, 8)).astype("float32")
    layer = transformer.TokenEmbedding(12, 8, max_positions=9, dtype=dtype)
    layer.build()

    def total():
        output = layer(ids, positions)
        return ops.sum(ops.cast(output, "float32") * seen)

    plain = harness.gradients(total, layer.trainable_variables)
    monkeypatch.setattr(transformer, "_adds_slowly", lambda: True)
    of_product = harness.gradients(total, layer.trainable_variables)
    for one, other in zip(plain, of_product, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gelu_and_its_gradient_are_those_of_keras(dtype):
    x = keras.Variable(np.linspace(-6, 6, 101), dtype=dtype)
    seen = ops.cast(np.linspace(1, 2, 101), dtype)
    of_keras = lambda y: ops.gelu(y, approximate=False)  # noqa: E731
    [found], [wanted] = (
        harness.gradients(lambda f=f: ops.sum(f(x.value) * seen), [x])
        for f in (transformer.gelu, of_keras)
    )
    room = 1e-6 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(
        harness.array(ops.cast(transformer.gelu(x.value), "float32")),
        harness.array(ops.cast(of_keras(x.value), "float32")),
        atol=room,
    )
    np.testing.assert_allclose(
        np.asarray(found, "float32"), np.asarray(wanted, "float32"), atol=room
    )
