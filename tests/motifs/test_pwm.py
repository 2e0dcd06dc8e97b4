import numpy as np
import pytest
from Bio import motifs as bio_motifs

from genomenet.motifs import pwm

WORDS = ["ATGCAAAT", "ATGCAAAT", "ATGCTAAT", "ATGCGGAT", "TTGCGGAT"]


def motif(**changes):
    counts = np.array(
        [[sum(w[i] == b for w in WORDS) for b in "ACGT"] for i in range(8)], float
    )
    return pwm.Motif(**{"name": "oct", "counts": counts, **changes})


def test_weights_are_those_of_biopython():
    background = (0.3, 0.2, 0.2, 0.3)
    ours = motif(background=background)
    peer = bio_motifs.create(WORDS)
    weights = dict(zip("ACGT", (2 * b for b in background), strict=True))
    peer_pssm = peer.counts.normalize(weights).log_odds(
        dict(zip("ACGT", background, strict=True))
    )
    expected = np.array([peer_pssm[b] for b in "ACGT"]).T
    np.testing.assert_allclose(ours.log_odds(2.0), expected, rtol=1e-12)
    np.testing.assert_allclose(
        ours.information(), 2 - _entropy(ours.counts / 5), rtol=1e-12
    )


def _entropy(p):
    return -np.array([sum(x * np.log2(x) for x in row if x) for row in p])


def test_consensus_names_each_base_half_as_frequent_as_the_most_frequent():
    assert motif().consensus == "ATGCDRAT"
    counts = np.array([[1, 1, 1, 1], [0, 3, 0, 5], [9, 0, 0, 1]], float)
    assert pwm.Motif("x", counts).consensus == "NYA"


def test_other_strand():
    site = pwm.Site("peak", 3, "+", "ATGCAAAT", 9.0, 1e-4)
    other = motif(sites=(site,), background=(0.4, 0.3, 0.2, 0.1)).reverse_complement
    assert other.consensus == "ATYHGCAT"
    assert other.background == (0.1, 0.2, 0.3, 0.4)
    assert (other.sites[0].start, other.sites[0].strand) == (3, "-")
    assert other.sites[0].word == "ATTTGCAT"
    np.testing.assert_array_equal(other.reverse_complement.counts, motif().counts)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": np.ones((4, 3))}, r"shape \(W, 4\), got \(4, 3\)"),
        ({"counts": np.ones((0, 4))}, "shape"),
        ({"counts": np.array([[1, 0, 0, -1.0]])}, "negative"),
        ({"counts": np.zeros((1, 4))}, "empty"),
        ({"background": (0.5, 0.5, 0.0, 0.0)}, "not frequencies"),
        ({"background": (0.5, 0.5, 0.5, 0.5)}, "not frequencies"),
    ],
)
def test_what_is_no_motif_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        motif(**changes)
