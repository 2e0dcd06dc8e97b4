"""The comparison against a slow writing of its definition, draws and JASPAR."""

import builtins
import itertools

import numpy as np
import pytest

from genomenet.motifs import compare, pwm

COLUMNS = np.array(
    [
        [0.97, 0.01, 0.01, 0.01],
        [0.1, 0.7, 0.1, 0.1],
        [0.25, 0.25, 0.25, 0.25],
        [0.5, 0.0, 0.5, 0.0],
        [0.05, 0.05, 0.2, 0.7],
    ]
)


def random_targets(rng, count, widths):
    return [
        compare.Target(
            f"T{i}", f"ID{i}", rng.dirichlet([0.3] * 4, rng.integers(*widths))
        )
        for i in range(count)
    ]


def as_motif(frequencies, name="m", *, sites=200):
    return pwm.Motif(name, np.asarray(frequencies) * sites)


def of_word(word, name="word"):
    """A motif of one word, one base in ten being another."""
    rows = [[0.9 if base == letter else 1 / 30 for base in "ACGT"] for letter in word]
    return as_motif(rows, name)


def similarity(x, y, kind):
    if kind == "euclidean":
        return -(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) ** 0.5)
    x, y = [a - sum(x) / 4 for a in x], [b - sum(y) / 4 for b in y]
    norm = sum(a * a for a in x) * sum(b * b for b in y)
    product = sum(a * b for a, b in zip(x, y, strict=True))
    return product / norm**0.5 if norm > 1e-24 else 0.0


def slow(query, targets, kind, min_overlap):
    """(p-value, offset, strand) of each target: every draw of columns is listed."""
    both = [(t, t[::-1, ::-1]) for t in (target.frequencies for target in targets)]
    pool = [column for strand in (0, 1) for pair in both for column in pair[strand]]
    exact = [[similarity(x, y, kind) for y in pool] for x in query]
    low, high = min(map(min, exact)), max(map(max, exact))

    def rounded(x, y):
        return round((similarity(x, y, kind) - low) / (high - low) * 100)

    scores = [[rounded(x, y) for y in pool] for x in query]
    found = []
    for pair in both:
        least = min(min_overlap, len(query), len(pair[0]))
        tries = []
        for offset in range(-len(pair[0]), len(query) + 1):
            facing = [
                (i, i - offset)
                for i in range(len(query))
                if 0 <= i - offset < len(pair[0])
            ]
            if len(facing) < least:
                continue
            draws = itertools.product(*(scores[i] for i, _ in facing))
            sums = [sum(draw) for draw in draws]
            for strand, target in zip("+-", pair, strict=True):
                score = sum(rounded(query[i], target[j]) for i, j in facing)
                p = sum(x >= score for x in sums) / len(sums)
                tries.append((p, offset, strand))
        best = min(tries, key=lambda x: x[0])
        found.append((1 - (1 - best[0]) ** len(tries), *best[1:]))
    return found


@pytest.mark.parametrize("kind", compare.SIMILARITIES)
@pytest.mark.parametrize("min_overlap", [1, 2, 9])
def test_pvalues_are_those_of_every_draw_listed(kind, min_overlap):
    rng = np.random.default_rng(3)
    targets = random_targets(rng, 4, (1, 5))
    query = rng.dirichlet([0.5] * 4, 3)
    found = compare.compare(
        [as_motif(query)],
        targets,
        num_matches=9,
        similarity=kind,
        min_overlap=min_overlap,
    )
    expected = slow(query, targets, kind, min_overlap)
    assert len(found) == len(targets)
    assert [m.pvalue for m in found] == sorted(m.pvalue for m in found)
    for match in found:
        number = int(match.target_id.removeprefix("ID"))
        pvalue, offset, strand = expected[number]
        assert match.pvalue == pytest.approx(pvalue)
        assert match.evalue == pytest.approx(4 * pvalue)
        assert (match.offset, match.strand) == (offset, strand)


def test_the_null_is_that_of_random_columns():
    rng = np.random.default_rng(0)
    targets = random_targets(rng, 300, (6, 16))
    pool = np.concatenate([t.frequencies for t in targets])
    motifs = [
        as_motif(pool[rng.integers(len(pool), size=9)], str(i)) for i in range(12)
    ]
    found = compare.compare(motifs, targets, num_matches=300)
    pvalues = np.array([match.pvalue for match in found])
    assert len(pvalues) == 12 * 300
    for level in (0.01, 0.05, 0.1, 0.5):
        assert 0.6 * level < np.mean(pvalues <= level) < 1.3 * level


@pytest.mark.parametrize("kind", compare.SIMILARITIES)
def test_a_target_finds_itself_on_both_strands_and_in_part(kind):
    rng = np.random.default_rng(1)
    targets = random_targets(rng, 200, (8, 14))
    chosen = targets[17].frequencies
    noisy = 0.85 * chosen + 0.15 * rng.dirichlet([1.0] * 4, len(chosen))
    motifs = [
        as_motif(chosen, "itself"),
        as_motif(chosen[::-1, ::-1], "other strand"),
        as_motif(chosen[2:], "part"),
        as_motif(np.concatenate([np.full((3, 4), 0.25), chosen]), "longer"),
        as_motif(noisy, "noisy"),
    ]
    found = compare.compare(motifs, targets, num_matches=1, similarity=kind)
    assert [m.motif for m in found] == [m.name for m in motifs]
    assert {m.target_name for m in found} == {"T17"}
    width = len(chosen)
    assert [(m.offset, m.strand, m.overlap) for m in found] == [
        (0, "+", width),
        (0, "-", width),
        (-2, "+", width - 2),
        (3, "+", width),
        (0, "+", width),
    ]
    assert found[0].pvalue == pytest.approx(found[1].pvalue)
    assert found[0].pvalue < 1e-7
    assert all(m.qvalue < 0.01 for m in found)


def test_tiny_pvalues_are_exact():
    """Four bases drawn alike: each further column is four times less likely."""
    targets = [
        compare.Target(word, word, np.eye(4)[["ACGT".index(b) for b in word]])
        for word in ("ACGT" * 5, "TTGGCCAA")
    ]
    query = as_motif(targets[0].frequencies)
    found = compare.compare([query], targets, min_overlap=20, num_matches=1)[0]
    assert found.target_name == "ACGT" * 5
    # One offset on two strands; one base in four of the targets is each.
    assert found.pvalue == pytest.approx(2 * 0.25**20, rel=1e-9)


def test_qvalues_are_those_of_benjamini_and_hochberg():
    rng = np.random.default_rng(5)
    targets = random_targets(rng, 30, (5, 9))
    found = compare.compare([as_motif(COLUMNS)], targets, num_matches=30)
    pvalues = [m.pvalue for m in found]
    assert pvalues == sorted(pvalues)
    rates = [p * 30 / rank for rank, p in enumerate(pvalues, 1)]
    expected = [min(rates[rank:]) for rank in range(30)]
    assert [m.qvalue for m in found] == pytest.approx(expected)


def test_a_flat_column_correlates_with_none():
    flat = compare.Target("flat", "F", np.full((3, 4), 0.25))
    other = compare.Target("other", "O", COLUMNS)
    found = compare.compare([as_motif(COLUMNS)], [flat, other], similarity="pearson")
    assert [m.target_name for m in found] == ["other", "flat"]
    assert np.isfinite([m.pvalue for m in found]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"similarity": "cosine"}, "similarity must be one of euclidean, pearson, got"),
        ({"num_matches": 0}, "num_matches .*got 0 and 5"),
        ({"min_overlap": 0}, "min_overlap .*got 5 and 0"),
        ({"targets": []}, "there are no targets"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message):
    targets = arguments.pop("targets", [compare.Target("a", "A", COLUMNS)])
    with pytest.raises(ValueError, match=message):
        compare.compare([as_motif(COLUMNS)], targets, **arguments)


def test_no_motifs_have_no_matches():
    assert compare.compare([], [compare.Target("a", "A", COLUMNS)]) == []


def test_a_missing_extra_is_one_line(monkeypatch):
    real = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name == "pyjaspar":
            raise ModuleNotFoundError("No module named 'pyjaspar'")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match="pip install 'genomenet.motifs.'") as caught:
        compare.jaspar()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_known_motifs_come_under_their_names():
    pytest.importorskip("pyjaspar", reason="needs the extra motifs")
    targets = compare.jaspar(tax_group="vertebrates")
    assert len(targets) > 800
    for target in targets:
        assert target.frequencies.sum(1) == pytest.approx(1)
    names = {t.identifier: t.name for t in targets}
    chosen = [t for t in targets if t.name in ("POU5F1", "MAFK", "FOXA1", "CTCF")]
    found = compare.compare(
        [as_motif(t.frequencies, t.identifier) for t in chosen], targets, num_matches=1
    )
    assert [names[m.motif] for m in found] == [m.target_name for m in found]
    assert all(m.pvalue < 1e-4 and m.offset == 0 for m in found)
    for word, family in (
        ("ATGCAAAT", "POU"),
        ("TGCTGACTCAGCA", "MAF"),
        ("TGTTTAC", "FOX"),
        ("TGAGTCA", ("FOS", "JUN", "MAF", "BATF", "ATF", "BNC")),
    ):
        matches = compare.compare([of_word(word)], targets, num_matches=3)
        assert all(m.target_name.upper().startswith(family) for m in matches), word
    with pytest.raises(ValueError, match="JASPAR has no motifs of 'CORE', 'birds'"):
        compare.jaspar(tax_group="birds")
