import os
import pathlib
import pickle
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from genomenet.porting import torch_file

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
FILES = ("torch_zip.bin", "torch_legacy.bin")
each = pytest.mark.parametrize("file", FILES)


@each
def test_tensors_are_those_that_were_saved(file):
    found = torch_file.read(GOLDEN / file)
    table = np.arange(12, dtype="float32").reshape(3, 4)
    expected = {
        "table": table,
        "turned": table.T,
        "row": table[1],
        "half": np.array([0.5, -1.5], "float16"),
        "counts": np.array([[1, -2]]),
        "scalar": np.array(3.25),
        "parameter": np.array([1.0, 2.0], "float32"),
    }
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert found[name].shape == value.shape
        np.testing.assert_array_equal(found[name], value)


def test_numbers_of_bfloat16(tmp_path):
    path = tmp_path / "x.bin"
    with (
        zipfile.ZipFile(GOLDEN / FILES[0]) as given,
        zipfile.ZipFile(path, "w") as archive,
    ):
        for name in given.namelist():
            content = given.read(name).replace(b"HalfStorage", b"BFloat16Storage")
            if content == np.array([0.5, -1.5], "float16").tobytes():
                content = b"\x00\x3f\xc0\xbf"
            archive.writestr(name, content)
    half = torch_file.read(path)["half"]
    assert half.dtype.name == "bfloat16"
    np.testing.assert_array_equal(half.astype("float32"), [0.5, -1.5])


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("is_zip", [True, False])
def test_what_is_pickled_is_not_run(tmp_path, is_zip):
    mark, file = tmp_path / "was_run", tmp_path / "bad.bin"
    harmful = pickle.dumps({"a": Harmful(mark)}, protocol=2)
    if is_zip:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", harmful)
    else:
        magic, version, system = (
            pickle.dumps(x, protocol=2)
            for x in (torch_file._LEGACY_MAGIC, 1001, {"little_endian": True})
        )
        file.write_bytes(magic + version + system + harmful)
    with pytest.raises(ValueError, match=r"it refers to (posix|nt).mkdir"):
        torch_file.read(file)
    assert not mark.exists()


@each
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_file(file, share, tmp_path):
    whole = (GOLDEN / file).read_bytes()
    path = tmp_path / file
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="cannot be read as a PyTorch file"):
        torch_file.read(path)


def test_anything_else(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b">a\nACGT\n")
    with pytest.raises(ValueError, match="neither a zip archive nor a pickle"):
        torch_file.read(path)
    with pytest.raises(ValueError, match="No such file"):
        torch_file.read(tmp_path / "nowhere.bin")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(ValueError, match="x.bin cannot .* 0 files data.pkl"):
        torch_file.read(path)


@each
def test_whatever_is_damaged_is_one_line_with_the_file(file, tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / file
    whole = np.frombuffer((GOLDEN / file).read_bytes(), np.uint8)
    refused = []
    for _ in range(300):
        broken = whole.copy()
        broken[rng.integers(0, len(whole), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(broken.tobytes())
        try:
            torch_file.read(path)
        except ValueError as e:
            refused.append(str(e))
    assert len(refused) > 30
    for message in refused:
        assert message.startswith(f"{path} cannot be read as a PyTorch file: ")
        assert "\n" not in message


def tensor(shape, strides, *, storage="0", size=4):
    """Returns the operations that make a tensor of float32."""
    numbers = b"".join(
        b"(" + b"".join(b"L%dL\n" % n for n in values) + b"t"
        for values in (shape, strides)
    )
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n"
        + b"X%sX\x03\0\0\0cpuL%dL\ntQ" % (_text(storage), size)
        + b"K\0"
        + numbers
        + b"tR"
    )


def _text(text):
    return len(text).to_bytes(4, "little") + text.encode()


def state_dict(tensors):
    items = b"".join(b"X" + _text(name) + value for name, value in tensors.items())
    return b"\x80\x02}(" + items + b"u."


def archive(path, content, *, method=zipfile.ZIP_STORED, data=bytes(16)):
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/data/0", data)


def test_tensors_that_are_made_by_hand(tmp_path):
    archive(tmp_path / "x.bin", state_dict({"a": tensor((2, 2), (1, 2))}))
    np.testing.assert_array_equal(
        torch_file.read(tmp_path / "x.bin")["a"], np.zeros((2, 2), "float32")
    )


LAUGHS = (  # a tuple of tuples of tuples, of which the hash takes 2^60 steps
    b"\x80\x02X\x01\0\0\0aq\x00"
    + b"".join(b"h%ch%c\x86q%c0" % (n, n, n + 1) for n in range(60))
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (state_dict({"a": tensor((1 << 40,), (0,))}), "'a' exceeds its storage"),
        (
            state_dict({"a": tensor((1 << 20, 1 << 20), (0, 0))}),
            "'a' exceeds its storage",
        ),
        (state_dict({"a": tensor((5,), (1,))}), "'a' exceeds its storage"),
        (state_dict({"a": tensor((1 << 70,), (1,))}), "a tensor has the size 118"),
        (state_dict({"a": tensor((-1,), (1,))}), "a tensor has the size -1"),
        (state_dict({"a": tensor((2,), ())}), "1 axes and 0 strides"),
        (state_dict({"a": tensor((1,) * 99, (1,) * 99)}), "99 axes"),
        (
            state_dict({"a": tensor((4,), (1,), size=1 << 40)}),
            f"'a' has 4 values instead of {1 << 40}",
        ),
        (state_dict({"a": tensor((4,), (1,), storage="9")}), "archive/data/9"),
        (b"\x80\x02Nr\xff\xff\xff\x0f.", "no dict of tensors"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "expected 2147483647 bytes"),
        (b"\x80\x05\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa.", "expected 92233720"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7fa.", "expected 92233720"),
        (LAUGHS + b"}h<K\0s.", "a key has the type tuple"),
        (LAUGHS + b"h<Q.", "unknown persistent|values to unpack"),
        (b"\x80\x02}}0", "ended|exhausted|no opcode|ends early"),
        (b"\x80\x02N2.", "unsupported operation DUP"),
        (b"\x80\x02K\x01K\x02\x86R.", "takes more|unsupported object"),
    ],
)
def test_no_more_memory_than_the_file_has_numbers(tmp_path, content, message):
    path = tmp_path / "x.bin"
    data = bytes(16)
    archive(path, content, data=data)
    tracemalloc.start()
    begin = time.monotonic()
    with pytest.raises(ValueError, match=message) as error:
        torch_file.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.monotonic() - begin < 30  # seconds, traced; a tenth without
    assert peak < 200 * path.stat().st_size + (4 << 20)
    assert len(str(error.value)) < len(str(path)) + 300


def test_a_pickle_that_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_file, "_MOST_OPERATIONS", 1000)
    archive(tmp_path / "x.bin", b"\x80\x02" + b"}" * 1000 + b".")
    with pytest.raises(ValueError, match="more than 1,000 operations"):
        torch_file.read(tmp_path / "x.bin")


def test_many_tensors_of_the_same_numbers(tmp_path):
    path, data = tmp_path / "x.bin", bytes(1 << 16)
    for count, turned in ((4, False), (100, True)):
        strides = (1, 128) if turned else (128, 1)
        one = tensor((128, 128), strides, size=1 << 14)
        archive(path, state_dict({f"{n}": one for n in range(count)}), data=data)
        if turned:
            with pytest.raises(ValueError, match="tensors are larger than the file"):
                torch_file.read(path)
        else:  # tied
            assert len(torch_file.read(path)) == count


def test_archives_that_unfold(tmp_path):
    path = tmp_path / "x.bin"
    content = state_dict({"a": tensor((4,), (1,))})
    archive(path, content, method=zipfile.ZIP_DEFLATED, data=bytes(1 << 20))
    with pytest.raises(ValueError, match="is compressed or encrypted"):
        torch_file.read(path)
    archive(path, content)
    whole = path.read_bytes()
    place = whole.rindex(b"PK\x01\x02")  # the last member, in the list of members
    broken = bytearray(whole)
    broken[place + 20 : place + 28] = b"\xff\xff\xff\x7f" * 2
    path.write_bytes(broken)
    with pytest.raises(ValueError, match="its members are larger than the file"):
        torch_file.read(path)


def test_old_files_that_claim_more_than_they_have(tmp_path):
    path = tmp_path / "x.bin"
    whole = (GOLDEN / FILES[1]).read_bytes()
    for size in (1 << 40, -1, (1 << 63) - 1, 13):
        broken = whole.replace(
            (12).to_bytes(8, "little"), size.to_bytes(8, "little", signed=True), 1
        )
        assert broken != whole
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="are truncated|cannot be read"):
            torch_file.read(path)
