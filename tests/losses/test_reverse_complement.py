import keras
import numpy as np
import pytest
from keras import ops

from genomenet.losses import reverse_complement
from tests import harness


def oracle(predictions, context, gaps, targets=None, row_offset=0):
    """The objective of the paper, one row, one position, one gap at a time."""
    targets = context if targets is None else targets
    num_rows, num_patches, _ = context.shape
    half = num_rows // 2
    losses, accuracies = [], []
    for prediction, gap in zip(predictions, gaps, strict=True):
        loss, hits = np.zeros(num_rows), 0
        positions = range(1, num_patches - gap)  # j = 1 .. P-i-1
        for j in positions:
            for r in range(num_rows):
                label = row_offset + (r + half) % num_rows
                scores = {}
                for s in range(len(targets)):
                    if s != row_offset + r:
                        target = targets[s, num_patches - j - gap - 1]  # c[:, P-j-i]
                        scores[s] = float(np.dot(prediction[r, j - 1], target))
                top = max(scores.values())
                total = sum(np.exp(score - top) for score in scores.values())
                loss[r] += top + np.log(total) - scores[label]
                hits += max(scores, key=scores.get) == label
        losses.append(loss / len(positions))
        accuracies.append(hits / (len(positions) * num_rows))
    return np.mean(losses, axis=0), np.mean(accuracies)


def draw(batch, patches, width, gaps, *, seed=0, scale=1.0, replicas=1):
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return (scale * rng.standard_normal(shape)).astype("float32")

    context = normal(replicas * 2 * batch, patches, width)
    predictions = [
        normal(replicas * 2 * batch, patches - gap - 1, width) for gap in gaps
    ]
    return predictions, context


CASES = [
    (1, 2, 1, (0,)),
    (1, 5, 3, (2,)),
    (2, 5, 4, (0,)),
    (3, 7, 2, (5,)),
    (4, 6, 8, (0, 1, 2, 3, 4)),
    (5, 9, 16, (3, 1, 7)),
]


@pytest.mark.parametrize(("batch", "patches", "width", "gaps"), CASES)
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_equals_the_oracle(batch, patches, width, gaps, scale):
    predictions, context = draw(batch, patches, width, gaps, scale=scale)
    loss, accuracy = reverse_complement.reverse_complement_contrastive(
        predictions, context, gaps
    )
    expected_loss, expected_accuracy = oracle(predictions, context, gaps)
    assert tuple(loss.shape) == (2 * batch,)
    assert tuple(accuracy.shape) == ()
    np.testing.assert_allclose(harness.array(loss), expected_loss, rtol=1e-5, atol=1e-5)
    assert float(accuracy) == pytest.approx(expected_accuracy, abs=1e-6)


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("gaps", [(0,), (1, 4)])
def test_replicas_do_not_change_the_loss(replicas, gaps):
    batch, patches, width = 2, 7, 5
    num_windows = replicas * batch
    predictions, context = draw(num_windows, patches, width, gaps)
    whole, whole_accuracy = reverse_complement.reverse_complement_contrastive(
        predictions, context, gaps
    )
    # A replica holds its own windows and their other strands: [S_k ; RC(S_k)].
    rows = [
        np.concatenate([own, own + num_windows])
        for own in np.arange(num_windows).reshape(replicas, batch)
    ]
    targets = np.concatenate([context[own] for own in rows])
    losses, accuracies = [], []
    for replica, own in enumerate(rows):
        arguments = ([p[own] for p in predictions], context[own], gaps)
        options = {"targets": targets, "row_offset": replica * 2 * batch}
        loss, accuracy = reverse_complement.reverse_complement_contrastive(
            *arguments, **options
        )
        expected, expected_accuracy = oracle(*arguments, **options)
        np.testing.assert_allclose(harness.array(loss), expected, rtol=1e-5)
        assert float(accuracy) == pytest.approx(expected_accuracy, abs=1e-6)
        np.testing.assert_allclose(
            harness.array(loss), harness.array(whole)[own], rtol=1e-5
        )
        losses.append(float(ops.mean(loss)))
        accuracies.append(float(accuracy))
    assert np.mean(losses) == pytest.approx(float(ops.mean(whole)), rel=1e-5)
    assert np.mean(accuracies) == pytest.approx(float(whole_accuracy), abs=1e-6)


def test_row_offset_may_be_a_tensor():
    predictions, context = draw(2, 5, 3, (1,), replicas=2)
    own = [p[4:] for p in predictions]
    found = [
        harness.array(
            reverse_complement.reverse_complement_contrastive(
                own, context[4:], (1,), targets=context, row_offset=offset
            )[0]
        )
        for offset in (4, ops.convert_to_tensor(4, dtype="int32"))
    ]
    np.testing.assert_array_equal(*found)


def test_swapping_the_views_changes_nothing():
    gaps, batch = (0, 2), 3
    predictions, context = draw(batch, 6, 4, gaps)
    swap = np.roll(np.arange(2 * batch), batch)
    loss, accuracy = reverse_complement.reverse_complement_contrastive(
        predictions, context, gaps
    )
    swapped, swapped_accuracy = reverse_complement.reverse_complement_contrastive(
        [p[swap] for p in predictions], context[swap], gaps
    )
    np.testing.assert_allclose(
        harness.array(swapped), harness.array(loss)[swap], rtol=1e-6
    )
    assert float(swapped_accuracy) == pytest.approx(float(accuracy), abs=1e-6)


def test_identical_states_give_chance():
    batch, patches = 4, 5
    ones = np.ones((2 * batch, patches, 3), "float32")
    loss, _ = reverse_complement.reverse_complement_contrastive(
        [ones[:, :3]], ones, (1,)
    )
    np.testing.assert_allclose(harness.array(loss), np.log(2 * batch - 1), rtol=1e-6)


def test_a_row_is_no_candidate_of_its_own():
    context = np.eye(4, dtype="float32")[:, None].repeat(3, axis=1) * 50  # (2B, P, H)
    loss, accuracy = reverse_complement.reverse_complement_contrastive(
        [context[:, :2]], context, (0,)
    )  # every row fits itself best; the others are equal
    np.testing.assert_allclose(harness.array(loss), np.log(3), rtol=1e-6)
    assert float(accuracy) < 1


def test_gradients_reach_both_sides_as_finite_differences_say():
    gaps = (0, 1)
    predictions, context = draw(2, 4, 3, gaps)
    arrays = [*predictions, context]
    variables = [keras.Variable(x) for x in arrays]

    def total():
        *projected, states = [v + 0 for v in variables]
        loss, _ = reverse_complement.reverse_complement_contrastive(
            projected, states, gaps
        )
        return ops.mean(loss)

    for which, gradient in enumerate(harness.gradients(total, variables)):
        numeric = np.zeros_like(arrays[which], "float64")
        for index in np.ndindex(arrays[which].shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = [x.astype("float64") for x in arrays]
                moved[which][index] += step
                sides.append(oracle(moved[:-1], moved[-1], gaps)[0].mean())
            numeric[index] = (sides[0] - sides[1]) / 2e-5
        np.testing.assert_allclose(gradient, numeric, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_softmax_of_half_precision_is_float32(dtype):
    predictions, context = draw(3, 5, 8, (1,))
    half = [ops.cast(predictions[0], dtype)]
    loss, accuracy = reverse_complement.reverse_complement_contrastive(
        half, ops.cast(context, dtype), (1,)
    )
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert keras.backend.standardize_dtype(accuracy.dtype) == "float32"
    expected, _ = oracle(predictions, context, (1,))
    np.testing.assert_allclose(harness.array(loss), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("gaps", "positions", "message"),
    [
        ((), (), "one prediction per gap"),
        ((1, 2), (3,), "got 1 predictions for the gaps"),
        ((-1,), (5,), "a gap must be >= 0 patches, got -1"),
        ((1,), (4,), "gap 1 with 5 patches needs 3 predicted positions"),
        ((4,), (0,), r"needs 0 predicted positions \(at least 1\)"),
    ],
)
def test_refuses(gaps, positions, message):
    context = np.zeros((4, 5, 2), "float32")
    predictions = [np.zeros((4, n, 2), "float32") for n in positions]
    with pytest.raises(ValueError, match=message):
        reverse_complement.reverse_complement_contrastive(predictions, context, gaps)
