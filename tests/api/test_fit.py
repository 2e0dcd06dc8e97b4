"""One call fits what the command fits."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import genomenet
from genomenet.api import fit as fit_lib
from genomenet.data import examples
from genomenet.evaluation import metrics
from tests import harness

MOTIF = "GATTACAGATTACA"


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    path.mkdir()
    content = {
        "format": 1,
        "family": "selfgenomenet",
        "model": {**harness.SELFGENOMENET, "stride": 4, "gaps": [1]},
        "training": {},
    }
    (path / "config.json").write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def labelled():
    rng = np.random.default_rng(0)
    sequences, labels = [], []
    for number in range(120):
        text = "".join(rng.choice(list("ACGT"), 60))
        if number % 2:
            text = text[:20] + MOTIF + text[34:]
        sequences.append(text)
        labels.append(("no", "yes")[number % 2])
    return sequences, labels


@pytest.fixture(scope="module")
def table(labelled, tmp_path_factory):
    rows = "".join(f"{s}\t{y}\n" for s, y in zip(*labelled, strict=True))
    path = tmp_path_factory.mktemp("tables") / "sites.tsv"
    path.write_text("sequence\tlabel\n" + rows)
    return path


OPTIONS = {"epochs": 3, "learning_rate": 1e-2, "batch_size": 16, "seed": 3}


@pytest.mark.slow
def test_the_call_is_the_command(preset, table, labelled, tmp_path, binary):
    """Prediction for prediction, from a file and from sequences and labels."""
    from absl import flags

    module = binary("finetune")
    arguments = [f"--{name}={value}" for name, value in OPTIONS.items()]
    workdir = f"--workdir={tmp_path / 'run'}"
    flags.FLAGS.unparse_flags()
    flags.FLAGS(
        ["finetune", f"--model={preset}", f"--table={table}", *arguments, workdir]
    )
    module.main()
    released = genomenet.load_model(tmp_path / "run" / "export" / "run")
    expected = released.predict(labelled[0])
    kept = json.loads((tmp_path / "run" / "results" / "metrics.json").read_text())
    for data in (table, labelled):
        found = genomenet.fit_classifier(preset, data, **OPTIONS)
        np.testing.assert_array_equal(found.classifier.predict(labelled[0]), expected)
        assert found.metrics["auroc"].value == kept["metrics"]["auroc"]["value"]
    assert found.workdir is found.release is None
    assert {"roc", "confusion"} <= found.plots.keys()
    assert all(png.startswith(b"\x89PNG") for png in found.plots.values())
    assert len(found.predictions) == kept["counts"]["rows"]
    assert "auroc" in repr(found)
    genome = {"chr1": labelled[0][1] * 3}
    ref = genome["chr1"][99]
    alt = "ACGT"["ACGT".index(ref) - 1]
    scored = genomenet.variant_effects(
        found.classifier, [("chr1", 100, ref, alt)], genome
    )
    assert list(scored["status"]) == ["ok"]
    assert "data:image/png" in found._repr_html_()


def test_what_cannot_be_read_is_refused(preset, labelled, tmp_path):
    with pytest.raises(ValueError, match=r"sequences \(120\) and labels \(3\)"):
        fit_lib.read_data((labelled[0], labelled[1][:3]))
    with pytest.raises(ValueError, match=r"none\.tsv"):
        fit_lib.read_data(tmp_path / "none.tsv")
    with pytest.raises(ValueError, match="nothing_of_this_name"):
        genomenet.fit_classifier(preset, "nothing_of_this_name")
    data = fit_lib.read_data(labelled, positive="no")
    assert fit_lib.read_data(data).task.positive == "no"
    assert len(fit_lib.read_data(labelled, shots=5)[examples.TRAIN]) == 10


def agree(workdir, found, sequences, labels, tmp_path):
    """Checks that all forms of a classifier predict the same."""
    expected = found.classifier.predict(sequences)
    released = genomenet.load_model(workdir / "export" / workdir.name)
    np.testing.assert_allclose(released.predict(sequences), expected, atol=1e-5)
    found.classifier.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras")
    np.testing.assert_allclose(again.predict(sequences), expected, atol=1e-5)
    module = tf.saved_model.load(str(workdir / "export" / workdir.name / "saved_model"))
    values = module.predict(tf.constant(sequences))["probabilities"]
    np.testing.assert_allclose(values, expected, atol=1e-5)
    scores = released.score(sequences, labels)
    direct = metrics.score(
        released._task, np.array([released.classes.index(y) for y in labels]), expected
    )
    assert scores.values["auroc"].value == direct["auroc"].value
    assert scores["brier"].value == pytest.approx(direct["brier"].value, abs=1e-5)


@pytest.mark.slow
def test_folds_become_one_classifier(preset, labelled, tmp_path):
    sequences, labels = labelled
    workdir = tmp_path / "run"
    lines = []
    options = {**OPTIONS, "folds": 3, "workdir": workdir, "tell": lines.append}
    found = genomenet.fit_classifier(preset, labelled, **options)
    assert found.classifier.config.members == found.classifier.config.encoders == 3
    kept = json.loads((workdir / "results" / "metrics.json").read_text())
    assert set(kept["folds"]["metrics"]["auroc"]) == {"mean", "spread"}
    assert len(kept["folds"]["each"]) == 3
    assert sum(one["rows"] for one in kept["folds"]["each"]) == 96
    assert 0.25 <= kept["folds"]["temperature"] <= 16
    assert "mean of their probabilities, at the temperature" in repr(found)
    assert any(line.startswith("fold 3 of 3: AUROC") for line in lines)
    agree(workdir, found, sequences, labels, tmp_path)
    assert genomenet.saturation_mutagenesis(found.classifier, sequences[0]) is not None
    # A run that was killed goes on with what is there.
    shutil.rmtree(workdir / "fold_2")
    shutil.rmtree(workdir / "export")
    again = genomenet.fit_classifier(preset, labelled, **options)
    np.testing.assert_array_equal(
        again.classifier.predict(sequences), found.classifier.predict(sequences)
    )
    assert any("run holds a finished run" in line for line in lines)
    with pytest.raises(ValueError, match=r"plan\.folds: 3 → 4"):
        genomenet.fit_classifier(preset, labelled, **{**options, "folds": 4})
    few = sequences[:8], labels[:8]
    with pytest.raises(ValueError, match="folds=9 needs more training sequences"):
        genomenet.fit_classifier(preset, few, few, few, folds=9)

    # From a model that has weights: heads of one encoder.
    names = {"no": "a", "yes": "b"}
    renamed = [names[label] for label in labels]
    release, work = workdir / "export" / "run", tmp_path / "few"
    found = genomenet.fit_classifier(
        release, (sequences, renamed), folds=3, quick=True, workdir=work
    )
    assert found.classifier.config.members == 3
    assert found.classifier.config.encoders == 1
    kept = json.loads((work / "results" / "metrics.json").read_text())
    assert len(kept["folds"]["selections"]) == 3
    assert kept["protocol"]["pool"] is None
    card = (work / "export" / "few" / "README.md").read_text()
    assert "Mean of 3 linear heads over " in card
    assert "steps" not in card
    agree(work, found, sequences, renamed, tmp_path)
