import numpy as np
import pytest

from genomenet.data import intervals as intervals_lib
from genomenet.data import negatives as negatives_lib
from genomenet.data import selection, sources
from genomenet.dna import alphabet, encode
from genomenet.dna import genome as genome_lib

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def genome():
    """Two contigs whose GC differs from place to place, with N at one end."""
    contigs = {}
    for name, length in (("chr1", 60_000), ("chr2", 40_000)):
        gc = np.repeat(RNG.uniform(0.2, 0.8, length // 500), 500)
        is_gc = RNG.random(length) < gc
        bits = RNG.integers(0, 2, length)
        codes = np.where(is_gc, 1 + bits, 3 * bits)
        codes[:1000] = alphabet.N
        contigs[name] = codes.astype(np.uint8)
    return genome_lib.Genome(contigs)


def interval(contig="1", start=5000, end=5300, label="peak", **more):
    given = {"is_reverse": False, "split": "", "place": "p.bed, line 1", **more}
    return intervals_lib.Interval(
        contig=contig, start=start, end=end, label=label, **given
    )


def peaks(count):
    starts = np.random.default_rng(1).integers(1200, 38_000, count)
    return [
        interval(f"{1 + n % 2}", int(s), int(s) + 90, is_reverse=n % 3 == 0)
        for n, s in enumerate(starts)
    ]


def place(row):
    contig, _, rest = row.id.removesuffix("(-)").partition(":")
    return contig, *map(int, rest.split("-"))


def gc(row):
    return sum(row.sequence.count(x) for x in (b"G", b"C")) / len(row.sequence)


def test_rows_lie_around_the_summit_or_the_middle(genome):
    given = [interval(summit=20), interval("chr2"), interval("2", is_reverse=True)]
    rows, counts = selection.select(given, [], genome, selection.Options(width=101))
    assert [row.id for row in rows] == [
        "chr1:4970-5071",
        "chr2:5100-5201",
        "chr2:5100-5201(-)",
    ]
    forward, reverse = (encode.encode(row.sequence) for row in rows[1:])
    np.testing.assert_array_equal(forward, genome.take("chr2", 5100, 101))
    np.testing.assert_array_equal(reverse, encode.reverse_complement(forward))
    assert counts == {"read": 3, "negatives": 0}


def test_what_is_left_out_is_counted(genome):
    given = [
        *(interval(), interval(), interval(label="other")),
        *(interval(start=0, end=20), interval(start=59_990, end=60_000)),
        *(interval("chrUn"), interval(start=9000, end=9010)),
    ]
    excluded = [interval("chr1", 8900, 8990), interval("chr9")]
    rows, counts = selection.select(
        given, excluded, genome, selection.Options(width=100)
    )
    assert [row.label for row in rows] == ["peak", "other"]
    assert counts == {
        **{"read": 7, "duplicates": 1, "outside": 2, "unknown_contig": 1},
        **{"excluded": 1, "negatives": 0},
    }
    with pytest.raises(sources.DatasetError, match="none of 1 intervals is left"):
        selection.select(given[5:6], [], genome, selection.Options())


@pytest.mark.parametrize("per_positive", [1, 2])
def test_negatives_are_alike_and_apart(genome, per_positive):
    options = selection.Options(
        width=100,
        negatives="gc",
        negatives_per_positive=per_positive,
        splits="60/20/20",
    )
    excluded = [interval("chr1", 50_000, 60_000)]
    given = peaks(60)
    rows, counts = selection.select(given, excluded, genome, options)
    positives, negatives = rows[:60], rows[60:]
    assert counts["negatives"] == len(negatives) == 60 * per_positive
    assert {row.label for row in negatives} == {negatives_lib.LABEL}
    means = [np.mean([gc(row) for row in part]) for part in (positives, negatives)]
    assert abs(means[0] - means[1]) < 0.01
    for split in sources.SPLITS:  # as many in each split, on each strand
        for is_reverse in (True, False):
            of = [
                [r for r in p if r.split == split and ("(-)" in r.id) == is_reverse]
                for p in (positives, negatives)
            ]
            assert len(of[0]) * per_positive == len(of[1])
    taken = [(f"chr{one.contig}", one.start, one.end) for one in given]
    taken += [*map(place, positives), ("chr1", 50_000, 60_000)]
    for row in negatives:
        contig, start, end = place(row)
        assert all(c != contig or b <= start or a >= end for c, a, b in taken)
        taken.append((contig, start, end))
        codes = genome.take(contig, start, end - start)
        codes = encode.reverse_complement(codes) if "(-)" in row.id else codes
        assert encode.decode(codes) == row.sequence
    again, _ = selection.select(given, excluded, genome, options)
    assert again == rows


def test_too_many_negatives_are_refused(genome):
    options = selection.Options(width=500, negatives="gc", negatives_per_positive=9)
    with pytest.raises(sources.DatasetError, match="are missing: take fewer"):
        selection.select(peaks(60), [], genome, options)


def test_shuffled_negatives_keep_their_dinucleotides(genome):
    options = selection.Options(width=80, negatives="shuffle")
    rows, _ = selection.select(peaks(20), [], genome, options)

    def pairs(row):
        return sorted(zip(row.sequence, row.sequence[1:], strict=False))

    for positive, negative in zip(rows[:20], rows[20:], strict=True):
        assert pairs(positive) == pairs(negative)
        assert positive.sequence != negative.sequence
        assert positive.split == negative.split


def test_intervals_that_overlap_are_in_one_split(genome):
    rows, _ = selection.select(
        peaks(300), [], genome, selection.Options(splits="50/25/25")
    )
    at = [(place(row), row.split) for row in rows]
    for (contig, start, end), split in at:
        for (other, a, b), its in at:
            assert contig != other or b <= start or a >= end or its == split
    counts = [sum(split == name for _, split in at) for name in sources.SPLITS]
    assert counts[0] > counts[1] > 40
    assert counts[2] > 40


def test_repeats_of_the_genome_are_in_one_split():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 40_000).astype(np.uint8)
    repeat = codes[:100].copy()
    for number in range(1, 40):  # on either strand, far from each other
        at = 1000 * number
        copy = encode.reverse_complement(repeat) if number % 2 else repeat
        codes[at : at + 100] = copy
    of = genome_lib.Genome({"chr1": codes})
    given = [interval("chr1", 1000 * n, 1000 * n + 100) for n in range(40)]
    given += [interval("chr1", 1000 * n + 400, 1000 * n + 500) for n in range(40)]
    for seed in range(5):
        options = selection.Options(splits="60/20/20", seed=seed)
        rows, _ = selection.select(given, [], of, options)
        assert len({row.split for row in rows[:40]}) == 1
        assert len({row.split for row in rows[40:]}) > 1


def test_amounts_have_no_negatives(genome):
    options = selection.Options(width=80, negatives="shuffle")
    with pytest.raises(sources.DatasetError, match="label '4.25' is an amount"):
        selection.select([interval(label="4.25")], [], genome, options)


def test_splits_by_contig(genome):
    options = selection.Options(width=100, negatives="gc", splits="chrom:2")
    rows, _ = selection.select(peaks(40), [], genome, options)
    assert {(place(row)[0], row.split) for row in rows} == {
        ("chr1", "train"),
        ("chr2", "validation"),
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": 0}, "width=0"),
        ({"negatives": "gc"}, "needs a width"),
        ({"negatives": "all"}, "none of gc, shuffle"),
        ({"negatives_per_positive": 0}, "negatives_per_positive=0"),
        ({"splits": "90/20"}, "splits=90/20"),
        ({"splits": "chrom:1/2/3"}, "splits=chrom:1/2/3"),
        ({"splits": "chrom:7"}, "no contig '7'"),
        ({"splits": "chrom:"}, "splits=chrom:"),
        ({"splits": "chrom:1/2"}, "no interval for train"),
        ({"splits": "chrom:1/chr1"}, "in two splits"),
    ],
)
def test_options_that_make_no_sense(genome, given, message):
    with pytest.raises(sources.DatasetError, match=message):
        selection.select(peaks(2), [], genome, selection.Options(**given))


def test_what_would_be_lost_in_silence_is_refused(genome):
    options = selection.Options(width=50, negatives="shuffle")
    with pytest.raises(sources.DatasetError, match="none of its contigs"):
        selection.select(peaks(2), [interval("chr9")], genome, options)
    given = [interval(label=negatives_lib.LABEL)]
    with pytest.raises(sources.DatasetError, match="label 'negative'"):
        selection.select(given, [], genome, options)
