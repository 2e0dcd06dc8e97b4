"""Tidy rows: means, paired tests against SciPy, and a CSV that stays whole."""

import math

import numpy as np
import pytest
from scipy import stats

from genomenet import atomic
from genomenet.evaluation import tables


def rows(seeds=5, models=("bert", "kmer", "cnn"), shots=(10, 100)):
    rng = np.random.default_rng(0)
    return [
        {
            "model": model,
            "shots": at,
            "seed": seed,
            "auroc": 0.7 + 0.02 * n + 0.01 * rng.normal(),
        }
        for n, model in enumerate(models)
        for at in shots
        for seed in range(seeds)
    ]


def test_means_and_their_interval():
    found = rows()
    means = tables.summarise(found, "auroc", setting="shots")
    assert list(means) == ["bert", "kmer", "cnn"]
    assert list(means["cnn"]) == [10, 100]
    values = [r["auroc"] for r in found if (r["model"], r["shots"]) == ("cnn", 10)]
    mean = means["cnn"][10]
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    assert (mean.count, mean.mean) == (5, pytest.approx(np.mean(values)))
    assert mean.sd == pytest.approx(np.std(values, ddof=1))
    assert (mean.low, mean.high) == (pytest.approx(low), pytest.approx(high))


def test_markdown():
    found = [
        {"model": "a|b", "shots": 100, "seed": 0, "mcc": 0.5},
        {"model": "a|b", "shots": 100, "seed": 1, "mcc": 0.75},
        {"model": "a|b", "shots": 100, "seed": 2, "mcc": math.nan},
        {"model": "k", "shots": 20, "seed": 0, "mcc": 0.25},
        {"model": "k", "shots": "all", "seed": 0, "mcc": 1},
    ]
    assert tables.markdown(found, "mcc", setting="shots", digits=2) == (
        "| mcc by shots | 20 | 100 | all |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| a\\|b | – | 0.62 ± 0.18 | – |\n"
        "| k | 0.25 | – | 1.00 |\n"
    )


def test_paired_tests_agree_with_scipy():
    found = rows()
    tests = tables.paired_tests(found, "auroc", setting="shots")
    assert [(t.setting, t.first, t.second) for t in tests] == [
        (at, *pair)
        for at in (10, 100)
        for pair in (("bert", "kmer"), ("bert", "cnn"), ("kmer", "cnn"))
    ]
    values = {(r["model"], r["shots"], r["seed"]): r["auroc"] for r in found}
    for test in tests:
        first, second = (
            [values[model, test.setting, seed] for seed in range(5)]
            for model in (test.first, test.second)
        )
        peer = stats.ttest_rel(first, second)
        interval = peer.confidence_interval()
        assert test.p == pytest.approx(peer.pvalue)
        assert (test.low, test.high) == pytest.approx((interval.low, interval.high))
        assert test.difference == pytest.approx(np.mean(first) - np.mean(second))
    p = sorted(t.p for t in tests)
    holm = np.minimum(1, np.maximum.accumulate(np.arange(6, 0, -1) * p))
    np.testing.assert_allclose(sorted(t.p_holm for t in tests), holm)


def test_pooled_tests_take_the_pairs_of_all_settings():
    tests = tables.paired_tests(rows(), "auroc", setting="shots", pooled=True)
    assert [(t.setting, t.count) for t in tests] == [(None, 10)] * 3


def test_only_common_runs_are_paired():
    found = rows()
    lacking = [r for r in found if (r["model"], r["seed"]) != ("kmer", 3)]
    tests = tables.paired_tests(lacking, "auroc", setting="shots")
    assert [t.count for t in tests] == [4, 5, 4] * 2
    apart = [r for r in found if (r["model"] == "bert") == (r["seed"] == 0)]
    tests = tables.paired_tests(apart, "auroc", setting="shots")
    assert {(t.first, t.second) for t in tests} == {("kmer", "cnn")}


def test_one_pair_has_an_empty_p():
    tests = tables.paired_tests(rows(seeds=1), "auroc", setting="shots")
    assert {(t.count, t.p, t.p_holm, t.low) for t in tests} == {(1, None, None, None)}
    assert tables.paired_tests([], "auroc") == []


def test_differences_without_spread_have_an_empty_p():
    found = [
        {"model": model, "setting": 1, "seed": seed, "f1": value}
        for model, value in (("a", 0.5), ("b", 0.25))
        for seed in range(3)
    ]
    (test,) = tables.paired_tests(found, "f1")
    assert (test.difference, test.low, test.high) == (0.25, 0.25, 0.25)
    assert test.p is None


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="a row has no 'setting', only model, shots"):
        tables.summarise(rows(), "auroc")
    with pytest.raises(ValueError, match="no row has a number for 'mcc'"):
        tables.summarise(rows(), "mcc", setting="shots")
    with pytest.raises(ValueError, match="two rows have model bert, shots 10, seed 0"):
        tables.summarise(rows() * 2, "auroc", setting="shots")


def test_csv_round_trip(tmp_path):
    path = tmp_path / "new" / "results.csv"
    assert tables.read_csv(path) == []
    written = [
        {"model": "6", "shots": 10, "seed": 0, "auroc": 0.1 + 0.2},
        {"model": "a, b\nc", "shots": "all", "seed": 1, "auroc": 1.0, "note": "1_0"},
        {"model": "c", "shots": 0.5, "seed": 2},
    ]
    for row in written:
        tables.append_row(path, row)
    assert tables.read_csv(path) == written
    assert path.read_text("utf-8").startswith("model,shots,seed,auroc,note\n6,10,0,")
    tables.append_row(path, {"model": "d", "auroc": math.nan, "seed": None})
    last = tables.read_csv(path)[-1]
    assert math.isnan(last["auroc"])
    assert set(last) == {"model", "auroc"}


def test_numpy_numbers_are_written_as_numbers(tmp_path):
    path = tmp_path / "results.csv"
    tables.append_row(
        path, {"model": "a", "auroc": np.float32(0.5), "seed": np.int64(3)}
    )
    assert tables.read_csv(path) == [{"model": "a", "auroc": 0.5, "seed": 3}]


def test_a_kill_leaves_the_table_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "results.csv"
    tables.append_row(path, {"model": "a", "seed": 0})
    before = path.read_bytes()

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        tables.append_row(path, {"model": "b", "seed": 0})
    assert path.read_bytes() == before


def test_half_a_line_is_refused(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("model,seed,f1\na,0,0.5\nb,1")
    with pytest.raises(ValueError, match="row 3 has 2 entries, the header 3"):
        tables.read_csv(path)
