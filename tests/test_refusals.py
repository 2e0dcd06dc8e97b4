"""What needs no model is refused before TensorFlow is imported, which takes long."""

import subprocess
import sys

import pytest

RUN = """
import runpy, sys
try:
    runpy.run_module(sys.argv[0], run_name="__main__")
finally:
    slow = {"tensorflow", "keras", "tensorflow_datasets"} & set(sys.modules)
    print("imported:", *sorted(slow))
"""
SELF = "--model=selfgenomenet_chr20"
GENOME = "--genome=no.fa"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (["predict", SELF, "--input=no.fa", "--output=x.tsv"], "no.fa: no such file"),
        (["predict", "--model=mine", "--input=-", "--output=x.tsv"], "no model 'mine'"),
        (["predict", SELF, "--input=-", "--output=x.doc"], "x.doc"),
        (["embed", SELF, "--input=no.fa", "--output=x.h5"], "no.fa: no such file"),
        (["embed", SELF, "--input=-", "--output=x.doc"], "x.doc"),
        (["mutate", SELF, "--input=no.fa", "--output=x.npz"], "no.fa: no such file"),
        (
            ["score_variants", SELF, "--vcf=no.vcf", GENOME, "--output=x.vcf"],
            "no.vcf: no such file",
        ),
        (["finetune", SELF, "--table=no.tsv"], "no.tsv: no such file"),
        (["finetune", SELF, "--dataset=mine"], "no dataset 'mine'"),
        (
            ["evaluate", "--models=mine", "--dataset=prom_core", "--protocol=few_shot"],
            "no model 'mine'",
        ),
        (["audit", "--table=no.tsv"], "no.tsv: no such file"),
        (["audit", "--dataset=mine"], "no dataset 'mine'"),
        (["train", SELF, "--fasta=no.fa"], "no.fa: no such file"),
        (["train", SELF, "--dataset=mine"], "no dataset 'mine'"),
        (["train", SELF, "--steps=many"], "--steps"),
        (["find_motifs", SELF, "--input=no.fa", "--output=x"], "no.fa: no such file"),
        (["export", "--workdir=no", "--name=mine"], "no/config.json"),
        (["convert", "--input=mine", "--to_hf=x"], "no model 'mine'"),
        (["build_dataset", "--fasta=no.fa", "--name=x"], "no.fa: no such file"),
        (["rank_kmers", "--fasta=no.fa", "--output=x.csv"], "no.fa: no such file"),
    ],
    ids=" ".join,
)
def test_a_command_refuses_at_once(command, line, tmp_path):
    name, *flags = command
    program = RUN.replace("sys.argv[0]", repr(f"genomenet.{name}"))
    done = subprocess.run(
        [sys.executable, "-c", program, *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 1
    assert line in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert "imported: \n" in f"{done.stdout} \n".replace("imported:\n", "imported: \n")
    assert not list(tmp_path.iterdir())
