"""The binary: its flags, what it prints, and how it fails.

All command lines run in one other process: flags of several binaries cannot be
defined in one, and TensorFlow takes seconds to import.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

DRIVER = """
import contextlib, io, json, sys
from absl import app, flags
from genomenet import build_dataset
results = []
for arguments in json.load(sys.stdin):
    flags.FLAGS.unparse_flags()
    for name in flags.FLAGS.get_flags_for_module(build_dataset):
        name.unparse()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = 0
            flags.FLAGS(["build_dataset", *arguments])
            build_dataset.main()
        except SystemExit as e:
            code = e.code
        except app.UsageError as e:
            code = f"usage: {e}"
    results.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""


def letters(length, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def cases(folder):
    """Name → arguments; they run in this order."""
    fasta, table = f"--fasta={folder}/x.fa", f"--table={folder}/x.tsv"
    data, short = f"--data_dir={folder}/data", "--chunk_length=500"
    classes = f"--class_fasta=a={folder}/x.fa,b={folder}/y.fa"
    negatives = ("--negatives=gc", "--splits=50/50")
    bed, genome = f"--bed={folder}/tf.bed", f"--genome={folder}/x.fa"
    return {
        "genome": [fasta, "--name=mine", data, short],
        "again": [fasta, "--name=mine", data, short],
        "other options": [fasta, "--name=mine", data, "--chunk_length=600"],
        "overwrite": [fasta, "--name=mine", data, "--chunk_length=600", "--overwrite"],
        "other seed": [fasta, "--name=seed", data, short, "--split_seed=4"],
        "table": [table, "--name=table", data, "--splits=50/50"],
        "classes": [classes, "--name=classes", data, "--splits=50/50"],
        "peaks": [bed, genome, data, "--name=peaks", "--width=40", *negatives],
        "no genome": [bed, "--name=x"],
        "width of a table": [table, "--name=x", "--width=40"],
        "catalogue": ["--dataset=ecoli_k12", "--name=coli", data],
        "no file": [f"--fasta={folder}/none.fa", "--name=x", data],
        "not a sequence": [f"--fasta={folder}/x.tsv", "--name=x", data],
        "few bases": [fasta, "--name=x", data],
        "unknown": ["--dataset=ecoli", data],
        "taken name": [fasta, "--name=ecoli_k12", data],
        "bad name": [fasta, "--name=My-Genome", data],
        "bad splits": [fasta, "--name=x", data, "--splits=9/1"],
        "nothing": [data],
        "two sources": [fasta, table, "--name=x"],
        "no name": [fasta],
        "task of a genome": [fasta, "--name=x", "--task=binary"],
        "chunks of a table": [table, "--name=x", short],
        "chunks of labels": ["--dataset=oct4_mafk", short],
        "task of a recipe": ["--dataset=ecoli_k12", "--task=binary"],
        "manual": [fasta, "--name=x", "--manual_dir=x"],
        "class without file": ["--class_fasta=a.fa", "--name=x"],
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build_dataset")
    (folder / "x.fa").write_text(f">a\n{letters(9_000)}\n>b\n{'N' * 90}\n")
    (folder / "y.fa").write_text(f">a\n{letters(50, 1)}\n>b\n{letters(60, 2)}\n")
    rows = [f"{letters(30, i)}\t{'no' if i % 2 else 'yes'}" for i in range(20)]
    (folder / "x.tsv").write_text("sequence\tlabel\n" + "\n".join(rows) + "\n")
    peaks = [f"a\t{start}\t{start + 30}\n" for start in (0, *range(900, 3000, 200))]
    (folder / "tf.bed").write_text("".join(peaks))
    given = cases(folder)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(list(given.values())),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return folder, dict(zip(given, found, strict=True))


def test_a_genome_is_built_and_described(results):
    folder, found = results
    code, out, err = found["genome"]
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"built: {folder}/data/mine/1.0.0"
    assert lines[1].split() == ["split", "chunks", "bases", "shards", "share"]
    assert [line.split()[0] for line in lines[2:5]] == ["train", "validation", "test"]
    assert lines[5] == "left out: 90 N at ends and in long runs; 1 records all N"
    assert lines[6] == (
        "next: python -m genomenet.train --model=selfgenomenet --dataset=mine"
        f" --data_dir={folder}/data"
    )
    assert len(lines) == 7
    assert "reading: 100%" in err
    assert "writing: 100%" in err
    assert "TensorFlow" not in err
    assert "Dataset" not in err


def test_the_same_again_is_no_error(results):
    folder, found = results
    code, out, _ = found["again"]
    assert code == 0
    assert out.startswith(f"already there: {folder}/data/mine/1.0.0\nsplit")


def test_other_options_need_overwrite(results):
    _, found = results
    code, _, err = found["other options"]
    assert code == 1
    assert "chunk_length 500, now 600" in err
    assert found["overwrite"][0] == 0
    assert found["overwrite"][1].startswith("built")
    assert found["other seed"][0] == 0


def test_tables_and_classes_are_built(results):
    _, found = results
    assert found["table"][0] == 0
    assert "task: binary\ntrain: no 5, yes 5" in found["table"][1]
    assert "genomenet.train" not in found["table"][1]
    assert found["classes"][0] == 0
    assert "train: a 1, b 1" in found["classes"][1]


def test_a_recipe_may_get_another_name(results):
    folder, found = results
    code, out, _ = found["catalogue"]
    assert code == 0
    assert out.startswith(f"built: {folder}/data/coli/1.0.0")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no file", "none.fa: no such file"),
        ("not a sequence", "x.tsv: "),
        ("few bases", "use chunk_length=1024 or splits=100"),
        ("unknown", "there is no dataset 'ecoli'; did you mean ecoli_k12?"),
        ("taken name", "--name=ecoli_k12 is a recipe of the catalogue"),
        ("bad name", "name=My-Genome: use lower-case letters"),
        ("bad splits", "splits=9/1 adds up to 10"),
    ],
)
def test_what_cannot_be_built_is_one_line(results, name, expected):
    code, out, err = results[1][name]
    assert (code, out) == (1, "")
    line = err.splitlines()[-1]
    assert line.startswith("build_dataset: ")
    assert expected in line
    assert "Traceback" not in err


def test_peaks_are_cut_and_what_is_left_out_is_told(results):
    code, out, _ = results[1]["peaks"]
    assert code == 0
    for line in (
        "train: negative 5, tf 5",
        "validation: negative 6, tf 6",
        "intervals: 12 read",
        "left out: 1 reach beyond their contig",
        "negatives: 11",
    ):
        assert line in out.splitlines()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nothing", "give one of --dataset, --fasta, --table, --class_fasta"),
        ("two sources", "give one of --dataset, --fasta, --table, --class_fasta"),
        ("no name", "--fasta needs a --name"),
        ("task of a genome", "--task is for labels only"),
        ("chunks of a table", "--chunk_length is for genomes only"),
        ("chunks of labels", "--chunk_length is for genomes only"),
        ("task of a recipe", "--task is for labels only"),
        ("manual", "--manual_dir goes with --dataset"),
        ("class without file", "--class_fasta: write class=file, not 'a.fa'"),
        ("no genome", "--bed needs --genome"),
        ("width of a table", "--width is for --bed only"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(results, name, expected):
    assert results[1][name][0].startswith(f"usage: {expected}")


def test_nothing_is_left_of_what_failed(results):
    built = ["classes", "coli", "mine", "peaks", "seed", "table"]
    assert sorted(p.name for p in (results[0] / "data").iterdir()) == built
