import numpy as np
import pytest

from genomenet.data import batches

ARRAYS = {"x": np.arange(7), "weight": np.full(7, 2.0, "float32")}


def epochs(count, seed=1, batch_size=3):
    dataset = batches.endless(ARRAYS, batch_size=batch_size, seed=seed)
    steps = batches.steps_per_epoch(7, batch_size)
    found = list(dataset.take(count * steps).as_numpy_iterator())
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
    rows = np.concatenate([b["x"].numpy()[b["weight"].numpy() > 0] for b in found])
    assert rows.tolist() == list(range(7))
