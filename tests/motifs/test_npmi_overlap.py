"""Counts against slow ones by words."""

import csv

import numpy as np
import pytest

from genomenet.dna import encode, kmer
from genomenet.motifs import npmi_overlap, pwm

K = 3
RANKS = np.random.default_rng(0).permutation(64).astype(np.int32) + 1


def rank(word):
    return RANKS[kmer.vocabulary(K).index(word) - kmer.NUM_SPECIAL]


def motif(name, width, places):
    sites = tuple(pwm.Site(n, start, "+", "A" * width, 1.0, 1.0) for n, start in places)
    return pwm.Motif(name, np.ones((width, 4)), sites=sites)


def test_counts_are_those_of_words(tmp_path):
    rng = np.random.default_rng(1)
    texts = {f"s{i}": "".join(rng.choice(list("ACGT"), 60)) for i in range(30)}
    texts["s3"] = texts["s3"][:20] + "NNNN" + texts["s3"][24:]
    sequences = [(name, encode.encode(text)) for name, text in texts.items()]
    places = [(name, int(rng.integers(0, 54))) for name in texts] + [("s3", 18)]
    found = npmi_overlap.overlap(
        [motif("wide", 6, places), motif("narrow", 2, places), motif("none", 4, [])],
        sequences,
        RANKS,
        K,
    )

    def words(parts):
        cut = [part[i : i + K] for part in parts for i in range(len(part) - K + 1)]
        return [word for word in cut if "N" not in word]

    expected = {
        npmi_overlap.ALL: words(texts.values()),
        "wide": words(texts[n][s : s + 6] for n, s in places),
        "narrow": words(texts[n][max(0, s - 1) : s + 3] for n, s in places),
        "none": [],
    }
    assert [row.motif for row in found] == list(expected)
    for row in found:
        ranks = [rank(word) for word in expected[row.motif]]
        assert row.kmers == len(ranks)
        # 1, 5 and 10 % of 64 k-mers.
        assert row.best == tuple(sum(r <= n for r in ranks) for n in (1, 3, 6))
    assert found[1].best[2] > 0
    npmi_overlap.write(tmp_path / "x.tsv", found)
    with (tmp_path / "x.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["motif"] for row in rows] == list(expected)
    whole, wide = found[0], found[1]
    share = wide.best[2] / wide.kmers
    assert float(rows[1]["top_10_share"]) == pytest.approx(share, abs=1e-5)
    fold = share / (whole.best[2] / whole.kmers)
    assert float(rows[1]["top_10_fold"]) == pytest.approx(fold, abs=1e-3)
    assert int(rows[1]["top_10"]) == wide.best[2]


def test_kmers_without_a_rank_are_in_no_share():
    ranks = np.full(64, 11, np.int32)
    ranks[:10] = np.arange(1, 11)
    words = "".join(w for w in kmer.vocabulary(K)[kmer.NUM_SPECIAL :])
    [row] = npmi_overlap.overlap([], [("x", encode.encode(words))], ranks, K)
    best = kmer.vocabulary(K)[kmer.NUM_SPECIAL]
    count = sum(words[i : i + K] == best for i in range(len(words) - 2))
    assert row.best == (count, count, count)


def test_ranks_of_other_kmers_are_refused():
    with pytest.raises(ValueError, match="ranks of 3-mers.*64"):
        npmi_overlap.overlap([], [], RANKS[:16], K)
