"""Every script of benchmarks/ runs for one tiny step: a crash measures nothing."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from genomenet.models import classifier
from genomenet.models import classifier_config as config_lib
from genomenet.release import export
from tests import harness

ROOT = pathlib.Path(__file__).parents[1]
# Script → its flags, as small as they can be; {…} are files of the test.
TINY = {
    "accelerator_step": "--model={model} --batch_size=2 --steps=1 --matrix=64",
    "build_dataset": "--fasta={fasta}",
    "few_labels": "--model=selfgenomenet_chr20 --tables=sites={labelled}:{labelled}"
    " --shots=5 --draws=1 --quick --folder={folder}",
    "find_motifs": "--sequences=200 --length=60 --num_motifs=1",
    "lac_promoter": "--model={regression} --count=2",
    "masked_lm_step": "--model={model} --batch_size=2 --steps=1",
    "masking": "--model={model} --batch_size=2 --length=64 --rounds=1",
    "mutagenesis": "--length=30 --batch_size=8 --rounds=1",
    "pipeline": "--dataset={dataset} --length=40 --batch_size=4 --seconds=0.1",
    "predict": "--input={fasta} --rounds=1",
    "pretrain_step": "--batch_size=4 --units=16 --steps=1",
    "rank_kmers": "--input={fasta} --k=3 --repeats=1",
    "read_sequences": "--input={fasta}",
    "score_variants": "--positions=2 --size=64 --batch_size=4 --rounds=1",
}
NEEDS_PEERS = {"masked_lm_step"}
NEEDS_JAX = {"accelerator_step"}
NO_SCRIPTS = {"__init__", "bert_step"}


def test_every_script_is_tried():
    scripts = {p.stem for p in (ROOT / "benchmarks").glob("*.py")} - NO_SCRIPTS
    assert scripts == TINY.keys()


def regression(path):
    """Releases an untrained regression."""
    config = config_lib.ClassifierConfig(
        task="regression", classes=(), window=75, length=75
    )
    encoder = {"length": 60, "kernel_size": 8, "stride": 4, "filters": 8, "units": 8}
    encoder |= {"gaps": [2], "max_length": 100}
    content = {
        "format": 1,
        "family": "selfgenomenet",
        "model": encoder,
        "classifier": config_lib.to_dict(config),
    }
    model = classifier.Classifier("selfgenomenet", encoder, config)
    return export.write_release(
        model, content, directory=path, name=path.name, metrics={}
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            n, marks=pytest.mark.peers if n in NEEDS_PEERS else pytest.mark.slow
        )
        for n in TINY
    ],
)
def test_a_tiny_step(name, tiny_genome, tmp_path):
    fasta = tiny_genome.parents[1] / "genome.fa"
    content = {
        "format": 1,
        "family": "bert",
        "model": {**harness.BERT, "masking": "genemask"},
        "training": {},
    }
    (tmp_path / "config.json").write_text(json.dumps(content))
    labelled = tmp_path / "labelled.tsv"
    rows = "".join(
        f"{'ACGT'[n % 4] * 15}{'ATCG'[n // 4] * 15}\t{n % 2}\n" for n in range(16)
    )
    labelled.write_text(f"sequence\tlabel\n{rows}")
    files = {"labelled": labelled, "folder": tmp_path / "few"}
    files |= {"fasta": fasta, "dataset": tiny_genome, "model": tmp_path}
    if name == "lac_promoter":
        files["regression"] = regression(tmp_path / "regression")
    flags = [flag.format(**files) for flag in TINY[name].split()]
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *flags],
        cwd=ROOT,
        env={
            **os.environ,
            "KERAS_BACKEND": "jax" if name in NEEDS_JAX else "tensorflow",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "{"]
    assert rows
