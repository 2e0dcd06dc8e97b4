import os
import random

import numpy as np
import pytest

from genomenet.data import packed_chunks, rows
from genomenet.dna import alphabet, tiling


@pytest.fixture(scope="module")
def chunks():
    rng = np.random.default_rng(0)
    found = []
    for number, (split, contig, start) in enumerate(
        (s, f"chr{c}", 500 * i)
        for c, s in ((2, "train"), (10, "train"), (1, "test"))
        for i in range(4)
    ):
        codes = rng.integers(0, 4, 400 + number).astype(np.uint8)
        codes[7 * number : 9 * number] = alphabet.N
        found.append((split, contig, start, codes))
    return found


@pytest.fixture
def written(chunks, tmp_path):
    return packed_chunks.of(chunks, tmp_path / "packed.npz")


def test_chunks_come_back_in_the_order_of_contigs_and_starts(written, chunks):
    assert written.contigs == ("chr1", "chr10", "chr2")
    assert written.splits == ("test", "train")
    assert written.bases() == {
        split: sum(len(c[3]) for c in chunks if c[0] == split)
        for split in ("test", "train")
    }
    expected = sorted(chunks, key=lambda chunk: (chunk[1], chunk[2]))
    for split in written.splits:
        own = [codes for name, _, _, codes in expected if name == split]
        intervals = written.intervals(split)
        assert len(intervals) == len(own)
        for (start, end), codes in zip(intervals, own, strict=True):
            found = written.genome.take(np.array([start]), end - start)[0]
            np.testing.assert_array_equal(found, codes)
    assert packed_chunks.verify(written)
    with pytest.raises(ValueError, match="no split 'dev'; there are test, train"):
        written.intervals("dev")


def test_rows_and_digest_do_not_depend_on_the_order_of_writing(
    written, chunks, tmp_path
):
    shuffled = random.Random(0).sample(chunks, len(chunks))
    other = packed_chunks.of(shuffled, tmp_path / "other.npz")
    assert other.digest == written.digest
    window = tiling.Window(length=50, stride=50)
    a, b = (
        rows.Rows(x.genome, x.intervals("train"), window, seed=1).batch(0, 64)
        for x in (written, other)
    )
    np.testing.assert_array_equal(a["bases"], b["bases"])


@pytest.mark.parametrize("change", ["base", "n", "start", "split", "contig"])
def test_the_digest_tells_other_chunks(written, chunks, tmp_path, change):
    split, contig, start, codes = chunks[3]
    codes = codes.copy()
    if change == "base":
        codes[-1] ^= 1
    elif change == "n":
        codes[np.flatnonzero(codes == 0)[0]] = alphabet.N
    other = {
        "start": (split, contig, start + 1, codes),
        "split": ("test", contig, start, codes),
        "contig": (split, "chr3", start, codes),
    }.get(change, (split, contig, start, codes))
    found = [*chunks[:3], other, *chunks[4:]]
    assert packed_chunks.of(found, tmp_path / "x.npz").digest != written.digest


def test_what_is_no_file_of_chunks(chunks, tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(ValueError, match=r"x.npz cannot be read: No such file"):
        packed_chunks.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"x.npz holds no packed chunks"):
        packed_chunks.load(path)
    np.savez(path, format=2, codes=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"codes is not a plain array"):
        packed_chunks.load(path)
    np.savez(path, format=1)
    with pytest.raises(ValueError, match=r"format 1 is not 2"):
        packed_chunks.load(path)
    packed_chunks.of(chunks, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"x.npz holds no packed chunks"):
        packed_chunks.load(path)
    flipped = bytearray(whole)
    flipped[500] ^= 4
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match="holds no packed chunks: Bad CRC-32"):
        packed_chunks.load(path)


def test_nothing_is_left_of_a_file_that_was_not_finished(chunks, tmp_path):
    broken = [*chunks[:2], ("train", "chr1", 0, np.array(["A"]))]
    with pytest.raises(TypeError):
        packed_chunks.of(broken, tmp_path / "x.npz")
    assert not os.listdir(tmp_path)
