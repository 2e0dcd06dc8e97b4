"""Pieces, units, splits and chunks, against their rules and plain oracles."""

import itertools

import numpy as np
import pytest

from genomenet.dna import alphabet, encode, splits

SHARES = {"train": 90, "validation": 5, "test": 5}
ECOLI = 4_639_675


def contig(name, length, *pieces):
    whole = np.array(pieces or [(0, length)], np.int64).reshape(-1, 2)
    return splits.Contig(name=name, length=length, pieces=whole)


def found(text, **kwargs):
    intervals, skipped = splits.pieces(encode.encode(text), **kwargs)
    return intervals.tolist(), skipped


def six_contigs():
    return [contig(f"c{i}", 60_000) for i in range(6)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ACGT", [[0, 4]]),
        ("NNACGTN", [[2, 6]]),
        ("ACNNGT", [[0, 6]]),  # as long as the longest run that stays
        ("ACNNNGT", [[0, 2], [5, 7]]),
        ("NACNNNGTNNNNACN", [[1, 3], [6, 8], [12, 14]]),
        ("NNNN", []),
        ("N", []),
        ("A", []),
        ("ANNNAC", [[4, 6]]),
    ],
)
def test_pieces_are_what_long_runs_of_n_leave(text, expected):
    assert found(text, max_n_run=2, min_length=2)[0] == expected


def test_runs_of_n_up_to_one_hundred_stay():
    kept, _ = found("A" * 150 + "N" * 100 + "C" * 150)
    cut, _ = found("A" * 150 + "N" * 101 + "C" * 150)
    assert kept == [[0, 400]]
    assert cut == [[0, 150], [251, 401]]


def test_what_is_skipped_is_counted():
    _, skipped = found("NN" + "A" * 3 + "NNN" + "C" * 9, max_n_run=2, min_length=5)
    assert skipped == splits.Skipped(short_pieces=1, short_bases=3, n_bases=5)
    assert found("NNN")[1] == splits.Skipped(all_n=1, n_bases=3)
    _, short = found("ANNA", max_n_run=1, min_length=2)
    assert short == splits.Skipped(
        only_short=1, short_pieces=2, short_bases=2, n_bases=2
    )
    assert short + short == splits.Skipped(
        only_short=2, short_pieces=4, short_bases=4, n_bases=4
    )


def test_pieces_agree_with_a_plain_oracle():
    rng = np.random.default_rng(0)
    for _ in range(200):
        codes = rng.choice([0, 4], size=rng.integers(1, 60), p=[0.4, 0.6])
        text = encode.decode(codes.astype(np.uint8)).decode()
        expected, position = [], 0
        for is_n, run in itertools.groupby(text.strip("N"), lambda c: c == "N"):
            size = len(list(run))
            if not is_n or size <= 3:
                if expected and expected[-1][1] == position:
                    expected[-1][1] += size
                else:
                    expected.append([position, position + size])
            position += size
        offset = len(text) - len(text.lstrip("N"))
        expected = [
            [s + offset, e + offset] for s, e in expected if e - s >= 2 and e > s
        ]
        assert found(text, max_n_run=3, min_length=2)[0] == expected


def test_many_small_contigs_are_units_of_their_own():
    contigs = [contig(f"c{i}", 50_000) for i in range(40)]
    units = splits.units(contigs, chunk_length=16_384)
    assert [u.contig for u in units] == [c.name for c in contigs]


@pytest.mark.parametrize("count", [39, 40])
def test_few_contigs_or_a_large_one_are_cut_into_blocks(count):
    contigs = [contig(f"c{i}", 50_000) for i in range(count)]
    if count == 40:
        contigs[0] = contig("c0", 150_000)  # over 5 % of the bases
    units = splits.units(contigs, chunk_length=1_000)
    assert len(units) > count


@pytest.mark.parametrize(
    ("length", "chunk_length", "expected"),
    [
        (ECOLI, 16_384, 100),  # total / 100
        (500_000, 16_384, 15),  # 2 chunks
        (400_000_000, 16_384, 400),  # 1 Mb
        (10_000_000, 1_000_000, 5),  # the lower bound wins
        (1_000, 16_384, 1),
    ],
)
def test_blocks_have_the_stated_size(length, chunk_length, expected):
    units = splits.units([contig("c", length)], chunk_length=chunk_length)
    sizes = [u.end - u.start for u in units]
    assert len(units) == expected
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == length


def test_stretches_without_bases_are_no_unit():
    gaps = contig("c", 1_000_000, (0, 100_000), (900_000, 1_000_000))
    units = splits.units([gaps, contig("empty", 500)], chunk_length=10_000)
    assert all(u.bases for u in units)
    units = splits.units(
        [gaps, splits.Contig(name="n", length=9, pieces=np.zeros((0, 2), np.int64))],
        chunk_length=10_000,
    )
    assert sum(u.bases for u in units) == 200_000
    assert {u.contig for u in units} == {"c"}


def test_borders_of_units_lose_no_base_and_leave_no_scrap():
    rng = np.random.default_rng(1)
    for _ in range(100):
        cuts = np.sort(rng.choice(np.arange(1, 20_000), 60, replace=False))
        pieces = np.append(0, cuts)[: len(cuts) // 2 * 2].reshape(-1, 2)
        pieces = pieces[pieces[:, 1] - pieces[:, 0] >= 50]
        c = splits.Contig(name="c", length=20_000, pieces=pieces)
        units = splits.units([c], chunk_length=400, min_length=50)
        parts = np.concatenate([u.pieces for u in units])
        assert (parts[:, 1] - parts[:, 0]).min() >= 50
        assert sum(u.bases for u in units) == c.bases
        assert np.all(parts[1:, 0] >= parts[:-1, 1])
        for unit in units:
            assert unit.start <= unit.pieces[0, 0] < unit.pieces[-1, 1] <= unit.end


def check_split(units, dealt):
    names = [(u.contig, u.start, u.end) for split in dealt.values() for u in split]
    assert sorted(names) == sorted((u.contig, u.start, u.end) for u in units)
    assert all(dealt.values())
    total = sum(u.bases for u in units)
    return {name: sum(u.bases for u in part) / total for name, part in dealt.items()}


def test_splits_of_one_genome_over_500_seeds():
    units = splits.units([contig("K-12-MG1655", ECOLI)], chunk_length=16_384)
    tests = set()
    for seed in range(500):
        dealt = splits.assign(units, SHARES, seed=seed)
        shares = check_split(units, dealt)
        assert shares == pytest.approx(
            {"train": 0.9, "validation": 0.05, "test": 0.05}, abs=0.006
        )
        tests.add(tuple(u.start for u in dealt["test"]))
    assert len(tests) > 490


def test_splits_of_six_contigs_over_500_seeds():
    units = splits.units(six_contigs(), chunk_length=16_384)
    assert len(units) == 12
    for seed in range(500):
        shares = check_split(units, splits.assign(units, SHARES, seed=seed))
        assert shares["validation"] == shares["test"] == pytest.approx(1 / 12)


def test_splits_of_uneven_contigs_come_close_to_their_shares():
    rng = np.random.default_rng(2)
    sizes = rng.lognormal(9, 1, 300).astype(int) + 200
    units = splits.units(
        [contig(f"c{i}", int(n)) for i, n in enumerate(sizes)], chunk_length=16_384
    )
    assert len(units) == 300
    for seed in range(100):
        shares = check_split(units, splits.assign(units, SHARES, seed=seed))
        assert shares["test"] == pytest.approx(0.05, abs=0.025)


def test_every_split_gets_a_unit_even_if_units_are_few():
    units = [
        splits.Unit(contig=name, start=0, end=n, pieces=np.array([[0, n]]))
        for name, n in [("a", 1_000_000), ("b", 10), ("c", 1_000)]
    ]
    for seed in range(50):
        check_split(units, splits.assign(units, SHARES, seed=seed))
        check_split(units, splits.assign(units, {"a": 1, "b": 98, "c": 1}, seed=seed))


def test_splits_depend_on_the_seed_and_not_on_the_order():
    units = splits.units(six_contigs(), chunk_length=4_096)
    one = splits.assign(units, SHARES, seed=3)
    two = splits.assign(units[::-1], SHARES, seed=3)
    assert one == two
    assert one != splits.assign(units, SHARES, seed=4)


def test_splits_are_the_same_on_every_machine():
    units = splits.units([contig("chr", 1_000_000)], chunk_length=16_384)
    dealt = splits.assign(units, SHARES, seed=0)
    assert [u.start for u in dealt["test"]] == [967_742, 387_097]


def test_too_few_units_are_an_error_and_a_shorter_chunk_is_found():
    small = [contig("c", 40_000)]
    units = splits.units(small, chunk_length=16_384)
    with pytest.raises(ValueError, match="1 units are too few for 3 splits"):
        splits.assign(units, SHARES, seed=0)
    shorter = splits.fitting_chunk_length(
        small, num_units=3, chunk_length=16_384, min_length=100
    )
    assert shorter == 4_096
    assert len(splits.units(small, chunk_length=shorter)) >= 3
    tiny = [contig("c", 300)]
    kwargs = {"num_units": 3, "chunk_length": 16_384, "min_length": 100}
    assert splits.fitting_chunk_length(tiny, **kwargs) is None


@pytest.mark.parametrize("length", [1, 50, 99, 100, 199, 200, 201, 299, 300, 301, 999])
@pytest.mark.parametrize("min_length", [1, 40, 100])
def test_chunks_hold_every_base_once(length, min_length):
    chunks = splits.chunks(length, chunk_length=100, min_length=min_length)
    sizes = chunks[:, 1] - chunks[:, 0]
    assert chunks[0, 0] == 0
    assert chunks[-1, 1] == length
    assert np.array_equal(chunks[1:, 0], chunks[:-1, 1])
    assert sizes.max() <= 100
    assert sizes.min() >= min(length, min_length, 50)
    assert len(chunks) == -(-length // 100)


def test_a_minimum_longer_than_a_chunk_is_refused():
    with pytest.raises(ValueError, match="min_length must be in"):
        splits.units(six_contigs(), chunk_length=50, min_length=100)


def test_pieces_of_a_chromosome_are_found():
    codes = np.zeros(5_000_000, np.uint8)
    codes[1_000_000:2_000_000] = alphabet.N
    intervals, _ = splits.pieces(codes)
    assert intervals.tolist() == [[0, 1_000_000], [2_000_000, 5_000_000]]
