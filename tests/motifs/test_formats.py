import csv
import io
import json
import math

import numpy as np
import pytest
from Bio import motifs as bio_motifs

from genomenet.motifs import formats, pwm

BACKGROUND = (0.3, 0.2, 0.2, 0.3)


def example(name="1-ATGCAAAT", width=8, total=40, seed=0, **changes):
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(total, rng.dirichlet(np.ones(4)), width).astype(float)
    found = (
        pwm.Site("peak 1", 3, "+", "ATGCAAAT", 9.125, 1e-4),
        pwm.Site("peak\t2", 0, "-", "ATGCATAT", 7.1, math.nan),
    )
    return pwm.Motif(
        **{
            "name": name,
            "counts": counts,
            "background": BACKGROUND,
            "sites": found,
            "scores": {"evalue": 1.5e-12, "pvalue": math.nan, "ratio": math.inf},
            **changes,
        }
    )


def assert_same(ours, expected):
    assert [m.name for m in ours] == [m.name for m in expected]
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(a.counts, b.counts)
        assert a.background == b.background
        assert repr(a.sites) == repr(b.sites)  # NaN is not equal to itself
        assert repr(dict(a.scores)) == repr(dict(b.scores))


@pytest.fixture
def written(tmp_path):
    motifs = [
        example(),
        example("2-ACG", 3, 7, seed=1, scores={}, sites=()),
        example("MA1.1 Oct4", counts=np.array([[0.5, 0.25, 1 / 3, 2.0]])),
    ]
    formats.write_all(tmp_path / "out", motifs, about={"input": "x.fa", "seed": 1})
    return tmp_path / "out", motifs


def test_json_keeps_everything(written):
    directory, motifs = written
    assert_same(formats.read_json(directory / "motifs.json"), motifs)
    content = json.loads((directory / "motifs.json").read_text())
    assert (content["format"], content["about"]["input"]) == (1, "x.fa")
    assert content["motifs"][0]["scores"]["pvalue"] is None
    assert content["motifs"][0]["sites"][1]["pvalue"] is None


@pytest.mark.parametrize(
    ("name", "form", "tolerance"),
    [("meme", "minimal", 1), ("jaspar", "jaspar", 0.005), ("transfac", "transfac", 0)],
)
def test_biopython_reads_what_is_written(written, name, form, tolerance):
    directory, motifs = written
    with open(directory / f"motifs.{name}") as f:
        peers = bio_motifs.parse(f, form)
    assert len(peers) == len(motifs)
    for peer, ours in zip(peers, motifs, strict=True):
        assert set(peer.alphabet) == set("ACGT")
        counts = np.array([peer.counts[b] for b in "ACGT"]).T
        whole = np.array_equal(ours.counts, np.round(ours.counts))
        np.testing.assert_allclose(
            counts, ours.counts, rtol=1e-12, atol=0 if whole else tolerance
        )
        identifier = ours.name.split()[0]
        if form == "transfac":
            assert peer["AC"] == identifier
        elif form == "jaspar":
            assert peer.matrix_id == identifier
        else:
            assert peer.name == identifier
            assert peer.num_occurrences == max(round(ours.counts.sum(1).mean()), 1)
            assert peer.background == dict(zip("ACGT", BACKGROUND, strict=True))
    if form == "minimal":
        assert [p.evalue for p in peers] == [1.5e-12, 0.0, 1.5e-12]


@pytest.mark.parametrize("name", ["meme", "jaspar", "transfac", "json"])
def test_what_is_written_is_read(written, name):
    directory, motifs = written
    found = formats.read_motifs(directory / f"motifs.{name}")
    assert [m.name for m in found] == [m.name for m in motifs]
    for ours, motif in zip(found, motifs, strict=True):
        np.testing.assert_allclose(
            ours.probabilities(), motif.probabilities(), atol=2e-3
        )
        assert ours.background == (
            pytest.approx(BACKGROUND) if name in ("meme", "json") else pwm.UNIFORM
        )
    assert found[0].counts.sum(1) == pytest.approx(np.full(8, 40))


def test_table_of_sites(written):
    directory, _ = written
    text = (directory / "sites.tsv").read_text()
    rows = list(csv.reader(io.StringIO(text), delimiter="\t"))
    columns = "sequence start end strand word score pvalue motif"
    assert rows[0] == columns.split()
    site = ["peak 1", "3", "11", "+", "ATGCAAAT", "9.125", "0.0001"]
    assert rows[1] == [*site, "1-ATGCAAAT"]
    assert rows[2][0] == "peak\t2"
    assert rows[2][6] == ""
    assert len(rows) == 5  # two motifs have two sites each


def test_no_motif_is_no_error(tmp_path):
    formats.write_all(tmp_path, [], about={})
    assert formats.read_json(tmp_path / "motifs.json") == ()
    with open(tmp_path / "motifs.meme") as f:
        assert list(bio_motifs.parse(f, "minimal")) == []
    assert (tmp_path / "sites.tsv").read_text().count("\n") == 1


JASPAR_TRANSFAC = """AC MA0004.1
XX
ID Arnt
XX
DE MA0004.1 Arnt ; From JASPAR
PO\tA\tC\tG\tT
01\t4.0\t16.0\t0.0\t0.0
02\t19.0\t0.0\t1.0\t0.0
XX
//
"""
MEME_OUTPUT = """MEME version 5.5.5 (Release date: today)

ALPHABET= ACGT

Letter frequencies in dataset:
A 0.3 C 0.2 G 0.2 T 0.3
Background letter frequencies (from file x):
A 0.31 C 0.2 G 0.2 T 0.31

MOTIF CAAT MEME-1\twidth =   2  sites =  10  llr = 9  E-value = 4.1e-009
\tMotif CAAT MEME-1 position-specific scoring matrix
log-odds matrix: alength= 4 w= 2 n= 90 bayes= 3.3 E= 4.1e-009
  -100   100  -100  -100
   100  -100  -100  -100
letter-probability matrix: alength= 4 w= 2 nsites= 10 E= 4.1e-009
  0.000000  0.900000  0.100000  0.000000
  1.000000  0.000000  0.000000  0.000000
--------------------------------------------------------------------------------
"""
MEME_BARE = """MEME version 4
MOTIF x
letter-probability matrix:
0.1 0.2 0.3 0.4
0.3 0.3 0.3 0.1
"""
JASPAR_BARE = """# of somewhere
>MA0004.1\tArnt
4 19
16 0
0 1
0 0
"""
COUNTS = [[4, 16, 0, 0], [19, 0, 1, 0]]


@pytest.mark.parametrize(
    ("text", "name", "counts", "background"),
    [
        (JASPAR_TRANSFAC, "MA0004.1 Arnt", COUNTS, pwm.UNIFORM),
        (JASPAR_TRANSFAC[:-3], "MA0004.1 Arnt", COUNTS, pwm.UNIFORM),
        (JASPAR_BARE, "MA0004.1 Arnt", COUNTS, pwm.UNIFORM),
        (
            MEME_OUTPUT,
            "CAAT MEME-1",
            [[0, 9, 1, 0], [10, 0, 0, 0]],
            (31 / 102, 20 / 102, 20 / 102, 31 / 102),
        ),
        (MEME_BARE, "x", [[2, 4, 6, 8], [6, 6, 6, 2]], pwm.UNIFORM),
    ],
)
def test_files_of_other_programs(tmp_path, text, name, counts, background):
    path = tmp_path / "motifs.txt"
    path.write_text(text)
    (found,) = formats.read_motifs(path)
    assert found.name == name
    np.testing.assert_allclose(found.counts, counts)
    assert found.background == pytest.approx(background)


HOMER = ">ACG\tx\t6.1\n" + "0.1 0.2 0.3 0.4\n" * 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither MEME"),
        (">read\nACGT\n", "1 rows, JASPAR's 4"),
        (">read\nACGT\nACGT\nACGT\nACGT\n", "could not convert"),
        (HOMER, "5 rows"),
        (MEME_BARE.replace("0.4", "0.9"), "motif x: .* does not sum to one"),
        (MEME_OUTPUT.replace("w= 2", "w= 3"), "motif CAAT MEME-1: 2 of 3 rows"),
        (MEME_OUTPUT.replace("= ACGT", "= ACDEFG"), "not the alphabet ACGT"),
        (MEME_OUTPUT.replace(" G 0.2 T 0.31", ""), "'G' is missing"),
        (JASPAR_TRANSFAC.replace("16.0", "x"), "could not convert"),
        (JASPAR_BARE.replace("0 1", "0 1 1"), "length"),
        (JASPAR_BARE.replace("19", "0").replace("0 1", "0 0"), "empty"),
        ("{}", "not a motifs.json"),
        ('{"format": 2, "motifs": []}', "format 2"),
        ('{"format": 1, "motifs": [{}]}', "'name' is missing"),
        ('{"format": 1, "motifs": []}', "no motif"),
        ('{"format"', "Expecting"),
    ],
)
def test_errors_are_one_line_that_names_the_file(tmp_path, text, message):
    path = tmp_path / "motifs.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as e:
        formats.read_motifs(path)
    assert str(e.value).startswith(f"{path}: ")
    assert "\n" not in str(e.value)


def test_bytes_are_no_motifs(tmp_path):
    path = tmp_path / "motifs.bin"
    path.write_bytes(b"\xff\xfe\0")
    with pytest.raises(ValueError, match="not a text file"):
        formats.read_motifs(path)
