import math

import keras
import numpy as np
import pytest
from keras import ops

from genomenet.dna import kmer
from genomenet.layers import masking, random
from tests import harness

LENGTH = 512
SPANS = {
    3: [-1, 0, 1],
    4: [-1, 0, 1, 2],
    5: [-2, -1, 0, 1, 2],
    6: [-2, -1, 0, 1, 2, 3],
}


def make_ranks(k, seed=0):
    """A ranking with ties and a share of k-mers that are missing from it."""
    rng = np.random.default_rng(seed)
    ranks = rng.permutation(4**k).astype("int32") // 2 + 1
    ranks[rng.random(4**k) < 0.1] = 4**k + 1
    return ranks


def make_rows(k, num_rows, seed=0, unknown=0.02, segments=(1, 4)):
    """Rows of [CLS], k-mers, [SEP], with gaps between; token, segment, position."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((num_rows, LENGTH), "int32")
    segment, position = np.zeros_like(ids), np.zeros_like(ids)
    for row in range(num_rows):
        start = 0
        for number in range(1, rng.integers(*segments) + 1):
            start += int(rng.integers(0, 4)) if start else 0
            room = LENGTH - start - 2
            if room < 1:
                break
            count = int(rng.choice([1, 2, room, rng.integers(1, room + 1)]))
            tokens = rng.integers(kmer.NUM_SPECIAL, kmer.vocabulary_size(k), count)
            tokens[rng.random(count) < unknown] = kmer.UNK_ID
            slots = slice(start, start + count + 2)
            ids[row, slots] = [kmer.CLS_ID, *tokens, kmer.SEP_ID]
            segment[row, slots] = number
            position[row, slots] = np.arange(count + 2)
            start += count + 2
    return ids, segment, position


def make_key(num_rows, seed=0):
    return np.random.default_rng(seed).integers(0, 2**32, (num_rows, 2), "uint32")


def mask(rows, key, compiled=True, **settings):
    """Returns `Masked` as NumPy arrays."""
    ids, segment, position = map(ops.convert_to_tensor, rows)
    settings = {"ranks": make_ranks(settings["k"]), **settings}

    def function(ids, segment, position, key):
        return tuple(masking.mask_tokens(ids, segment, position, key, **settings))

    if keras.backend.backend() == "jax" and compiled:  # quicker there, slower here
        function = compile_function(function)
    found = function(ids, segment, position, ops.convert_to_tensor(key))
    return masking.Masked(*map(harness.array, found))


def compile_function(function, xla=False):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    tf = pytest.importorskip("tensorflow")
    return tf.function(function, jit_compile=xla)


def draws(rows, key, stream):
    _, segment, position = rows
    counters = ops.convert_to_tensor(segment * 2**16 + position)
    return harness.array(random.uniform(key, counters, stream=stream)).tolist()


def oracle_spans(tokens, draw, k, strategy, rate, ranks, first=1):
    """One sequence, read literally: sets of targets, best first, and the bests.

    Args:
        tokens: Ids of the k-mers of one sequence.
        draw: A number of [0, 1) for each.
        k: Bases.
        strategy: As in `mask_tokens`.
        rate: As in `mask_tokens`.
        ranks: As in `mask_tokens`.
        first: The position of the first of them.

    Returns:
        List of (is not kept, rank, token, set of targets), and all kept tokens.
    """

    def is_eligible(i):
        return 0 <= i < len(tokens) and tokens[i] >= kmer.NUM_SPECIAL

    def rank(i):
        entry = (first + i if strategy == "genemask_released" else tokens[i]) - 5
        if entry < 0:
            return 0
        return int(ranks[entry]) if entry < len(ranks) else len(ranks) + 1

    centres = [i for i in range(len(tokens)) if is_eligible(i) and draw[i] < rate]
    if strategy == "token":
        return [(False, 0, i, {i}) for i in centres], []
    if strategy == "genemask_global":
        best = sorted(
            filter(is_eligible, range(len(tokens))), key=lambda i: (rank(i), i)
        )
        around = range(1 - k, k)
        spans = [{i + d for d in around if is_eligible(i + d)} for i in best]
        found = [(False, rank(i), i, s) for i, s in zip(best, spans, strict=True)]
        return found[: len(centres)], best[: len(centres)]
    spans = [{i + d for d in SPANS[k] if is_eligible(i + d)} for i in centres]
    if strategy == "kmer_span":
        return [(False, 0, i, s) for i, s in zip(centres, spans, strict=True)], []
    entries = []
    for centre, span in zip(centres, spans, strict=True):
        best = centre
        for d in sorted(SPANS[k]):
            if centre + d in span and rank(centre + d) < rank(best):
                best = centre + d
        entries.append((rank(best), best, span))
    entries.sort(key=lambda entry: entry[:2])
    half = math.ceil(len(entries) / 2)
    num_kept = len(entries) if half < 5 else half
    found, kept = [], []
    # A centre with the same best token as one that is kept is kept or not: the
    # same targets; here it is not, unless it is among the first.
    for number, (value, best, span) in enumerate(entries):
        is_kept = number < num_kept or (
            num_kept > 0 and entries[num_kept - 1][:2] == (value, best)
        )
        if is_kept:
            kept.append(best)
            span = {i for i in range(best - k + 1, best + k) if is_eligible(i)}
        found.append((not is_kept, value, best, span))
    return found, kept


def oracle(rows, key, *, k, strategy, rate, ranks=None, max_predictions=None):
    """Returns selected, num_dropped, and kept tokens as a bool array."""
    ids, segment, _ = rows
    centre_draws = draws(rows, key, masking.CENTRE_STREAM)
    ranks = make_ranks(k) if ranks is None else ranks
    selected, kept = np.zeros(ids.shape, bool), np.zeros(ids.shape, bool)
    num_dropped = np.zeros(len(ids), int)
    for row in range(len(ids)):
        spans = []
        for number in range(1, segment[row].max() + 1):
            (slots,) = np.nonzero(segment[row] == number)
            start = slots[0] + 1
            tokens = ids[row, start : slots[-1]].tolist()
            draw = centre_draws[row][start : slots[-1]]
            found, best = oracle_spans(tokens, draw, k, strategy, rate, ranks)
            spans += [(*x[:2], x[2] + start, {i + start for i in x[3]}) for x in found]
            kept[row, [i + start for i in best]] = True
        spans.sort(key=lambda span: span[:3])
        targets = set()
        for place, span in enumerate(spans):
            grown = targets | span[3]
            if max_predictions is not None and len(grown) > max_predictions:
                num_dropped[row] = len(spans) - place
                break
            targets = grown
        selected[row, list(targets)] = True
    return selected, num_dropped, kept


strategies = pytest.mark.parametrize("strategy", masking.STRATEGIES)


@strategies
@pytest.mark.parametrize(
    ("k", "rate", "max_predictions"),
    [
        (3, 0.05, None),
        (4, 0.0375, None),
        (5, 0.03, 64),
        (6, 0.0176, None),
        (6, 0.0176, 96),
        (6, 0.06, 192),
    ],
)
def test_targets_are_those_of_the_oracle(strategy, k, rate, max_predictions):
    rows, key = make_rows(k, 100, seed=k), make_key(100, seed=k)
    settings = {"k": k, "strategy": strategy, "rate": rate}
    settings["max_predictions"] = max_predictions
    found = mask(rows, key, **settings)
    selected, num_dropped, _ = oracle(rows, key, **settings)
    np.testing.assert_array_equal(found.selected, selected)
    np.testing.assert_array_equal(found.num_dropped, num_dropped)


@strategies
@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_rows_full_of_centres(strategy, rate):
    rows, key = make_rows(6, 6), make_key(6)
    settings = {"k": 6, "strategy": strategy, "rate": rate, "max_predictions": 200}
    found = mask(rows, key, **settings)
    selected, num_dropped, _ = oracle(rows, key, **settings)
    np.testing.assert_array_equal(found.selected, selected)
    np.testing.assert_array_equal(found.num_dropped, num_dropped)
    if rate == 1:
        del settings["max_predictions"]
        found = mask(rows, key, **settings)
        np.testing.assert_array_equal(found.selected, rows[0] >= kmer.NUM_SPECIAL)


def test_more_centres_than_expected_lose_nothing(monkeypatch):
    """With the slots of a much lower rate, every row takes the long way."""
    rows, key = make_rows(6, 30), make_key(30)
    settings = {"k": 6, "strategy": "genemask", "rate": 0.0176}
    expected = mask(rows, key, **settings)
    monkeypatch.setattr(masking, "num_slots", lambda rate, length: 8)
    found = mask(rows, key, **settings)
    np.testing.assert_array_equal(found.selected, expected.selected)


@strategies
def test_nothing_special_or_unknown_is_masked_or_put_in(strategy):
    rows, key = make_rows(6, 64, unknown=0.3), make_key(64)
    found = mask(rows, key, k=6, strategy=strategy, rate=0.3)
    special = rows[0] < kmer.NUM_SPECIAL
    assert not found.selected[special].any()
    np.testing.assert_array_equal(found.inputs[special], rows[0][special])
    np.testing.assert_array_equal(
        found.inputs[~found.selected], rows[0][~found.selected]
    )
    changed = found.inputs[found.selected]
    assert changed.min() == kmer.MASK_ID
    assert changed.max() < kmer.vocabulary_size(6)


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_no_token_that_is_seen_holds_a_base_of_a_kept_one(k):
    rows, key = make_rows(k, 100, seed=9), make_key(100, seed=9)
    settings = {"k": k, "strategy": "genemask", "rate": 0.15 / k}
    found = mask(rows, key, **settings)
    *_, kept = oracle(rows, key, **settings)
    assert kept.sum() > 300
    ids, segment, _ = rows
    for row, column in zip(*np.nonzero(kept), strict=True):
        for other in range(max(column - k + 1, 0), min(column + k, LENGTH)):
            if segment[row, other] == segment[row, column]:
                is_kmer = ids[row, other] >= kmer.NUM_SPECIAL
                assert found.selected[row, other] == is_kmer


@strategies
def test_packed_and_alone_give_the_same_masks(strategy):
    settings = {"k": 6, "strategy": strategy, "rate": 0.05}
    ids, segment, position = make_rows(6, 60, segments=(2, 3))
    key = make_key(60)
    packed = mask((ids, segment, position), key, **settings)
    assert (segment == 2).any(axis=1).mean() > 0.3
    for number in (1, 2):
        alone = np.zeros((3, *ids.shape), "int32")
        where = []
        for row in range(60):
            (slots,) = np.nonzero(segment[row] == number)
            for i, values in enumerate((ids, segment, position)):
                alone[i, row, : len(slots)] = values[row, slots]
            where.append(slots)
        found = mask(alone, key, **settings)
        for row, slots in enumerate(where):
            for name in ("selected", "inputs"):
                np.testing.assert_array_equal(
                    getattr(found, name)[row, : len(slots)],
                    getattr(packed, name)[row, slots],
                )


def full_rows(num_rows, seed=0):
    """Rows of one sequence of 510 k-mers that overlap as in DNA."""
    bases = np.random.default_rng(seed).integers(0, 4, (num_rows, LENGTH + 3))
    ids = np.stack([kmer.tokenize(row, 6) for row in bases])
    ids = np.pad(ids, ((0, 0), (1, 1)), constant_values=kmer.SEP_ID)
    ids[:, 0] = kmer.CLS_ID
    position = np.broadcast_to(np.arange(LENGTH, dtype="int32"), ids.shape)
    return ids, np.ones_like(ids), position


@pytest.mark.parametrize(
    ("strategy", "rate", "share"),
    [
        ("genemask", 0.0176, 0.153),
        ("kmer_span", 0.025, 0.141),
        ("kmer_span", 0.0176, 0.100),
        ("token", 0.15, 0.150),
    ],
)
def test_shares_of_targets(strategy, rate, share):
    rows, key = full_rows(1000), make_key(1000)
    ranks = np.random.default_rng(0).permutation(4**6).astype("int32") + 1
    found = mask(rows, key, k=6, strategy=strategy, rate=rate, ranks=ranks)
    assert abs(found.selected[:, 1:-1].mean() - share) < 0.005


def test_shares_of_what_targets_become():
    rows, key = full_rows(1000), make_key(1000)
    found = mask(rows, key, k=6, strategy="kmer_span", rate=0.025)
    before, after = rows[0][found.selected], found.inputs[found.selected]
    is_mask = after == kmer.MASK_ID
    is_random = ~is_mask & (after != before)
    assert len(after) > 60_000
    assert abs(is_mask.mean() - 0.8) < 0.01
    assert abs(is_random.mean() - 0.1) < 0.01
    numbers = after[is_random] - kmer.NUM_SPECIAL
    assert numbers.min() >= 0
    assert numbers.max() < 4**6
    counts = np.bincount(numbers // 2**8, minlength=16)
    assert (abs(counts / len(numbers) - 1 / 16) < 0.01).all()


@strategies
def test_rows_without_a_centre(strategy):
    rows, key = make_rows(6, 4), make_key(4)
    settings = {"k": 6, "strategy": strategy, "max_predictions": 8}
    found = mask(rows, key, rate=0, **settings)
    assert not found.selected.any()
    assert not found.num_dropped.any()
    np.testing.assert_array_equal(found.inputs, rows[0])
    empty = tuple(np.zeros_like(x) for x in rows)
    assert not mask(empty, key, rate=1, **settings).selected.any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "max_predictions"),
    [("kmer_span", 80), ("genemask", 80), ("genemask_global", 80)],
)
def test_eager_and_compiled_agree(strategy, max_predictions):
    rows, key = make_rows(6, 40), make_key(40)
    settings = {"k": 6, "strategy": strategy, "rate": 0.0176}
    settings["max_predictions"] = max_predictions
    expected = mask(rows, key, compiled=False, **settings)

    def function(ids, segment, position, key):
        return tuple(
            masking.mask_tokens(
                ids,
                segment,
                position,
                key,
                ranks=make_ranks(6),
                **settings,
            )
        )

    found = compile_function(function, xla=True)(*rows, key)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(harness.array(one), other)


def test_known_answer():
    """The same on every backend."""
    rows, key = full_rows(2), make_key(2)
    found = mask(rows, key, k=6, strategy="genemask", rate=0.0176)
    weights = np.arange(LENGTH)
    assert (found.selected @ weights).tolist() == [16589, 13937]
    assert (found.inputs @ weights).tolist() == [239872179, 263044358]


def test_other_lengths_of_kmers():
    for k in (1, 2, 7, 8):
        rows, key = make_rows(k, 8), make_key(8)
        found = mask(rows, key, k=k, strategy="genemask", rate=0.05)
        assert found.selected.any()
        found = mask(rows, key, k=k, strategy="kmer_span", rate=0.002)
        runs = np.diff(np.flatnonzero(np.diff(np.pad(found.selected.ravel(), 1))))
        assert runs[::2].max() >= k


@pytest.mark.parametrize("max_predictions", [1, 20, 77, 128])
def test_gather_targets(max_predictions):
    rng = np.random.default_rng(0)
    selected = rng.random((12, 128)) < np.linspace(0, 1, 12)[:, None]
    function = compile_function(
        lambda x: masking.gather_targets(x, max_predictions), xla=True
    )
    columns, weights = map(harness.array, function(ops.convert_to_tensor(selected)))
    assert columns.dtype == np.int32
    assert weights.dtype == np.float32
    assert columns.shape == weights.shape == (12, max_predictions)
    for row in range(12):
        expected = np.flatnonzero(selected[row])[:max_predictions]
        np.testing.assert_array_equal(columns[row, : len(expected)], expected)
        assert not columns[row, len(expected) :].any()
        np.testing.assert_array_equal(
            weights[row], np.arange(max_predictions) < len(expected)
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": "spans"}, "strategy must be one of"),
        ({"rate": 1.5}, "rate must be 0 to 1, got 1.5"),
        ({"k": 9}, "k must be 1 to 8"),
        ({"ranks": None}, "'genemask' needs ranks"),
        ({"ranks": np.ones(16)}, r"ranks must have the shape \(4096,\), got \(16,\)"),
        ({"max_predictions": 0}, "max_predictions must be >= 1 token, got 0"),
    ],
)
def test_arguments_are_checked(settings, message):
    ids = np.ones((1, 8), "int32")
    right = {"k": 6, "strategy": "genemask", "rate": 0.1, "ranks": make_ranks(6)}
    with pytest.raises(ValueError, match=message):
        masking.mask_tokens(ids, ids, ids, make_key(1), **{**right, **settings})


def test_too_long():
    with pytest.raises(ValueError, match="rows must be 1 to 2048 tokens long"):
        masking.gather_targets(np.zeros((1, 4096), bool), 4)
    with pytest.raises(ValueError, match="max_predictions must be 1 to 8 tokens"):
        masking.gather_targets(np.zeros((1, 8), bool), 9)
