"""Scores against finite differences, slow writings, and the outputs they explain."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from matplotlib import image

from genomenet.dna import alphabet, encode, kmer
from genomenet.interpret import attribution
from genomenet.models import bert, classifier, selfgenomenet
from genomenet.models import classifier_config as config_lib
from tests import harness

SELF = {**harness.SELFGENOMENET, "stride": 4, "gaps": [1]}
BERT = {**harness.BERT, "num_hidden_layers": 1, "max_position_embeddings": 64}
ENCODERS = {"selfgenomenet": SELF, "bert": BERT}
families = pytest.mark.parametrize("family", ENCODERS)


@pytest.fixture(autouse=True)
def _eager():
    """Tracing a graph takes longer than all else; a slow test does it."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def build(family, task="binary", **fields):
    classes = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "regression": ()}
    config = config_lib.ClassifierConfig(
        task=task, classes=classes[task], **{"window": 40, **fields}
    )
    model = classifier.Classifier(family, ENCODERS[family], config)
    harness.set_weights(model.weights, scale=0.4)
    return model


def draws(*lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (f"s{i}", rng.integers(0, 4, length).astype(np.uint8))
        for i, length in enumerate(lengths)
    ]


def logits(model, codes):
    return np.asarray(model({"bases": np.asarray(codes)[None]})["logits"])[0]


def make_blind(model, family, reference):
    """Changes weights so that the model reads the reference in place of bases."""
    if family == "bert":
        table = model.encoder.backbone.embedding.tokens
        values = ops.convert_to_numpy(table).copy()
        mean = values[kmer.NUM_SPECIAL :].mean(0) if reference == "background" else 0
        values[kmer.NUM_SPECIAL :] = mean
        table.assign(values)
        return
    kernel = model.encoder.context_net.encoder.kernel
    values = ops.convert_to_numpy(kernel)
    mean = values.mean(1, keepdims=True) if reference == "background" else 0.0
    kernel.assign(np.broadcast_to(mean, values.shape))


@families
@pytest.mark.parametrize(
    ("reference", "over_windows"), [("background", "attention"), ("zeros", "mean")]
)
def test_scores_sum_to_the_difference_of_outputs(family, reference, over_windows):
    model = build(family, over_windows=over_windows)
    sequences = draws(40, 23, 95)
    sequences[1][1][7:9] = alphabet.N
    found = attribution.explain(model, sequences, reference=reference, steps=12)
    before = [logits(model, codes)[0] for _, codes in sequences]
    make_blind(model, family, reference)
    after = [logits(model, codes)[0] for _, codes in sequences]
    np.testing.assert_allclose(
        found.scores.sum(1), np.subtract(before, after), atol=1e-4
    )
    assert np.abs(np.subtract(before, after)).max() > 0.004


@pytest.mark.slow
@families
def test_input_x_gradient_is_that_of_finite_differences(family):
    """What is read of one base, or of one k-mer, is made a little larger."""
    model = build(family)
    length = 20
    [(_, codes)] = draws(length)
    found = attribution.explain(
        model, [("x", codes)], method="input_x_gradient", reference="zeros"
    ).scores[0]
    reader = {"bert": bert, "selfgenomenet": selfgenomenet}[family].reader(
        model.encoder
    )

    def derivative(is_scaled):
        values = []
        for factor in (1.02, 0.98):

            def edit(x, _, factor=factor):
                mask = np.array([[is_scaled(p)] for p in range(x.shape[1])])
                if family == "selfgenomenet":
                    mask = np.array(
                        [
                            [[is_scaled(4 * p + i)] for i in range(8)]
                            for p in range(x.shape[1])
                        ]
                    )
                return x * np.where(mask[None], factor, 1.0).astype("float32")

            reader.edit = edit
            values.append(logits(model, codes)[0])
            reader.edit = None
        return (values[0] - values[1]) / 0.04

    if family == "selfgenomenet":
        expected = [derivative(lambda j, at=at: j == at) for at in range(length)]
    else:
        tokens = [
            derivative(lambda j, at=at: j == at + 1) for at in range(length - 2)
        ]  # after [CLS]
        expected = [
            sum(tokens[t] for t in range(max(0, j - 2), min(j, length - 3) + 1)) / 3
            for j in range(length)
        ]
    assert reader.edit is None
    largest = np.abs(expected).max()
    assert largest > 1e-3
    np.testing.assert_allclose(found, expected, atol=0.02 * largest)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "method"),
    [
        ("selfgenomenet", "integrated_gradients"),
        ("bert", "input_x_gradient"),
        ("bert", "attention"),
    ],
)
def test_padding_and_neighbours_change_no_score(family, method):
    model = build(family)
    sequences = draws(20, 96, 41)
    settings = {"method": method, "steps": 2}
    together = attribution.explain(model, sequences, batch_size=2, **settings)
    assert together.names == ("s0", "s1", "s2")
    assert together.lengths.tolist() == [20, 96, 41]
    for number, (name, codes) in enumerate(sequences):
        alone = attribution.explain(model, [(name, codes)], **settings)
        length = len(codes)
        assert together.sequences[number, :length].tolist() == codes.tolist()
        np.testing.assert_allclose(
            together.scores[number, :length], alone.scores[0], atol=1e-5
        )
        assert not together.scores[number, length:].any()


@pytest.mark.parametrize("length", [3, 30, 95])
def test_attention_is_dnaberts(length):
    """Each base has the mean over its k-mers, whichever window they lie in."""
    model = build("bert")
    [(_, codes)] = draws(length)
    codes[1:2] = alphabet.N
    found = attribution.explain(model, [("x", codes)], method="attention").scores[0]
    kmers = {}
    for first in range(0, max(1, length - 2), 38):
        piece = codes[first : first + 40]
        if len(piece) < 3:
            continue
        tokens = model.encoder.tokens(piece[None])
        _, attention = model.encoder.backbone.encode(tokens, return_all=True)
        heads = np.asarray(attention[-1])[0]
        for at in range(len(piece) - 2):
            kmers[first + at] = heads[:, 0, at + 1].sum()
    assert sorted(kmers) == list(range(length - 2))
    scores = []
    for base in range(length):
        covering = [kmers[at] for at in (base - 2, base - 1, base) if at in kmers]
        scores.append(sum(covering) / len(covering))
    expected = np.array(scores) / np.linalg.norm(scores)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
@families
def test_both_strands_are_read_alike(family):
    model = build(family, both_strands=True)
    sequences = draws(33, 50)
    turned = [(n, encode.reverse_complement(codes)) for n, codes in sequences]
    one = attribution.explain(model, sequences, steps=2)
    other = attribution.explain(model, turned, steps=2)
    for number, length in enumerate((33, 50)):
        np.testing.assert_allclose(
            one.scores[number, :length], other.scores[number, :length][::-1], atol=1e-5
        )


@pytest.mark.slow
def test_the_class_that_is_explained():
    model = build("bert")
    sequences = draws(30)
    default = attribution.explain(model, sequences, steps=1).scores
    for target, sign in (("yes", 1), ("no", -1)):
        found = attribution.explain(model, sequences, target=target, steps=1).scores
        np.testing.assert_allclose(found, sign * default, atol=1e-6)
    model = build("bert", "multiclass")
    before = logits(model, sequences[0][1])
    sums = [
        attribution.explain(model, sequences, target=target, steps=8).scores.sum()
        for target in ("a", "b", "c")
    ]
    make_blind(model, "bert", "background")
    np.testing.assert_allclose(sums, before - logits(model, sequences[0][1]), atol=1e-4)


@pytest.mark.parametrize(
    ("family", "task", "arguments", "message"),
    [
        ("bert", "binary", {"method": "x"}, "method must be one of integrated_"),
        ("bert", "binary", {"reference": "x"}, "reference must be one of background"),
        ("bert", "binary", {"steps": 0}, "steps must be >= 1, got 0"),
        ("bert", "binary", {"target": "x"}, "no class 'x'; it has no, yes"),
        ("bert", "regression", {"target": "x"}, "no class 'x'; it has none"),
        ("bert", "multiclass", {}, "target must be .*a, b, c"),
        ("selfgenomenet", "binary", {"method": "attention"}, "has no attention"),
    ],
)
def test_words_that_make_no_sense_are_refused(family, task, arguments, message):
    with pytest.raises(ValueError, match=message):
        attribution.explain(build(family, task), draws(30), **arguments)


def test_a_sequence_too_short_for_the_model_is_named():
    with pytest.raises(ValueError, match="record 's1': 7 bases are too few: .* 8"):
        attribution.explain(build("selfgenomenet"), draws(30, 7))


def test_scores_are_saved_and_drawn(tmp_path):
    sequences = np.array([[0, 1, 2, 3, 4], [3, 3, 5, 5, 5]], np.uint8)
    scores = np.array([[1, -2, 3, 4, 9], [5, 6, 0, 0, 0]], np.float32)
    found = attribution.Attribution(("a", "µ"), sequences, scores, "attention")
    attribution.save(tmp_path / "x" / "scores.npz", found)
    with np.load(tmp_path / "x" / "scores.npz") as saved:
        assert saved["names"].tolist() == ["a", "µ"]
        assert saved["scores"].tolist() == scores.tolist()
        assert saved["sequences"].tolist() == sequences.tolist()
        assert str(saved["method"]) == "attention"
    letters = [[1, 0, 0, 0], [0, -2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 4], [0, 0, 0, 0]]
    assert found.heights(0).tolist() == letters
    assert found.heights(1).tolist() == [[0, 0, 0, 5], [0, 0, 0, 6]]
    pytest.importorskip("logomaker", reason="needs the extra motifs")
    attribution.draw(tmp_path / "logos", found, count=1)
    assert [p.name for p in (tmp_path / "logos").iterdir()] == ["1.png"]
    assert image.imread(tmp_path / "logos" / "1.png").ndim == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "method"),
    [
        ("selfgenomenet", "integrated_gradients"),
        ("bert", "integrated_gradients"),
        ("bert", "attention"),
    ],
)
def test_a_graph_scores_as_eager_steps_do(family, method):
    model = build(family)
    sequences = draws(20, 96, 41)
    eager = attribution.explain(model, sequences, method=method, steps=2)
    tf.config.run_functions_eagerly(False)
    graph = attribution.explain(model, sequences, method=method, steps=2)
    np.testing.assert_allclose(graph.scores, eager.scores, atol=1e-5)
    assert np.abs(eager.scores).max() > 1e-3


@pytest.mark.parametrize("readout", [("mean", "kmers3"), ("kmers3",)])
def test_mutations_are_those_of_a_slow_writing(readout):
    """Of a classifier that reads k-mers itself, which no gradient reaches."""
    model = build("selfgenomenet", readout=readout)
    named = draws(40, 33)
    named[1][1][5] = alphabet.N
    found = attribution.explain(model, named, target="yes")
    assert found.method == "mutations"
    for number, (_, codes) in enumerate(named):
        own = logits(model, codes)[0]
        for place in range(len(codes)):
            if codes[place] == alphabet.N:
                assert found.scores[number, place] == 0
                continue
            others = []
            for base in range(4):
                if base != codes[place]:
                    mutant = codes.copy()
                    mutant[place] = base
                    others.append(logits(model, mutant)[0])
            expected = own - np.mean(others)
            assert found.scores[number, place] == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ValueError, match="input_x_gradient .*method=mutations"):
        attribution.explain(model, named, method="input_x_gradient", target="yes")
