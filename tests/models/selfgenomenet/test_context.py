import keras
import numpy as np
import pytest
from keras import ops

from genomenet.dna import alphabet, encode
from genomenet.models.selfgenomenet import context
from tests import harness

KERNEL_SIZE, STRIDE = 6, 3


def bases_of(num_patches, rows=3, seed=0):
    length = (num_patches - 1) * STRIDE + KERNEL_SIZE
    return np.random.default_rng(seed).integers(0, 5, (rows, length)).astype("uint8")


def make(units=7, filters=11, fold=True):
    return context.ContextNet(
        units, filters=filters, kernel_size=KERNEL_SIZE, stride=STRIDE, fold=fold
    )


def build(**kwargs):
    net = make(**kwargs)
    net.build((None, None))
    harness.set_weights(net.trainable_weights)
    return net


def lstm_of(net):
    """Returns Conv1D and LSTM of Keras with the weights of a context network."""
    conv = keras.layers.Conv1D(net.encoder.filters, KERNEL_SIZE, strides=STRIDE)
    conv.build((None, None, 4))
    conv.set_weights([net.encoder.kernel, net.encoder.bias])
    lstm = keras.layers.LSTM(net.units, return_sequences=True)
    lstm.build((None, None, net.encoder.filters))
    lstm.set_weights([net.kernel, net.cell.recurrent_kernel, net.bias])
    return conv, lstm


@pytest.mark.parametrize("num_patches", [4, 65], ids=["unrolled", "looped"])
def test_harness(num_patches, tmp_path):
    harness.check_layer(
        make, bases_of(num_patches), shape=(3, num_patches, 7), path=tmp_path
    )


@pytest.mark.parametrize("num_patches", [1, 2, 22, 64, 65])
def test_equals_the_layers_of_keras(num_patches):
    bases = bases_of(num_patches)
    net = build()
    conv, lstm = lstm_of(net)
    np.testing.assert_allclose(
        harness.array(net(bases)),
        harness.array(lstm(conv(encode.one_hot(bases)))),
        atol=1e-5,
    )


@pytest.mark.parametrize("num_patches", [22, 70])
def test_folded_equals_unfolded_in_states_and_gradients(num_patches):
    bases = bases_of(num_patches)
    folded, unfolded = build(), build(fold=False)
    np.testing.assert_allclose(
        harness.array(folded(bases)), harness.array(unfolded(bases)), atol=1e-5
    )
    for ours, theirs in zip(folded.weights, unfolded.weights, strict=True):
        np.testing.assert_array_equal(harness.array(ours), harness.array(theirs))

    found = [
        harness.gradients(lambda net=net: ops.mean(net(bases) ** 2), net.weights)
        for net in (folded, unfolded)
    ]
    for weight, ours, theirs in zip(folded.weights, *found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=weight.path)


@pytest.mark.parametrize("num_patches", [1, 2, 22, 64, 65])
def test_gradients_equal_those_of_keras(num_patches):
    bases = bases_of(num_patches)
    net = build()
    conv, lstm = lstm_of(net)
    hot = encode.one_hot(bases)
    ours = harness.gradients(
        lambda: ops.mean(net(bases) ** 2),
        [net.encoder.kernel, net.encoder.bias, *_lstm_weights(net)],
    )
    theirs = harness.gradients(
        lambda: ops.mean(lstm(conv(hot)) ** 2), [*conv.weights, *lstm.weights]
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def _lstm_weights(net):
    return [net.kernel, net.cell.recurrent_kernel, net.bias]


def test_weights_are_those_of_keras_and_counted_once():
    net = make(units=5, filters=9)
    net.build((None, None))
    conv, lstm = lstm_of(net)
    assert net.count_params() == conv.count_params() + lstm.count_params()
    assert len({w.path for w in net.weights}) == len(net.weights) == 5


def test_starts_as_keras_starts():
    net = make(units=4)
    net.build((None, None))
    _, lstm = lstm_of(net)
    np.testing.assert_array_equal(
        harness.array(net.bias), np.repeat([0.0, 1.0, 0.0, 0.0], 4)
    )
    assert isinstance(lstm.cell.kernel_initializer, keras.initializers.GlorotUniform)
    recurrent = harness.array(net.cell.recurrent_kernel)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(4), atol=1e-5)


def test_a_state_sees_no_later_patch():
    bases = bases_of(9, rows=1)
    net = build()
    before = harness.array(net(bases))
    for patch in range(8):
        end = patch * STRIDE + KERNEL_SIZE
        changed = bases.copy()
        changed[:, end:] = 3 - np.minimum(changed[:, end:], 3)
        after = harness.array(net(changed))
        np.testing.assert_array_equal(after[:, : patch + 1], before[:, : patch + 1])
        assert np.abs(after[:, patch + 1 :] - before[:, patch + 1 :]).max() > 1e-4


@pytest.mark.parametrize("num_patches", [5, 31, 70])
def test_padding_on_the_right_changes_no_earlier_state(num_patches):
    bases = bases_of(num_patches)
    padded = np.pad(bases, ((0, 0), (0, 11)), constant_values=alphabet.PAD)
    net = build()
    np.testing.assert_allclose(
        harness.array(net(padded))[:, :num_patches],
        harness.array(net(bases)),
        atol=1e-6,
    )
