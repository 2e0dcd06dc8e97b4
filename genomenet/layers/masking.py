"""Which tokens a masked language model has to predict; keras only.

A strategy draws centres and turns each into a span of tokens. Everything is a
function of (tokens, row key), static in shape, and free of (B, T, T) tensors unless
far more centres are drawn than expected.

Whole batches are masked at once, without a loop over sequences, because masking is part
of the compiled training graph. `oracle` in tests/layers/test_masking.py reads the same
rules literally for one sequence, and a test compares all targets of both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, cast

import numpy as np
from keras import ops

from genomenet.dna import kmer
from genomenet.layers import random


class Strategy(NamedTuple):
    """What a centre makes a target."""

    has_span: bool = True
    """The k tokens from -(k-1)//2 to +k//2 around it, as far as they are of the same
    sequence; else itself only."""
    ranks_by: str = ""
    """By what tokens are ranked: "token", what they are; "position", the vocabulary
    entry whose id is their position in the sequence, [CLS] being 0, so that 1 to 4 rank
    best and those beyond the vocabulary worst; or empty for no ranks. In the half of
    the spans whose best token ranks best (all, if a sequence has at most 8), the k-1
    tokens on either side of that token, which share a base with it, are targets too."""
    is_global: bool = False
    """Whether a sequence's best tokens take the place of its centres, as many as were
    drawn; each makes itself and the k-1 tokens on either side targets."""


STRATEGIES: Final = {
    "token": Strategy(has_span=False),
    "kmer_span": Strategy(),  # DNABERT's
    "genemask": Strategy(ranks_by="token"),
    "genemask_released": Strategy(ranks_by="position"),  # as its code does it
    "genemask_global": Strategy(ranks_by="token", is_global=True),
}
"""The maskings of `mask_tokens` and of BERT's config, by name."""

CENTRE_STREAM: Final = 0
CHOICE_STREAM: Final = 1
TOKEN_STREAM: Final = 2
"""The streams of `layers.random` that are drawn from."""

_SHARE_MASKED: Final = 0.8
_SHARE_KEPT: Final = 0.1
_NONE: Final = 2**29  # the order of what is no span: behind every other
_LONGEST: Final = 2**11  # tokens; so that rank · T + token is below _NONE / 2
_FEW: Final = 5  # up to here every span is kept


class Masked(NamedTuple):
    """What `mask_tokens` returns."""

    inputs: Any
    """int32, (B, T): ids for the encoder."""
    selected: Any
    """bool, (B, T): the tokens to predict."""
    num_dropped: Any
    """int32, (B,): spans given up because of `max_predictions`."""


def mask_tokens(
    token_ids: Any,
    segment_ids: Any,
    position_ids: Any,
    key: Any,
    *,
    k: int,
    strategy: str,
    rate: float,
    ranks: Any = None,
    max_predictions: int | None = None,
) -> Masked:
    """Chooses the tokens to predict and hides them.

    Centres: each k-mer with probability `rate`; [UNK] and the other specials are
    never masked and never targets. `STRATEGIES` says what a centre makes a target.

    Of the targets 80 % become [MASK], 10 % a k-mer drawn from all 4^k, 10 % stay.
    Draws depend on the key, the number of the segment and the position in it, not
    on the column: packed into one row or not, a sequence is masked in the same way.

    Args:
        token_ids: Int, (B, T), in the vocabulary of `dna.kmer`.
        segment_ids: Int, (B, T): the number of the sequence that a token belongs
            to, 1 to 32767, 0 for padding. The k-mers of a sequence are contiguous.
        position_ids: Int, (B, T): 0 at the [CLS] of each sequence.
        key: The key of each row, uint32, (B, 2).
        k: Bases of a k-mer, 1 to 8.
        strategy: One of `STRATEGIES`.
        rate: Probability of a centre, in [0, 1].
        ranks: Where the strategy ranks tokens: int, (4^k,), of the k-mers in the order
            of the vocabulary; 1 is the best, 4^k + 1 the largest allowed.
        max_predictions: Targets a row may have, or None: any number. A row with
            more drops whole spans until it has not: where spans are ranked first those
            that were not among the best half, then the worst rank first; else, and
            among equals, the last position first.

    Returns:
        `Masked`.

    Raises:
        ValueError: If an argument is out of range, T is not static or above 2048,
            or ranks are missing.

    Source:
        kmer_span: Ji et al., DNABERT (2021); genemask: Roy et al., GeneMask (ECAI
        2023); genemask_global, with which a run goes on from genemask: Roy et al.,
        CM-GEMS (ECAI 2024). Differences: [UNK] is never masked, random tokens are
        k-mers only, `max_predictions` exists; spans of other k than 3 to 6 follow the
        same rule; CM-GEMS' code ranks tokens by their positions.
    """
    chosen = _check(token_ids, k, strategy, rate, ranks, max_predictions)
    token_ids = ops.cast(token_ids, "int32")
    segment_ids = ops.cast(segment_ids, "int32")
    position_ids = ops.cast(position_ids, "int32")
    # The segment where a token may be masked, else 0.
    places = ops.where(token_ids >= kmer.NUM_SPECIAL, segment_ids, 0)  # (B, T)
    counters = segment_ids * 2**16 + position_ids
    draws = random.uniform(key, counters, stream=CENTRE_STREAM)
    is_centre = ops.logical_and(places > 0, draws < rate)
    before, after = ((k - 1) // 2, k // 2) if chosen.has_span else (0, 0)
    if chosen.ranks_by:
        entries = token_ids if chosen.ranks_by == "token" else position_ids
        rank = _rank(entries - kmer.NUM_SPECIAL, ranks, k)
    if chosen.is_global:
        order = _order_best(rank, places, is_centre)
        priority = _spread(order, places, k - 1, k - 1)
    elif chosen.ranks_by:
        value = _best_in_span(rank, places, before, after)
        order, at_token = _order_spans(is_centre, places, value, rate)
        priority = ops.minimum(
            _spread(order, places, after, before),
            _spread(at_token, places, k - 1, k - 1),
        )
    else:
        columns = ops.arange(token_ids.shape[1], dtype="int32")[None]
        order = ops.where(is_centre, columns, _NONE)
        priority = _spread(order, places, after, before)
    selected, num_dropped = _limit(order, priority, max_predictions)
    inputs = _replace(token_ids, selected, key, counters, k)
    return Masked(inputs, selected, num_dropped)


def gather_targets(selected: Any, max_predictions: int) -> tuple[Any, Any]:
    """Returns the columns of the targets, from left to right, and filling.

    Args:
        selected: Bool, (B, T).
        max_predictions: P, at most T; a row with more loses the last ones.

    Returns:
        Columns, int32, (B, P), 0 where there is no target; and weights, float32,
        (B, P): 1 for a target, 0 for filling.

    Raises:
        ValueError: If T is not static, or P is not 1 to T.
    """
    length = _length(selected)
    if not 1 <= max_predictions <= length:
        raise ValueError(
            f"max_predictions must be 1 to {length} tokens, got {max_predictions}"
        )
    columns, is_target = _compact(selected, max_predictions)
    return columns, ops.cast(is_target, "float32")


def num_slots(rate: float, length: int) -> int:
    """Returns how many centres of a row fit into the short way.

    More are drawn about once in 10^8 rows, and then the long way is taken.

    Args:
        rate: Probability of a centre.
        length: Tokens of a row, T.
    """
    mean = rate * length
    return min(length, 8 * math.ceil((mean + 6 * math.sqrt(mean) + 4) / 8))


def _best_in_span(rank: Any, places: Any, before: int, after: int) -> Any:
    """Returns the rank and the column of the best token of the span of each, (B, T).

    Both in one number, rank · T + column: the least is the best. Among tokens of one
    rank the best is the middle of the span, then the leftmost.
    """
    length = rank.shape[1]
    offsets = [0, *range(-before, 0), *range(1, after + 1)]
    best = ops.full_like(rank, _NONE)
    for number, (near, place) in enumerate(
        zip(_shifts(rank, offsets), _shifts(places, offsets), strict=True)
    ):
        code = 16 * near + number
        best = ops.minimum(best, ops.where(place == places, code, _NONE))
    columns = ops.arange(length, dtype="int32")[None]
    offset = ops.take(np.array(offsets, "int32"), ops.bitwise_and(best, 15))
    return ops.right_shift(best, 4) * length + columns + offset


def _order_best(rank: Any, places: Any, is_centre: Any) -> Any:
    """Returns the order of the best tokens of each sequence, as many as centres.

    Args:
        rank: Of each token, (B, T).
        places: As for `_spread`.
        is_centre: Bool, (B, T).

    Returns:
        Int, (B, T): 0 for the token of the row that ranks best, and of equals stands
        first; `_NONE` for all others.
    """
    length = rank.shape[1]
    columns = ops.arange(length, dtype="int32")[None]
    order = _inverse(ops.argsort(rank * length + columns, axis=1))
    # By sequence, and within each once by order, once those with a centre first: the
    # columns of a sequence are the same.
    by_order = ops.argsort(places * length + order, axis=1)
    has_none = ops.cast(ops.logical_not(is_centre), "int32")
    is_chosen = ops.sort(2 * places + has_none, axis=1) % 2 == 0
    is_best = ops.take_along_axis(is_chosen, _inverse(by_order), 1)
    return ops.where(ops.logical_and(is_best, places > 0), order, _NONE)


def _inverse(permutation: Any) -> Any:
    """Returns where each column went: int, (B, T)."""
    return ops.cast(ops.argsort(permutation, axis=1), "int32")


def _order_spans(
    is_centre: Any, places: Any, value: Any, rate: float
) -> tuple[Any, Any]:
    """Returns the order of spans at their centres and at their best tokens, (B, T).

    Args:
        is_centre: Bool, (B, T).
        places: As for `_spread`.
        value: Of `_best_in_span`.
        rate: Probability of a centre.

    Returns:
        Int, (B, T), `_NONE` where there is no centre, or no token that is the best of a
        span among the better half of its sequence.
    """
    length = is_centre.shape[1]

    def order(count: int) -> tuple[Any, Any]:
        columns, is_real = _compact(is_centre, count)  # (B, S)
        found = ops.where(is_real, ops.take_along_axis(value, columns, 1), _NONE)
        place = ops.where(is_real, ops.take_along_axis(places, columns, 1), 0)
        return _order_slots(columns, is_real, place, found, length)

    count = num_slots(rate, length)
    if count == length:
        return order(length)
    is_few = ops.max(_count(is_centre)) <= count
    return cast(Any, ops.cond(is_few, lambda: order(count), lambda: order(length)))


def _order_slots(
    columns: Any, is_real: Any, place: Any, value: Any, length: int
) -> tuple[Any, Any]:
    """Does what `_order_spans` does, from the centres in S slots, (B, S) each."""
    # What is counted is not the last axis: XLA would not vectorise it.
    is_same = place[:, :, None] == place[:, None, :]  # (B, other S, S)
    half = (_count(is_same) + 1) // 2
    ahead = _count(ops.logical_and(is_same, value[:, :, None] < value[:, None, :]))
    is_best = ops.logical_and(is_real, ops.logical_or(half < _FEW, ahead < half))
    token = value % length
    value = ops.where(is_best, value, value + _NONE // 2)
    # Centres further left with the same best token, which is scattered once.
    is_left = columns[:, :, None] < columns[:, None, :]
    is_equal = value[:, :, None] == value[:, None, :]
    ties = _count(ops.logical_and(is_left, is_equal))
    order = _count(value[:, :, None] < value[:, None, :]) + ties
    is_first = ops.logical_and(is_best, ties == 0)
    return (
        _scatter(columns, is_real, order - _NONE, length) + _NONE,
        _scatter(token, is_first, order - _NONE, length) + _NONE,
    )


def _scatter(columns: Any, is_there: Any, values: Any, length: int) -> Any:
    """Returns the sums of the values in each column: (B, S) → (B, T)."""
    num_rows = ops.shape(columns)[0]
    rows = ops.arange(num_rows, dtype="int32")[:, None] * length
    sums = ops.scatter(
        ops.reshape(rows + ops.where(is_there, columns, 0), (-1, 1)),
        ops.reshape(ops.where(is_there, values, 0), (-1,)),
        (num_rows * length,),
    )
    return ops.reshape(sums, (-1, length))


def _count(flags: Any) -> Any:
    """Returns how many are set along axis 1, int32."""
    return ops.sum(ops.cast(flags, "int32"), axis=1)


def _limit(order: Any, priority: Any, max_predictions: int | None) -> tuple[Any, Any]:
    """Returns the targets and the number of spans dropped from each row.

    A token is a target as long as the first span over it is kept, so the first span
    to be dropped is that of the token after the last that fits.
    """
    is_target = priority < _NONE
    none = ops.zeros_like(order[:, 0])
    if max_predictions is None or max_predictions >= priority.shape[1]:
        return is_target, none

    def dropped() -> tuple[Any, Any]:
        first = ops.sort(priority, axis=1)[:, max_predictions, None]  # (B, 1)
        is_lost = ops.logical_and(order < _NONE, order >= first)
        return priority < first, ops.sum(ops.cast(is_lost, "int32"), axis=1)

    count = ops.max(ops.sum(ops.cast(is_target, "int32"), axis=1))
    return cast(
        Any, ops.cond(count > max_predictions, dropped, lambda: (is_target, none))
    )


def _replace(token_ids: Any, selected: Any, key: Any, counters: Any, k: int) -> Any:
    """Returns the ids with targets masked, made random or left as they are."""
    choice = random.uniform(key, counters, stream=CHOICE_STREAM)
    drawn = random.bits(key, counters, stream=TOKEN_STREAM)
    # The upper bits: 4^k is a power of two, so all k-mers are equally likely.
    drawn = ops.cast(ops.right_shift(drawn, np.uint32(32 - 2 * k)), "int32")
    hidden = ops.where(choice < _SHARE_MASKED, kmer.MASK_ID, drawn + kmer.NUM_SPECIAL)
    is_hidden = ops.logical_and(selected, choice < 1 - _SHARE_KEPT)
    return ops.where(is_hidden, hidden, token_ids)


def _rank(entries: Any, ranks: Any, k: int) -> Any:
    """Returns the rank of each entry: 0 for specials, worst beyond the vocabulary."""
    count = 4**k
    ranks = ops.cast(ops.convert_to_tensor(ranks), "int32")
    rank = ops.take(ranks, ops.clip(entries, 0, count - 1))
    return ops.where(entries < 0, 0, ops.where(entries < count, rank, count + 1))


def _spread(order: Any, places: Any, before: int, after: int) -> Any:
    """Returns the least order within a sequence from `before` left to `after` right.

    Args:
        order: Int, (B, T).
        places: Int, (B, T): the segment where a token may be masked, else 0.
        before: Tokens looked at to the left.
        after: Tokens looked at to the right.

    Returns:
        Int, (B, T), `_NONE` where a token may not be masked.
    """
    offsets = range(-before, after + 1)
    least = None
    for near, place in zip(
        _shifts(order, offsets, fill=_NONE), _shifts(places, offsets), strict=True
    ):
        near = ops.where(place == places, near, _NONE)
        least = near if least is None else ops.minimum(least, near)
    return ops.where(places > 0, least, _NONE)


def _shifts(x: Any, offsets: Iterable[int], fill: int = 0) -> Iterator[Any]:
    """Yields x[:, t + offset] for each offset, `fill` beyond the ends: (B, T) each."""
    offsets = list(offsets)
    length, margin = x.shape[1], max(abs(offset) for offset in offsets)
    if margin:
        x = ops.pad(x, ((0, 0), (margin, margin)), constant_values=fill)
    for offset in offsets:
        yield x[:, margin + offset : margin + offset + length]


def _compact(flags: Any, count: int) -> tuple[Any, Any]:
    """Returns the columns of the first flags, (B, S), 0 as filling, and if real."""
    length = flags.shape[1]
    # float32 is exact here, and the type that XLA has a quick top_k for.
    falling = np.arange(length, 0, -1, dtype="float32")
    values = cast(Any, ops.top_k(ops.where(flags, falling, 0.0), count))[0]
    is_real = values > 0
    return ops.where(is_real, length - ops.cast(values, "int32"), 0), is_real


def _check(
    token_ids: Any,
    k: int,
    strategy: str,
    rate: float,
    ranks: Any,
    max_predictions: int | None,
) -> Strategy:
    """Returns the strategy of a name, or raises ValueError."""
    if strategy not in STRATEGIES:
        known = ", ".join(STRATEGIES)
        raise ValueError(f"strategy must be one of {known}, got {strategy!r}")
    size = kmer.vocabulary_size(k) - kmer.NUM_SPECIAL
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be 0 to 1, got {rate}")
    if max_predictions is not None and max_predictions < 1:
        raise ValueError(f"max_predictions must be >= 1 token, got {max_predictions}")
    if STRATEGIES[strategy].ranks_by:
        if ranks is None:
            raise ValueError(f"strategy {strategy!r} needs ranks")
        if tuple(ranks.shape) != (size,):
            raise ValueError(
                f"ranks must have the shape ({size},), got {tuple(ranks.shape)}"
            )
    _length(token_ids)
    return STRATEGIES[strategy]


def _length(x: Any) -> int:
    length = x.shape[1]
    if length is None or not 1 <= length <= _LONGEST:
        raise ValueError(f"rows must be 1 to {_LONGEST} tokens long, got {length}")
    return length
