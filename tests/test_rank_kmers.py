"""The binary: its flags, what it writes, and how it fails.

All command lines run in one other process: flags of several binaries cannot be
defined in one, and TensorFlow takes seconds to import.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

from genomenet.dna import kmer, ranking

DRIVER = """
import contextlib, io, json, sys
from absl import app, flags
from genomenet import rank_kmers
results = []
for arguments in json.load(sys.stdin):
    flags.FLAGS.unparse_flags()
    for name in flags.FLAGS.get_flags_for_module(rank_kmers):
        name.unparse()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = 0
            flags.FLAGS(["rank_kmers", *arguments])
            rank_kmers.main()
        except SystemExit as e:
            code = e.code
        except (app.UsageError, flags.Error) as e:
            code = f"usage: {e}"
    results.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""


def cases(folder, genome):
    """Name → arguments; they run in this order."""
    fasta, few = f"--fasta={folder}/x.fa", "--min_count=2"

    def output(name):
        return f"--output={folder}/out/{name}.csv"

    return {
        "fasta": [fasta, output("fasta"), "--k=3", "--note=of a test"],
        "two files": [f"--fasta={folder}/?.fa", output("two"), "--k=3"],
        "counts": [f"--counts={folder}/x.tsv", output("counts"), "--k=3", few],
        "all": [fasta, output("all"), "--k=4", "--segments=all", few],
        "default k": [fasta, output("default"), few],
        "dataset": [f"--dataset={genome}", output("dataset"), "--k=3", few],
        "again": [fasta, output("fasta"), "--k=3", "--note=other"],
        "no file": [f"--fasta={folder}/none.fa", output("x")],
        "not a sequence": [f"--fasta={folder}/x.tsv", output("x")],
        "bad counts": [f"--counts={folder}/x.fa", output("x")],
        "no counts": [f"--counts={folder}/none.tsv", output("x")],
        "no dataset": [
            "--dataset=ecoli",
            f"--data_dir={folder}/data",
            output("x"),
        ],
        "rare": [fasta, output("x"), "--min_count=1000000"],
        "fails again": [fasta, output("all"), "--min_count=1000000"],
        "blocked plot": [fasta, output("plot"), "--k=3"],
        "blocked table": [fasta, output("table"), "--k=3"],
        "nothing": [output("x")],
        "two sources": [fasta, f"--counts={folder}/x.tsv", output("x")],
        "wrong ending": [fasta, f"--output={folder}/out/x.tsv"],
        "onto itself": [f"--counts={folder}/x.csv", f"--output={folder}/x.csv"],
        "k 2": [fasta, output("x"), "--k=2"],
        "k 9": [fasta, output("x"), "--k=9"],
        "segments": [fasta, output("x"), "--segments=2"],
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory, tiny_genome):
    folder = tmp_path_factory.mktemp("rank_kmers")
    rng = np.random.default_rng(0)
    for name in "xy":
        letters = "".join(rng.choice(list("ACGT"), 20_000))
        (folder / f"{name}.fa").write_text(f">{name}\n{letters}\n")
    words = kmer.vocabulary(3)[kmer.NUM_SPECIAL :]
    rows = [f"{word}\t{100 + number}" for number, word in enumerate(words)]
    (folder / "x.tsv").write_text("\n".join(rows))
    (folder / "out" / "plot.png").mkdir(parents=True)
    (folder / "out" / "table.csv").mkdir()
    (folder / "out" / "table.csv" / "kept").touch()
    given = cases(folder, tiny_genome)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(list(given.values())),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return folder, dict(zip(given, found, strict=True))


def header(folder, name):
    lines = (folder / "out" / f"{name}.csv").read_text().splitlines()
    return [line for line in lines if line.startswith("#")]


@pytest.mark.parametrize(
    ("name", "file", "k"),
    [
        ("fasta", "fasta", 3),
        ("two files", "two", 3),
        ("counts", "counts", 3),
        ("all", "all", 4),
        ("default k", "default", 6),
        ("dataset", "dataset", 3),
    ],
)
def test_a_ranking_and_its_plot_are_written(results, name, file, k):
    folder, found = results
    code, out, err = found[name]
    assert code == 0, err
    path = folder / "out" / f"{file}.csv"
    ranks = ranking.read(path, k)
    assert ranks.shape == (4**k,)
    lines = out.splitlines()
    assert lines[0].endswith(f" of {4**k:,} {k}-mers in {path}")
    best = np.argmin(ranks)
    assert lines[1].split()[:2] == ["1", kmer.vocabulary(k)[best + kmer.NUM_SPECIAL]]
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert f"--k={k}" in "".join(header(folder, file))
    assert str(folder) not in path.read_text()


def test_the_header_says_what_was_counted(results):
    folder, found = results
    assert header(folder, "two") == [
        "# python -m genomenet.rank_kmers --k=3 --segments=1,2 --min_count=101, ?.fa",
        "# 39996 3-mers counted",
    ]
    assert header(folder, "fasta")[0] == "# other"  # it was written twice
    assert header(folder, "counts")[0].endswith("--min_count=2, x.tsv")
    assert "--segments=all" in header(folder, "all")[0]
    assert "training split of tiny 1.0.0" in header(folder, "dataset")[0]
    assert found["again"][0] == 0


def test_counting_shows_how_far_it_is(results):
    assert "counting: 100%" in results[1]["fasta"][2]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no file", "none.fa: no such file"),
        ("not a sequence", "x.tsv: "),
        ("bad counts", "x.fa, line 2: not a k-mer and a whole number"),
        ("no counts", "none.tsv: No such file"),
        ("no dataset", "there is no dataset 'ecoli'"),
        ("rare", "no 6-mer occurs 1000000 times or more"),
        ("fails again", "no 6-mer occurs 1000000 times or more"),
    ],
)
def test_what_cannot_be_ranked_is_one_line(results, name, expected):
    code, out, err = results[1][name]
    assert code == 1
    assert out == ""
    line = err.splitlines()[-1]
    assert line.startswith("rank_kmers: ")
    assert expected in line
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("onto itself", "x.csv is the same file as --counts"),
        ("nothing", "give one of --fasta, --dataset, --counts"),
        ("two sources", "give one of --fasta, --dataset, --counts"),
        ("wrong ending", "must end with .csv"),
        ("blocked plot", "plot.png is a folder"),
        ("blocked table", "table.csv is a folder"),
        ("k 2", "--k=2"),
        ("k 9", "--k=9"),
        ("segments", "--segments=2"),
    ],
)
def test_flags_that_make_no_sense_are_refused(results, name, expected):
    code = results[1][name][0]
    assert str(code).startswith("usage: ")
    assert expected in code


def test_nothing_is_left_of_what_failed(results):
    folder, _ = results
    names = {p.name for p in (folder / "out").iterdir()}
    written = ("fasta", "two", "counts", "all", "default", "dataset")
    expected = {f"{name}.{ending}" for name in written for ending in ("csv", "png")}
    assert names == expected | {"plot.png", "table.csv"}
    assert (folder / "out" / "table.csv" / "kept").exists()
    assert ranking.read(folder / "out" / "all.csv", 4).shape == (256,)
