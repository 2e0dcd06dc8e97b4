"""The binary as a user runs it."""

import subprocess
import sys

import pytest

from genomenet.data import existing
from genomenet.inference import inputs, predict_files


@pytest.fixture
def run(call, monkeypatch):
    """Runs main with flags and a stand-in for the library; returns what it prints."""

    def run(arguments, predicted):
        monkeypatch.setattr(existing, "check", lambda **given: None)
        monkeypatch.setattr(predict_files, "predict_files", predicted)
        return call("predict", "--model=m", "--output=o.tsv", *arguments)

    return run


def test_counts_are_printed(run):
    given = []

    def predicted(*arguments, warn):
        given.extend(arguments)
        warn("x.fa: record 'b': no good")
        counts = inputs.Counts(records=1200, rows=4000, short=1, bad=2)
        counts.labels.update({"no": 1000, "yes": 3000})
        return counts

    arguments = ["--input=x.fa,-", "--window=0", "--on_error=skip", "--both_strands"]
    code, out, err = run(arguments, predicted)
    assert code == 0
    assert out.splitlines() == [
        "records:   1,203 read, 1,200 predicted",
        "windows:   4,000 in o.tsv",
        "skipped:   1 too short, 2 malformed",
        "label:     yes: 3,000 (75.0%)",
        "label:     no: 1,000 (25.0%)",
    ]
    assert err == "predict: x.fa: record 'b': no good\n"
    options = predict_files.Options(window=0, on_error="skip", both_strands=True)
    assert given == ["m", ["x.fa", "-"], "o.tsv", options]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("m is an encoder"), 1, "predict: m is an encoder\n"),
        (ImportError("pip install it"), 1, "predict: pip install it\n"),
        (KeyboardInterrupt(), 130, "predict: interrupted; run it again to go on\n"),
    ],
)
def test_errors_are_one_line(run, error, code, message):
    def predicted(*arguments, warn):
        raise error

    assert run(["--input=x.fa"], predicted) == (code, "", message)


@pytest.mark.slow
def test_an_encoder_as_a_user_sees_it(tmp_path):
    (tmp_path / "x.fa").write_text(">a\nACGT\n")
    arguments = [f"--input={tmp_path / 'x.fa'}", f"--output={tmp_path / 'o.tsv'}"]
    done = subprocess.run(
        [sys.executable, "-m", "genomenet.predict", "--model=logo3", *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "predict: logo3 is an encoder and does not predict labels: fine-tune it with"
        " python -m genomenet.finetune --model=logo3 --table=labelled.tsv\n"
    )
