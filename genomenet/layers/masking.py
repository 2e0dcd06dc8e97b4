"""Which tokens a masked language model has to predict; keras only.

A strategy draws centres and turns each into a span of tokens. Everything is a
function of (tokens, row key), static in shape, and free of (B, T, T) tensors.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, cast

import numpy as np
from keras import ops

from genomenet.dna import kmer
from genomenet.layers import random

STRATEGIES: Final = ("token", "kmer_span", "genemask", "genemask_released")

CENTRE_STREAM: Final = 0
CHOICE_STREAM: Final = 1
TOKEN_STREAM: Final = 2
"""The streams of `layers.random` that are drawn from."""

_SHARE_MASKED: Final = 0.8
_SHARE_KEPT: Final = 0.1
_NONE: Final = 2**29  # the order of what is no span: behind every other
_LONGEST: Final = 2**11  # tokens; so that rank · T + token is below _NONE / 2
_BITS: Final = (2 ** np.arange(32, dtype="uint32")).view("int32")
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
    key: Any,
    *,
    k: int,
    strategy: str,
    rate: float,
    ranks: Any = None,
    position_ids: Any = None,
    max_predictions: int | None = None,
    replace: bool = True,
) -> Masked:
    """Chooses the tokens to predict and hides them.

    Centres: each k-mer with probability `rate`; [UNK] and the other specials are
    never masked and never targets. What a centre makes a target:

    *   token: itself;
    *   kmer_span: the k tokens from -(k-1)//2 to +k//2 around it, as far as they
        are of the same sequence;
    *   genemask: the same, and in half of the spans (all, if a sequence has at most
        8), those whose best token ranks best, also the k-1 tokens on either side of
        that token: all that share a base with it;
    *   genemask_released: as genemask, but the rank of a token is that of the
        vocabulary entry whose id is the token's position in its sequence, [CLS]
        being 0. Positions 1 to 4 rank best, those beyond the vocabulary worst.

    Of the targets 80 % become [MASK], 10 % a k-mer drawn from all 4^k, 10 % stay.
    Draws depend on the key, the number of the segment and the position in it, not
    on the column: packed into one row or not, a sequence is masked in the same way.

    Args:
        token_ids: Int, (B, T), in the vocabulary of `dna.kmer`.
        segment_ids: Int, (B, T): the number of the sequence that a token belongs
            to, 1 to 32767, 0 for padding. The k-mers of a sequence are contiguous.
        key: The key of each row, uint32, (B, 2).
        k: Bases of a k-mer, 1 to 8.
        strategy: One of `STRATEGIES`.
        rate: Probability of a centre, in [0, 1].
        ranks: For genemask and genemask_released: int, (4^k,), of the k-mers in
            the order of the vocabulary; 1 is the best, 4^k + 1 the largest allowed.
        position_ids: Optional int, (B, T): 0 at the [CLS] of each sequence; by
            default counted from the first token of a segment.
        max_predictions: Targets a row may have, or None: any number. A row with
            more drops whole spans until it has not: for genemask first those that
            were not among the best half, then the worst rank first; else, and
            among equals, the last position first.
        replace: Whether to hide the targets; if not, inputs are `token_ids`.

    Returns:
        `Masked`.

    Raises:
        ValueError: If an argument is out of range, T is not static or above 2048,
            or ranks are missing.

    Source:
        kmer_span: Ji et al., DNABERT (2021); genemask: Roy et al., GeneMask (ECAI
        2023). Differences: [UNK] is never masked, random tokens are k-mers only,
        `max_predictions` exists; spans of other k than 3 to 6 follow the same rule.
    """
    _check(token_ids, k, strategy, rate, ranks, max_predictions)
    token_ids = ops.cast(token_ids, "int32")
    segment_ids = ops.cast(segment_ids, "int32")
    if position_ids is None:
        position_ids = _positions(segment_ids)
    position_ids = ops.cast(position_ids, "int32")
    # The segment where a token may be masked, else 0.
    places = ops.where(token_ids >= kmer.NUM_SPECIAL, segment_ids, 0)  # (B, T)
    counters = segment_ids * 2**16 + position_ids
    draws = random.uniform(key, counters, stream=CENTRE_STREAM)
    is_centre = ops.logical_and(places > 0, draws < rate)
    if strategy in ("token", "kmer_span"):
        columns = ops.arange(token_ids.shape[1], dtype="int32")[None]
        order = ops.where(is_centre, columns, _NONE)
        reach = (0, 0) if strategy == "token" else (k // 2, (k - 1) // 2)
        priority = _spread(order, places, *reach)
        selected, num_dropped = _limit(order, priority, max_predictions)
    else:
        selected, num_dropped = _genemask(
            is_centre,
            token_ids,
            places,
            None if strategy == "genemask" else position_ids,
            ranks,
            k=k,
            rate=rate,
            max_predictions=max_predictions,
        )
    inputs = token_ids
    if replace:
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


def _genemask(
    is_centre: Any,
    token_ids: Any,
    places: Any,
    position_ids: Any,
    ranks: Any,
    *,
    k: int,
    rate: float,
    max_predictions: int | None,
) -> tuple[Any, Any]:
    """Returns the targets and the number of spans dropped from each row.

    `position_ids` is None if tokens rank by what they are.
    """
    length = is_centre.shape[1]
    is_eligible = places > 0
    is_inside = ops.logical_or(is_eligible, token_ids == kmer.UNK_ID)
    centres, inside = _pack(is_centre), _pack(is_inside)  # (B, W)

    def ranked(count: int) -> tuple[Any, ...]:
        return _rank_spans(centres, token_ids, places, position_ids, ranks, k, count)

    def branch(function: Callable[..., Any]) -> Any:
        count = num_slots(rate, length)
        if count == length:
            return function(*ranked(length))
        most = ops.max(ops.sum(_count_bits(centres), axis=1))
        return ops.cond(
            most <= count,
            lambda: function(*ranked(count)),
            lambda: function(*ranked(length)),
        )

    def grow(columns: Any, token: Any, value: Any, is_best: Any) -> Any:
        best = _pack(_scatter(token, is_best, 1, length) > 0)
        return ops.bitwise_or(
            _grow(centres, inside, (k - 1) // 2, k // 2),
            _grow(best, inside, k - 1, k - 1),
        )

    # Grown inside the branch: XLA does not fuse beyond it, and so does not grow the
    # words again for each of their bits.
    words = branch(grow)
    selected = ops.logical_and(is_eligible, _unpack(words, length))
    none = ops.zeros_like(token_ids[:, 0])
    if max_predictions is None or max_predictions >= length:
        return selected, none

    def dropped() -> Any:
        at_centre, at_token = branch(functools.partial(_scatter_orders, length))
        priority = ops.minimum(
            _spread(at_centre, places, k // 2, (k - 1) // 2),
            _spread(at_token, places, k - 1, k - 1),
        )
        return _limit(at_centre, priority, max_predictions)

    most = ops.max(_count(selected))
    return cast(
        Any, ops.cond(most > max_predictions, dropped, lambda: (selected, none))
    )


def _rank_spans(
    centres: Any,
    token_ids: Any,
    places: Any,
    position_ids: Any,
    ranks: Any,
    k: int,
    count: int,
) -> tuple[Any, Any, Any, Any]:
    """Returns for each of S slots what its centre's span has: (B, S) each.

    Column of the centre, column of the best token, value (the least is the best,
    `_NONE` without a centre) and whether it is among the best of its sequence.
    """
    length = token_ids.shape[1]
    columns, is_real = _select(centres, count)  # (B, S)
    rows = ops.arange(ops.shape(centres)[0], dtype="int32")[:, None] * length

    def gather(x: Any, at: Any) -> Any:
        return ops.take(ops.reshape(x, (-1,)), rows + at)

    before, after = (k - 1) // 2, k // 2
    position = None if position_ids is None else gather(position_ids, columns)

    def code(offset: int, number: int, is_near: Any) -> tuple[Any, Any]:
        """Rank and offset in one number; and if the sequence goes on up to here."""
        near = columns + offset
        at = ops.clip(near, 0, length - 1)
        ids = gather(token_ids, at)
        entries = (ids if position is None else position + offset) - kmer.NUM_SPECIAL
        is_kmer = ids > kmer.MASK_ID
        is_near = ops.logical_and(is_near, near == at)
        is_near = ops.logical_and(is_near, ops.logical_or(is_kmer, ids == kmer.UNK_ID))
        found = 16 * _rank(entries, ranks, k) + number
        return ops.where(ops.logical_and(is_near, is_kmer), found, _NONE), is_near

    # Among equals the centre, then the leftmost.
    best, _ = code(0, 0, is_real)
    for step, reach in ((-1, before), (1, after)):
        is_near = is_real
        for offset in range(step, step * (reach + 1), step):
            found, is_near = code(offset, offset + 8, is_near)
            best = ops.minimum(best, found)
    number = ops.bitwise_and(best, 15)
    token = columns + ops.where(number == 0, 0, number - 8)
    value = ops.right_shift(best, 4) * length + token
    value = ops.where(is_real, value, _NONE)

    # What is counted is not the last axis: XLA would not vectorise it.
    place = ops.where(is_real, gather(places, columns), 0)
    is_same = place[:, :, None] == place[:, None, :]  # (B, other S, S)
    half = (_count(is_same) + 1) // 2
    ahead = _count(ops.logical_and(is_same, value[:, :, None] < value[:, None, :]))
    is_best = ops.logical_and(is_real, ops.logical_or(half < _FEW, ahead < half))
    return columns, token, value, is_best


def _count_ties(columns: Any, value: Any) -> Any:
    """Returns how many centres further left have the same best token."""
    is_left = columns[:, :, None] < columns[:, None, :]
    return _count(ops.logical_and(is_left, value[:, :, None] == value[:, None, :]))


def _scatter_orders(
    length: int, columns: Any, token: Any, value: Any, is_best: Any
) -> tuple[Any, Any]:
    """Returns the order of spans at their centres and at their best tokens, (B, T)."""
    is_real = value < _NONE
    value = ops.where(is_best, value, value + _NONE // 2)
    ties = _count_ties(columns, value)
    order = _count(value[:, :, None] < value[:, None, :]) + ties
    # Two centres may share their best token: it is scattered once.
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


def _pack(flags: Any) -> Any:
    """Returns rows of flags as words: column j · W + w is bit j of word w.

    So the neighbours of 32 flags are the 32 flags of the next word.

    Args:
        flags: Bool, (B, T).

    Returns:
        uint32, (B, W), W = T / 32, rounded up.
    """
    length = flags.shape[1]
    width = math.ceil(length / 32)
    if length % 32:
        flags = ops.pad(flags, ((0, 0), (0, 32 * width - length)))
    flags = ops.reshape(flags, (-1, 32, width))
    return ops.cast(ops.sum(ops.where(flags, _BITS[:, None], 0), axis=1), "uint32")


def _unpack(words: Any, length: int) -> Any:
    """Returns words as flags: (B, W) → bool, (B, T)."""
    bits = ops.right_shift(words[:, None, :], np.arange(32, dtype="uint32")[:, None])
    bits = ops.bitwise_and(bits, np.uint32(1)) == np.uint32(1)  # (B, 32, W)
    return ops.reshape(bits, (-1, 32 * words.shape[1]))[:, :length]


def _grow(words: Any, inside: Any, before: int, after: int) -> Any:
    """Returns flags and up to so many on either side, as long as those are inside."""
    one, left, right = np.uint32(1), words, words
    for _ in range(before):
        first = ops.right_shift(left[:, :1], one)
        near = ops.concatenate([left[:, 1:], first], axis=1)
        left = ops.bitwise_or(left, ops.bitwise_and(near, inside))
    for _ in range(after):
        last = ops.left_shift(right[:, -1:], one)
        near = ops.concatenate([last, right[:, :-1]], axis=1)
        right = ops.bitwise_or(right, ops.bitwise_and(near, inside))
    return ops.bitwise_or(left, right)


def _count_bits(words: Any) -> Any:
    """Returns how many bits are set in each uint32, int32."""
    shift, mask = ops.right_shift, ops.bitwise_and
    words = words - mask(shift(words, np.uint32(1)), np.uint32(0x55555555))
    pairs = np.uint32(0x33333333)
    words = mask(words, pairs) + mask(shift(words, np.uint32(2)), pairs)
    words = mask(words + shift(words, np.uint32(4)), np.uint32(0x0F0F0F0F))
    return ops.cast(shift(words * np.uint32(0x01010101), np.uint32(24)), "int32")


def _select(words: Any, count: int) -> tuple[Any, Any]:
    """Returns the columns of S set bits, word by word, 0 as filling, and if real."""
    width = words.shape[1]
    counts = _count_bits(words)
    upto = ops.cumsum(counts, axis=1)  # (B, W)
    slots = np.arange(count, dtype="int32")
    word = _count(upto[:, :, None] <= slots)  # (B, S)
    is_real = word < width
    word = ops.minimum(word, width - 1)
    rows = ops.arange(ops.shape(words)[0], dtype="int32")[:, None] * width
    # Which bit of its word: halve the word until one bit is left.
    skip = slots - ops.take(ops.reshape(upto - counts, (-1,)), rows + word)
    rest = ops.take(ops.reshape(words, (-1,)), rows + word)
    bit = ops.zeros_like(word)
    for size in (16, 8, 4, 2, 1):
        low = ops.bitwise_and(rest, np.uint32(2**size - 1))
        num_low = _count_bits(low)
        is_high = skip >= num_low
        skip = ops.where(is_high, skip - num_low, skip)
        rest = ops.where(is_high, ops.right_shift(rest, np.uint32(size)), low)
        bit = ops.where(is_high, bit + size, bit)
    return ops.where(is_real, bit * width + word, 0), is_real


def _positions(segment_ids: Any) -> Any:
    """Returns the distance from the first token of the segment, (B, T)."""
    length = segment_ids.shape[1]
    columns = np.arange(length, dtype="int32")[None]
    before = next(_shifts(segment_ids, [-1], fill=-1))
    start = ops.where(segment_ids != before, columns, 0)
    return columns - ops.associative_scan(ops.maximum, start, axis=1)


def _check(
    token_ids: Any,
    k: int,
    strategy: str,
    rate: float,
    ranks: Any,
    max_predictions: int | None,
) -> None:
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {STRATEGIES}, got {strategy!r}")
    size = kmer.vocabulary_size(k) - kmer.NUM_SPECIAL
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be 0 to 1, got {rate}")
    if max_predictions is not None and max_predictions < 1:
        raise ValueError(f"max_predictions must be >= 1 token, got {max_predictions}")
    if strategy.startswith("genemask"):
        if ranks is None:
            raise ValueError(f"strategy {strategy!r} needs ranks")
        if tuple(ranks.shape) != (size,):
            raise ValueError(
                f"ranks must have the shape ({size},), got {tuple(ranks.shape)}"
            )
    _length(token_ids)


def _length(x: Any) -> int:
    length = x.shape[1]
    if length is None or not 1 <= length <= _LONGEST:
        raise ValueError(f"rows must be 1 to {_LONGEST} tokens long, got {length}")
    return length
