"""How surprising counts of sequences with a motif are, and scores of a motif.

Logarithms are natural. A table is given by the number of primary sequences and of
controls, and how many of each hold the motif. The tails are summed here: `logsf`
of SciPy's `binom` is minus infinity below 1e-308, that of its `hypergeom` ten times
slower, and loading scipy.stats takes longer than all tests of a run.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from genomenet.motifs.discovery import background as background_lib

# Bits that scores are rounded to; coarser where the states of the chain are many.
_RESOLUTION: Final = 0.02
_COARSE_RESOLUTION: Final = 0.1
_MANY_STATES: Final = 64
_EULER: Final = 0.57721566490153286


def fisher(positives: int, num_primary: int, negatives: int, num_control: int) -> float:
    """Fisher's exact test, one-sided.

    Args:
        positives: Primary sequences with the motif.
        num_primary: All primary sequences.
        negatives: Controls with the motif.
        num_control: All controls.

    Returns:
        Logarithm of the probability of as many positives or more, the sums given.
    """
    holding = positives + negatives
    total = num_primary + num_control
    k = np.arange(positives, min(holding, num_primary) + 1)
    terms = (
        _log_choose(num_primary, k)
        + _log_choose(num_control, holding - k)
        - _log_choose(total, holding)
    )
    return _log_sum(terms)


def binomial(positives: int, negatives: int, share: float) -> float:
    """Binomial test, one-sided, for primary and control sequences of other lengths.

    Args:
        positives: Primary sequences with the motif.
        negatives: Controls with the motif.
        share: Share of all places for a site that lies in primary sequences.

    Returns:
        Logarithm of the probability that as many or more of the sequences with the
        motif are primary, if sites fall everywhere alike.
    """
    holding = positives + negatives
    if share >= 1 or share <= 0:
        return 0.0
    k = np.arange(positives, holding + 1)
    terms = (
        _log_choose(holding, k)
        + k * math.log(share)
        + (holding - k) * math.log1p(-share)
    )
    return _log_sum(terms)


def deviance(
    positives: npt.NDArray[np.int64],
    num_primary: int,
    negatives: npt.NDArray[np.int64],
    num_control: int,
    *,
    share: float | None = None,
) -> npt.NDArray[np.float64]:
    """Log-likelihood ratio of a table: nearly minus the logarithm of its p-value.

    It orders tables as the tests do, at a small part of their cost.

    Args:
        positives: Primary sequences with the motif.
        num_primary: All primary sequences.
        negatives: Controls with the motif.
        num_control: All controls.
        share: As in `binomial`, for that test; None for Fisher's.

    Returns:
        Nats, of the shape of `positives`; negative where the motif is depleted.
    """
    a = np.asarray(positives, np.float64)
    b = np.asarray(negatives, np.float64)
    if share is not None:
        ratio = _term(a, (a + b) * share) + _term(b, (a + b) * (1 - share))
        return np.where(a >= (a + b) * share, ratio, -ratio)
    rate = (a + b) / (num_primary + num_control)
    ratio = (
        _term(a, num_primary * rate)
        + _term(b, num_control * rate)
        + _term(num_primary - a, num_primary * (1 - rate))
        + _term(num_control - b, num_control * (1 - rate))
    )
    return np.where(a * num_control >= b * num_primary, ratio, -ratio)


class ScoreDistribution(NamedTuple):
    """Distribution of a motif's score at a random place.

    Attributes:
        columns: Scores of bases, rounded, in units of `resolution`, int64, (W, 4).
        smallest: Smallest score there is, in units.
        tail: Probability of each score from the smallest on, or a higher one.
        resolution: Bits of a unit.
    """

    columns: npt.NDArray[np.int64]
    smallest: int
    tail: npt.NDArray[np.float64]
    resolution: float

    def pvalues(self, words: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Returns the probability of each word's score or a higher one.

        Args:
            words: Codes of bases A, C, G, T, (N, W).

        Returns:
            Float64, (N,).
        """
        units = self.columns[np.arange(len(self.columns)), words].sum(-1)
        return self.tail[units - self.smallest]

    def pvalue(self, score: float) -> float:
        """Returns the probability of a score in bits or a higher one."""
        unit = math.ceil(score / self.resolution - 1e-9) - self.smallest
        return float(self.tail[max(unit, 0)]) if unit < len(self.tail) else 0.0


def score_distribution(
    log_odds: npt.NDArray[np.float64],
    background: background_lib.Background,
    *,
    resolution: float | None = None,
) -> ScoreDistribution:
    """Computes the distribution of scores over random words, exactly.

    Args:
        log_odds: Scores of bases in bits, (W, 4).
        background: The model that random words follow; W must exceed its order.
        resolution: Bits that scores are rounded to, column by column; the
            distribution is exact for rounded scores. By default 0.02, and 0.1 for
            orders above 3.

    Returns:
        The distribution.

    Raises:
        ValueError: If the motif is not wider than the order.

    Source:
        Staden 1989, with the state of the Markov chain beside the score.
    """
    width, order = len(log_odds), background.order
    if width <= order:
        raise ValueError(f"a motif of {width} columns needs an order below {width}")
    if resolution is None:
        is_large = 4**order > _MANY_STATES
        resolution = _COARSE_RESOLUTION if is_large else _RESOLUTION
    columns = np.rint(np.asarray(log_odds) / resolution).astype(np.int64)
    lows = columns.min(1)
    steps = columns - lows[:, None]
    size = int(steps.max(1).sum()) + 1
    table = np.zeros((4**order, size))
    start = np.zeros(4**order, np.int64)
    for column in range(order):
        digits = np.arange(4**order) // 4 ** (order - 1 - column) % 4
        start += steps[column][digits]
    table[np.arange(4**order), start] = background.initial
    for column in range(order, width):
        table = _step(table, steps[column], background.transitions)
    mass = table.sum(0)
    tail = np.minimum(np.cumsum(mass[::-1])[::-1], 1.0)
    return ScoreDistribution(columns, int(lows.sum()), tail, resolution)


def _step(
    table: npt.NDArray[np.float64],
    steps: npt.NDArray[np.int64],
    transitions: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Adds a column: (states, scores) → (states, scores)."""
    states, size = table.shape
    after = np.zeros((states, size))
    for base, step in enumerate(steps.tolist()):
        moved = table[:, : size - step] * transitions[:, base, None]
        if states == 1:
            after[0, step:] += moved[0]
        else:
            # The oldest base leaves the state, the new one becomes the last.
            after[base::4, step:] += moved.reshape(4, states // 4, -1).sum(0)
    return after


def gumbel(log_pvalue: float, null: npt.NDArray[np.float64]) -> float:
    """Returns the p-value of a best log p-value among those of searches of chance.

    Args:
        log_pvalue: The one in question.
        null: Best log p-values of searches where there is nothing to find, (N,).

    Returns:
        Logarithm of the probability that chance does as well, of an extreme value
        distribution with the mean and the deviation of -`null`.
    """
    scale = max(float(np.std(null, ddof=1)) * math.sqrt(6) / math.pi, 1e-9)
    location = float(-np.mean(null)) - _EULER * scale
    exponent = (-log_pvalue - location) / scale
    if exponent > 30:  # 1 - exp(-x) is x
        return -exponent
    return math.log(-math.expm1(-math.exp(-max(exponent, -6.0))))


def _term(
    x: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Returns x log(x / expected), 0 where x is."""
    safe = np.where((x > 0) & (expected > 0), expected, 1.0)
    return x * np.log(np.where(x > 0, x, safe) / safe)


def _log_choose(n: int, k: npt.NDArray[np.int64] | int) -> npt.NDArray[np.float64]:
    """Returns the logarithm of n over k; minus infinity where there is no choice."""
    ways = special.gammaln(n + 1) - special.gammaln(np.add(k, 1))
    return ways - special.gammaln(np.subtract(n + 1, k))


def _log_sum(terms: npt.NDArray[np.float64]) -> float:
    """Returns the logarithm of a sum of probabilities, 0 at most."""
    return min(float(np.logaddexp.reduce(terms)), 0.0)
