import itertools

import numpy as np
import pytest

from genomenet.data import batches

ARRAYS = {"x": np.arange(7), "weight": np.full(7, 2.0, "float32")}


def epochs(count, seed=1, batch_size=3):
    found = batches.endless(ARRAYS, batch_size=batch_size, seed=seed)
    steps = batches.steps_per_epoch(7, batch_size)
    found = list(itertools.islice(found, count * steps))
    return [found[i : i + steps] for i in range(0, len(found), steps)]


def test_an_epoch_has_every_row_once():
    first, second = epochs(2)
    for epoch in (first, second):
        rows = np.concatenate([b["x"][b["weight"] > 0] for b in epoch])
        assert sorted(rows) == list(range(7))
        assert all(batch["x"].shape == (3,) for batch in epoch)
    assert [b["x"].tolist() for b in first] != [b["x"].tolist() for b in second]


def test_order_and_keys_follow_the_seed():
    first, again, other = epochs(1), epochs(1), epochs(1, seed=2)
    assert [b["x"].tolist() for b in first[0]] == [b["x"].tolist() for b in again[0]]
    assert [b["x"].tolist() for b in first[0]] != [b["x"].tolist() for b in other[0]]
    keys = np.concatenate([b["key"] for epoch in epochs(2) for b in epoch])
    assert len(np.unique(keys, axis=0)) == len(keys) == 18


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10])
def test_in_order(batch_size):
    found = list(batches.in_order(ARRAYS, batch_size=batch_size, seed=0))
    assert len(found) == batches.steps_per_epoch(7, batch_size)
    rows = np.concatenate([b["x"][b["weight"] > 0] for b in found])
    assert rows.tolist() == list(range(7))


def test_batches_begin_anywhere():
    whole = list(itertools.islice(batches.endless(ARRAYS, batch_size=3, seed=1), 8))
    for first in range(8):
        found = batches.endless(ARRAYS, batch_size=3, seed=1, first=first)
        for ours, theirs in zip(whole[first:], found, strict=False):
            for name, array in ours.items():
                np.testing.assert_array_equal(array, theirs[name])


@pytest.mark.parametrize(
    ("batch_size", "length", "parts"),
    [
        (32, 128, 1),
        (32, 129, 2),
        (32, 500, 4),
        (32, 9_000, 32),
        (12, 1_000, 3),
        (7, 1_000, 7),
        (1, 9_000, 1),
    ],
)
def test_parts_of_a_batch_are_equal_and_few(batch_size, length, parts):
    assert batches.num_parts(batch_size, length, most=4_096) == parts


@pytest.mark.parametrize(("num_workers", "parts"), [(1, 1), (1, 3), (2, 3), (3, 1)])
def test_a_batch_is_dealt_whole(num_workers, parts):
    whole = list(itertools.islice(batches.endless(ARRAYS, batch_size=6, seed=1), 4))
    dealt = [
        list(batches.dealt(whole, worker, num_workers, parts=parts))
        for worker in range(num_workers)
    ]
    for number, batch in enumerate(whole):
        own = slice(number * parts, (number + 1) * parts)
        pieces = [piece for worker in dealt for piece in worker[own]]
        for name, array in batch.items():
            joined = np.concatenate([piece[name] for piece in pieces])
            np.testing.assert_array_equal(joined, array)


@pytest.mark.parametrize("most", [0, 20])
def test_neighbours_in_length_share_a_batch(most):
    rng = np.random.default_rng(0)
    lengths = [3, 9, 4, 9, 1, 7, 30]
    sequences = [rng.integers(0, 4, n).astype(np.uint8) for n in lengths]
    order = []
    for numbers, rows in batches.by_length(sequences, batch_size=3, most=most):
        longest = max(lengths[number] for number in numbers)
        assert rows.shape == (max(1, min(3, most // longest)) if most else 3, longest)
        assert (rows[len(numbers) :] == 4).all()
        for number, row in zip(numbers, rows, strict=False):
            length = lengths[number]
            assert (row[:length] == sequences[number]).all()
            assert (row[length:] == 5).all()
        order += numbers.tolist()
    assert order == [6, 1, 3, 5, 2, 0, 4]
