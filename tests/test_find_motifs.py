"""The binary: what flags become, and what a user reads."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from genomenet.api import motifs
from genomenet.motifs import compare, pwm, rgadem
from genomenet.motifs.discovery import options as options_lib


@pytest.fixture
def run(call, monkeypatch, tmp_path):
    """Runs main with flags and a stand-in for the library; returns what it prints."""
    (tmp_path / "x.fa").write_text(">a\nACGT\n>b\nTTTT\n")
    (tmp_path / "y.fa").write_text(">c\nGGGG\n")

    def run(arguments, found):
        monkeypatch.setattr(motifs, "find", found)
        monkeypatch.chdir(tmp_path)
        return call("find_motifs", "--input=x.fa", "--output=o", *arguments)

    return run


def result(**changes):
    site = pwm.Site("a", 0, "+", "ACGT", 1.0, 0.1)
    motif = pwm.Motif("1-ACGT", np.eye(4), sites=(site,), scores={"evalue": 2e-9})
    fields = {"motifs": (motif,), "matches": None, "warnings": ("few",), **changes}
    return motifs.Result(**fields)


def test_flags_become_options_and_motifs_lines(run):
    given = {}

    def found(sequences, output, options, *, controls, label, command, progress):
        given.update(sequences=sequences, output=output, options=options)
        given.update(controls=controls, command=command)
        progress("searching")
        match = compare.Match("1-ACGT", "TF", "MA1", 0, "+", 4, 1e-4, 0.1, 0.02)
        return result(matches=(match, dataclasses.replace(match, qvalue=0.2)))

    arguments = [
        "--control=y.fa",
        "--min_width=7",
        "--max_width=9",
        "--num_motifs=0",
        "--threshold=0.01",
        "--seed=3",
        "--noboth_strands",
        "--order=1",
        "--jaspar",
        "--tax_group=plants",
        "--gadem_preset=genemask",
        "--timeout=5",
    ]
    code, out, err = run(arguments, found)
    assert code == 0
    assert out.splitlines() == [
        "1 motif in o",
        "  1-ACGT                        1 sites  E 2e-09  TF q 0.02",
    ]
    assert err == "find_motifs: searching\nfind_motifs: WARNING: few\n"
    assert given["options"] == motifs.Options(
        native=options_lib.Options(
            min_width=7,
            max_width=9,
            num_motifs=None,
            threshold=0.01,
            seed=3,
            both_strands=False,
            order=1,
        ),
        gadem=rgadem.GENEMASK,
        timeout=5.0,
        jaspar=True,
        tax_group=("plants",),
    )
    assert [name for name, _ in given["sequences"]] == ["a", "b"]
    assert [name for name, _ in given["controls"]] == ["c"]
    assert given["output"] == "o"
    assert given["command"] == {"input": "x.fa", "backend": "auto", "control": "y.fa"}


def test_defaults_are_those_of_the_library(run):
    given = []

    def found(sequences, output, options, **keywords):
        given.append((options, keywords["controls"]))
        return result(motifs=(), warnings=())

    code, out, err = run([], found)
    assert (code, out, err) == (0, "0 motifs in o\n", "")
    assert given == [(motifs.Options(), None)]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("x.fa: no"), 1, "find_motifs: x.fa: no\n"),
        (ImportError("R is missing"), 1, "find_motifs: R is missing\n"),
        (TimeoutError("too long"), 1, "find_motifs: too long\n"),
        (ChildProcessError("R failed"), 1, "find_motifs: R failed\n"),
        (
            KeyboardInterrupt(),
            130,
            "find_motifs: interrupted; nothing was written\n",
        ),
    ],
)
def test_errors_are_one_line(run, error, code, message):
    def found(*arguments, **keywords):
        raise error

    assert run([], found) == (code, "", message)


def test_widths_that_make_no_sense_are_one_line(run):
    code, out, err = run(["--min_width=30"], None)
    assert (code, out) == (1, "")
    assert err.startswith("find_motifs: widths must be")
    assert err.count("\n") == 1


@pytest.mark.slow
def test_no_tensorflow_without_a_model(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.choice(list("ACGT"), (60, 40))
    text = "".join(f">{i}\n{''.join(row)}\n" for i, row in enumerate(rows))
    (tmp_path / "x.fa").write_text(text)
    program = (
        "import sys; from genomenet import find_motifs, startup\n"
        "try: startup.run(find_motifs.main)\n"
        "finally: print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", program, "--input=x.fa", "--output=out"),
            *("--num_motifs=1", "--max_width=8"),
        ],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
    assert (tmp_path / "out" / "report.html").is_file()
