"""Apache Beam builds the same dataset as one process does."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from genomenet.data import (
    building,
    integrity,
    packed_chunks,
    prepared,
    recipes,
    sources,
)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def files(tmp_path):
    """Two files with contigs of different sizes, gaps and all."""
    pytest.importorskip("apache_beam")
    rng = np.random.default_rng(0)

    def letters(length):
        return "".join(rng.choice(list("ACGT"), length))

    (tmp_path / "a.fa").write_text(
        f">x\nNN{letters(5_000)}{'N' * 300}{letters(4_050)}\n>y\n{letters(700)}\n"
    )
    (tmp_path / "b.fa").write_text(f">z\n{letters(9_000).lower()}\n>n\n{'N' * 99}\n")
    return [tmp_path / "a.fa", tmp_path / "b.fa"]


def build(files, root, beam_options):
    path, _ = building.prepare(
        "mine",
        lambda data_dir: recipes.GenomeChunks(
            name="mine", sources=files, data_dir=data_dir, chunk_length=300
        ),
        data_dir=root,
        show_progress=False,
        beam_options=beam_options,
    )
    return path


def read(path):
    builder = tfds.builder_from_directory(path)
    return {
        split: sorted(
            (e["contig"], int(e["start"]), e["sequence"])
            for e in builder.as_dataset(split=split).as_numpy_iterator()
        )
        for split in builder.info.splits
    }


def test_the_examples_are_the_same(files, tmp_path):
    plain = build(files, tmp_path / "plain", None)
    beam = build(files, tmp_path / "beam", "--runner=DirectRunner")
    assert read(beam) == read(plain)
    facts = [building.metadata(path) for path in (beam, plain)]
    assert all(one.pop("files") for one in facts)  # shards may be in another order
    packed = packed_chunks.load(plain / packed_chunks.FILE)
    assert facts[1].pop("digest") == packed.digest
    assert facts[0] == facts[1]
    # The shards of the Beam build hold the same bases.
    assert prepared.read(beam).chunks.digest == packed.digest
    integrity.check(beam, whole=True)
    assert not list(beam.glob("*incomplete*"))


def test_labels_and_standard_input_are_for_one_process(files, tmp_path):
    with pytest.raises(sources.DatasetError, match="cannot read standard input"):
        build(["-"], tmp_path, "--runner=DirectRunner")
    (tmp_path / "x.tsv").write_text("sequence\tlabel\nAC\t1\nAG\t2\nAA\t1\n")
    with pytest.raises(sources.DatasetError, match="for genomes, not for labels"):
        building.prepare(
            "labelled",
            lambda data_dir: recipes.LabelledSequences(
                name="labelled", sources=[tmp_path / "x.tsv"], data_dir=data_dir
            ),
            data_dir=tmp_path,
            beam_options="--runner=DirectRunner",
        )
