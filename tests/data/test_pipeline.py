import itertools

import numpy as np
import pytest
import tensorflow as tf

from genomenet.data import pipeline, prepare, recipes
from genomenet.dna import alphabet, encode


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
def data(contigs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("genome")
    fasta = folder / "genome.fa"
    with fasta.open("wb") as f:
        for name, codes in contigs.items():
            f.write(f">{name}\n".encode() + encode.decode(codes) + b"\n")
    directory, _ = prepare.prepare(
        "tiny",
        lambda root: recipes.GenomeChunks(
            name="tiny", sources=[fasta], data_dir=root, chunk_length=400
        ),
        data_dir=folder,
        show_progress=False,
    )
    return pipeline.Prepared(directory)


def cutting(**changes):
    return pipeline.Cutting(**{"length": 50, "stride": 50, **changes})


def training(data, seed=3, batch_size=8, **changes):
    return pipeline.training_batches(
        data,
        "train",
        cutting(**changes),
        batch_size=batch_size,
        seed=seed,
        shuffle_buffer=64,
    )


def take(dataset, number):
    return [
        {k: v.numpy() for k, v in b.items()} for b in itertools.islice(dataset, number)
    ]


def test_batches_are_static_and_of_the_genome(data, contigs):
    dataset = training(data, cut="crop")
    assert dataset.element_spec["bases"] == tf.TensorSpec((8, 50), tf.uint8)
    assert dataset.element_spec["key"] == tf.TensorSpec((8, 2), tf.uint32)
    genome = b"|".join(encode.decode(codes) for codes in contigs.values())
    for batch in take(dataset, 20):
        for row in batch["bases"]:
            assert encode.decode(row) in genome


def test_order_is_a_function_of_the_seed(data):
    first, again, other = (take(training(data, seed), 60) for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a["bases"], b["bases"])
        np.testing.assert_array_equal(a["key"], b["key"])
    assert any(
        (a["bases"] != b["bases"]).any() for a, b in zip(first, other, strict=True)
    )


def test_order_does_not_depend_on_the_global_seed(data):
    found = []
    for seed in (1, 2):
        tf.random.set_seed(seed)
        evaluation = pipeline.evaluation_batches(
            data, "train", cutting(), batch_size=8, num_batches=2, seed=3
        )
        found.append([b["bases"] for b in (*take(training(data), 2), *evaluation)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_keys_count_the_rows(data):
    keys = np.concatenate([batch["key"] for batch in take(training(data), 5)])
    np.testing.assert_array_equal(keys[:, 0], 3)
    np.testing.assert_array_equal(keys[:, 1], np.arange(40))


def test_tiled_epoch_holds_every_window_once(data):
    windows = list(
        data.windows("train", cutting(max_n=1.0), seed=0).as_numpy_iterator()
    )
    chunks = data.info.splits["train"].num_examples
    assert 0 < len(windows) <= chunks * 8
    other = data.windows("train", cutting(max_n=1.0), seed=9).as_numpy_iterator()
    assert sorted(w.tobytes() for w in windows) == sorted(w.tobytes() for w in other)


def test_crops_differ_between_epochs_but_tiles_do_not(data):
    def epoch(cut, number):
        dataset = data.windows("train", cutting(cut=cut), seed=5, epoch=number)
        return {w.tobytes() for w in dataset.as_numpy_iterator()}

    assert epoch("tile", 0) == epoch("tile", 1)
    assert epoch("crop", 0) != epoch("crop", 1)
    assert epoch("crop", 1) == epoch("crop", 1)


@pytest.mark.parametrize("max_n", [0.0, 0.5, 1.0])
def test_windows_with_too_much_n_are_dropped(data, max_n):
    dataset = data.windows("train", cutting(stride=10, max_n=max_n), seed=0)
    shares = [np.mean(w == alphabet.N) for w in dataset.as_numpy_iterator()]
    assert max(shares) <= max_n
    assert (max(shares) > 0) == (max_n > 0)


def test_iterator_goes_on_exactly_from_a_checkpoint(data, tmp_path):
    iterator = iter(training(data, cut="crop"))
    for _ in range(37):
        next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).save(tmp_path / "ckpt")
    expected = take(iterator, 30)
    other = iter(training(data, cut="crop"))
    tf.train.Checkpoint(iterator=other).restore(path).assert_consumed()
    for a, b in zip(expected, take(other, 30), strict=True):
        np.testing.assert_array_equal(a["bases"], b["bases"])
        np.testing.assert_array_equal(a["key"], b["key"])


def test_evaluation_is_the_same_every_time_and_finite(data):
    def batches():
        return pipeline.evaluation_batches(
            data, "validation", cutting(), batch_size=4, num_batches=3, seed=1
        )

    first, again = take(batches(), 9), take(batches(), 9)
    assert 0 < len(first) <= 3
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a["bases"], b["bases"])


def test_rows_of_cuts_hold_the_genome(data, contigs):
    batches = take(training(data, length=40, stride=39, shortest_cut=6), 12)
    whole = {name: encode.decode(codes).decode() for name, codes in contigs.items()}
    lengths = set()
    for batch in batches:
        bases, segment = batch["bases"], batch["segment"]
        assert bases.shape == segment.shape == (8, 40)
        np.testing.assert_array_equal(bases == alphabet.PAD, segment == 0)
        for row, numbers in zip(bases, segment, strict=True):
            text = encode.decode(row[numbers > 0]).decode()
            assert any(text in bases for bases in whole.values())
            real = numbers[numbers > 0]
            assert (np.diff(real.astype(int)) >= 0).all()
            lengths.update(np.bincount(real)[1:].tolist())
    assert min(lengths) >= 6
    assert max(lengths) == 39
    assert len(lengths) > 10


def test_cuts_have_the_lengths_of_genemask():
    cutting = pipeline.Cutting(length=512, stride=511, shortest_cut=6)
    window = tf.zeros(511, tf.uint8)
    rows = tf.data.Dataset.range(40_000).map(
        lambda n: pipeline._cuts(window, cutting, tf.stack([0, n]))["segment"],
        num_parallel_calls=2,
    )
    lengths, padding = [], []
    for segment in rows.batch(2000).as_numpy_iterator():
        padding.append(np.mean(segment == 0))
        for value in (1, 2):
            found = (segment == value).sum(axis=1)
            lengths += found[found > 0].tolist()
    lengths = np.array(lengths)
    assert abs(np.mean(lengths == 511) - 0.5) < 0.01
    mixed = lengths[lengths < 511]
    assert (mixed.min(), mixed.max()) == (6, 510)
    # Uniform: every hundredth of the range as often as the others.
    counts, _ = np.histogram(mixed, bins=101, range=(6, 511))
    assert np.abs(counts - counts.mean()).max() < 5.5 * np.sqrt(counts.mean())
    assert np.mean(padding) < 0.01


def test_rows_do_not_depend_on_the_batch_size(data):
    changes = {"length": 40, "stride": 39, "shortest_cut": 6}
    wide = take(training(data, batch_size=8, **changes), 3)
    narrow = take(training(data, batch_size=4, **changes), 6)
    for name in ("bases", "segment", "key"):
        np.testing.assert_array_equal(
            np.concatenate([b[name] for b in wide]),
            np.concatenate([b[name] for b in narrow]),
        )
    assert len({b["segment"].tobytes() for b in narrow}) > 1


def test_window_longer_than_the_chunks(data):
    with pytest.raises(ValueError, match=r"500 bases is longer than the chunks.*400"):
        data.check("train", cutting(length=500), batch_size=1)


def test_too_few_windows(data):
    with pytest.raises(ValueError, match=r"has only \d+ windows .*batch_size=100000"):
        data.check("train", cutting(), batch_size=100_000)


def test_unknown_split(data):
    with pytest.raises(ValueError, match="no split 'dev'; it has train"):
        data.windows("dev", cutting(), seed=0)


def test_folder_without_a_dataset(tmp_path):
    with pytest.raises(ValueError, match="holds no prepared dataset"):
        pipeline.Prepared(tmp_path)


@pytest.mark.parametrize(
    "bad", [{"length": 0}, {"stride": 0}, {"cut": "slice"}, {"max_n": 1.5}]
)
def test_bad_cuttings(bad):
    with pytest.raises(ValueError, match="must be|a share"):
        cutting(**bad)
