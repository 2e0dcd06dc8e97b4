import itertools
import math

import numpy as np
import pytest
from scipy import stats

from genomenet.motifs.discovery import background, significance

TABLES = [
    (5, 10, 2, 12),
    (0, 10, 0, 10),
    (10, 10, 0, 10),
    (0, 7, 5, 9),
    (300, 400, 280, 410),
    (3200, 3900, 700, 3900),
    (4, 4, 300, 1000),
]


@pytest.mark.parametrize("table", TABLES)
def test_fisher_is_that_of_scipy(table):
    a, n, b, m = table
    expected = stats.hypergeom.logsf(a - 1, n + m, a + b, n) if a else 0.0
    assert significance.fisher(*table) == pytest.approx(expected, rel=1e-8, abs=1e-12)
    if a < 1000:
        peer = stats.fisher_exact([[a, b], [n - a, m - b]], "greater").pvalue
        assert math.exp(significance.fisher(*table)) == pytest.approx(peer, rel=1e-8)


@pytest.mark.parametrize(
    ("a", "b", "share"),
    [(5, 3, 0.4), (0, 0, 0.5), (0, 9, 0.2), (40, 10, 0.5), (900, 100, 0.6)],
)
def test_binomial_is_that_of_scipy(a, b, share):
    expected = stats.binom.logsf(a - 1, a + b, share) if a else 0.0
    found = significance.binomial(a, b, share)
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-12)


def test_sites_in_one_of_two_sets_only_tell_nothing():
    assert significance.binomial(5, 0, 1.0) == 0


def test_deviance_is_nearly_minus_the_logarithm_of_the_pvalue():
    n, m = 300, 500
    a, b = np.meshgrid(np.arange(0, n + 1, 20), np.arange(0, m + 1, 20))
    keep = a / n > b / m + 0.05
    a, b = a[keep], b[keep]
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    fisher = [-significance.fisher(x, n, y, m) for x, y in pairs]
    deviance = significance.deviance(a, n, b, m)
    # They differ by the logarithm of a power of the size.
    assert np.abs(np.array(fisher) - deviance).max() < 6
    binomial = [-significance.binomial(x, y, 0.375) for x, y in pairs]
    deviance = significance.deviance(a, n, b, m, share=0.375)
    assert np.abs(np.array(binomial) - deviance).max() < 6


@pytest.mark.parametrize("share", [None, 0.5])
def test_deviance_is_negative_for_depleted_words(share):
    found = significance.deviance(
        np.array([1, 5, 9, 0]), 10, np.array([9, 5, 1, 0]), 10, share=share
    )
    assert found[0] < 0
    assert found[1] == pytest.approx(0)
    assert found[2] > 0
    assert found[3] == 0


def chain(order, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.choice(4, 400, p=[0.5, 0.1, 0.15, 0.25]).astype(np.uint8)
    return background.fit([codes], order=order, both_strands=False)


def probability(word, model):
    """Of a word, base by base."""
    order = model.order
    number = 0
    for base in word[:order]:
        number = 4 * number + base
    p = model.initial[number]
    for i in range(order, len(word)):
        context = 0
        for base in word[i - order : i]:
            context = 4 * context + base
        p *= model.transitions[context, word[i]]
    return p


@pytest.mark.parametrize(("width", "order"), [(6, 0), (5, 1), (6, 2), (5, 3)])
def test_score_distribution_is_that_of_all_words(width, order):
    model = chain(order)
    rng = np.random.default_rng(width)
    log_odds = rng.normal(0, 2, (width, 4))
    found = significance.score_distribution(log_odds, model, resolution=0.1)
    words = list(itertools.product(range(4), repeat=width))
    p = np.array([probability(word, model) for word in words])
    assert p.sum() == pytest.approx(1)
    units = np.array(
        [sum(round(log_odds[i, b] / 0.1) for i, b in enumerate(w)) for w in words]
    )
    some = rng.choice(len(words), 50)
    expected = [p[units >= units[i]].sum() for i in some]
    np.testing.assert_allclose(
        found.pvalues(np.array(words, np.uint8)[some]), expected, rtol=1e-9
    )
    score = float(np.median(units)) * 0.1
    at_least = p[units >= math.ceil(np.median(units))].sum()
    assert found.pvalue(score) == pytest.approx(at_least)
    assert found.pvalue(1e3) == 0
    assert found.pvalue(-1e3) == pytest.approx(1)


def test_a_motif_must_be_wider_than_the_order():
    with pytest.raises(ValueError, match="2 columns needs an order below 2"):
        significance.score_distribution(np.zeros((2, 4)), chain(2))


def test_extreme_values_are_those_of_scipy():
    null = -stats.gumbel_r.rvs(20, 3, size=40, random_state=0)
    scale = np.std(null, ddof=1) * math.sqrt(6) / math.pi
    location = -np.mean(null) - np.euler_gamma * scale
    for log_p in (-400.0, -60.0, -25.0, -20.0, -15.0):
        expected = stats.gumbel_r.logsf(-log_p, location, scale)
        assert significance.gumbel(log_p, null) == pytest.approx(expected, rel=1e-6)
    assert significance.gumbel(0.0, null) == pytest.approx(0)


def test_default_resolution_is_fine_enough_for_the_order():
    log_odds = np.random.default_rng(0).normal(0, 2, (8, 4))
    for order, expected in ((2, 0.02), (4, 0.1)):
        model = chain(order)
        found = significance.score_distribution(log_odds, model)
        assert found.resolution == expected
        fine = significance.score_distribution(log_odds, model, resolution=0.005)
        off = 8 * (expected + 0.005) / 2  # bits, at most, over 8 columns
        for score in (2.0, 5.0, 8.0):
            p = found.pvalue(score)
            assert fine.pvalue(score + off) <= p <= fine.pvalue(score - off)
            assert 0 < p < 1
