"""Figures: that they are drawn, and that what they show is right."""

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as peer

from genomenet.data import tasks
from genomenet.evaluation import curves, figures, plots

LONG = "Escherichia coli K-12 substrain MG1655, number "


def data(kind, count, rows=300):
    rng = np.random.default_rng(0)
    task = tasks.Task(kind=kind, classes=tuple(f"{LONG}{n}" for n in range(count)))
    if kind == "multi_label":
        truth = rng.integers(0, 2, (rows, count))
        return task, truth, np.round(0.3 * truth + 0.7 * rng.random((rows, count)), 1)
    truth = rng.integers(0, count, rows)
    predicted = np.round(rng.random((rows, count)), 1) + 0.1
    predicted[np.arange(rows), truth] += 0.3
    return task, truth, predicted / predicted.sum(1, keepdims=True)


@pytest.fixture
def drawn(monkeypatch):
    """Draws without writing: drawn(function, ...) gives the figure."""
    monkeypatch.setattr(figures, "save", lambda figure, path: figure)
    return lambda function, *args, **kwargs: function("x.png", *args, **kwargs)


@pytest.mark.parametrize(
    "save",
    [
        plots.save_confusion,
        curves.save_roc,
        curves.save_precision_recall,
        curves.save_reliability,
    ],
)
@pytest.mark.parametrize(
    ("kind", "count"), [("binary", 2), ("multiclass", 30), ("multi_label", 3)]
)
def test_figures_are_drawn(save, kind, count, tmp_path):
    path = save(tmp_path / "new" / "figure.png", *data(kind, count))
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width >= 600
        assert len(np.unique(np.asarray(image.convert("L")))) > 10
    assert [p.name for p in path.parent.iterdir()] == ["figure.png"]


def test_names_in_any_script_are_drawn_without_a_warning(tmp_path):
    task = tasks.Task(kind="binary", classes=("日本", "a\tb"))
    truth = np.array([0, 1])
    path = plots.save_confusion(tmp_path / "x.png", task, truth, np.eye(2))
    assert path.is_file()


def names(figure):
    figure.draw_without_rendering()
    axis = figure.axes[0]
    return [label.get_text() for label in axis.get_yticklabels()]


def test_confusion_counts(drawn):
    task, truth, predicted = data("binary", 2)
    figure = drawn(plots.save_confusion, task, truth, predicted)
    counts = [int(text.get_text()) for text in figure.axes[0].texts]
    expected = peer.confusion_matrix(truth, predicted.argmax(1))
    assert counts == expected.ravel().tolist()
    task, truth, predicted = data("multi_label", 3)
    figure = drawn(plots.save_confusion, task, truth, predicted)
    counts = np.reshape([int(text.get_text()) for text in figure.axes[0].texts], (3, 4))
    expected = peer.multilabel_confusion_matrix(truth, predicted > 0.5)
    np.testing.assert_array_equal(counts[:, [3, 2, 1, 0]], expected.reshape(3, 4))


def test_names_of_many_classes_are_thinned_out_and_differ(drawn):
    shown = names(drawn(plots.save_confusion, *data("multiclass", 30)))
    assert len(set(shown)) == 30
    assert max(map(len, shown)) < 30
    assert len(names(drawn(plots.save_confusion, *data("multiclass", 100)))) == 34
    odd = tasks.Task(kind="binary", classes=("_other", "a$b$"))
    assert names(drawn(plots.save_confusion, odd, *data("binary", 2)[1:])) == [
        " _other",
        r"a\$b\$",
    ]


@pytest.mark.parametrize(("kind", "count"), [("multiclass", 4), ("multi_label", 3)])
def test_curves_are_those_of_scikit_learn(drawn, kind, count):
    task, truth, predicted = data(kind, count)
    has = truth if kind == "multi_label" else np.eye(count, dtype=int)[truth]
    roc = drawn(curves.save_roc, task, truth, predicted)
    lines = roc.axes[0].lines[1:]  # after the diagonal
    recall = drawn(curves.save_precision_recall, task, truth, predicted)
    assert len(lines) == count
    for number, line in enumerate(lines):
        one = has[:, number], predicted[:, number]
        x, y, _ = peer.roc_curve(*one, drop_intermediate=False)
        np.testing.assert_allclose(line.get_xdata(), x)
        np.testing.assert_allclose(line.get_ydata(), y)
        assert line.get_label().endswith(f"{peer.roc_auc_score(*one):.3f}")
        precision, x, _ = peer.precision_recall_curve(*one)
        steps = recall.axes[0].lines[number]
        assert steps.get_label().endswith(f"{peer.average_precision_score(*one):.3f}")
        np.testing.assert_allclose(steps.get_xdata()[1::2], x[-2::-1])
        np.testing.assert_allclose(steps.get_ydata()[1::2], precision[-2::-1])


def test_reliability_shows_bins_that_hold_a_sequence(drawn):
    task, truth, predicted = data("binary", 2)
    figure = drawn(curves.save_reliability, task, truth, predicted)
    points = figure.axes[0].collections[0].get_offsets()
    rows = predicted[:, 1]
    at = np.floor(rows * 15) == 7  # 7/15 to 8/15
    expected = [rows[at].mean(), truth[at].mean()]
    assert len(points) == len(set(np.floor(rows * 15)))
    assert np.abs(points - expected).max(axis=1).min() < 1e-9
    assert figure.legends[0].get_title().get_text() == "calibration error"


def test_ten_curves_at_most(drawn):
    figure = drawn(curves.save_roc, *data("multiclass", 30))
    assert len(figure.axes[0].lines) == 11
    assert "10 of 30 classes" in figure.legends[0].get_title().get_text()


def test_one_class_in_the_test_set(drawn):
    task, truth, predicted = data("binary", 2)
    figure = drawn(curves.save_roc, task, truth * 0, predicted)
    assert figure.axes[0].texts[0].get_text() == "undefined: one class only"
    drawn(plots.save_confusion, task, truth * 0, predicted)
    drawn(curves.save_precision_recall, task, truth * 0, predicted)


def test_regression_has_a_scatter_only(tmp_path, drawn):
    task = tasks.Task(kind="regression")
    with pytest.raises(ValueError, match="regression .*save_scatter"):
        curves.save_roc(tmp_path / "x.png", task, np.ones(2), np.ones(2))
    truth = np.linspace(0, 1, 3000)
    figure = drawn(plots.save_scatter, truth, truth**2)
    assert "n 3,000" in figure.axes[0].get_title()
    figure = drawn(plots.save_scatter, truth[:5], truth[:5] * 0)
    assert "pearson nan" in figure.axes[0].get_title()


def rows(*settings, seeds=3):
    return [
        {"model": m, "shots": at, "seed": seed, "f1": 0.1 * n + 0.01 * seed}
        for n, m in enumerate(("bert", "kmer"))
        for at in settings
        for seed in range(seeds)
    ]


def test_protocol(tmp_path, drawn):
    figure = drawn(
        plots.save_protocol,
        rows(1000, 10),
        metric="f1",
        setting="shots",
        baselines=["kmer"],
    )
    axis = figure.axes[0]
    assert axis.get_xscale() == "log"
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["10", "1000"]
    bert, kmer = (container.lines[0] for container in axis.containers)
    assert (bert.get_linestyle(), kmer.get_linestyle()) == ("-", "--")
    np.testing.assert_allclose(kmer.get_ydata(orig=False), [0.11, 0.11])
    assert "3 seeds" in figure.legends[0].get_title().get_text()
    words = rows("all", 10, 0, seeds=1)
    figure = drawn(plots.save_protocol, words, metric="f1", setting="shots")
    assert figure.axes[0].get_xscale() == "linear"
    with pytest.raises(ValueError, match="no rows to draw"):
        plots.save_protocol(tmp_path / "x.png", [], metric="f1", setting="shots")


def test_protocol_is_written(tmp_path):
    path = plots.save_protocol(
        tmp_path / "p.png", rows(10, 100), metric="f1", setting="shots"
    )
    with Image.open(path) as image:
        assert image.width >= 800
