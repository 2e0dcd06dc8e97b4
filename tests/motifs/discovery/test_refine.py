import numpy as np
import pytest
from scipy import stats

from genomenet.dna import encode
from genomenet.motifs import pwm
from genomenet.motifs.discovery import refine, scan

WORD = "GCACGTTCAGTCCA"


def sequence_set(share=0.5, number=120, length=60):
    """Random sequences; a share of the primary ones holds the word, unchanged."""
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 4, length).astype(np.uint8) for _ in range(2 * number)]
    for codes in texts[: int(share * number)]:
        start = int(rng.integers(0, length - len(WORD)))
        codes[start : start + len(WORD)] = encode.encode(WORD)
    return scan.SequenceSet(texts[:number], texts[number:], both_strands=True)


def fit(low=8, high=14):
    return refine.Fit(
        min_width=low,
        max_width=high,
        background=pwm.UNIFORM,
        map=lambda function, arguments: [function(a) for a in arguments],
    )


@pytest.mark.parametrize(("low", "high"), [(8, 14), (8, 18), (12, 12)])
def test_a_motif_is_as_wide_as_it_may_be_and_no_wider(low, high):
    model = fit(low, high).search(sequence_set())
    letters = "".join("ACGT"[i] for i in model.counts.argmax(1))
    turned = encode.decode(encode.reverse_complement(encode.encode(letters))).decode()
    # A last column may come by chance.
    assert letters[1:-1] in WORD or turned[1:-1] in WORD
    assert low <= len(letters) <= high
    assert abs(len(letters) - min(high, len(WORD))) <= 1


def test_the_threshold_is_the_one_that_separates_best():
    given = sequence_set()
    model = fit().search(given)
    scores = given.score(pwm.Motif("", model.counts).log_odds())
    best = given.best(scores)

    def ratio(threshold):
        """Log-likelihood ratio of the table of a threshold."""
        a, b = (best[:120] >= threshold).sum(), (best[120:] >= threshold).sum()
        table = [[a, 120 - a], [b, 120 - b]]
        return stats.chi2_contingency(table, False, "log-likelihood").statistic / 2

    assert model.deviance == pytest.approx(ratio(model.threshold))
    others = best[(best > 0) & (best > best.min())]
    assert model.deviance == pytest.approx(max(map(ratio, others)))
    a, b = refine.table(given, scores, model.threshold)
    assert a >= 60
    p = stats.fisher_exact([[a, 120 - a], [b, 120 - b]], "greater").pvalue
    assert fit().log_pvalue(model, given) == pytest.approx(np.log(p))


def test_nothing_is_found_where_both_sets_are_the_same():
    given = sequence_set(0)
    texts = [given.text[s : s + 60] for s in given.starts]
    same = scan.SequenceSet(texts, texts, both_strands=True)
    assert fit().search(same) is None
