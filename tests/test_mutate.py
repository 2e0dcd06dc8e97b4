"""The binary as a user runs it."""

import numpy as np
import pytest

from genomenet.data import existing
from genomenet.variants import mutagenesis


@pytest.fixture
def run(call, monkeypatch, tiny_fasta, tmp_path):
    """Runs main with flags and a stand-in for the model; returns what it prints."""

    def mutated(model, codes, *, names, score, **options):
        assert model == "m"
        deletions, insertions = options.pop("deletions"), options.pop("insertions")
        expected = {"batch_size": 64, "both_strands": None, "show_progress": True}
        assert options == expected
        effects = np.full((3, 700, 4), np.nan, np.float32)
        effects[:, :300] = np.arange(4)
        return mutagenesis.Mutagenesis(
            score=score,
            names=names,
            codes=codes,
            effects=effects,
            deletions=effects[..., 1] + 4 if deletions else None,
            insertions=effects + 6 if insertions else None,
        )

    def run(output, *more):
        monkeypatch.setattr(existing, "check", lambda **given: None)
        monkeypatch.setattr(mutagenesis, "saturation_mutagenesis", mutated)
        given = [f"--input={tiny_fasta}", f"--output={tmp_path / output}"]
        return call("mutate", "--model=m", "--score=value", *given, *more)

    return run


def test_an_npz_file(run, tmp_path):
    code, out, err = run("out.npz")
    assert (code, err) == (0, "")
    assert out == f"3 sequences, value, in {tmp_path / 'out.npz'}\n"
    with np.load(tmp_path / "out.npz") as found:
        assert found["names"].tolist() == ["contig_1", "contig_2", "contig_3"]
        assert found["effects"].shape == (3, 700, 4)
        assert found["centred"][0, 0].tolist() == [-1.5, -0.5, 0.5, 1.5]
        assert found["score"] == "value"


def test_a_tsv_file(run, tmp_path):
    assert run("out.tsv")[0] == 0
    lines = (tmp_path / "out.tsv").read_text().splitlines()
    assert lines[0] == "name\tposition\tbase\tA\tC\tG\tT"
    assert len(lines) == 1 + 700 + 500 + 300
    assert lines[1].startswith("contig_1\t0\t")
    assert lines[1].endswith("\t0\t1\t2\t3")
    assert lines[301].endswith("\t\t\t\t")


def test_deletions_and_insertions(run, tmp_path):
    assert run("out.tsv", "--deletions", "--insertions")[0] == 0
    lines = (tmp_path / "out.tsv").read_text().splitlines()
    assert lines[0].split("\t")[3:] == [
        *("A", "C", "G", "T", "deletion"),
        *("insertion_A", "insertion_C", "insertion_G", "insertion_T"),
    ]
    assert lines[1].split("\t")[3:] == list("012356789")
    assert run("out.npz", "--deletions")[0] == 0
    with np.load(tmp_path / "out.npz") as found:
        assert found["deletions"].shape == (3, 700)
        assert "insertions" not in found


def test_figures_and_tracks(run, tmp_path):
    pytest.importorskip("logomaker")
    pytest.importorskip("pybigtools")
    folders = tmp_path / "figures", tmp_path / "tracks"
    code, out, _ = run("o.npz", f"--figures={folders[0]}", f"--bigwig={folders[1]}")
    assert code == 0
    assert out.startswith(f"figures in {folders[0] / 'page_1.html'}\n")
    assert len(list(folders[1].iterdir())) == 5


def test_an_error_is_one_line(run, tmp_path):
    assert run("out.txt") == (
        1,
        "",
        f"mutate: {tmp_path / 'out.txt'} must end with .npz, .tsv\n",
    )


def test_intervals_lie_on_the_genome(call, monkeypatch, tiny_fasta, tmp_path):
    tracks = pytest.importorskip("pybigtools")

    def mutated(model, codes, *, names, score, **options):
        effects = np.zeros((2, 40, 4), np.float32)
        effects[1, :, 0] = 3
        return mutagenesis.Mutagenesis(
            score=score, names=names, codes=codes, effects=effects
        )

    monkeypatch.setattr(existing, "check", lambda **given: None)
    monkeypatch.setattr(mutagenesis, "saturation_mutagenesis", mutated)
    bed = tmp_path / "peaks.bed"
    bed.write_text("contig_1\t100\t140\ncontig_2\t50\t90\tx\t0\t-\n")
    code, _, err = call(
        *("mutate", "--model=m", "--score=value", f"--input={bed}"),
        *(f"--genome={tiny_fasta}", f"--output={tmp_path / 'o.npz'}"),
        f"--bigwig={tmp_path / 'tracks'}",
    )
    assert (code, err) == (0, "")
    with np.load(tmp_path / "o.npz") as found:
        assert found["names"].tolist() == ["contig_1:100-140", "contig_2:50-90(-)"]
    with tracks.open(str(tmp_path / "tracks" / "T.bw")) as file:
        # What is A on the reverse strand.
        assert next(iter(file.records("contig_2")))[2] == 3
        assert next(iter(file.records("contig_2")))[0] == 50
