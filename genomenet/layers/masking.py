"""Selection and masking of the target tokens of masked language models; keras only.

A strategy draws centres and turns each into a span of tokens. The result is a function
of (tokens, row key) with static shapes. It needs no (B, T, T) tensors unless far more
centres are drawn than expected.

Whole batches are masked at once, without a loop over sequences, because masking is part
of the compiled training graph. `oracle` in tests/layers/test_masking.py implements the
same rules literally for one sequence, and a test compares all targets of both.
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
    """Rules by which centres determine targets."""

    has_span: bool = True
    """Whether the targets of a centre are the k tokens from -(k-1)//2 to +k//2 around
    it that belong to the same sequence; otherwise only the centre itself."""
    ranks_by: str = ""
    """Key by which tokens are ranked: "token", their k-mer; "position", the vocabulary
    entry whose id is their position in the sequence, [CLS] being 0, so that 1 to 4 rank
    best and those beyond the vocabulary worst; or empty for no ranks. In the half of
    the spans whose best token ranks best (all, if a sequence has at most 8), the k-1
    tokens on either side of that token, which share a base with it, are targets too."""
    is_global: bool = False
    """Whether the centres of a sequence are replaced by the same number of its best
    tokens; the targets are then these and the k-1 tokens on either side of each."""


STRATEGIES: Final = {
    "token": Strategy(has_span=False),
    "kmer_span": Strategy(),  # DNABERT's
    "genemask": Strategy(ranks_by="token"),
    "genemask_released": Strategy(ranks_by="position"),  # as in its released code
    "genemask_global": Strategy(ranks_by="token", is_global=True),
}
"""The strategies of `mask_tokens` and of BERT's config, by name."""

CENTRE_STREAM: Final = 0
CHOICE_STREAM: Final = 1
TOKEN_STREAM: Final = 2
"""The streams of `layers.random` that masking uses."""

_SHARE_MASKED: Final = 0.8
_SHARE_UNCHANGED: Final = 0.1
_NONE: Final = 2**29  # order of columns without a span: after all spans
_LONGEST: Final = 2**11  # tokens of a row, so that rank · T + token is below _NONE / 2
_FEW_SPANS: Final = 5  # if half of the spans are fewer, all are kept


class Masked(NamedTuple):
    """The result of `mask_tokens`."""

    inputs: Any
    """int32, (B, T): input ids of the encoder."""
    selected: Any
    """bool, (B, T): True for tokens to predict."""
    num_dropped: Any
    """int32, (B,): spans dropped because of `max_predictions`."""


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
    """Selects the tokens to predict and masks them.

    Each k-mer is a centre with probability `rate`; [UNK] and the other special tokens
    are never masked and never targets. `STRATEGIES` defines the targets of a centre.

    Of the targets 80 % become [MASK], 10 % a k-mer drawn from all 4^k, and 10 % stay
    unchanged. Draws depend on the key, the index of the segment and the position in it,
    not on the column, so that a sequence is masked alike in packed and unpacked rows.

    Args:
        token_ids: Int, (B, T), in the vocabulary of `dna.kmer`.
        segment_ids: Int, (B, T): the index of the sequence to which a token belongs,
            1 to 32767, 0 for padding. The k-mers of a sequence are contiguous.
        position_ids: Int, (B, T): 0 at the [CLS] of each sequence.
        key: The key of each row, uint32, (B, 2).
        k: Bases of a k-mer, 1 to 8.
        strategy: One of `STRATEGIES`.
        rate: Probability of a centre, in [0, 1].
        ranks: Ranks of the k-mers in the order of the vocabulary, int, (4^k,), needed
            if the strategy ranks tokens; 1 is the best, 4^k + 1 the largest allowed.
        max_predictions: Largest number of targets in a row; no limit if None. A row
            with more drops whole spans. Ranked spans outside the best half are dropped
            first, then those of the worst rank; unranked spans, and those of equal
            rank, are dropped from the last position on.

    Returns:
        `Masked`.

    Raises:
        ValueError: If an argument is out of range, T is not static or above 2048,
            or ranks are missing.

    Source:
        kmer_span: Ji et al., DNABERT (2021); genemask: Roy et al., GeneMask (ECAI
        2023); genemask_global, which continues a run of genemask: Roy et al.,
        CM-GEMS (ECAI 2024). Differences: [UNK] is never masked, random tokens are
        k-mers only, `max_predictions` exists; spans of other k than 3 to 6 follow the
        same rule; CM-GEMS' code ranks tokens by their positions.
    """
    rules = _check(token_ids, k, strategy, rate, ranks, max_predictions)
    token_ids = ops.cast(token_ids, "int32")
    segment_ids = ops.cast(segment_ids, "int32")
    position_ids = ops.cast(position_ids, "int32")
    # The segment of tokens that may be masked, else 0.
    segments = ops.where(token_ids >= kmer.NUM_SPECIAL, segment_ids, 0)  # (B, T)
    counters = segment_ids * 2**16 + position_ids
    draws = random.uniform(key, counters, stream=CENTRE_STREAM)
    is_centre = ops.logical_and(segments > 0, draws < rate)
    before, after = ((k - 1) // 2, k // 2) if rules.has_span else (0, 0)
    if rules.ranks_by:
        entries = token_ids if rules.ranks_by == "token" else position_ids
        rank = _rank(entries - kmer.NUM_SPECIAL, ranks, k)
    if rules.is_global:
        order = _order_best(rank, segments, is_centre)
        priority = _spread(order, segments, k - 1, k - 1)
    elif rules.ranks_by:
        value = _best_in_span(rank, segments, before, after)
        order, at_token = _order_spans(is_centre, segments, value, rate)
        priority = ops.minimum(
            _spread(order, segments, after, before),
            _spread(at_token, segments, k - 1, k - 1),
        )
    else:
        columns = ops.arange(token_ids.shape[1], dtype="int32")[None]
        order = ops.where(is_centre, columns, _NONE)
        priority = _spread(order, segments, after, before)
    selected, num_dropped = _limit(order, priority, max_predictions)
    inputs = _replace(token_ids, selected, key, counters, k)
    return Masked(inputs, selected, num_dropped)


def gather_targets(selected: Any, max_predictions: int) -> tuple[Any, Any]:
    """Returns the columns of the targets, from left to right, padded to P.

    Args:
        selected: Bool, (B, T).
        max_predictions: P, at most T; further targets of a row are ignored.

    Returns:
        Columns, int32, (B, P), 0 for fillers; and weights, float32, (B, P): 1 for a
        target, 0 for a filler.

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
    """Returns the number of centres per row for which the fast path has slots.

    A row has more about once in 10^8 rows; then the slow path is taken.

    Args:
        rate: Probability of a centre.
        length: Tokens of a row, T.
    """
    mean = rate * length
    return min(length, 8 * math.ceil((mean + 6 * math.sqrt(mean) + 4) / 8))


def _best_in_span(rank: Any, segments: Any, before: int, after: int) -> Any:
    """Returns rank and column of the best token in the span of each token, (B, T).

    Both are encoded as rank · T + column; the smallest code is the best. Among tokens
    of equal rank the middle of the span is best, then the leftmost token.
    """
    length = rank.shape[1]
    offsets = [0, *range(-before, 0), *range(1, after + 1)]
    best = ops.full_like(rank, _NONE)
    for index, (near, near_segment) in enumerate(
        zip(_shifts(rank, offsets), _shifts(segments, offsets), strict=True)
    ):
        code = 16 * near + index
        best = ops.minimum(best, ops.where(near_segment == segments, code, _NONE))
    columns = ops.arange(length, dtype="int32")[None]
    offset = ops.take(np.array(offsets, "int32"), ops.bitwise_and(best, 15))
    return ops.right_shift(best, 4) * length + columns + offset


def _order_best(rank: Any, segments: Any, is_centre: Any) -> Any:
    """Returns the order of the best tokens of each sequence, one per centre.

    Args:
        rank: Rank of each token, (B, T).
        segments: As for `_spread`.
        is_centre: Bool, (B, T).

    Returns:
        Int, (B, T): 0 for the token of the row that ranks best, the first of equals;
        `_NONE` for tokens that are not chosen.
    """
    length = rank.shape[1]
    columns = ops.arange(length, dtype="int32")[None]
    order = _inverse(ops.argsort(rank * length + columns, axis=1))
    # Sorted by sequence, and within each once by order and once with centres first: a
    # sequence has the same columns in both.
    by_order = ops.argsort(segments * length + order, axis=1)
    has_none = ops.cast(ops.logical_not(is_centre), "int32")
    is_chosen = ops.sort(2 * segments + has_none, axis=1) % 2 == 0
    is_best = ops.take_along_axis(is_chosen, _inverse(by_order), 1)
    return ops.where(ops.logical_and(is_best, segments > 0), order, _NONE)


def _inverse(permutation: Any) -> Any:
    """Returns the inverse permutation of columns: int, (B, T)."""
    return ops.cast(ops.argsort(permutation, axis=1), "int32")


def _order_spans(
    is_centre: Any, segments: Any, value: Any, rate: float
) -> tuple[Any, Any]:
    """Returns the order of spans at their centres and at their best tokens, (B, T).

    Args:
        is_centre: Bool, (B, T).
        segments: As for `_spread`.
        value: Result of `_best_in_span`.
        rate: Probability of a centre.

    Returns:
        Two int tensors, (B, T). The first is `_NONE` for tokens that are no centre; the
        second for tokens that are not the best of a span in the better half.
    """
    length = is_centre.shape[1]

    def order(count: int) -> tuple[Any, Any]:
        columns, is_real = _compact(is_centre, count)  # (B, S)
        slot_values = ops.where(is_real, ops.take_along_axis(value, columns, 1), _NONE)
        slot_segments = ops.where(is_real, ops.take_along_axis(segments, columns, 1), 0)
        return _order_slots(columns, is_real, slot_segments, slot_values, length)

    count = num_slots(rate, length)
    if count == length:
        return order(length)
    is_few = ops.max(_count(is_centre)) <= count
    return cast(Any, ops.cond(is_few, lambda: order(count), lambda: order(length)))


def _order_slots(
    columns: Any, is_real: Any, segments: Any, value: Any, length: int
) -> tuple[Any, Any]:
    """Implements `_order_spans` on the centres in S slots, (B, S) each."""
    # Counts are not along the last axis, which XLA would not vectorise.
    is_same = segments[:, :, None] == segments[:, None, :]  # (B, other S, S)
    half = (_count(is_same) + 1) // 2
    ahead = _count(ops.logical_and(is_same, value[:, :, None] < value[:, None, :]))
    is_best = ops.logical_and(is_real, ops.logical_or(half < _FEW_SPANS, ahead < half))
    token = value % length
    value = ops.where(is_best, value, value + _NONE // 2)
    # Centres further left with the same best token, which must be scattered once.
    is_left = columns[:, :, None] < columns[:, None, :]
    is_equal = value[:, :, None] == value[:, None, :]
    ties = _count(ops.logical_and(is_left, is_equal))
    order = _count(value[:, :, None] < value[:, None, :]) + ties
    is_first = ops.logical_and(is_best, ties == 0)
    return (
        _scatter(columns, is_real, order - _NONE, length) + _NONE,
        _scatter(token, is_first, order - _NONE, length) + _NONE,
    )


def _scatter(columns: Any, is_valid: Any, values: Any, length: int) -> Any:
    """Returns the sums of the values in each column: (B, S) → (B, T)."""
    num_rows = ops.shape(columns)[0]
    rows = ops.arange(num_rows, dtype="int32")[:, None] * length
    sums = ops.scatter(
        ops.reshape(rows + ops.where(is_valid, columns, 0), (-1, 1)),
        ops.reshape(ops.where(is_valid, values, 0), (-1,)),
        (num_rows * length,),
    )
    return ops.reshape(sums, (-1, length))


def _count(flags: Any) -> Any:
    """Counts the flags that are set along axis 1, int32."""
    return ops.sum(ops.cast(flags, "int32"), axis=1)


def _limit(order: Any, priority: Any, max_predictions: int | None) -> tuple[Any, Any]:
    """Returns the targets and the number of spans dropped from each row.

    A token is a target while the first span over it is kept. So the first span to drop
    is that of the first token that exceeds the limit.
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
    """Returns the ids with targets masked, randomised or unchanged."""
    choice = random.uniform(key, counters, stream=CHOICE_STREAM)
    drawn = random.bits(key, counters, stream=TOKEN_STREAM)
    # The upper bits: 4^k is a power of two, so all k-mers are equally likely.
    drawn = ops.cast(ops.right_shift(drawn, np.uint32(32 - 2 * k)), "int32")
    hidden = ops.where(choice < _SHARE_MASKED, kmer.MASK_ID, drawn + kmer.NUM_SPECIAL)
    is_hidden = ops.logical_and(selected, choice < 1 - _SHARE_UNCHANGED)
    return ops.where(is_hidden, hidden, token_ids)


def _rank(entries: Any, ranks: Any, k: int) -> Any:
    """Returns the rank of each entry: 0 for specials, worst beyond the vocabulary."""
    count = 4**k
    ranks = ops.cast(ops.convert_to_tensor(ranks), "int32")
    rank = ops.take(ranks, ops.clip(entries, 0, count - 1))
    return ops.where(entries < 0, 0, ops.where(entries < count, rank, count + 1))


def _spread(order: Any, segments: Any, before: int, after: int) -> Any:
    """Returns the smallest order near each token, within its sequence.

    Args:
        order: Int, (B, T).
        segments: Int, (B, T): the segment of tokens that may be masked, else 0.
        before: Number of tokens to the left.
        after: Number of tokens to the right.

    Returns:
        Int, (B, T), `_NONE` where a token may not be masked.
    """
    offsets = range(-before, after + 1)
    least = None
    for near, near_segment in zip(
        _shifts(order, offsets, fill=_NONE), _shifts(segments, offsets), strict=True
    ):
        near = ops.where(near_segment == segments, near, _NONE)
        least = near if least is None else ops.minimum(least, near)
    return ops.where(segments > 0, least, _NONE)


def _shifts(x: Any, offsets: Iterable[int], fill: int = 0) -> Iterator[Any]:
    """Yields x[:, t + offset] for each offset, `fill` beyond the ends: (B, T) each."""
    offsets = list(offsets)
    length, margin = x.shape[1], max(abs(offset) for offset in offsets)
    if margin:
        x = ops.pad(x, ((0, 0), (margin, margin)), constant_values=fill)
    for offset in offsets:
        yield x[:, margin + offset : margin + offset + length]


def _compact(flags: Any, count: int) -> tuple[Any, Any]:
    """Returns the columns of the first flags, (B, S), 0 for fillers, and if real."""
    length = flags.shape[1]
    # float32 is exact here, and XLA has a fast top_k for it.
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
    """Checks arguments and returns the strategy of that name."""
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
