"""The call behind `genomenet.train`; the command itself is tested in test_train.py."""

import json

import numpy as np
import pytest

import genomenet
from tests import harness

SETTINGS = {"steps": 2, "batch_size": 8, "eval_every": 2, "eval_batches": 1}


@pytest.fixture
def preset(tmp_path):
    folder = tmp_path / "tiny_preset"
    folder.mkdir()
    config = {
        "format": 1,
        "family": "selfgenomenet",
        "model": harness.SELFGENOMENET,
        "training": {},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_genome_becomes_an_encoder_and_nothing_is_kept(preset, tiny_genome):
    run = genomenet.pretrain(preset, str(tiny_genome), **SETTINGS)
    assert run.workdir is None
    assert run.release is None
    assert run.history[-1]["step"] == 2
    assert "2 steps" in repr(run)
    vectors = run.model.embed(["ACGTTGCA" * 10, "GATTACA" * 12])
    assert vectors.shape == (2, run.graph.config.units)
    assert np.isfinite(vectors).all()


def test_files_are_packed_in_the_folder_of_the_run(preset, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "genome.fa"
    path.write_text(
        "".join(f">c{n}\n{''.join(rng.choice(list('ACGT'), 3000))}\n" for n in range(6))
    )
    lines = []
    given = {"fasta": str(path), "chunk_length": 400, "workdir": tmp_path / "run"}
    run = genomenet.pretrain(preset, **given, **SETTINGS, tell=lines.append)
    assert (tmp_path / "run" / "genome.npz").exists()
    assert run.release == tmp_path / "run" / "export" / "run"
    loaded = genomenet.load_model(run.release)
    sequences = ["ACGTTGCA" * 10]
    np.testing.assert_allclose(
        loaded.embed(sequences), run.model.embed(sequences), atol=1e-5
    )
    assert genomenet.pretrain(preset, **given, **SETTINGS).resumed
    path.rename(tmp_path / "other.fa")
    with pytest.raises(ValueError, match="packed with name=genome"):
        genomenet.pretrain(
            preset, **{**given, "fasta": tmp_path / "other.fa"}, **SETTINGS
        )


def test_an_option_that_is_none_is_refused(preset, tiny_genome):
    with pytest.raises(ValueError, match="colour"):
        genomenet.pretrain(preset, str(tiny_genome), colour="red")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fasta": []}, "fasta names no file"),
        ({"init": "Pretrained"}, "init must be random or pretrained, got 'Pretrained'"),
        ({"splits": "80/10/10"}, "need fasta"),
    ],
)
def test_options_that_would_be_ignored_are_refused(preset, options, message):
    with pytest.raises(ValueError, match=message):
        genomenet.pretrain(preset, steps=1, **options)
