"""Packed genomes and the rows cut from them; without TensorFlow."""

import dataclasses
import io
import itertools
import zipfile

import numpy as np
import pytest

from genomenet.dna import alphabet, encode
from genomenet.models import bert, family
from genomenet.training import portable_data, portable_genome

WINDOW = family.Window(length=30, stride=20, cut="tile", max_n=0.1)
CUTS = bert.window(bert.Config(kmer=3, length=24))


@pytest.fixture(scope="module")
def contigs():
    """Of lengths that fill their last byte and that do not, with N at all places."""
    rng = np.random.default_rng(0)
    contigs = {}
    for number, length in enumerate((4000, 3001, 2002, 1003, 7, 1)):
        contigs[f"contig_{number}"] = rng.integers(0, 4, length).astype(np.uint8)
    for place in (0, 5, 100, 101, 2500, 3999):
        contigs["contig_0"][place] = alphabet.N
    contigs["contig_1"][:300] = alphabet.N
    contigs["contig_1"][1000:1150] = alphabet.N
    contigs["contig_2"][-120:] = alphabet.N
    contigs["contig_4"][:] = alphabet.N
    return contigs


@pytest.fixture(scope="module")
def genome(contigs, tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    with path.open("wb") as file:
        for name, codes in contigs.items():
            file.write(f">{name}\n".encode() + encode.decode(codes) + b"\n")
    return portable_genome.pack(str(path))


@pytest.fixture(scope="module")
def chunks(genome):
    return portable_data.plan(
        genome, splits="80/10/10", chunk_length=400, min_length=100, seed=0
    )


def rows(genome, chunks, window=WINDOW, seed=3, **changes):
    window = dataclasses.replace(window, **changes)
    return portable_data.Rows(genome, chunks["train"], window, seed=seed)


def test_a_packed_genome_comes_back(genome, contigs, tmp_path):
    assert len(genome.packed) <= sum(map(len, contigs.values())) / 4 + len(contigs)
    genome.save(tmp_path / "genome.npz")
    loaded = portable_genome.read([str(tmp_path / "genome.npz")])
    assert loaded.digest() == genome.digest()
    for found in (genome, loaded):
        assert found.names == tuple(contigs)
        for number, codes in enumerate(contigs.values()):
            np.testing.assert_array_equal(found.contig(number), codes)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 64])
def test_stretches_from_anywhere(genome, contigs, length):
    starts = np.arange(4000 - length + 1)
    expected = np.lib.stride_tricks.sliding_window_view(contigs["contig_0"], length)
    np.testing.assert_array_equal(genome.take(starts, length), expected)
    num_n = (expected == alphabet.N).sum(axis=1)
    np.testing.assert_array_equal(genome.count_n(starts, starts + length), num_n)


def test_what_is_no_packed_genome(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(ValueError, match=r"x.npz cannot be read: No such file"):
        portable_genome.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"x.npz is no packed genome"):
        portable_genome.load(path)
    np.savez(path, format=1, packed=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"no packed genome.*Python objects"):
        portable_genome.load(path)
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"x.npy is no packed genome"):
        portable_genome.load(tmp_path / "x.npy")


def arrays_of(genome):
    names = ("packed", "n_runs", "starts", "lengths")
    found = {name: getattr(genome, name).copy() for name in names}
    return {**found, "format": np.int64(1), "names": np.array(genome.names)}


def test_a_packed_genome_from_before_the_checksum_is_read(genome, tmp_path):
    np.savez(tmp_path / "x.npz", **arrays_of(genome))
    assert portable_genome.load(tmp_path / "x.npz").digest() == genome.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"packed": np.zeros((3, 2), np.uint8)},
        {"packed": np.zeros(3, np.int64)},
        {"packed": np.zeros(3, np.uint8)},
        {"packed": np.uint8(3)},
        {"starts": np.zeros(6, np.int64)},
        {"starts": np.zeros(5, np.int64)},
        {"lengths": np.full(6, 2**62)},
        {"lengths": np.full(6, -1)},
        {"n_runs": np.array([[5, 3]])},
        {"n_runs": np.array([[-5, 3]])},
        {"n_runs": np.array([[0, 2**40]])},
        {"n_runs": np.array([[8, 9], [1, 2]])},
        {"n_runs": np.array([1.0, 2.0])},
        {"names": np.array(["a"] * 6)},
        {"names": np.array([], str)},
        {"format": np.int64(2)},
        {"format": np.array([1, 2])},
        {"digest": np.array("0" * 32)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(genome, tmp_path, change):
    np.savez(tmp_path / "x.npz", **(arrays_of(genome) | change))
    with pytest.raises(ValueError, match=r"x.npz is no packed genome") as error:
        portable_genome.load(tmp_path / "x.npz")
    assert "\n" not in str(error.value)


def test_nothing_is_allocated_for_a_shape_that_the_file_does_not_hold(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (2**50,)}
    )
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("packed.npy", header.getvalue())
    with pytest.raises(ValueError, match=r"packed.npy has .* bytes, but its shape"):
        portable_genome.load(tmp_path / "x.npz")
    np.savez_compressed(tmp_path / "y.npz", packed=np.zeros(2**24, np.uint8))
    with pytest.raises(ValueError, match=r"packed.npy is compressed"):
        portable_genome.load(tmp_path / "y.npz")


def test_no_damage_to_a_packed_genome_goes_unnoticed(genome, tmp_path):
    path = tmp_path / "x.npz"
    genome.save(path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        if rng.random() < 0.2:
            data = data[: rng.integers(len(data))]
        path.write_bytes(data)
        try:
            assert portable_genome.load(path).digest() == genome.digest()
        except ValueError as e:
            assert str(path) in str(e)  # noqa: PT017
            assert "\n" not in str(e)  # noqa: PT017


def test_splits_hold_every_usable_base_once(genome, chunks):
    total = np.zeros(4 * len(genome.packed), int)
    for part in chunks.values():
        assert len(part)
        for start, end in part:
            assert 100 <= end - start <= 400
            total[start:end] += 1
    assert total.max() == 1
    assert total.sum() == 3998 + (700 + 1851) + 1882 + 1003


def test_copies_are_in_one_split_and_told(contigs, tmp_path):
    records = {f"{name}_{n}": codes for name, codes in contigs.items() for n in "ab"}
    with (tmp_path / "genome.fa").open("wb") as file:
        for name, codes in records.items():
            turned = encode.reverse_complement(codes) if name.endswith("b") else codes
            file.write(f">{name}\n".encode() + encode.decode(turned) + b"\n")
    genome = portable_genome.pack(str(tmp_path / "genome.fa"))
    lines = []
    chunks = portable_data.plan(
        genome,
        splits="80/10/10",
        chunk_length=400,
        min_length=100,
        seed=0,
        tell=lines.append,
    )
    owner = np.full(4 * len(genome.packed), "", object)
    for split, part in chunks.items():
        for start, end in part:
            owner[start:end] = split
    for first in (0, 2, 4, 6):
        a, b = (
            owner[genome.starts[n] : genome.starts[n] + genome.lengths[n]]
            for n in (first, first + 1)
        )
        assert (a == b[::-1]).all()
    assert len(lines) == 1
    assert lines[0].startswith("note: 4 contigs repeat another (on either strand)")


@pytest.mark.parametrize("max_n", [0.0, 0.1, 1.0])
def test_tiles_are_those_of_every_chunk(genome, chunks, max_n):
    expected = []
    for start, end in chunks["train"]:
        for first in range(start, end - 30 + 1, 20):
            codes = genome.take(np.array([first]), 30)[0]
            if np.mean(codes == alphabet.N) <= max_n:
                expected.append(codes.tobytes())
    found = rows(genome, chunks, max_n=max_n)
    for epoch in range(2):
        batch = found.batch(epoch * len(expected), len(expected))
        windows = [codes.tobytes() for codes in batch["bases"]]
        assert sorted(windows) == sorted(expected)
        assert windows != expected
    assert found.count() == len(expected)


def test_crops_have_one_phase_a_chunk_and_epoch(genome, chunks):
    found = rows(genome, chunks, cut="crop", max_n=1.0)
    starts = chunks["train"][:, 0]
    phases = []
    for epoch in range(30):
        places = np.sort(found._rows_of(epoch)["starts"])
        chunk = np.searchsorted(starts, places, side="right") - 1
        within = places - starts[chunk]
        assert (places + 30 <= chunks["train"][chunk, 1]).all()
        by_chunk = [set((within[chunk == c] % 20).tolist()) for c in range(len(starts))]
        assert all(len(phase) == 1 for phase in by_chunk)
        phases += [phase.pop() for phase in by_chunk]
    counts = np.bincount(phases, minlength=20)
    assert (np.abs(counts - counts.mean()) < 5 * np.sqrt(counts.mean())).all()


@pytest.mark.parametrize("window", [WINDOW, CUTS])
def test_rows_from_any_number_are_the_same(genome, chunks, window):
    whole = rows(genome, chunks, window, cut="crop")
    epoch = whole.count()
    assert epoch > 40
    expected = whole.batch(0, 3 * epoch)
    for first, size in ((0, 7), (epoch - 3, 8), (2 * epoch + 1, 16)):
        stream = rows(genome, chunks, window, cut="crop").endless(first, size)
        for i, batch in enumerate(itertools.islice(stream, 3)):
            place = first + i * size
            assert batch.keys() == expected.keys()
            for name, values in batch.items():
                here = expected[name][place : place + size]
                np.testing.assert_array_equal(values[: len(here)], here)
    other = rows(genome, chunks, window, seed=4, cut="crop").batch(0, 16)
    assert (other["bases"] != expected["bases"][:16]).any()
    assert (other["key"] != expected["key"][:16]).any()


def test_rows_of_cuts_are_of_the_genome_and_without_n(genome, contigs, chunks):
    letters = b"|".join(encode.decode(codes) for codes in contigs.values())
    batch = rows(genome, chunks, CUTS).batch(0, 500)
    assert batch["bases"].shape == batch["segment"].shape == (500, 24)
    assert (batch["bases"] != alphabet.N).all()
    np.testing.assert_array_equal(batch["bases"] == alphabet.PAD, batch["segment"] == 0)
    for bases, segment in zip(batch["bases"], batch["segment"], strict=True):
        assert encode.decode(bases[segment > 0]) in letters


def test_lengths_of_cuts_are_those_of_genemask():
    """Half have L - 1 bases; half any number from k to L - 2, all equally often."""
    total = sum(portable_data._weights(CUTS))
    bases = np.zeros((total, 23), np.uint8)
    found = portable_data.cuts(bases, np.arange(total), CUTS)["segment"]
    lengths = np.concatenate([(found == 1).sum(axis=1), (found == 2).sum(axis=1)])
    counts = np.bincount(lengths[lengths > 0], minlength=24)
    assert len(set(counts[3:23].tolist())) == 1
    assert not counts[:3].any()
    assert counts[23] == counts[3:23].sum()


def test_keys_are_of_seed_and_row():
    for first, seed in ((0, 0), (5, 7), (2**32 - 2, 2**32 - 1), (3 * 2**32 + 9, 1)):
        expected = [
            [(row >> 32) ^ seed, row % 2**32] for row in range(first, first + 4)
        ]
        found = portable_data.keys(first, 4, seed)
        assert found.dtype == np.uint32
        np.testing.assert_array_equal(found, np.array(expected))
