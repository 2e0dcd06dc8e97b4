import keras
import numpy as np
import pytest

from genomenet.training import schedule, settings


def rates(decay, steps=10, warmup_steps=4):
    law = schedule.WarmupDecay(
        peak=2.0, steps=steps, warmup_steps=warmup_steps, decay=decay
    )
    return np.array([float(law(step)) for step in range(steps + 1)])


@pytest.mark.parametrize("decay", settings.SCHEDULES)
def test_warm_up_is_linear(decay):
    np.testing.assert_allclose(rates(decay)[:4], [0.5, 1.0, 1.5, 2.0])


def test_decays():
    np.testing.assert_allclose(rates("constant")[4:], 2.0)
    np.testing.assert_allclose(rates("linear")[4:], np.linspace(2, 0, 7), atol=1e-6)
    cosine = 1 + np.cos(np.linspace(0, np.pi, 7))
    np.testing.assert_allclose(rates("cosine")[4:], cosine, atol=1e-6)


def test_optimizer_is_adam_and_spares_biases_from_decay():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    plain = schedule.make_optimizer(settings.Settings(), model)
    assert plain.weight_decay is None
    kernel, bias = (w.numpy().copy() for w in model.weights)
    bias += 1
    model.weights[1].assign(bias)
    decaying = schedule.make_optimizer(
        settings.Settings(weight_decay=0.5, learning_rate=0.1), model
    )
    decaying.apply([np.zeros_like(kernel), np.zeros_like(bias)], model.weights)
    np.testing.assert_allclose(model.weights[0], kernel * (1 - 0.05), rtol=1e-6)
    np.testing.assert_allclose(model.weights[1], bias)
