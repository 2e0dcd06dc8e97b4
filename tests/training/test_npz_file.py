import zipfile

import keras
import numpy as np
import pytest

from genomenet.training import npz_file


def header(shape, descr="<f4"):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def test_what_numpy_writes_is_read(tmp_path):
    arrays = {"a/b": np.ones((2, 3), "f4"), "n": np.int64(3), "s": np.array(["ab"])}
    npz_file.save(tmp_path / "x.npz", arrays)
    for name, value in npz_file.load(tmp_path / "x.npz").items():
        np.testing.assert_array_equal(value, arrays[name])


@pytest.mark.parametrize(
    ("content", "method", "message"),
    [
        (
            header((1 << 40,)) + bytes(16),
            zipfile.ZIP_STORED,
            "'a.npy' has a wrong size",
        ),
        (header((4, 1 << 60, 8)), zipfile.ZIP_STORED, "'a.npy' has a wrong size"),
        (header((5,)) + bytes(16), zipfile.ZIP_STORED, "'a.npy' has a wrong size"),
        (header((1 << 40,), "|O"), zipfile.ZIP_STORED, "allow_pickle=False"),
        (b"\x93NUMPY\x07\x00", zipfile.ZIP_STORED, "'a.npy' is not an array"),
        (b"x", zipfile.ZIP_STORED, "x.npz is not an"),
        (header((1 << 22,)) + bytes(1 << 24), zipfile.ZIP_DEFLATED, "is compressed"),
    ],
)
def test_no_more_memory_than_the_file_has_bytes(tmp_path, content, method, message):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(ValueError, match=message) as error:
        npz_file.load(path)
    assert str(error.value).startswith(str(path))


def test_members_that_claim_more_than_the_file(tmp_path):
    path = tmp_path / "x.npz"
    npz_file.save(path, {"a": np.zeros(4, "f4")})
    broken = bytearray(path.read_bytes())
    place = broken.rindex(b"PK\x01\x02")
    broken[place + 20 : place + 28] = b"\xff\xff\xff\x7f" * 2
    path.write_bytes(broken)
    with pytest.raises(ValueError, match="its arrays are larger than the file"):
        npz_file.load(path)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [(6, 121, "zip file version"), (8, 1, "encrypted")],
)
def test_archives_that_cannot_be_read(tmp_path, place, value, message):
    path = tmp_path / "x.npz"
    npz_file.save(path, {"a": np.zeros(4, "f4")})
    broken = bytearray(path.read_bytes())
    broken[broken.rindex(b"PK\x01\x02") + place] = value
    path.write_bytes(broken)
    with pytest.raises(ValueError, match=message):
        npz_file.load(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.float32("nan"), "kernel holds NaN or infinity"),
        (np.float32("inf"), "kernel holds NaN or infinity"),
        (np.float64(1), "kernel is float64, not float32"),
        (np.int32(1), "kernel is int32, not float32"),
    ],
)
def test_weights_are_finite_numbers(tmp_path, value, message):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="d")])
    path = tmp_path / "model.npz"
    npz_file.save_model(model, path, step=3)
    arrays = npz_file.load(path)
    kernel = next(name for name in arrays if name.endswith("kernel"))
    before = np.asarray(model.weights[0])
    arrays[kernel] = np.full((2, 1), value)
    npz_file.save(path, arrays)
    with pytest.raises(ValueError, match=message):
        npz_file.load_model(model, path)
    np.testing.assert_array_equal(before, model.weights[0])
