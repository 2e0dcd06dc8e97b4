"""Baselines: counts against plain Python, both strands, every kind of task."""

import collections
import time

import keras
import numpy as np
import pytest

from genomenet.data import tasks
from genomenet.dna import encode
from genomenet.evaluation import baselines, metrics

BINARY = tasks.Task(kind="binary", classes=("no", "yes"))
THREE = tasks.Task(kind="multiclass", classes=("a", "b", "c"))
LABELS = tasks.Task(kind="multi_label", classes=("a", "b", "c"))
NUMBER = tasks.Task(kind="regression")


def rows(rng, count, lengths=(0, 40)):
    sizes = rng.integers(*lengths, count)
    return [rng.integers(0, 5, size).astype(np.uint8) for size in sizes]


def planted(rng, count, classes, length=60):
    """Sequences of which each class holds another word, on a random strand."""
    truth = np.arange(count) % classes
    codes = rng.integers(0, 4, (count, length)).astype(np.uint8)
    for row, number in zip(codes, truth, strict=True):
        word = encode.encode(["TTTAAACC", "GGGTTTAC", "CACACATA"][number])
        if rng.random() < 0.5:
            word = encode.reverse_complement(word)
        for start in (3, 20, 40):
            row[start : start + 8] = word
    return list(codes), truth


def plain_counts(codes, k):
    found = collections.Counter()
    for strand in (codes, encode.reverse_complement(codes)):
        text = encode.decode(strand).decode()
        for start in range(len(text) - k + 1):
            word = text[start : start + k]
            if "N" not in word:
                other = encode.decode(encode.reverse_complement(encode.encode(word)))
                found[min(word, other.decode())] += 1
    return found


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_counts_are_those_of_both_strands(k, monkeypatch):
    rng = np.random.default_rng(k)
    codes = rows(rng, 30)
    counts = baselines.count_kmers(codes, k).toarray()
    palindromes = 4 ** (k // 2) if k % 2 == 0 else 0
    assert counts.shape == (30, (4**k + palindromes) // 2)
    for row, found in zip(codes, counts, strict=True):
        assert sorted(found[found > 0]) == sorted(plain_counts(row, k).values())
    others = [encode.reverse_complement(row) for row in codes]
    np.testing.assert_array_equal(baselines.count_kmers(others, k).toarray(), counts)
    monkeypatch.setattr(baselines, "_BLOCK", 50)
    np.testing.assert_array_equal(baselines.count_kmers(codes, k).toarray(), counts)


def test_each_kmer_shares_its_feature_with_its_reverse_complement_only():
    words = [encode.encode(w) for w in ("ACG", "CGT", "AAA", "TTT", "CGA")]
    feature = baselines.count_kmers(words, 3).toarray().argmax(1)
    assert feature[0] == feature[1]
    assert feature[2] == feature[3]
    assert len(set(feature)) == 3


def test_counting_is_quick():
    codes = np.random.default_rng(0).integers(0, 4, (8000, 200)).astype(np.uint8)
    baselines.count_kmers(codes[:1], 6)  # imports
    begin = time.process_time()
    baselines.count_kmers(list(codes), 6)
    assert time.process_time() - begin < 3


@pytest.mark.parametrize("task", [BINARY, THREE, LABELS])
def test_planted_words_are_found(task):
    rng = np.random.default_rng(0)
    count = 2 if task is BINARY else 3
    codes, truth = planted(rng, 120, count)
    if task is LABELS:
        truth = np.eye(3, dtype=np.uint8)[truth]
    model = baselines.KmerLogisticRegression(task, k=4).fit(codes[:60], truth[:60])
    predicted = model.predict(codes[60:])
    assert predicted.shape == (60, count)
    if task is not LABELS:
        np.testing.assert_allclose(predicted.sum(1), 1)
    found = metrics.score(task, truth[60:], predicted, resamples=0)
    assert found.values["auroc"].value > 0.95
    others = [encode.reverse_complement(row) for row in codes[60:]]
    np.testing.assert_array_equal(model.predict(others), predicted)


def test_numbers_are_predicted():
    rng = np.random.default_rng(0)
    codes = [rng.choice(4, 80, p=[a, 0.5 - a, 0.5 - a, a]) for a in rng.random(80) / 2]
    codes = [row.astype(np.uint8) for row in codes]
    truth = np.array([np.mean((row == 1) | (row == 2)) for row in codes])
    model = baselines.KmerLogisticRegression(NUMBER, k=2).fit(codes[:60], truth[:60])
    found = metrics.score(NUMBER, truth[60:], model.predict(codes[60:]), resamples=0)
    assert found.values["pearson"].value > 0.9


def test_classes_without_examples_are_never_predicted():
    codes, truth = planted(np.random.default_rng(0), 30, 2)
    truth = truth * 2  # no "b"
    predicted = baselines.KmerLogisticRegression(THREE).fit(codes, truth).predict(codes)
    assert predicted.shape == (30, 3)
    assert (predicted[:, 1] == 0).all()
    alone = baselines.KmerLogisticRegression(BINARY).fit(codes, truth * 0 + 1)
    np.testing.assert_array_equal(alone.predict(codes[:2]), [[0, 1], [0, 1]])
    several = np.stack([truth * 0, truth * 0 + 1, truth > 0], axis=1)
    several = baselines.KmerLogisticRegression(LABELS).fit(codes, several)
    predicted = several.predict(codes)
    assert (predicted[:, :2] == [0, 1]).all()


def test_short_sequences_count_nothing():
    codes = [np.zeros(size, np.uint8) for size in (0, 2, 3)]
    assert baselines.count_kmers(codes, 3).sum(1).ravel().tolist() == [[0, 0, 2]]
    model = baselines.KmerLogisticRegression(BINARY, k=3).fit(
        codes, np.array([0, 0, 1])
    )
    assert model.predict(codes).shape == (3, 2)
    with pytest.raises(ValueError, match="no sequences to predict"):
        model.predict([])


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="c must be > 0"):
        baselines.KmerLogisticRegression(BINARY, c=0)
    with pytest.raises(ValueError, match="k must be 1 to 8"):
        baselines.KmerLogisticRegression(BINARY, k=9)
    with pytest.raises(ValueError, match="got 'auto'"):
        baselines.KmerLogisticRegression(tasks.Task(kind="auto"))
    model = baselines.KmerLogisticRegression(BINARY)
    with pytest.raises(ValueError, match="call fit before predict"):
        model.predict([])
    with pytest.raises(ValueError, match="0 sequences and 0 labels"):
        model.fit([], np.zeros(0))


def stranded(rows, seed=0):
    """Returns sequences of which each class has the other strand's words."""
    rng = np.random.default_rng(seed)
    truth = np.arange(rows) % 2
    codes = rng.integers(0, 4, (rows, 40)).astype(np.uint8)
    codes[truth == 1, 5:13] = [0, 0, 2, 0, 0, 0, 2, 0]
    codes[truth == 0, 5:13] = [3, 1, 3, 3, 3, 1, 3, 3]
    return list(codes), truth


def test_the_best_candidate_is_chosen():
    codes, truth = stranded(40)
    tried = [
        baselines.KmerLogisticRegression(BINARY, k=3, both_strands=both, c=c)
        for both in (True, False)
        for c in (0.01, 1.0)
    ]
    found = baselines.select(tried, codes, truth)
    assert not found.both_strands
    assert found.c == 1.0
    test, label = stranded(40, seed=1)
    assert (found.predict(test).argmax(1) == label).mean() > 0.9
    assert {one.k for one in baselines.kmer_candidates(BINARY)} == {3, 4, 5, 6}


def test_one_class_with_one_sequence_leaves_nothing_to_choose_by():
    codes, truth = stranded(3)
    tried = baselines.one_hot_candidates(BINARY, 40)
    assert baselines.select(tried, codes, truth) is tried[0]


@pytest.mark.parametrize("task", [LABELS, NUMBER])
def test_candidates_of_other_tasks_are_compared(task):
    codes, truth = stranded(20)
    values = truth.astype(float)
    if task is LABELS:
        values = np.stack([truth, 1 - truth, truth], axis=1)
    tried = baselines.one_hot_candidates(task, 40)
    found = baselines.select(tried, codes, values)
    assert found in tried
    assert found.predict(codes).shape == values.shape
    with pytest.raises(ValueError, match="needs classes"):
        baselines.MarkovRule(task)


def test_positions_and_chains_tell_strands_apart():
    codes, truth = stranded(40)
    test, label = stranded(40, seed=1)
    for model in (
        baselines.OneHotRegression(BINARY, length=40),
        baselines.MarkovRule(BINARY),
    ):
        found = model.fit(codes, truth).predict(test)
        np.testing.assert_allclose(found.sum(axis=1), 1)
        assert (found.argmax(axis=1) == label).mean() > 0.9


def test_one_strand_is_counted_alone():
    codes = [np.array([0, 1, 2, 3, 4, 0, 1], np.uint8)]  # ACGTNAC
    found = baselines.count_kmers(codes, 2, both_strands=False).toarray()
    assert found.shape == (1, 16)
    assert sorted(found[found > 0]) == [1, 1, 2]


@pytest.mark.parametrize(
    ("task", "outputs"), [(BINARY, 1), (THREE, 3), (LABELS, 3), (NUMBER, 1)]
)
def test_small_cnn_has_an_output_for_each_task(task, outputs):
    model = baselines.small_cnn(60, task)
    assert model.output["logits"].shape == (None, outputs)


@pytest.mark.parametrize("length", [1, baselines.SHORTEST, 200])
def test_small_cnn_reads_any_length(length):
    model = baselines.small_cnn(length, BINARY)
    bases = np.random.default_rng(0).integers(0, 6, (3, length)).astype(np.uint8)
    logits = keras.ops.convert_to_numpy(model({"bases": bases})["logits"])
    assert logits.shape == (3, 1)
    assert np.isfinite(logits).all()
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    again = keras.ops.convert_to_numpy(copy({"bases": bases})["logits"])
    np.testing.assert_allclose(again, logits, rtol=1e-6)
    with pytest.raises(ValueError, match="length must be >= 1 base"):
        baselines.small_cnn(0, BINARY)


def test_small_cnn_has_the_published_size():
    """Counted by hand for 500 bases of 6 codes and 100 channels."""
    model = baselines.small_cnn(500, BINARY)
    convolutions = (100 * 8 + 1) * 16 + (16 * 8 + 1) * 8 + (8 * 8 + 1) * 4
    norms = 2 * (16 + 8 + 4)
    positions = 56  # 500 -> 246 -> 119 -> 56
    dense = (positions * 4 + 1) * 512 + 512 + 1
    trained = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert trained == 6 * 100 + convolutions + norms + dense


def compiled(rate, **fields):
    model = baselines.small_cnn(60, BINARY)
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss={"logits": keras.losses.BinaryCrossentropy(from_logits=True)},
        jit_compile=False,  # slow to compile
        **fields,
    )
    codes, truth = planted(np.random.default_rng(0), 64, 2)
    return model, {"bases": np.stack(codes)}, {"logits": truth[:, None] * 1.0}


def test_a_step_moves_all_weights_of_the_small_cnn():
    model, bases, truth = compiled(1e-3, run_eagerly=True)
    before = [np.array(w.numpy()) for w in model.trainable_weights]
    model.train_on_batch(bases, truth)
    for old, weight in zip(before, model.trainable_weights, strict=True):
        # Normalisation takes a bias before it away again: it has no gradient.
        is_idle = weight.path.startswith("conv") and weight.path.endswith("bias")
        assert is_idle or np.abs(weight.numpy() - old).max() > 1e-5, weight.path


@pytest.mark.slow
def test_small_cnn_learns():
    model, bases, truth = compiled(3e-3)
    history = model.fit(bases, truth, epochs=12, batch_size=16, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
