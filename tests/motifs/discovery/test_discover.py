import dataclasses
import functools
import math
import os

import numpy as np
import pytest
from scipy import stats

from genomenet.dna import alphabet, encode, shuffle
from genomenet.motifs import pwm
from genomenet.motifs.discovery import discover
from genomenet.motifs.discovery import options as options_lib

OCTAMER = "ATGCAAAT"
TURNED = str.maketrans("ACGT", "TGCA")


def random_sequences(number, length, seed, prefix="s"):
    rng = np.random.default_rng(seed)
    return [
        (f"{prefix}{i}", rng.choice(4, length, p=[0.3, 0.2, 0.2, 0.3]).astype(np.uint8))
        for i in range(number)
    ]


def planted(number, length, seed, word, share, fidelity=0.9):
    """Random sequences, a share of which holds the word on either strand."""
    rng = np.random.default_rng((seed, 1))
    sequences = random_sequences(number, length, seed)
    places = {}
    for name, codes in sequences:
        if rng.random() >= share:
            continue
        site = encode.encode(word)
        change = rng.random(len(site)) > fidelity
        site = np.where(change, rng.integers(0, 4, len(site)), site).astype(np.uint8)
        start = int(rng.integers(0, length - len(site) + 1))
        is_reverse = rng.random() < 0.5
        codes[start : start + len(site)] = (
            encode.reverse_complement(site) if is_reverse else site
        )
        places[name] = (start, "+-"[is_reverse])
    return sequences, places


def holds(motif, word):
    """Whether the most frequent bases have most of a word, on either strand."""
    best = "".join("ACGT"[i] for i in motif.counts.argmax(1))
    return any(
        sum(a == b for a, b in zip(best[i:], w[j:], strict=False)) >= len(w) - 1
        for w in (word, word[::-1].translate(TURNED))
        for i in range(len(best))
        for j in (0, 1)
    )


@functools.cache
def octamer(given=False):
    sequences, places = planted(100, 80, 3, OCTAMER, 0.7)
    controls = random_sequences(100, 80, 4, "c") if given else None
    options = options_lib.Options(num_motifs=1, max_width=10)
    return discover.discover(sequences, controls, options), sequences, places


@pytest.mark.parametrize("given", [True, False])
def test_a_planted_motif_is_found_at_its_places(given):
    found, sequences, places = octamer(given)
    (motif,) = found.motifs
    assert holds(motif, OCTAMER), motif.name
    assert motif.name == f"1-{motif.consensus}"
    assert found.controls == ("given" if given else "shuffled")
    assert (found.num_sequences, found.num_controls) == (100, 100 if given else 500)
    assert motif.scores["significant"] == 1
    assert motif.scores["pvalue"] < 0.01
    codes = dict(sequences)
    hits = 0
    for site in motif.sites:
        word = codes[site.sequence][site.start : site.start + motif.width]
        if site.strand == "-":
            word = encode.reverse_complement(word)
        assert encode.decode(word).decode() == site.word
        start = places.get(site.sequence, (-99,))[0]
        hits += abs(site.start - start) <= abs(motif.width - 8) + 1
    names = [site.sequence for site in motif.sites]
    assert names == [name for name, _ in sequences if name in set(names)]
    assert hits > 0.5 * len(places)  # not all planted words are whole
    assert hits > 0.7 * len(names)


def test_scores_of_sites_follow_from_the_motif():
    found, _, _ = octamer()
    (motif,) = found.motifs
    log_odds = motif.log_odds()
    for site in motif.sites:
        score = sum(log_odds[i, "ACGT".index(b)] for i, b in enumerate(site.word))
        assert site.score == pytest.approx(score)
        assert site.score >= motif.scores["threshold"]
        assert 0 < site.pvalue <= 1.1 * motif.scores["threshold_pvalue"]
    information = motif.information().sum()
    assert motif.scores["information"] == pytest.approx(information)
    assert motif.background == found.background


def test_numbers_of_a_motif_belong_together():
    found, sequences, _ = octamer(given=True)
    (motif,) = found.motifs
    scores = motif.scores
    assert scores["num_positives"] == scores["num_negatives"] == 10
    assert scores["positive_share"] == len(motif.sites) / len(sequences)
    table = [
        [scores["positives"], 10 - scores["positives"]],
        [scores["negatives"], 10 - scores["negatives"]],
    ]
    p = stats.fisher_exact(table, "greater").pvalue
    assert scores["pvalue"] == pytest.approx(p)
    assert scores["log10_pvalue"] == pytest.approx(math.log10(p))
    assert scores["evalue"] == pytest.approx(p)  # one motif was tested
    assert scores["train_pvalue"] < 1e-10
    assert scores["holdout"] == 0.1


def test_the_seed_alone_fixes_the_result(monkeypatch):
    sequences, _ = planted(60, 50, 1, OCTAMER, 0.6)
    options = options_lib.Options(num_motifs=2, max_width=9, holdout=0.2)

    def run(seed=1, threads=1):
        monkeypatch.setattr(
            os, "sched_getaffinity", lambda _: set(range(threads)), raising=False
        )
        changed = dataclasses.replace(options, seed=seed)
        return discover.discover(sequences, options=changed)

    def as_text(found):
        return repr([(m.name, m.counts.tolist(), m.sites, m.scores) for m in found])

    first = run()
    assert as_text(run(threads=3).motifs) == as_text(first.motifs)
    assert as_text(run(seed=2).motifs) != as_text(first.motifs)


def test_the_search_ends_with_motifs_that_are_chance():
    sequences, _ = planted(60, 50, 1, OCTAMER, 0.8)
    controls = random_sequences(60, 50, 2, "c")
    options = options_lib.Options(num_motifs=None, patience=2, max_width=8, holdout=0.4)
    found = discover.discover(sequences, controls, options)
    first, *others = found.motifs
    assert holds(first, OCTAMER)
    assert first.scores["significant"] == 1
    assert len(others) >= 2
    assert all(m.scores["pvalue"] > 0.05 for m in others[-2:])
    for motif in found.motifs:
        evalue = motif.scores["pvalue"] * len(found.motifs)
        assert motif.scores["evalue"] == pytest.approx(evalue)
        assert motif.scores["significant"] == (evalue <= 0.05)


def test_one_strand():
    rng = np.random.default_rng(0)
    sequences = random_sequences(60, 50, 5)
    for _, codes in sequences:
        start = int(rng.integers(0, 40))
        codes[start : start + 8] = encode.encode("TTGGCATC")
    options = options_lib.Options(num_motifs=1, max_width=9, both_strands=False)
    (motif,) = discover.discover(sequences, None, options).motifs
    assert "TTGGCATC" in motif.consensus  # not its reverse complement
    assert {site.strand for site in motif.sites} == {"+"}


def test_few_sequences_are_compared_with_permuted_ones(monkeypatch, capsys):
    monkeypatch.setattr(discover, "_NUM_NULLS", 4)
    monkeypatch.setattr(discover, "_LEAST_CONTROLS", 100)
    sequences, _ = planted(25, 60, 2, "GTAAACAT", 0.9)
    lines = []
    found = discover.discover(
        sequences,
        None,
        options_lib.Options(num_motifs=1, max_width=9),
        progress=lines.append,
    )
    (motif,) = found.motifs
    assert holds(motif, "GTAAACAT")
    assert "10% for testing (25 primary" in found.warnings[0]
    assert motif.scores["holdout"] == 0
    assert motif.scores["num_positives"] == 25
    assert motif.scores["train_pvalue"] < motif.scores["pvalue"] < 0.05
    assert motif.scores["significant"] == 1
    assert sum("4 permutations" in line for line in lines) == 1
    assert "4/4" in capsys.readouterr().err
    assert "motif 1" in lines[-1]


def test_the_binomial_test_serves_sequences_of_other_lengths():
    sequences, _ = planted(80, 40, 7, OCTAMER, 0.7)
    controls = random_sequences(80, 90, 8, "c")
    options = options_lib.Options(num_motifs=1, max_width=8, holdout=0.25)
    (motif,) = discover.discover(sequences, controls, options).motifs
    scores = motif.scores
    assert holds(motif, OCTAMER)
    share = 33 / (33 + 83)  # places of 8 bases
    a, b = int(scores["positives"]), int(scores["negatives"])
    p = stats.binomtest(a, a + b, share, alternative="greater").pvalue
    assert scores["pvalue"] == pytest.approx(p)


def test_unusable_sequences_are_left_out_with_a_warning():
    sequences, _ = planted(60, 50, 1, OCTAMER, 0.8)
    sequences += [
        ("short", np.zeros(7, np.uint8)),
        ("empty", np.zeros(0, np.uint8)),
        ("unknown", np.full(50, 4, np.uint8)),
        ("s1", random_sequences(1, 50, 9)[0][1]),
        ("copy", sequences[1][1]),
        ("other strand", alphabet.COMPLEMENT[sequences[2][1][::-1]]),
    ]
    found = discover.discover(
        sequences, None, options_lib.Options(num_motifs=1, max_width=8)
    )
    assert found.num_sequences == 61
    assert found.warnings == (
        "1 name(s) such as 's1' belong to several primary sequences: '#' and their "
        "positions in the input are added",
        "2 of 66 primary sequences left out: they repeat another on either strand",
        "3 of 66 primary sequences left out: they have no 8 consecutive bases"
        " without N",
    )
    names = {site.sequence for site in found.motifs[0].sites}
    assert "s1" not in names
    assert not names & {"copy", "other strand"}


UNKNOWN = ("n", np.full(30, 4, np.uint8))
ONE = random_sequences(1, 50, 0)
TWO = random_sequences(2, 50, 0)


@pytest.mark.parametrize(
    ("sequences", "controls", "message"),
    [
        ([], None, "0 usable primary sequence.s. of 0"),
        ([UNKNOWN, UNKNOWN], None, "0 usable primary sequence.s. of 2"),
        (ONE, None, "1 usable primary sequence.s. of 1: at least 2"),
        (ONE * 9, None, "at least 2.*; 8 of 9 primary sequences left out: they"),
        (TWO, [], "no usable control of 0"),
        (TWO, [UNKNOWN], "no usable control of 1; 1 of 1 controls left out"),
    ],
)
def test_nothing_to_search_in_is_refused(sequences, controls, message):
    with pytest.raises(ValueError, match=message) as e:
        discover.discover(sequences, controls)
    assert "\n" not in str(e.value)


def test_no_enriched_word_is_no_motif(monkeypatch):
    monkeypatch.setattr(discover, "_NUM_NULLS", 2)
    same = [("a", np.zeros(20, np.uint8)), ("b", np.ones(20, np.uint8))]
    assert discover.discover(same, same).motifs == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_width": 5}, "widths must be 6 to 20 bases.*got 5 and 15"),
        ({"max_width": 21}, "got 8 and 21"),
        ({"min_width": 12, "max_width": 10}, "got 12 and 10"),
        ({"num_motifs": 0}, "num_motifs must be 1 or more, got 0"),
        ({"threshold": 0.0}, "threshold must be .*got 0.0"),
        ({"patience": 0}, "patience must be 1 or more"),
        ({"holdout": 1.0}, "holdout must be .*got 1.0"),
        ({"order": 6}, "order must be 0 to 5, got 6"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_options_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        options_lib.Options(**changes)


@pytest.mark.slow
@pytest.mark.parametrize("given", [True, False])
def test_several_planted_motifs_of_several_widths_are_found(given):
    sequences, _ = planted(1000, 100, 1, "TGACTCA", 0.25, 0.95)
    for seed, (word, share) in enumerate(
        [("ATGCAAATCCGT", 0.2), ("GGCACGTGCCATTGCAGC", 0.1)]
    ):
        other, places = planted(1000, 100, 1, word, share, 0.95)
        for (name, codes), (_, with_site) in zip(sequences, other, strict=True):
            if name in places:
                start = (places[name][0] + 31 * (seed + 1)) % (100 - len(word))
                site = with_site[places[name][0] :][: len(word)]
                codes[start : start + len(word)] = site
    controls = random_sequences(1000, 100, 9, "c") if given else None
    options = options_lib.Options(min_width=6, max_width=20, num_motifs=6)
    found = discover.discover(sequences, controls, options)
    significant = [m for m in found.motifs if m.scores["significant"]]
    assert significant == list(found.motifs[: len(significant)])
    logs = [m.scores["log10_pvalue"] for m in significant]
    assert logs == sorted(logs)
    for word in ("TGACTCA", "ATGCAAATCCGT", "GGCACGTGCCATTGCAGC"):
        assert any(holds(m, word) for m in significant), word


@functools.cache
def nulls(number=20):
    """Discoveries in sequences without any motif, half of them shuffled."""
    found = []
    for seed in range(number):
        sequences = random_sequences(120, 60, seed)
        codes = shuffle.shuffle([c for _, c in sequences], order=1, seed=seed)
        sequences = [(n, c) for (n, _), c in zip(sequences, codes, strict=True)]
        controls = random_sequences(120, 60, 999 + seed, "c") if seed % 2 else None
        options = options_lib.Options(max_width=10, holdout=0.3, seed=seed)
        found.append(discover.discover(sequences, controls, options))
    return found


@pytest.mark.slow
def test_few_sets_without_motifs_yield_a_significant_one():
    found = nulls()
    wrong = sum(any(m.scores["significant"] for m in f.motifs) for f in found)
    assert stats.binomtest(wrong, len(found), 0.05, alternative="greater").pvalue > 0.05


@pytest.mark.slow
def test_holdout_pvalues_are_uniform_where_there_is_no_motif():
    rng = np.random.default_rng(0)
    draws = []
    for motif in (m for f in nulls() for m in f.motifs):
        s = motif.scores
        a, n, b, m = (
            int(s[key])
            for key in ("positives", "num_positives", "negatives", "num_negatives")
        )
        # Counts are few, so p-values have steps: a draw within each is uniform.
        more, same = (f(a, n + m, a + b, n) for f in _TAILS)
        assert s["pvalue"] == pytest.approx(more + same, abs=1e-9)
        draws.append(more + rng.random() * same)
    assert len(draws) >= 50
    assert stats.kstest(draws, "uniform").pvalue > 0.01


_TAILS = (stats.hypergeom.sf, stats.hypergeom.pmf)


def test_motifs_are_the_shared_type():
    found, _, _ = octamer()
    assert all(isinstance(m, pwm.Motif) for m in found.motifs)
    assert all(math.isfinite(x) for m in found.motifs for x in m.scores.values())
