"""From files to a folder; the finders themselves are tested beside them."""

import dataclasses
import gzip
import json

import numpy as np
import pytest

from genomenet.api import motifs
from genomenet.dna import alphabet
from genomenet.interpret import attribution
from genomenet.motifs import compare, pwm, rgadem
from genomenet.motifs.discovery import discover
from genomenet.motifs.discovery import options as options_lib
from genomenet.release import folder

SMALL = options_lib.Options(min_width=8, max_width=8, num_motifs=1)


def planted(count=120, word="ATGCAAAT", seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (count, 60)).astype(np.uint8)
    letters = np.array(["ACGT".index(base) for base in word])
    for row in codes[: count * 3 // 4]:
        start = rng.integers(0, 60 - len(word))
        row[start : start + len(word)] = letters
    return [(f"s{i}", row) for i, row in enumerate(codes)]


def fasta(path, sequences):
    path.write_text(
        "".join(
            f">{name}\n{''.join('ACGT'[c] for c in codes)}\n"
            for name, codes in sequences
        )
    )
    return str(path)


@pytest.fixture
def fake(monkeypatch):
    """A finder that says what it was given, and finds one motif."""
    given = {}

    def found(sequences, controls, options, *, progress):
        given.update(sequences=sequences, controls=controls, options=options)
        name = sequences[0][0]
        site = pwm.Site(name, 0, "+", "ACGTAC", 1.0, 0.1)
        motif = pwm.Motif("1-ACGTAC", np.eye(4)[[0, 1, 2, 3, 0, 1]], sites=(site,))
        count = len(controls or [])
        return discover.Discovery((motif,), pwm.UNIFORM, 1, count, "given", ("few",))

    monkeypatch.setattr(discover, "discover", found)
    return given


def test_a_planted_motif_is_found_and_written(tmp_path):
    sequences = planted()
    lines = []
    found = motifs.find(
        sequences,
        tmp_path / "out",
        motifs.Options(native=SMALL, ranking="human_chr20"),
        command={"input": "pos.fa"},
        progress=lines.append,
    )
    assert found.matches is None
    assert found.motifs[0].consensus in ("ATGCAAAT", "ATTTGCAT")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"motifs.json", "motifs.meme", "sites.tsv", "report.html"} <= names
    assert "npmi.tsv" in names
    assert "jaspar.tsv" not in names
    about = json.loads((tmp_path / "out" / "motifs.json").read_text())["about"]
    assert about["input"] == "pos.fa"
    assert about["max width"] == "8"
    assert "shuffled" in about["controls"]
    text = (tmp_path / "out" / "report.html").read_text()
    assert found.motifs[0].consensus in text
    assert str(tmp_path) not in text


def test_matches_are_written(fake, tmp_path, monkeypatch):
    target = compare.Target("TF", "MA1", np.eye(4)[[0, 1, 2, 3, 0, 1, 1]])
    groups = []
    monkeypatch.setattr(
        compare, "jaspar", lambda tax_group: groups.append(tax_group) or (target,)
    )
    options = motifs.Options(jaspar=True, tax_group=("insects",))
    found = motifs.find(planted(4), tmp_path / "out", options)
    assert groups == [("insects",)]
    assert [m.target_name for m in found.matches] == ["TF"]
    lines = (tmp_path / "out" / "jaspar.tsv").read_text().splitlines()
    row = dict(zip(lines[0].split("\t"), lines[1].split("\t"), strict=True))
    assert (row["motif"], row["target_id"]) == ("1-ACGTAC", "MA1")
    assert (row["offset"], row["strand"]) == ("0", "+")


def test_rgadem_is_asked_with_its_own_options(tmp_path, monkeypatch):
    given = []

    def found(sequences, options, *, timeout):
        given.append((len(sequences), options, timeout))
        return ()

    monkeypatch.setattr(rgadem, "discover", found)
    options = motifs.Options(backend="rgadem", gadem=rgadem.GENEMASK, timeout=9.0)
    result = motifs.find(planted(4), tmp_path / "out", options, controls=planted(2))
    assert given == [(4, rgadem.GENEMASK, 9.0)]
    assert result.warnings == ("rGADEM uses no controls",)
    about = json.loads((tmp_path / "out" / "motifs.json").read_text())["about"]
    assert "nmotifs = 10" in about["rGADEM"]
    assert "No motif was found." in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("with_controls", [True, False])
def test_a_model_says_where_to_look(fake, tmp_path, monkeypatch, with_controls):
    asked = []

    def explain(model, sequences, *, method, target):
        asked.append((model, method, target))
        lengths = [len(codes) for _, codes in sequences]
        codes = np.full((len(lengths), max(lengths)), alphabet.PAD, np.uint8)
        scores = np.zeros(codes.shape, np.float32)
        for row, score, (_, bases) in zip(codes, scores, sequences, strict=True):
            row[: len(bases)] = bases
            score[:6] = 1
        names = tuple(name for name, _ in sequences)
        return attribution.Attribution(names, codes, scores, method)

    monkeypatch.setattr(folder, "load_classifier", lambda name: f"loaded {name}")
    monkeypatch.setattr(attribution, "explain", explain)
    monkeypatch.setattr(attribution, "draw", lambda *a, **k: None)
    sequences = [*planted(3), ("short", np.zeros(10, np.uint8))]
    controls = planted(2, seed=1) if with_controls else None
    options = motifs.Options(model="m", method="attention", target="yes")
    motifs.find(sequences, tmp_path / "out", options, controls=controls)
    assert set(asked) == {("loaded m", "attention", "yes")}
    names = [name for name, _ in fake["sequences"]]
    assert names == ["s0:0-24", "s1:0-24", "s2:0-24", "short:0-10"]
    assert [len(codes) for _, codes in fake["sequences"]] == [24, 24, 24, 10]
    if with_controls:
        assert [name for name, _ in fake["controls"]] == ["s0:0-24", "s1:0-24"]
    else:
        assert fake["controls"] is None
    with np.load(tmp_path / "out" / "attribution.npz") as saved:
        assert saved["names"].tolist() == ["s0", "s1", "s2", "short"]
    path = tmp_path / "out" / "attribution_controls.npz"
    assert path.exists() == with_controls


def test_a_folder_of_other_things_is_kept(fake, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    for name, message in (("full", "full contains other files"), ("file", "is a file")):
        with pytest.raises(ValueError, match=message):
            motifs.find(planted(2), tmp_path / name, motifs.Options())
    assert (tmp_path / "full" / "thesis.tex").exists()
    motifs.find(planted(2), tmp_path / "out", motifs.Options())
    (tmp_path / "out" / "old").write_text("x")
    motifs.find(planted(2), tmp_path / "out", motifs.Options())
    assert not (tmp_path / "out" / "old").exists()


def test_what_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(*arguments, **keywords):
        raise ValueError("no usable control of 0")

    monkeypatch.setattr(discover, "discover", fail)
    with pytest.raises(ValueError, match="no usable control"):
        motifs.find(planted(2), tmp_path / "out", motifs.Options())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="backend='meme' must be one of"):
        motifs.find(planted(2), tmp_path, motifs.Options(backend="meme"))


def test_sequences_come_from_files_and_tables(tmp_path):
    sequences = planted(3)
    found, controls = motifs.read([fasta(tmp_path / "x.fa", sequences)])
    assert controls is None
    assert [name for name, _ in found] == ["s0", "s1", "s2"]
    for (_, codes), (_, expected) in zip(found, sequences, strict=True):
        assert codes.tolist() == expected.tolist()
    again, _ = motifs.read([str(tmp_path / "x.fa")] * 2)
    assert [name for name, _ in again][::3] == ["s0#1", "s0#4"]
    path = tmp_path / "x.tsv.gz"
    rows = "id\tsequence\tlabel\na\tACGTAC\tyes\nb\tTTTTNN\tno\na\tGGG\tyes\n"
    path.write_bytes(gzip.compress(rows.encode()))
    found, controls = motifs.read([str(path)], label="yes")
    assert [(name, codes.tolist()) for name, codes in found] == [
        ("a#1", [0, 1, 2, 3, 0, 1]),
        ("a#2", [2, 2, 2]),
    ]
    assert [name for name, _ in controls] == ["b"]


@pytest.mark.parametrize(
    ("names", "label", "message"),
    [
        (["x.tsv"], None, "x.tsv is a table"),
        (["x.tsv"], "maybe", "no sequence with the label 'maybe'"),
        (["x.fa"], "yes", "label='yes' needs a table"),
        (["x.fa", "x.tsv"], "yes", "tables and sequence files are mixed"),
        (["none.fa"], None, "none.fa: no such file"),
    ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path, names, label, message):
    fasta(tmp_path / "x.fa", planted(2))
    (tmp_path / "x.tsv").write_text("sequence\tlabel\nACGT\tyes\n")
    with pytest.raises(ValueError, match=message):
        motifs.read([str(tmp_path / name) for name in names], label=label)


def test_options_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        motifs.Options().backend = "x"
