"""The binary as a user runs it."""

import collections

import pytest

from genomenet.data import existing
from genomenet.variants import score_files


@pytest.fixture
def run(call, monkeypatch):
    """Runs main with flags and a stand-in for the library; returns what it prints."""

    def run(arguments, score_file):
        monkeypatch.setattr(existing, "check", lambda **given: None)
        monkeypatch.setattr(score_files, "score_file", score_file)
        needed = ["--model=m,n", "--vcf=c.vcf", "--genome=g.fa", "--output=o.vcf"]
        return call("score_variants", *needed, *arguments)

    return run


@pytest.mark.parametrize("is_strict", [False, True])
def test_statuses_are_printed(run, is_strict):
    given = []

    def score_file(*arguments, warn):
        given.extend(arguments)
        warn("contig names differ")
        statuses = collections.Counter({"symbolic": 2, "ok": 1200})
        return score_files.Counts(records=1100, malformed=1, statuses=statuses)

    arguments = ["--null=9", "--window=80", "--on_error=skip", "--noboth_strands"]
    code, out, err = run([*arguments, f"--strict={is_strict}"], score_file)
    assert code == is_strict
    assert out.splitlines() == [
        "1,100 records in o.vcf",
        "skipped as malformed: 1 lines",
        "ok:             1,200",
        "symbolic:       2",
    ]
    assert err == "score_variants: contig names differ\n"
    options = score_files.Options(
        null=9, window=80, on_error="skip", both_strands=False
    )
    assert given == [["m", "n"], "c.vcf", ["g.fa"], "o.vcf", options]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("c.vcf, line 3: no"), 1, "score_variants: c.vcf, line 3: no\n"),
        (
            KeyboardInterrupt(),
            130,
            "score_variants: interrupted; nothing was written\n",
        ),
    ],
)
def test_errors_are_one_line(run, error, code, message):
    def score_file(*arguments, warn):
        raise error

    assert run([], score_file) == (code, "", message)
