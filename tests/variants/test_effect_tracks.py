"""Effects in bigWig: each base in its place, also from the reverse strand."""

import numpy as np
import pytest

from genomenet.dna import encode
from genomenet.variants import effect_tracks, mutagenesis

pybigtools = pytest.importorskip("pybigtools")


def read(folder, name, contig, length):
    file = pybigtools.open(str(folder / f"{name}.bw"))
    found = np.full(length, np.nan)
    for start, end, value in file.records(contig, 0, length):
        found[start:end] = value
    return found


def test_intervals_and_strands(tmp_path):
    codes = encode.encode("ACNG")
    effects = np.arange(32, dtype=np.float32).reshape(2, 4, 4)
    effects[:, 2] = np.nan
    effects[:, [0, 1, 3], codes[[0, 1, 3]]] = 0
    both = [codes, encode.reverse_complement(codes)]
    reverse = effects[1, ::-1, ::-1]
    found = mutagenesis.Mutagenesis(
        score="value",
        names=["a", "b"],
        codes=both,
        effects=np.stack([effects[0], reverse]),
    )
    # The second overlaps the first by two bases, and lies before it.
    places = [("chr1", 12, False), ("chr1", 10, True)]
    effect_tracks.write_tracks(found, tmp_path, origins=places)
    for channel, name in enumerate("ACGT"):
        expected = np.full(16, np.nan)
        expected[10:14], expected[14:16] = (
            effects[1, :, channel],
            effects[0, 2:, channel],
        )
        expected[12] = effects[0, 0, channel]
        expected[13] = (effects[0, 1, channel] + effects[1, 3, channel]) / 2
        np.testing.assert_allclose(read(tmp_path, name, "chr1", 16), expected)
    base = read(tmp_path, "base", "chr1", 16)
    assert base[10] == pytest.approx(-effects[1, 0].mean())
    assert base[15] == pytest.approx(-effects[0, 3].mean())


def test_a_sequence_is_its_own_contig(tmp_path):
    found = mutagenesis.Mutagenesis(
        score="value",
        names=["one", "two"],
        codes=[encode.encode("AC"), encode.encode("G")],
        effects=np.ones((2, 2, 4), np.float32),
    )
    effect_tracks.write_tracks(found, tmp_path)
    assert read(tmp_path, "T", "one", 2).tolist() == [1, 1]
    assert read(tmp_path, "T", "two", 1).tolist() == [1]
