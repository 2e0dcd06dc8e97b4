import collections
import itertools

import numpy as np
import pytest

from genomenet.dna import encode
from genomenet.motifs.discovery import background

TEXTS = (b"ACGTNACCGTTAGG", b"TTTTTTN", b"NC", b"")


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("both_strands", [False, True])
def test_transitions_are_shares_of_counted_words(order, both_strands):
    model = background.fit(
        [encode.encode(t) for t in TEXTS], order=order, both_strands=both_strands
    )
    pair = bytes.maketrans(b"ACGT", b"TGCA")
    texts = TEXTS + tuple(t.translate(pair)[::-1] for t in TEXTS) * both_strands
    counts = collections.Counter(
        t[i : i + order + 1] for t in texts for i in range(len(t) - order)
    )
    contexts = map(bytes, itertools.product(b"ACGT", repeat=order))
    for row, context in enumerate(contexts):
        found = [counts[context + bytes([base])] + 0.25 for base in b"ACGT"]
        np.testing.assert_allclose(model.transitions[row], np.array(found) / sum(found))
    assert model.initial.shape == (4**order,)
    np.testing.assert_allclose(model.initial.sum(), 1)
    singles = [sum(t.count(b) for t in texts) + 1 for b in (b"A", b"C", b"G", b"T")]
    np.testing.assert_allclose(model.frequencies, np.array(singles) / sum(singles))


def test_no_base_at_all_is_uniform():
    model = background.fit([np.full(5, 4, np.uint8)], order=1)
    np.testing.assert_allclose(model.transitions, 0.25)
    np.testing.assert_allclose(model.frequencies, 0.25)


@pytest.mark.parametrize("order", [-1, 6])
def test_order_is_checked(order):
    with pytest.raises(ValueError, match=f"order must be 0 to 5, got {order}"):
        background.fit([], order=order)
