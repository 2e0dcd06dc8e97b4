"""Tracks against the mean of each base over the windows that it lies in."""

import sys

import numpy as np
import pytest

from genomenet.dna import tiling
from genomenet.inference import record_windows, tracks

LENGTHS = {"b": 130, "c": 60, "B": 7, "a": 61, "bä": 60}


def write(tmp_path, stride, **folders):
    """Writes random predictions; returns the means, name → (L, 2)."""
    rng = np.random.default_rng(0)
    wanted = {}
    with tracks.Tracks(["no", "x/y"], **folders) as found:
        for name, length in LENGTHS.items():
            sums, counts = np.zeros((length, 2)), np.zeros((length, 1))
            for start in tiling.starts(length, window=60, stride=stride):
                end = min(length, start + 60)
                values = rng.random((1, 2)).astype(np.float32)
                window = record_windows.Window(name, start, end, np.zeros(0, np.uint8))
                found.write([window], values)
                sums[start:end] += values
                counts[start:end] += 1
            wanted[name] = sums / counts
        assert not list(tmp_path.rglob("*.bedgraph"))
        found.finish()
    return wanted


@pytest.mark.parametrize("stride", [1, 7, 30, 45, 60])
def test_a_base_gets_the_mean_of_its_windows(tmp_path, stride):
    wanted = write(tmp_path, stride, bedgraph=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["no.bedgraph", "x_y.bedgraph"]
    for column, name in enumerate(("no", "x_y")):
        lines = (tmp_path / f"{name}.bedgraph").read_text("utf-8").splitlines()
        fields = [line.split("\t") for line in lines]
        rows = [(n, int(start), int(end), float(v)) for n, start, end, v in fields]
        order = [(name.encode(), start) for name, start, _, _ in rows]
        assert order == sorted(order)
        covered = {name: np.zeros(length, int) for name, length in LENGTHS.items()}
        for record, start, end, value in rows:
            assert start < end
            covered[record][start:end] += 1
            np.testing.assert_allclose(
                value, wanted[record][start:end, column], rtol=1e-5
            )
        assert all((count == 1).all() for count in covered.values())


def test_bigwig(tmp_path):
    pybigtools = pytest.importorskip("pybigtools")
    wanted = write(tmp_path, 7, bigwig=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["no.bw", "x_y.bw"]
    with pybigtools.open(str(tmp_path / "x_y.bw")) as file:
        assert dict(file.chroms()) == LENGTHS
        for name, length in LENGTHS.items():
            values = np.zeros(length)
            for start, end, value in file.records(name):
                values[start:end] = value
            np.testing.assert_allclose(values, wanted[name][:, 1], rtol=1e-5)


def test_without_pybigtools_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pybigtools", None)
    with pytest.raises(ImportError, match=r"pip install 'genomenet\[tracks\]'"):
        tracks.Tracks(["a"], bigwig=tmp_path)


def test_names_of_files_differ():
    names = ["a b", "a/b", "A_b", "..", "μ", ""]
    assert tracks.file_names(names) == ["a_b", "a_b_2", "A_b_3", "_", "μ", "__2"]
