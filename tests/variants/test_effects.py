"""Scores against brute force: the variant applied to the text of the genome."""

import functools

import numpy as np
import pytest

from genomenet.dna import encode, kmer
from genomenet.inference import outputs, predict
from genomenet.models import bert, selfgenomenet
from genomenet.models import classifier as classifier_lib
from genomenet.models import classifier_config as config_lib
from genomenet.variants import score_files
from tests import harness

WINDOW = 40
LETTERS = list("ACGT")


@functools.cache
def classifier(task="binary", both_strands=True):
    classes = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c")}.get(task, ())
    config = config_lib.ClassifierConfig(
        task=task,
        classes=classes,
        window=WINDOW,
        length=WINDOW,
        pool="max",
        both_strands=both_strands,
    )
    model = classifier_lib.Classifier("selfgenomenet", harness.SELFGENOMENET, config)
    harness.set_weights(model.weights)
    return model


@functools.cache
def encoder():
    model = selfgenomenet.build(selfgenomenet.from_dict(harness.SELFGENOMENET))
    harness.set_weights(model.weights)
    return model


@functools.cache
def masked_lm():
    model = bert.build(bert.from_dict(harness.BERT))
    harness.set_weights(model.weights)
    return model


def genome(seed=0):
    """Two contigs: a long one with runs of N, and one shorter than a window."""
    rng = np.random.default_rng(seed)
    long = rng.choice(LETTERS, 400)
    long[60:75] = long[200:203] = long[300] = "N"
    return {"chr1": "".join(long), "chr2": "".join(rng.choice(LETTERS, 30)).lower()}


def variants(count, seed=1):
    """Returns random variants of all kinds, many near ends and N."""
    rng = np.random.default_rng(seed)
    contigs, found = genome(), []
    near = [0, 1, 19, 20, 40, 59, 75, 78, 199, 203, 299, 301, 379, 380, 398, 399]
    for _ in range(count):
        name = rng.choice(list(contigs), p=[0.85, 0.15])
        text = contigs[name]
        start = int(rng.choice(near) if rng.random() < 0.3 else rng.integers(400))
        start %= len(text)
        ref = text[start : start + int(rng.choice([1, 1, 2, 3, 9, 20]))]
        size = len(ref) if rng.random() < 0.5 else int(rng.choice([1, 2, 5, 20]))
        alt = "".join(rng.choice(LETTERS, size))
        found.append((str(name), start + 1, ref, alt))
    return found


def windows(variant, contigs):
    """Returns the codes of both windows, cut from texts."""
    name, position, ref, alt = variant
    text, start = contigs[name], position - 1
    assert text[start : start + len(ref)].upper() == ref.upper()
    found = []
    for whole in (text, text[:start] + alt + text[start + len(ref) :]):
        padded = "N" * WINDOW + whole + "N" * 2 * WINDOW
        first = start - WINDOW // 2 + WINDOW
        found.append(encode.encode(padded[first : first + WINDOW]))
    return found


def mean_of_strands(function, codes):
    return (function(codes) + function(encode.reverse_complement(codes))) / 2


def logits(model, codes):
    return harness.array(model({"bases": codes[None]})["logits"])[0]


def likelihood(model, before, after, span):
    """Returns the ratio on one strand, with all tokens computed."""
    k = model.config.kmer
    tokens = model.tokens(before[None])
    ids = harness.array(tokens["token_ids"]).copy()
    ref, alt = kmer.tokenize(before, k), kmer.tokenize(after, k)
    touching = [
        j for j in range(len(ref)) if j < span[1] and j + k > span[0] and ref[j] != 1
    ]
    if not touching:
        return np.nan
    ids[0, [j + 1 for j in touching]] = kmer.MASK_ID
    states = model.backbone.encode({**tokens, "token_ids": ids})
    x = harness.array(model.predict_tokens(states))[0].astype(float)
    logs = x - np.log(np.exp(x).sum(-1, keepdims=True))
    return sum(logs[j + 1, alt[j]] - logs[j + 1, ref[j]] for j in touching)


def check_classifier(count):
    given, contigs = variants(count), genome()
    model = classifier()
    table = score_files.variant_effects(model, given, contigs)
    predictor = predict.Predictor(model, batch_size=16)
    pairs = [windows(variant, contigs) for variant in given]
    before = predictor.predict([ref for ref, _ in pairs])
    after = predictor.predict([alt for _, alt in pairs])
    num_ok = 0
    for row, (variant, (ref, alt)) in enumerate(zip(given, pairs, strict=True)):
        if variant[2].upper() == variant[3]:
            expected = "same"
        else:
            expected = "mostly_n" if (ref == 4).sum() > WINDOW / 2 else "ok"
        assert table["status"][row] == expected, variant
        found = [table[f"prob_{name}"][row] for name in ("no", "yes")]
        if expected != "ok":
            assert np.isnan(found).all()
            continue
        num_ok += 1
        np.testing.assert_allclose(found, after[row] - before[row], atol=1e-5)
        if row % 100 == 0:
            each = functools.partial(logits, model)
            effect = mean_of_strands(each, alt) - mean_of_strands(each, ref)
            found = table["logit_yes"][row]
            np.testing.assert_allclose(found, effect[0], atol=1e-5)
    assert num_ok > count / 3


def test_a_classifier_of_chosen_readouts_is_read_as_it_predicts():
    """Its vectors are wider than the encoder's, and its logits are averaged."""
    config = config_lib.ClassifierConfig(
        task="binary",
        classes=("no", "yes"),
        readout=("bins", "kmers3"),
        strands="both",
        both_strands=True,
        window=WINDOW,
        length=WINDOW,
    )
    model = classifier_lib.Classifier("bert", harness.BERT, config)
    harness.set_weights(model.weights, scale=0.5)
    rows = np.random.default_rng(0).integers(0, 4, (5, 100)).astype(np.uint8)
    found = outputs.Outputs(model, window=100, batch_size=2).rows(rows)
    expected = predict.Predictor(model).predict(list(rows))
    np.testing.assert_allclose(found[:, 2:], expected, atol=1e-5)
    odds = np.log(expected[:, 1] / expected[:, 0])
    np.testing.assert_allclose(found[:, 1], odds, rtol=1e-3, atol=1e-4)


def test_a_classifier_equals_brute_force():
    check_classifier(200)


@pytest.mark.slow
def test_a_classifier_equals_brute_force_on_many():
    check_classifier(4000)


@pytest.mark.parametrize(
    "both_strands", [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_a_masked_language_model_equals_brute_force(both_strands):
    given, contigs, model = variants(20, seed=2), genome(), masked_lm()
    table = score_files.variant_effects(
        model, given, contigs, both_strands=both_strands
    )
    num_scored = 0
    for row, variant in enumerate(given):
        if table["status"][row] != "ok":
            continue
        ref, alt = windows(variant, contigs)
        found = table["likelihood"][row]
        if len(variant[2]) != len(variant[3]):
            assert np.isnan(found)
        elif 4 not in ref:
            span = WINDOW // 2, WINDOW // 2 + len(variant[2])
            expected = likelihood(model, ref, alt, span)
            if both_strands:
                other = likelihood(
                    model,
                    encode.reverse_complement(ref),
                    encode.reverse_complement(alt),
                    (WINDOW - span[1], WINDOW - span[0]),
                )
                expected = (expected + other) / 2
            np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-5)
            num_scored += 1

        def embed(codes):
            return harness.array(bert.embed(model, {"bases": codes[None]}))[0]

        a, b = ref, alt
        if both_strands:
            a, b = mean_of_strands(embed, ref), mean_of_strands(embed, alt)
        else:
            a, b = embed(ref), embed(alt)
        expected = np.linalg.norm(b - a)
        np.testing.assert_allclose(table["l2"][row], expected, atol=1e-5)
        cosine = 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        np.testing.assert_allclose(table["cosine"][row], cosine, atol=1e-5)
    assert num_scored > 2


def test_swapped_alleles_flip_the_sign():
    contigs = genome()
    model = [classifier("multiclass"), classifier("regression"), masked_lm()]
    given = [v for v in variants(24, seed=3) if v[2].upper() != v[3]]
    for one, keys in zip(
        model, (["logit_b", "prob_c"], ["value"], ["likelihood"]), strict=True
    ):
        there = score_files.variant_effects(one, given, contigs)
        swapped, swapped_contigs = [], {}
        for number, (name, position, ref, alt) in enumerate(given):
            text = contigs[name]
            changed = text[: position - 1] + alt + text[position - 1 + len(ref) :]
            swapped_contigs[f"s{number}"] = changed
            swapped.append((f"s{number}", position, alt, ref))
        back = score_files.variant_effects(one, swapped, swapped_contigs)
        is_both = (there["status"] == "ok") & (back["status"] == "ok")
        assert is_both.sum() > 8
        for key in keys:
            np.testing.assert_allclose(
                back[key][is_both], -there[key][is_both], atol=1e-5
            )


def test_strands_are_as_the_classifier_was_evaluated():
    given, contigs = [("chr1", 100, genome()["chr1"][99], "N")], genome()
    forward = classifier(both_strands=False)
    default = score_files.variant_effects(forward, given, contigs)
    one = score_files.variant_effects(forward, given, contigs, both_strands=False)
    both = score_files.variant_effects(forward, given, contigs, both_strands=True)
    assert default["prob_yes"] == one["prob_yes"] != both["prob_yes"]


@pytest.mark.slow
def test_several_models():
    given, contigs = variants(30), genome()
    models = [encoder(), masked_lm()]
    table = score_files.variant_effects(models, given, contigs)
    alone = [score_files.variant_effects(m, given, contigs)["l2"] for m in models]
    np.testing.assert_allclose(table["m1_l2"], alone[0])
    np.testing.assert_allclose(table["m2_l2"], alone[1])
    np.testing.assert_allclose(table["mean_l2"], np.mean(alone, axis=0))
    np.testing.assert_allclose(table["sd_l2"], np.std(alone, axis=0, ddof=1))
    assert "mean_likelihood" not in table.columns


def test_random_snvs_give_p_values():
    given, contigs, model = variants(30), genome(), classifier()
    table = score_files.variant_effects(model, given, contigs, null=12, seed=3)
    again = score_files.variant_effects(model, given[::-1], contigs, null=12, seed=3)
    plain = score_files.variant_effects(model, given, contigs)
    np.testing.assert_allclose(table["prob_yes"], plain["prob_yes"], atol=1e-6)
    p, count = table["prob_yes_p"], table["null_n"]
    np.testing.assert_array_equal(p, again["prob_yes_p"][::-1])
    is_tested = count > 0
    assert is_tested.any()
    assert np.isnan(p[~is_tested]).all()
    at_least = 1 / (1 + count[is_tested])
    assert (p[is_tested] >= at_least - 1e-12).all()
    assert (p[is_tested] <= 1).all()
    # By hand: all other substitutions of the same trinucleotide.
    row = next(n for n in range(30) if 0 < count[n] < 12)
    ref, _ = windows(given[row], contigs)
    middle, size = WINDOW // 2, len(given[row][2])
    places = [
        at
        for at in range(1, WINDOW - 1)
        if list(ref[at - 1 : at + 2]) == list(ref[middle - 1 : middle + 2])
        and not middle <= at < middle + size
    ]
    rows = []
    for at in places:
        for base in set(range(4)) - {int(ref[at])}:
            rows.append(ref.copy())
            rows[-1][at] = base
    values = predict.Predictor(model).predict([ref, *rows])[:, 1]
    effect = np.abs(values[1:] - values[0])
    expected = (1 + (effect >= abs(table["prob_yes"][row])).sum()) / (1 + len(rows))
    assert p[row] == pytest.approx(expected)


def test_left_and_right_in_a_repeat():
    """One deletion in a repeat has two positions: two windows, near values."""
    text = "ACGTTGCAAGCTTAGCATCGACGTACG" + "A" * 8 + "CGTATCGGATTCAGCTAGGACTTACGA"
    left, right = ("c", 27, "GA", "G"), ("c", 34, "AA", "A")
    table = score_files.variant_effects(classifier(), [left, right], {"c": text})
    assert list(table["status"]) == ["ok", "ok"]
    for variant in (left, right):
        _, position, ref, alt = variant
        assert text[position - 1 :].startswith(ref)
        changed = text[: position - 1] + alt + text[position - 1 + len(ref) :]
        assert changed == text.replace("A" * 8, "A" * 7)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"window": 3}, "window=3"),
        ({"null": -1}, "null=-1"),
        ({"on_error": "x"}, "on_error='x'"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_options_are_checked(options, word):
    with pytest.raises(ValueError, match=word):
        score_files.variant_effects(
            encoder(), [("c", 1, "A", "C")], genome(), **options
        )


def test_a_table_can_be_looked_at():
    table = score_files.variant_effects(
        encoder(), [("chr2", 1, genome()["chr2"][0], "<DEL>")], genome()
    )
    assert "<th>status</th>" in table._repr_html_()
    assert "&lt;DEL&gt;" in table._repr_html_()
    assert len(table) == 1
    empty = score_files.variant_effects(encoder(), [], genome())
    assert len(empty) == 0
    assert "l2" in empty.columns
