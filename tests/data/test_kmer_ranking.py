import collections
import gzip
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest

from genomenet.data import kmer_ranking
from genomenet.dna import alphabet, encode, kmer, ranking


def random_codes(length, seed=0, largest=alphabet.T):
    rng = np.random.default_rng(seed)
    return rng.integers(0, largest + 1, length).astype(np.uint8)


def counted(letters, k):
    """Counts k-mers one by one: word → number."""
    words = (letters[i : i + k] for i in range(len(letters) - k + 1))
    return collections.Counter(word for word in words if set(word) <= set("ACGT"))


def as_dict(counts, k):
    words = kmer.vocabulary(k)[kmer.NUM_SPECIAL :]
    return {w: int(n) for w, n in zip(words, counts, strict=True) if n}


def count(codes, k):
    counter = kmer_ranking.Counter(k)
    counter.add(codes)
    return counter.counts


def segmentations(word, lengths):
    """All ways to cut a word into shorter parts of these lengths."""
    if not word:
        return [()]
    return [
        (word[:n], *rest)
        for n in lengths
        if n <= len(word)
        for rest in segmentations(word[n:], lengths)
    ]


def oracle(counts, k, segments, min_count):
    """NPMI of each word, from a dict of counts and the formulas as they are written."""
    found = {n: collections.Counter() for n in range(1, k + 1)}
    for word, number in counts.items():
        for n in found:
            found[n][word[:n]] += number  # a shorter word is counted by what follows
    total = {n: sum(found[n].values()) for n in found}
    lengths = range(1, k)
    if segments == "1,2":
        lengths = (1, 2)
        total = dict.fromkeys(total, total[1] + total[2])

    def log(part):
        return math.log(found[len(part)][part] / total[len(part)])

    scores = {}
    for word, number in counts.items():
        if number >= min_count:
            cuts = segmentations(word, lengths)
            pmi = min(log(word) - sum(map(log, parts)) for parts in cuts)
            scores[word] = pmi * math.log(number) / (math.log(number) + math.log(101))
    return scores


def test_there_are_13_segmentations_of_a_6mer_into_parts_of_one_and_two():
    assert len(segmentations("ACGTAC", (1, 2))) == 13
    assert len(segmentations("ACGTAC", range(1, 6))) == 2**5 - 1


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("ACGT", {"AC": 1, "CG": 1, "GT": 1}),
        ("AAAA", {"AA": 3}),
        ("AANAA", {"AA": 2}),
        ("NACN", {"AC": 1}),
        ("ANANA", {}),
        ("A", {}),
        ("", {}),
    ],
)
def test_counts_by_hand(letters, expected):
    assert as_dict(count(encode.encode(letters), 2), 2) == expected


@pytest.mark.parametrize("k", range(1, 9))
def test_counts_with_and_without_n(k):
    for largest in (alphabet.T, alphabet.N, alphabet.PAD):
        codes = random_codes(2_000, largest=largest)
        codes[100:130] = alphabet.N
        letters = encode.decode(np.minimum(codes, alphabet.N)).decode()
        assert as_dict(count(codes, k), k) == counted(letters, k)


def test_strands_are_counted_as_given():
    found = as_dict(count(encode.encode("AAAAAAC"), 6), 6)
    assert found == {"AAAAAA": 1, "AAAAAC": 1}


@pytest.mark.parametrize("k", range(1, 9))
def test_where_blocks_meet_kmers_are_counted_once(k, monkeypatch):
    codes = random_codes(200, seed=k)
    codes[[0, 31, 32, 77, 199]] = alphabet.N
    expected = count(codes, k)
    assert as_dict(expected, k) == counted(encode.decode(codes).decode(), k)
    for block in (1, 2, 7, 31, 32, 33, 199, 200, 201):
        monkeypatch.setattr(kmer_ranking, "_BLOCK", block)
        np.testing.assert_array_equal(count(codes, k), expected)


def test_more_than_one_real_block():
    codes = random_codes(2 * kmer_ranking._BLOCK + 17)
    codes[kmer_ranking._BLOCK - 3] = alphabet.N
    expected = np.bincount(kmer.tokenize(codes, 6), minlength=4101)[5:]
    np.testing.assert_array_equal(count(codes, 6), expected)


def test_records_are_not_joined_and_files_add_up(tmp_path):
    (tmp_path / "a.fa").write_text(">1\nAAAAAA\n>2\nCCCCCC\nNNACGUAC\n")
    with gzip.open(tmp_path / "b.fa.gz", "wt") as file:
        file.write(">3\naaaaaa\n>4\nACG\n")
    found = kmer_ranking.count_files(
        [str(tmp_path / "a.fa"), str(tmp_path / "b.fa.gz")], 6
    )
    assert as_dict(found.counts, 6) == {"AAAAAA": 2, "CCCCCC": 1, "ACGTAC": 1}


@pytest.mark.slow
def test_memory_is_flat(tmp_path):
    """Counting must not add to what reading a record takes: 9 bytes a base would."""
    code = """
import numpy as np
from genomenet.data import kmer_ranking
from tests import processes
codes = np.random.default_rng(0).integers(0, 4, 2**26, dtype=np.uint8)
before = processes.peak_memory()
counter = kmer_ranking.Counter(6)
counter.add(codes)
assert counter.counts.sum() == 2**26 - 5
print((processes.peak_memory() - before) / 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 16  # MiB


def test_the_training_split_of_a_dataset(tiny_genome):
    import tensorflow_datasets as tfds

    expected = collections.Counter()
    builder = tfds.builder_from_directory(tiny_genome)
    for example in builder.as_dataset(split="train").as_numpy_iterator():
        expected += counted(example["sequence"].decode(), 3)
    found = kmer_ranking.count_dataset(tiny_genome, 3)
    assert as_dict(found.counts, 3) == dict(expected)
    assert found.counts.sum() < 18_000  # bases of all splits


@pytest.mark.parametrize("segments", kmer_ranking.SEGMENTS)
@pytest.mark.parametrize(("k", "min_count"), [(2, 1), (3, 30), (4, 9), (6, 2)])
def test_rank_agrees_with_the_written_formula(k, segments, min_count):
    counts = count(np.sort(random_codes(3_000)) ^ random_codes(3_000, 1, 1), k)
    counts += count(random_codes(6_000, seed=2), k)
    found = kmer_ranking.rank(counts, k, segments=segments, min_count=min_count)
    expected = oracle(as_dict(counts, k), k, segments, min_count)
    assert len(found.words) == len(expected)
    assert len(expected) > 3
    assert set(found.words) == set(expected)
    for word, value in zip(found.words, found.npmi, strict=True):
        assert value == pytest.approx(expected[word], abs=1e-9)
    assert (np.diff(found.npmi) <= 0).all()
    assert found.counts.min() >= min_count
    named = as_dict(counts, k)
    assert [named[word] for word in found.words] == found.counts.tolist()


def test_a_value_by_hand():
    """Of AAAC: AAA once, AAC once; A starts both, AA both; nothing else does."""
    counts = np.zeros(64, np.int64)
    words = {word: i for i, word in enumerate(kmer.vocabulary(3)[5:])}
    counts[[words["AAA"], words["AAC"], words["CAA"]]] = 200, 100, 100
    found = kmer_ranking.rank(counts, 3)
    # Totals: 400 bases and 400 pairs; A 300, C 100; AA 300, CA 100.
    a, c = math.log(300 / 800), math.log(100 / 800)
    aa, ca = math.log(300 / 800), math.log(100 / 800)
    pmi = math.log(200 / 800) - max(a + a + a, a + aa, aa + a)
    assert found.words[0] == "AAA"
    assert found.pmi[0] == pytest.approx(pmi)
    weight = math.log(200) / (math.log(200) + math.log(101))
    assert found.npmi[0] == pytest.approx(pmi * weight)
    assert found.words == ["AAA"]  # the others occur less than 101 times
    found = kmer_ranking.rank(counts, 3, min_count=100)
    assert set(found.words) == {"AAA", "AAC", "CAA"}
    of_caa = math.log(100 / 800) - max(c + a + a, ca + a, c + aa)
    assert found.pmi[found.words.index("CAA")] == pytest.approx(of_caa)


def test_rare_kmers_are_left_out_and_rank_last(tmp_path):
    codes = random_codes(40_000)
    counts = count(codes, 4)
    limit = int(np.median(counts))
    found = kmer_ranking.rank(counts, 4, min_count=limit)
    assert len(found.words) == np.count_nonzero(counts >= limit) < 256
    kmer_ranking.write(found, tmp_path / "x.csv")
    ranks = ranking.read(tmp_path / "x.csv", 4)
    assert (ranks[counts < limit] == len(found.words) + 1).all()
    assert (ranks[counts >= limit] <= len(found.words)).all()


def test_ties_stay_in_the_order_of_the_vocabulary():
    found = kmer_ranking.rank(np.full(64, 500), 3)
    assert found.words == kmer.vocabulary(3)[5:]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: kmer_ranking.rank(c, 1), "k must be 2 or more, got 1"),
        (
            lambda c: kmer_ranking.rank(c, 3, segments="2"),
            "segments must be one of 1,2, all",
        ),
        (
            lambda c: kmer_ranking.rank(c, 3, min_count=0),
            "min_count must be 1 or more, got 0",
        ),
        (
            lambda c: kmer_ranking.rank(c, 3),
            "no 3-mer occurs 101 times or more.*occurs 7",
        ),
        (
            lambda c: kmer_ranking.rank(c, 3, min_count=5),
            "a part of AAG begins no 3-mer",
        ),
    ],
)
def test_what_cannot_be_ranked(call, message):
    counts = np.zeros(64, np.int64)
    counts[kmer.vocabulary(3).index("AAG") - 5] = 7  # no G begins a 3-mer
    with pytest.raises(ValueError, match=message):
        call(counts)


@pytest.mark.parametrize("header", ["", "# of a test\n", "kmer\tcount\n", "k c\n"])
@pytest.mark.parametrize("gap", ["\t", " ", "  \t"])
def test_a_table_of_counts(tmp_path, header, gap):
    lines = [("ACG", 7), ("uuu", 5), ("ANG", 9), ("ACG", 1)]
    text = header + "".join(f"{word}{gap}{number}\n" for word, number in lines)
    (tmp_path / "x.tsv").write_text(text + "\n")
    found = kmer_ranking.read_counts(tmp_path / "x.tsv", 3)
    assert as_dict(found.counts, 3) == {"ACG": 8, "TTT": 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ACG\t7\nAAA", "line 2: not a k-mer and a whole number, .*: 'AAA'"),
        ("ACG\t7\nAAA\t-1", "line 2: not a k-mer and a whole number"),
        ("ACG\t7\nAAA\t1.5", "line 2: not a k-mer and a whole number, .*: 'AAA 1.5'"),
        ("AAA\t-1\nACG\t7", "line 1: not a k-mer and a whole number"),
        ("kmer,count\nACG,7", "line 2: not a k-mer and a whole number, .*: 'ACG,7'"),
        ("# a\n\nACGT\t7", "line 3: 'ACGT' is not a 3-mer"),
        ("kmer\tcount\nAC*\t7", r"line 2: 'AC\*' is not a 3-mer"),
        (f"AAA\t{2**53}\nAAC\t1", "line 2: the counts add up to more than 2"),
    ],
)
def test_a_wrong_table_is_one_line_with_its_number(tmp_path, text, message):
    (tmp_path / "x.tsv").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        kmer_ranking.read_counts(tmp_path / "x.tsv", 3)
    assert str(caught.value).startswith(str(tmp_path / "x.tsv"))
    assert "\n" not in str(caught.value)


def test_a_table_that_is_packed_no_text_or_not_there(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"ACG\t1\n"))
    assert kmer_ranking.read_counts(tmp_path / "x.gz", 3).counts.sum() == 1
    (tmp_path / "x.tsv").write_bytes(b"ACG\t1\n\xff")
    with pytest.raises(ValueError, match="x.tsv: not a text file in UTF-8"):
        kmer_ranking.read_counts(tmp_path / "x.tsv", 3)
    with pytest.raises(ValueError, match="none.tsv: No such file"):
        kmer_ranking.read_counts(tmp_path / "none.tsv", 3)


def test_what_is_written_reads_back(tmp_path):
    counts = count(random_codes(20_000), 3)
    found = kmer_ranking.rank(counts, 3)
    path = tmp_path / "new" / "x.csv"
    kmer_ranking.write(found, path, header=["a note\nof two lines", "second"])
    lines = path.read_text().splitlines()
    assert lines[:3] == [
        "# a note of two lines",
        "# second",
        "kmer,count,pmi,npmi,rank",
    ]
    ranks = ranking.read(path, 3)
    words = np.array(kmer.vocabulary(3)[5:])[np.argsort(ranks)]
    assert words.tolist() == found.words
    assert [p.name for p in path.parent.iterdir()] == ["x.csv"]


def test_the_plot_is_a_png(tmp_path):
    found = kmer_ranking.rank(count(random_codes(20_000), 3), 3)
    kmer_ranking.draw(found, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_every_word_of_a_random_sequence_scores_near_its_parts():
    """Bases drawn alone are independent: pairs tell nothing, so PMI is near 0.

    The shared denominator halves p of every part: n parts leave (n - 1) · ln 2.
    """
    counts = count(random_codes(400_000), 3)
    found = kmer_ranking.rank(counts, 3, segments="all")
    assert np.abs(found.pmi).max() < 0.1
    found = kmer_ranking.rank(counts, 3)
    assert np.abs(found.pmi - math.log(2)).max() < 0.1


def test_all_words_are_there():
    words = {"".join(w) for w in itertools.product("ACGT", repeat=3)}
    assert set(kmer_ranking.rank(np.full(64, 500), 3).words) == words


def complement(letters):
    return letters.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def write_counts(path, counts):
    path.write_text("".join(f"{w}\t{c}\n" for w, c in sorted(counts.items())))
    return path


@pytest.mark.parametrize("k", [3, 4])
def test_canonical_counts_are_those_of_both_strands(tmp_path, k):
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 5000))
    both = collections.Counter(counted(letters, k))
    both.update(counted(complement(letters), k))
    canonical = collections.Counter()
    for word, count in counted(letters, k).items():
        canonical[min(word, complement(word))] += count
    plain = kmer_ranking.read_counts(write_counts(tmp_path / "both.tsv", both), k)
    spread = kmer_ranking.read_counts(
        write_counts(tmp_path / "canonical.tsv", canonical), k
    )
    np.testing.assert_array_equal(plain.counts, spread.counts)
    assert not plain.notes
    [note] = spread.notes
    assert note.startswith("canonical k-mers")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda c: {w: min(n, 255) for w, n in c.items()}, "largest count, 255"),
        (lambda c: {w: min(n, 700) for w, n in c.items()}, "largest count, 700"),
        (lambda c: dict(sorted(c.items())[:40]), "lacks 24 of 64 3-mers"),
        (lambda c: {w: n for w, n in c.items() if w[0] != "G"}, "do not agree"),
    ],
)
def test_counts_that_are_cut_are_refused(tmp_path, change, cause):
    letters = "".join(np.random.default_rng(0).choice(list("AACGTT"), 50_000))
    path = write_counts(tmp_path / "x.tsv", change(counted(letters, 3)))
    with pytest.raises(ValueError, match=cause):
        kmer_ranking.read_counts(path, 3)


def test_rare_kmers_that_are_missing_are_noted(tmp_path):
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 3000))
    counts = {w: n for w, n in counted(letters, 6).items() if n > 1}
    [note] = kmer_ranking.read_counts(write_counts(tmp_path / "x.tsv", counts), 6).notes
    assert note.startswith("no k-mer counts less than 2")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (">7\nACG\n>9\nCGT\n", "counts in FASTA"),
    ],
)
def test_other_kinds_of_counts(tmp_path, text, cause):
    (tmp_path / "x.tsv").write_text(text)
    with pytest.raises(ValueError, match=cause):
        kmer_ranking.read_counts(tmp_path / "x.tsv", 3)
