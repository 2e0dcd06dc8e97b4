import os
import pathlib
import pickle
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
    with pytest.raises(ValueError, match=r"it names (posix|nt).mkdir"):
        torch_file.read(file)
    assert not mark.exists()


@each
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_file(file, share, tmp_path):
    whole = (GOLDEN / file).read_bytes()
    path = tmp_path / file
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="cannot be read as PyTorch's"):
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
    with pytest.raises(ValueError, match="x.bin cannot .* a zip archive without one"):
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
        assert message.startswith(f"{path} cannot be read as PyTorch's: ")
        assert "\n" not in message
