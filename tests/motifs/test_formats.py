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
    content = json.loads((directory / "motifs.json").read_text())
    assert (content["format"], content["about"]["input"]) == (1, "x.fa")
    assert len(content["motifs"]) == len(motifs)
    for found, motif in zip(content["motifs"], motifs, strict=True):
        assert found["name"] == motif.name
        assert found["counts"] == motif.counts.tolist()
        assert found["background"] == list(BACKGROUND)
        assert [pwm.Site(**site) for site in found["sites"][:1]] == [*motif.sites[:1]]
    assert content["motifs"][0]["sites"][1]["pvalue"] is None
    scores = {"evalue": 1.5e-12, "pvalue": None, "ratio": "inf"}
    assert content["motifs"][0]["scores"] == scores


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
    assert json.loads((tmp_path / "motifs.json").read_text())["motifs"] == []
    with open(tmp_path / "motifs.meme") as f:
        assert list(bio_motifs.parse(f, "minimal")) == []
    assert (tmp_path / "sites.tsv").read_text().count("\n") == 1
