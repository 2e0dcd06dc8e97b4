import numpy as np
import pytest
import tensorflow_datasets as tfds

from genomenet.data import building, recipes, sources


@pytest.fixture
def files(tmp_path):
    letters = np.random.default_rng(0).choice(list("ACGT"), 30_000)
    (tmp_path / "genome.fa").write_text(f">chr1\n{''.join(letters)}\n")
    lines = [
        f"1\t{start}\t{start + 80}\tpeak_{start}\t{start}\t.\t1\t2\t3\t{start % 80}"
        for start in range(200, 20_000, 330)
    ]
    (tmp_path / "oct4.narrowPeak").write_text("\n".join([*lines, lines[0]]) + "\n")
    return tmp_path


def build(files, **options):
    path, _ = building.prepare(
        "mine",
        lambda data_dir: recipes.SelectedIntervals(
            name="mine",
            sources=[files / "oct4.narrowPeak"],
            genome=[files / "genome.fa"],
            data_dir=data_dir,
            **options,
        ),
        data_dir=files / "data",
        show_progress=False,
    )
    return path


def test_peaks_and_negatives(files):
    path = build(files, width=50, negatives="gc", splits="80/20")
    facts = building.metadata(path)
    assert facts["intervals"] == {
        **{"read": 61, "duplicates": 1, "negatives": 60, "worse": 0}
    }
    assert facts["classes"] == ["negative", "oct4"]
    assert facts["labels"]["train"] == {"negative": 48, "oct4": 48}
    rows = tfds.builder_from_directory(path).as_dataset(split="train+validation")
    lengths = {len(row["sequence"]) for row in rows.as_numpy_iterator()}
    assert lengths == {50}
    with pytest.raises(sources.DatasetError, match="width 50, now 60"):
        build(files, width=60, negatives="gc", splits="80/20")


def test_a_column_is_the_label(files):
    path = build(files, label_column=5, task="regression")
    assert building.metadata(path)["task"] == "regression"
    with pytest.raises(sources.DatasetError, match="10 columns, and no label_col"):
        recipes.SelectedIntervals(
            name="mine",
            sources=[files / "oct4.narrowPeak"],
            genome=[files / "genome.fa"],
            label_column=11,
        )


def test_a_track_is_the_label(files):
    pybigtools = pytest.importorskip("pybigtools")
    track = files / "track.bw"
    with_values = iter([("chr1", 0, 400, 3.0), ("chr1", 900, 920, 1.0)])
    pybigtools.open(str(track), "w").write({"chr1": 30_000}, with_values)
    options = {"width": 40, "signal": track, "splits": "80/20"}
    path = build(files, **options)
    assert building.metadata(path)["task"] == "regression"
    builder = tfds.builder_from_directory(path)
    rows = builder.as_dataset(split="train+validation").as_numpy_iterator()
    labels = {row["id"].decode(): float(row["label"]) for row in rows}
    # Summits lie at 240 and 920.
    assert labels["chr1:220-260"] == pytest.approx(np.log1p(3.0))
    assert labels["chr1:900-940"] == pytest.approx(np.log1p(0.5))
    assert sorted(labels.values())[:-2] == [0.0] * 58
    for more in ({"negatives": "gc"}, {"label_column": 5}):
        with pytest.raises(
            sources.DatasetError, match=f"signal=.*track.bw.*{next(iter(more))}"
        ):
            build(files, **options, **more)
    track.write_bytes(b"no track")
    with pytest.raises(sources.DatasetError, match="track.bw: not a bigWig"):
        build(files, **options | {"splits": "90/10"})
