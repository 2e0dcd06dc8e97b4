"""Tables, pairs and genomes are read as they are written; the command prints them."""

import json

import numpy as np
import pytest

import genomenet
from genomenet.evaluation import audit as audit_lib
from genomenet.evaluation import audit_checks

needs_seqleak = pytest.mark.skipif(
    not audit_lib.is_installed(), reason="needs the extra audit"
)


def rows(seed=0, count=200, length=60):
    """Returns random sequences, and classes that lower case tells apart."""
    rng = np.random.default_rng(seed)
    sequences = ["".join(rng.choice(list("ACGT"), length)) for _ in range(count)]
    labels = ["no", "yes"] * (count // 2)
    for number in range(0, count, 2):
        sequences[number] = sequences[number][:9].lower() + sequences[number][9:]
    return sequences, labels


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "task.tsv"
    pairs = zip(*rows(), strict=True)
    path.write_text("sequence\tlabel\n" + "".join(f"{s}\t{x}\n" for s, x in pairs))
    return path


def named(audit):
    return {check.name: check for check in audit.checks}


@needs_seqleak
def test_letter_case_is_seen_in_tables_and_pairs(table):
    found = genomenet.audit_task(table)
    assert found.verdict == "FAIL"
    assert found.of("FAIL") == ["case"]
    assert named(found)["case"].value == 1
    assert named(genomenet.audit_task(rows()))["case"].verdict == "FAIL"


@needs_seqleak
def test_the_members_of_a_genome_are_counted(table, tmp_path):
    sequences, labels = rows()
    members = [s for s, label in zip(sequences, labels, strict=True) if label == "yes"]
    (tmp_path / "genome.fa").write_text(">a\n" + "\n".join(members) + "\n")
    check = named(genomenet.audit_task(table, genome=tmp_path / "genome.fa"))["genome"]
    assert check.verdict == "FAIL"
    assert "0% of 'no', 100% of 'yes'" in check.text
    with pytest.raises(ValueError, match="task.tsv"):
        genomenet.audit_task(table, genome=[table])


@needs_seqleak
def test_what_is_shown_is_escaped(table):
    found = genomenet.audit_task(table)
    assert str(found).startswith("FAIL: task.tsv (160 train, 20 validation, 20 test)\n")
    check = audit_checks.Check(name="a", verdict="WARN", value=None, text="<b>")
    page = audit_lib.Audit(name="&", sizes={}, checks=[check])._repr_html_()
    assert "&lt;b&gt;" in page
    assert "&amp;" in page


@needs_seqleak
@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (["a;b", "a", "b", "a;b"], "multi_label"),
        (["0.5", "1.25", "3", "7.5"], "regression"),
        (["a", "b", "c", "d"], "multiclass"),
    ],
)
@pytest.mark.parametrize("count", [8, 200])
def test_other_tasks_have_what_applies(labels, task, count):
    sequences = rows(count=count)[0]
    data = (sequences, labels * (count // 4))
    found = genomenet.audit_task(data, test=data, task=task)
    assert named(found)["copies"].verdict == "FAIL"


@needs_seqleak
def test_a_training_split_alone_is_looked_at(table):
    data = genomenet.api.fit.read_data(table)
    alone = type(data)(name="x", task=data.task, splits={"train": data["train"]})
    names = named(genomenet.audit_task(alone))
    assert names["copies"].verdict == "SKIP"
    assert names["length"].verdict == "PASS"


@needs_seqleak
@pytest.mark.parametrize(("flag", "status"), [("--strict", 1), ("--nostrict", 0)])
def test_the_command_prints_and_writes(call, table, tmp_path, flag, status):
    for ending in ("json", "tsv"):
        output = tmp_path / f"audit.{ending}"
        code, out, err = call("audit", f"--table={table}", f"--output={output}", flag)
        assert (code, err) == (status, "")
        assert out.splitlines()[1].startswith("FAIL case")
    assert json.loads((tmp_path / "audit.json").read_text())["verdict"] == "FAIL"
    lines = (tmp_path / "audit.tsv").read_text().splitlines()
    assert lines[0] == "name\tverdict\tvalue\ttext"
    assert any(line.startswith("case\tFAIL\t1\t") for line in lines)


def test_without_seqleak_there_is_one_line(call, table, monkeypatch):
    monkeypatch.setattr(audit_lib, "is_installed", lambda: False)
    code, out, err = call("audit", f"--table={table}")
    assert (code, out) == (1, "")
    assert err == 'audit: an audit needs seqleak: pip install "genomenet[audit]"\n'


@pytest.mark.parametrize(
    "flags", [["--table=a", "--dataset=b"], [], ["--table=a", "--output=x.doc"]]
)
def test_flags_that_do_not_go_together_are_refused(call, flags):
    with pytest.raises(Exception, match="give one of|must be"):
        call("audit", *flags)
