import json
import shutil

import numpy as np
import pytest

from genomenet.data import building, packed_chunks, prepared, recipes, rows, shards
from genomenet.dna import alphabet, encode, tiling


@pytest.fixture(scope="module")
def contigs():
    rng = np.random.default_rng(1)
    contigs = {}
    for number in range(6):
        codes = rng.integers(0, 4, 3000).astype(np.uint8)
        codes[500:560] = alphabet.N
        contigs[f"contig_{number}"] = codes
    return contigs


@pytest.fixture(scope="module")
def directory(contigs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("genome")
    fasta = folder / "genome.fa"
    with fasta.open("wb") as f:
        for name, codes in contigs.items():
            f.write(f">{name}\n".encode() + encode.decode(codes) + b"\n")
    directory, _ = building.prepare(
        "tiny",
        lambda root: recipes.GenomeChunks(
            name="tiny", sources=[fasta], data_dir=root, chunk_length=400
        ),
        data_dir=folder,
        show_progress=False,
    )
    return directory


def test_shards_are_read_as_bases_with_their_places(directory, contigs):
    data = shards.Prepared(directory)
    seen = {name: np.zeros(len(codes), int) for name, codes in contigs.items()}
    for split in data.splits:
        for chunk in data.dataset(split):
            name, start = chunk["contig"].numpy().decode(), int(chunk["start"])
            bases = chunk["bases"].numpy()
            np.testing.assert_array_equal(
                bases, contigs[name][start : start + len(bases)]
            )
            seen[name][start : start + len(bases)] += 1
    assert all(count.max() == 1 for count in seen.values())


@pytest.fixture
def copy(directory, tmp_path):
    """A copy of the dataset, to be changed."""
    return shutil.copytree(directory, tmp_path / "tiny" / "1.0.0")


def test_the_packed_file_is_made_once_and_again_for_other_shards(copy):
    path = copy / packed_chunks.FILE
    assert path.is_file()  # the build wrote it
    first = prepared.read(copy)
    facts = json.loads((copy / "metadata.json").read_text())
    assert facts["digest"] == first.chunks.digest
    written = path.stat().st_mtime_ns
    again = prepared.read(copy)
    assert again.identity() == first.identity()
    assert path.stat().st_mtime_ns == written
    whole = path.read_bytes()
    for damaged in (whole[:900], whole[:700] + bytes([whole[700] ^ 1]) + whole[701:]):
        path.write_bytes(damaged)
        assert prepared.read(copy).chunks.digest == first.chunks.digest
        assert packed_chunks.verify(packed_chunks.load(path))
    other = [("train", "contig_0", 0, np.zeros(400, np.uint8))]
    packed_chunks.of(other, path)  # whole, but of other shards
    assert prepared.read(copy).chunks.digest == first.chunks.digest
    path.unlink()
    facts["digest"] = "0" * 32
    (copy / "metadata.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="do not hold the bases that were built"):
        prepared.read(copy)


def test_a_dataset_from_before_has_its_packed_file_from_the_shards(copy):
    expected = prepared.read(copy).chunks.digest
    path = copy / packed_chunks.FILE
    path.unlink()
    facts = json.loads((copy / "metadata.json").read_text())
    del facts["digest"]
    (copy / "metadata.json").write_text(json.dumps(facts))
    found = prepared.read(copy).chunks
    assert found.digest == expected
    written = path.stat().st_mtime_ns
    assert prepared.read(copy).chunks.about == found.about
    assert path.stat().st_mtime_ns == written


def test_a_window_longer_than_the_chunks(directory):
    genome = prepared.read(directory)
    with pytest.raises(ValueError, match=r"longer than the chunks.*chunk_length=1640"):
        genome.rows("train", tiling.Window(length=410, stride=410), seed=0)


def test_unknown_split(directory):
    with pytest.raises(ValueError, match="no split 'dev'"):
        shards.Prepared(directory).dataset("dev")
    with pytest.raises(ValueError, match="no split 'dev'"):
        prepared.read(directory).rows("dev", tiling.Window(length=9, stride=9), seed=0)


def test_a_folder_without_a_dataset(tmp_path):
    with pytest.raises(ValueError, match="holds no prepared dataset"):
        shards.Prepared(tmp_path)
    with pytest.raises(ValueError, match="holds no prepared dataset"):
        prepared.read(tmp_path)


@pytest.mark.parametrize(
    "bad",
    [
        {"length": 0},
        {"stride": 0},
        {"cut": "slide"},
        {"max_n": 1.5},
        {"shortest_cut": 25},
    ],
)
def test_bad_windows(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        tiling.Window(**{"length": 50, "stride": 50, **bad})


def test_rows_are_of_the_genome(directory, contigs):
    genome = prepared.read(directory)
    found = genome.rows("train", tiling.Window(length=50, stride=50), seed=3)
    letters = b"|".join(encode.decode(codes) for codes in contigs.values())
    for bases in found.batch(0, 64)["bases"]:
        assert encode.decode(bases) in letters
    assert isinstance(found, rows.Rows)
