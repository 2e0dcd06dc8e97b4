import dataclasses
import itertools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from genomenet.data import rows
from genomenet.dna import alphabet, encode, packed, tiling

TILE = tiling.Window(length=30, stride=20, cut="tile", max_n=0.1)
CROP = tiling.Window(length=30, stride=20, max_n=0.1)
CUTS = tiling.Window(length=24, stride=24, shortest_cut=3, max_n=0.0)
CHUNKS = np.array([[0, 400], [400, 790], [900, 1300], [1300, 1329], [1329, 2003]])


@pytest.fixture(scope="module")
def codes():
    found = np.random.default_rng(0).integers(0, 4, 2003).astype(np.uint8)
    for start, end in ((0, 3), (150, 152), (500, 560), (1340, 1341), (1990, 2003)):
        found[start:end] = alphabet.N
    return found


@pytest.fixture(scope="module")
def genome(codes):
    return packed.of(codes)


def of(genome, window, seed=3, chunks=CHUNKS):
    return rows.Rows(genome, chunks, window, seed=seed)


def numbers(first, count):
    return first + np.arange(count, dtype=np.int64)


@pytest.mark.parametrize("size", [1, 2, 3, 10, 97, 100, 1000, 4097])
def test_permutations(size):
    index = np.arange(size)
    orders = [rows.permuted(index, size, np.full(size, k, np.uint64)) for k in range(9)]
    for order in orders:
        assert sorted(order) == index.tolist()
    if size >= 100:
        assert all((a != b).mean() > 0.9 for a, b in itertools.combinations(orders, 2))


def test_permutations_have_no_pattern():
    """Neighbours, positions and epochs are independent, as far as numbers can show."""
    size, index = 10_007, np.arange(10_007)
    orders = [
        rows.permuted(index, size, rows._hash(5, 0, np.full(size, epoch)))
        for epoch in range(20)
    ]
    limit = 4 / np.sqrt(size)
    for a, b in itertools.pairwise(orders):
        assert abs(np.corrcoef(a, index)[0, 1]) < limit
        assert abs(np.corrcoef(a, b)[0, 1]) < limit
        assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < limit
        steps = np.bincount((np.diff(a) % size) * 16 // size, minlength=16)
        assert (np.abs(steps - size / 16) < 5 * np.sqrt(size / 16)).all()
    where = np.array([order[0] for order in orders])
    assert len(set(where.tolist())) == len(where)


def test_an_epoch_has_every_tile_of_every_chunk_once(genome, codes):
    expected = [
        codes[first : first + 30].tobytes()
        for start, end in CHUNKS
        for first in range(start, end - 30 + 1, 20)
    ]
    window = tiling.Window(length=30, stride=20, cut="tile", max_n=1.0)
    found = of(genome, window)
    assert len(found) == len(expected)
    orders = []
    for epoch in range(2):
        batch = found.batch(epoch * len(found), len(found))
        orders.append([row.tobytes() for row in batch["bases"]])
        assert sorted(orders[-1]) == sorted(expected)
    assert orders[0] != orders[1] != expected


def test_a_window_with_too_many_n_is_replaced_by_the_next_of_the_order(genome):
    every = of(genome, tiling.Window(length=30, stride=20, cut="tile", max_n=1.0))
    some = of(genome, TILE)
    size = len(every)
    assert len(some) == size
    plain, found = every.batch(0, size)["bases"], some.batch(0, size)["bases"]
    share = (plain == alphabet.N).mean(axis=1)
    assert 0 < (share > 0.1).sum() < size
    for row in range(size):
        slot = row
        while share[slot] > 0.1:
            slot = (slot + 1) % size
        np.testing.assert_array_equal(found[row], plain[slot])


def test_a_genome_of_n_alone_is_refused():
    genome = packed.of(np.full(200, alphabet.N, np.uint8))
    found = of(genome, TILE, chunks=np.array([[0, 200]]))
    with pytest.raises(ValueError, match=r"no window has a share of N up to 0.1"):
        found.batch(0, 4)
    with pytest.raises(ValueError, match="no window of 30 bases"):
        of(genome, TILE, chunks=np.array([[0, 29]]))


def test_phases_are_drawn_for_each_row_and_stay_in_the_chunk(genome):
    found = of(genome, CROP)
    size = len(found)
    positions = found._positions(numbers(0, 300 * size))
    chunk = np.searchsorted(CHUNKS[:, 0], positions, side="right") - 1
    assert (positions >= CHUNKS[chunk, 0]).all()
    assert (positions + 30 <= CHUNKS[chunk, 1]).all()
    inside = (positions < 120) & (chunk == 0) & (positions >= 20)
    counts = np.bincount(positions[inside] % 20, minlength=20)
    assert (np.abs(counts - counts.mean()) < 5 * np.sqrt(counts.mean())).all()


def test_rows_of_both_strands(genome):
    both = dataclasses.replace(CROP, both_strands=True)
    plain, found = (of(genome, w).batch(0, 400) for w in (CROP, both))
    other = encode.reverse_complement(plain["bases"])
    is_same = (found["bases"] == plain["bases"]).all(axis=1)
    is_other = (found["bases"] == other).all(axis=1)
    assert (is_same | is_other).all()
    assert 160 < is_other.sum() < 240
    tiled = [dataclasses.replace(w, cut="tile") for w in (CROP, both)]
    one, two = (of(genome, w).batch(0, 40)["bases"] for w in tiled)
    np.testing.assert_array_equal(one, two)


def test_segments_are_cut_from_the_strand_that_is_read(genome, codes):
    both = dataclasses.replace(CUTS, both_strands=True)
    plain, found = (of(genome, w).batch(0, 200) for w in (CUTS, both))
    np.testing.assert_array_equal(found["segment"], plain["segment"])
    text = encode.decode(codes)
    texts = text, encode.decode(encode.reverse_complement(codes))
    hits = [0, 0]
    for row, segment in zip(found["bases"], found["segment"], strict=True):
        piece = encode.decode(row[segment == 1])
        if len(piece) >= 10:
            hits[0] += piece in texts[0]
            hits[1] += piece in texts[1]
            assert piece in texts[0] or piece in texts[1]
    assert min(hits) > 30


@pytest.mark.parametrize("window", [TILE, CROP, CUTS])
def test_a_row_is_a_function_of_seed_and_index(genome, window):
    found = of(genome, window)
    expected = found.batch(0, 3 * len(found))
    draw = np.random.default_rng(2).permutation(3 * len(found))
    for name, values in of(genome, window).at(draw).items():
        np.testing.assert_array_equal(values, expected[name][draw])
    other = of(genome, window, seed=4).batch(0, 16)
    assert (other["bases"] != expected["bases"][:16]).any()
    assert (other["key"] != expected["key"][:16]).any()


@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_workers_share_each_batch(genome, num_workers):
    found = of(genome, CUTS)
    first, size = 10**10 + 3, 8
    parts = []
    for worker in range(num_workers):
        share = {"worker": worker, "num_workers": num_workers}
        batches = rows.stream(found, first, size, **share)
        parts.append(list(itertools.islice(batches, 5)))
        batches.close()
    for number, batch in enumerate(zip(*parts, strict=True)):
        expected = found.batch(first + number * size, size)
        for name, values in expected.items():
            together = np.concatenate([part[name] for part in batch])
            np.testing.assert_array_equal(together, values)


def test_an_error_of_the_background_reaches_the_reader():
    genome = packed.of(np.full(200, alphabet.N, np.uint8))
    found = of(genome, TILE, chunks=np.array([[0, 200]]))
    with pytest.raises(ValueError, match="no window"):
        next(rows.stream(found, 0, 4))


def test_the_thread_ends_with_the_stream(genome):
    batches = rows.stream(of(genome, TILE), 0, 4)
    next(batches)
    assert "rows" in [thread.name for thread in threading.enumerate()]
    batches.close()
    assert "rows" not in [thread.name for thread in threading.enumerate()]


def test_segments_are_of_the_genome_and_without_n(genome, codes):
    batch = of(genome, CUTS).batch(0, 500)
    assert batch["bases"].shape == batch["segment"].shape == (500, 24)
    assert (batch["bases"] != alphabet.N).all()
    np.testing.assert_array_equal(batch["bases"] == alphabet.PAD, batch["segment"] == 0)
    letters = encode.decode(codes)
    for bases, segment in zip(batch["bases"], batch["segment"], strict=True):
        assert encode.decode(bases[segment > 0]) in letters


def test_lengths_of_segments_are_those_of_genemask():
    """Half have L - 1 bases; half any number from k to L - 2, all equally often."""
    total = sum(rows._weights(CUTS))
    found = rows.cuts(np.zeros((total, 23), np.uint8), np.arange(total), CUTS)
    segment = found["segment"]
    lengths = np.concatenate([(segment == 1).sum(axis=1), (segment == 2).sum(axis=1)])
    counts = np.bincount(lengths[lengths > 0], minlength=24)
    assert len(set(counts[3:23].tolist())) == 1
    assert not counts[:3].any()
    assert counts[23] == counts[3:23].sum()


def test_keys_are_of_seed_and_row():
    for first, seed in ((0, 0), (5, 7), (2**32 - 2, 2**32 - 1), (3 * 2**32 + 9, 1)):
        expected = [[(r >> 32) ^ seed, r % 2**32] for r in range(first, first + 4)]
        found = rows.keys(numbers(first, 4), seed)
        assert found.dtype == np.uint32
        np.testing.assert_array_equal(found, np.array(expected))


LARGE = r"""
import re, sys
import numpy as np
from genomenet.data import rows
from genomenet.dna import packed, tiling

bases, chunk = 300_000_000_000, 16_384
codes = np.memmap(sys.argv[1], np.uint8, "r", shape=(bases // 4,))
genome = packed.Packed(codes=codes, n_runs=np.empty((0, 2), np.int64))
chunks = np.empty((bases // chunk, 2), np.int64)
for block in range(0, len(chunks), 1 << 16):
    part = chunks[block : block + (1 << 16)]
    part[:, 0] = chunk * (block + np.arange(len(part)))
    part[:, 1] = part[:, 0] + chunk
window = tiling.Window(length=150, stride=150)
found = rows.Rows(genome, chunks, window, seed=0)
for first in (0, len(found) // 2, 7 * len(found) - 9, 10**15):
    assert found.batch(first, 64)["bases"].shape == (64, 150)
# Of this program alone: the other counts remember the one that started it.
largest = re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1]
print(len(found), int(largest) // 1000)
"""


@pytest.mark.slow
def test_a_genome_of_300_gigabases_needs_less_than_a_gigabyte(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 75_000_000_000)
    command = [sys.executable, "-c", LARGE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, megabytes = map(int, done.stdout.split())
    assert count > 1.9e9
    assert megabytes < 1000
