import keras
import numpy as np
import pytest
from keras import ops

from genomenet.dna import encode
from genomenet.models import selfgenomenet
from genomenet.models.selfgenomenet import config as config_lib
from tests import harness

SMALL = {"length": 30, "kernel_size": 6, "stride": 3, "filters": 11, "units": 7}
BATCH = 4


def build(**kwargs):
    values = {**SMALL, "gaps": (1, 3), **kwargs}
    model = selfgenomenet.build(selfgenomenet.Config(**values))
    harness.set_weights(model.weights, scale=0.5)
    return model


def draw(rows=BATCH, length=SMALL["length"], seed=0):
    return np.random.default_rng(seed).integers(0, 5, (rows, length)).astype("uint8")


def states_of(model, bases):
    """Conv1D and LSTM of Keras on one-hot bases: (latents, states), both arrays."""
    net, config = model.context_net, model.config
    conv = keras.layers.Conv1D(
        config.filters, config.kernel_size, strides=config.stride
    )
    conv.build((None, None, 4))
    conv.set_weights([net.encoder.kernel, net.encoder.bias])
    lstm = keras.layers.LSTM(config.units, return_sequences=True)
    lstm.build((None, None, config.filters))
    lstm.set_weights([net.kernel, net.cell.recurrent_kernel, net.bias])
    latents = conv(encode.one_hot(bases))
    return harness.array(latents), harness.array(lstm(latents))


def project(model, index, state):
    kernel, bias = map(harness.array, model.projections[index].weights)
    return state @ kernel + bias


def score(logits, label):
    """Returns cross-entropy and whether the label is the best, of one row."""
    logits = np.asarray(logits, "float64")
    top = logits.max()
    return top + np.log(np.exp(logits - top).sum()) - logits[label], (
        int(np.argmax(logits)) == label
    )


def directions(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def two_strands(model, bases, *, complemented=True, middle=False):
    temperature = model.config.temperature
    other = [encode.reverse_complement(b) if complemented else b[::-1] for b in bases]
    _, c = states_of(model, np.concatenate([bases, np.stack(other)]))
    num_rows, num_patches, _ = c.shape
    per_gap, hits = [], []
    for index, gap in enumerate(model.config.gaps):
        positions = list(range(1, num_patches - gap))
        if middle:
            positions = [positions[(len(positions) - 1) // 2]]
        loss, hit = np.zeros((len(positions), num_rows)), []
        for at, j in enumerate(positions):
            for r in range(num_rows):
                label = (r + num_rows // 2) % num_rows
                prediction = project(model, index, c[r, j - 1])
                columns = [s for s in range(num_rows) if s != r]
                targets = c[columns, num_patches - j - gap - 1]
                if temperature:
                    prediction = directions(prediction) / temperature
                    targets = directions(targets)
                logits = targets @ prediction
                loss[at, r], is_hit = score(logits, columns.index(label))
                hit.append(is_hit)
        per_gap.append(loss.mean(axis=0))
        hits.append(np.mean(hit))
    per_row = np.mean(per_gap, axis=0)
    half = num_rows // 2
    return (per_row[:half] + per_row[half:]) / 2, np.mean(hits), num_rows - 1


def forward(model, bases, *, middle=False):
    config = model.config
    _, c = states_of(model, bases)
    per_gap, hits = [], []
    for index, gap in enumerate(config.gaps):
        positions = list(range(1, config.num_patches - gap))
        if middle:
            positions = [positions[(len(positions) - 1) // 2]]
        loss, hit = np.zeros((len(positions), len(bases))), []
        for at, j in enumerate(positions):
            # The suffix, really read from its own first base.
            _, suffix = states_of(model, bases[:, (j + gap) * config.stride :])
            for r in range(len(bases)):
                logits = suffix[:, -1] @ project(model, index, c[r, j - 1])
                loss[at, r], is_hit = score(logits, r)
                hit.append(is_hit)
        per_gap.append(loss.mean(axis=0))
        hits.append(np.mean(hit))
    return np.mean(per_gap, axis=0), np.mean(hits), len(bases)


def cpc(model, bases):
    latents, c = states_of(model, bases)
    num_patches = c.shape[1]
    candidates = latents.reshape(-1, latents.shape[-1])
    per_gap, hits = [], []
    for index, gap in enumerate(model.config.gaps):
        loss, hit = np.zeros((num_patches - gap - 1, len(bases))), []
        for t in range(num_patches - gap - 1):
            for r in range(len(bases)):
                logits = candidates @ project(model, index, c[r, t])
                loss[t, r], is_hit = score(logits, r * num_patches + t + gap + 1)
                hit.append(is_hit)
        per_gap.append(loss.mean(axis=0))
        hits.append(np.mean(hit))
    return np.mean(per_gap, axis=0), np.mean(hits), len(candidates)


ORACLES = {
    "reverse_complement": two_strands,
    "reverse_complement_fixed": lambda *a: two_strands(*a, middle=True),
    "reverse": lambda *a: two_strands(*a, complemented=False),
    "reverse_fixed": lambda *a: two_strands(*a, complemented=False, middle=True),
    "forward": forward,
    "forward_fixed": lambda *a: forward(*a, middle=True),
    "cpc": cpc,
}


def test_every_objective_has_an_oracle():
    assert set(ORACLES) == set(config_lib.OBJECTIVES)


@pytest.mark.parametrize("objective", ORACLES)
@pytest.mark.parametrize("length", [30, 34])  # the second leaves bases over
def test_equals_the_oracle(objective, length):
    model = build(objective=objective, length=length)
    bases = draw(length=length)
    result = selfgenomenet.loss(model, {"bases": bases}, training=True)
    expected, accuracy, candidates = ORACLES[objective](model, bases)
    np.testing.assert_allclose(
        harness.array(result.per_example), expected, rtol=1e-5, atol=1e-5
    )
    np.testing.assert_array_equal(harness.array(result.weight), np.ones(BATCH))
    assert set(result.metrics) == {"accuracy", "chance"}
    assert float(result.metrics["accuracy"]) == pytest.approx(accuracy, abs=1e-6)
    assert float(result.metrics["chance"]) == pytest.approx(1 / candidates)
    baseline = selfgenomenet.trivial_baseline(model, [], [{"bases": bases}])
    assert baseline["accuracy"] == pytest.approx(1 / candidates)
    assert baseline["loss"] == pytest.approx(np.log(candidates))


@pytest.mark.parametrize("temperature", [0.1, 2.0])
@pytest.mark.parametrize("objective", ["reverse_complement", "reverse"])
def test_equals_the_oracle_of_directions(objective, temperature):
    model = build(objective=objective, temperature=temperature)
    bases = draw()
    found = selfgenomenet.loss(model, {"bases": bases}, training=True)
    expected, accuracy, _ = ORACLES[objective](model, bases)
    np.testing.assert_allclose(harness.array(found.per_example), expected, rtol=1e-5)
    assert harness.array(found.metrics["accuracy"]) == pytest.approx(accuracy)


@pytest.mark.parametrize("objective", ["forward", "cpc", "reverse_fixed"])
def test_other_objectives_have_no_temperature(objective):
    with pytest.raises(ValueError, match="has no temperature"):
        build(objective=objective, temperature=0.1)


@pytest.mark.parametrize("objective", ORACLES)
def test_harness(objective):
    harness.check_objective(
        selfgenomenet, build(objective=objective), {"bases": draw()}
    )


def test_the_middle_of_1000_bases_is_patch_24():
    """Methods: the published ablation scores j = 24 at P = 49 and gap 1."""
    config = selfgenomenet.Config(length=1000, kernel_size=40, stride=20, gaps=(1,))
    positions = range(1, config.num_patches - config.gaps[0])
    assert positions[(len(positions) - 1) // 2] == 24


def test_the_loss_does_not_depend_on_the_strand_given():
    model, bases = build(), draw()
    other = np.stack([encode.reverse_complement(row) for row in bases])
    found = [
        harness.array(
            selfgenomenet.loss(model, {"bases": x}, training=True).per_example
        )
        for x in (bases, other)
    ]
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_a_looped_network_has_the_same_loss():
    model = build(length=120)  # P = 39
    bases = draw(length=120)
    result = selfgenomenet.loss(model, {"bases": bases}, training=True)
    expected, accuracy, _ = two_strands(model, bases)
    np.testing.assert_allclose(harness.array(result.per_example), expected, rtol=1e-5)
    assert float(result.metrics["accuracy"]) == pytest.approx(accuracy, abs=1e-6)


@pytest.mark.parametrize("objective", ["reverse_complement", "forward_fixed", "cpc"])
def test_global_negatives_equal_one_replica_with_all_rows(objective):
    model = build(objective=objective, gaps=(1,))
    bases = draw(2 * BATCH)
    whole = harness.array(
        selfgenomenet.loss(model, {"bases": bases}, training=True).per_example
    )
    kept = []

    def keep(x):
        kept.append(x)
        return x, 0

    first, second = {"bases": bases[:BATCH]}, {"bases": bases[BATCH:]}
    selfgenomenet.loss(model, first, training=True, gather=keep)

    def gather(x):
        return ops.concatenate([kept[0], x]), len(kept[0])

    result = selfgenomenet.loss(model, second, training=True, gather=gather)
    np.testing.assert_allclose(
        harness.array(result.per_example), whole[BATCH:], rtol=1e-5
    )


def test_local_negatives_ignore_other_replicas():
    def gather(x):
        raise AssertionError("local negatives gather nothing")

    batch = {"bases": draw()}
    found = [
        harness.array(
            selfgenomenet.loss(
                build(negatives=negatives), batch, training=True, **options
            ).per_example
        )
        for negatives, options in (("local", {"gather": gather}), ("global", {}))
    ]
    np.testing.assert_array_equal(*found)
