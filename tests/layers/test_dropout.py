import keras
import numpy as np
import pytest
from keras import ops

from genomenet.layers import dropout
from tests import harness


def test_harness(tmp_path):
    x = np.ones((2, 3, 4), "float32")
    harness.check_layer(lambda: dropout.Dropout(0.5), x, shape=(2, 3, 4), path=tmp_path)


def test_a_share_is_dropped_and_the_rest_scaled():
    layer = dropout.Dropout(0.2)
    x = np.full((100, 1000), 2.0, "float32")
    y = np.asarray(layer(x, training=True))
    np.testing.assert_allclose(np.unique(y), [0.0, 2.5], rtol=1e-6)
    assert abs((y == 0).mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / y.size)
    again = np.asarray(layer(x, training=True))
    both = ((y == 0) & (again == 0)).mean()
    assert abs(both - 0.04) < 0.005
    # Neither rows nor columns are alike.
    assert (y == 0).mean(0).std() < 0.06
    assert (y == 0).mean(1).std() < 0.02


def test_nothing_is_dropped_at_inference():
    layer, x = dropout.Dropout(0.9), np.ones((3, 4), "float32")
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(dropout.Dropout(0.0)(x, training=True), x)


def test_half_precision_is_kept():
    layer = dropout.Dropout(0.5, dtype="mixed_bfloat16")
    y = layer(ops.ones((2, 3), "bfloat16"), training=True)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"


def test_the_state_goes_on():
    layer, x = dropout.Dropout(0.5), np.ones((1, 64), "float32")
    state = np.asarray(layer.seed_generator.state.value)
    first = np.asarray(layer(x, training=True))
    second = np.asarray(layer(x, training=True))
    assert (first != second).any()
    layer.seed_generator.state.assign(state)
    np.testing.assert_array_equal(layer(x, training=True), first)


def test_a_rate_of_one_is_refused():
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\), got 1"):
        dropout.Dropout(1.0)
