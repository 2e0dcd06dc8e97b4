import keras
import numpy as np
import pytest
from keras import ops

from genomenet.dna import alphabet, encode
from genomenet.models.selfgenomenet import encoder
from tests import harness


def draw(*shape, seed=0, highest=alphabet.PAD):
    return np.random.default_rng(seed).integers(0, highest + 1, shape).astype("uint8")


def make(filters=8, kernel_size=6, stride=3):
    return encoder.PatchEncoder(filters, kernel_size=kernel_size, stride=stride)


def test_harness(tmp_path):
    harness.check_layer(make, draw(2, 20), shape=(2, 5, 8), path=tmp_path)


@pytest.mark.parametrize(
    ("kernel_size", "stride", "length"), [(24, 6, 150), (40, 20, 1000), (5, 2, 12)]
)
def test_equals_a_convolution_of_one_hot_bases(kernel_size, stride, length):
    bases = draw(3, length)
    layer = make(16, kernel_size, stride)
    layer.build((None, length))
    harness.set_weights(layer.weights)
    reference = keras.layers.Conv1D(16, kernel_size, strides=stride, padding="valid")
    reference.build((None, length, 4))
    reference.set_weights(layer.get_weights())
    np.testing.assert_allclose(
        harness.array(layer(bases)),
        harness.array(reference(encode.one_hot(bases))),
        atol=1e-5,
    )


def test_patches_are_one_hot_in_the_order_acgt():
    bases = encode.encode("ACGTNA")[None]
    patches = harness.array(make(1, 4, 2).patches(bases))
    a, c, g, t = np.eye(4)
    none = np.zeros(4)
    np.testing.assert_array_equal(
        patches, [[np.concatenate([a, c, g, t]), np.concatenate([g, t, none, a])]]
    )


def test_n_and_padding_add_nothing():
    layer = make()
    layer.build((None, None))
    harness.set_weights(layer.weights)
    for code in (alphabet.N, alphabet.PAD):
        y = harness.array(layer(np.full((1, 9), code, "uint8")))
        np.testing.assert_allclose(
            y, np.broadcast_to(harness.array(layer.bias), y.shape), atol=1e-7
        )


def test_fold_composes_with_a_linear_map():
    layer = make()
    layer.build((None, None))
    harness.set_weights(layer.weights)
    rng = np.random.default_rng(1)
    kernel, bias = rng.standard_normal((8, 5)), rng.standard_normal(5)
    kernel, bias = ops.cast(kernel, "float32"), ops.cast(bias, "float32")
    bases = draw(2, 20)
    folded_kernel, folded_bias = layer.fold(kernel, bias)
    assert tuple(folded_kernel.shape) == (24, 5)
    np.testing.assert_allclose(
        harness.array(ops.matmul(layer.patches(bases), folded_kernel) + folded_bias),
        harness.array(ops.matmul(layer(bases), kernel) + bias),
        atol=1e-5,
    )


@pytest.mark.parametrize("length", [0, 1, 5])
def test_too_short_for_a_patch(length):
    with pytest.raises(
        ValueError, match=f"{length} bases are fewer than one patch of 6"
    ):
        make()(np.zeros((2, length), "uint8"))
