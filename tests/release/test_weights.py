"""Every weight or none: what a release's config and weights may not be."""

import json
import os
import pathlib
import re
import shutil
import time

import h5py
import numpy as np
import pytest

from genomenet import models
from genomenet.models import bert, family, selfgenomenet
from genomenet.models import classifier_config as config_lib
from genomenet.release import folder, weights

KERNEL = "layers/context_net/encoder/vars/0"
MODEL = {
    "length": 60,
    "kernel_size": 8,
    "stride": 4,
    "filters": 16,
    "units": 8,
    "gaps": [2],
}
CLASSIFIER = {"task": "binary", "classes": ["no", "yes"], "window": 60, "length": 60}
BERT = {
    "kmer": 3,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 30,
    "length": 30,
}


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """Releases of three kinds, by name."""
    root = tmp_path_factory.mktemp("releases")
    for name, content in (
        ("encoder", {"family": "selfgenomenet", "model": MODEL}),
        ("bert", {"family": "bert", "model": BERT}),
        (
            "classifier",
            {
                "family": "selfgenomenet",
                "model": MODEL,
                "classifier": config_lib.to_dict(config_lib.from_dict(CLASSIFIER)),
            },
        ),
    ):
        (root / name).mkdir()
        content = {"format": 1, "training": {"steps": 3, "seed": 0}, **content}
        members = models.get_family(content["family"])
        content["model"] = members.to_dict(members.from_dict(content["model"]))
        file = root / name / "model.weights.h5"
        family.save_weights(folder.build(content), file)
        content["weights"] = {
            **weights.describe(file),
            "config_sha256": folder.digest(content),
        }
        (root / name / "config.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def copy(releases, tmp_path):
    """Copies a release of before there were checksums, to be damaged."""

    def copied(name="encoder", *, is_old=True):
        for file in ("config.json", "model.weights.h5"):
            (tmp_path / name).mkdir(exist_ok=True)
            shutil.copy(releases / name / file, tmp_path / name)
        if is_old:
            edit(tmp_path / name, lambda c: c.pop("weights"))
        return tmp_path / name

    return copied


def edit(path, change):
    file = path / "config.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def refused(path, file="config.json"):
    """Returns the one line with which a folder is refused, at once."""
    begin = time.monotonic()
    with pytest.raises(ValueError, match=file) as error:
        folder.load_model(path)
    assert time.monotonic() - begin < 2
    message = str(error.value)
    assert message.startswith(str(path / file))
    assert "\n" not in message
    return message.removeprefix(str(path / file))


@pytest.mark.parametrize("name", ["encoder", "bert", "classifier"])
def test_releases_with_and_without_a_checksum_are_read(copy, name):
    ours, old = (folder.load_model(copy(name, is_old=old)) for old in (False, True))
    for a, b in zip(ours.weights, old.weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["encoder", "bert", "classifier"])
def test_parameters_are_counted_without_a_model(releases, name):
    content = folder.read_config(releases / name)
    assert folder.count_parameters(content) == folder.build(content).count_params()


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize(
    ("members", "fields"),
    [
        (selfgenomenet, {**MODEL, "objective": "cpc", "gaps": [2, 3]}),
        (selfgenomenet, {**MODEL, "gaps": [1, 2, 4]}),
        (bert, {**BERT, "pooler": False}),
        (bert, {**BERT, "type_vocab_size": 1}),
    ],
)
def test_parameters_of_a_family(members, fields, head):
    config = members.from_dict(fields)
    expected = members.build(config, head=head).count_params()
    assert members.num_parameters(config, head=head) == expected


def test_every_altered_byte_is_an_error(copy):
    path = copy(is_old=False)
    file = path / "model.weights.h5"
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 100):
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(broken)
        assert "its sha256 is" in refused(path, "model.weights.h5")
    file.write_bytes(whole[:-1])
    assert f"its size is {len(whole) - 1} bytes" in refused(path, "model.weights.h5")


def test_an_altered_config_is_an_error(copy):
    path = copy(is_old=False)
    edit(path, lambda c: c["training"].update(steps=7))
    folder.load_model(path)
    edit(path, lambda c: c["model"].update(stride=5))
    assert "config_sha256" in refused(path)
    edit(path, lambda c: c["weights"].pop("config_sha256"))
    folder.load_model(path)


def test_a_damaged_file_without_a_checksum_is_one_line(copy):
    path = copy()
    file = path / "model.weights.h5"
    whole = file.read_bytes()
    rng, wrong = np.random.default_rng(0), 0
    for place in rng.integers(0, 3000, 40):
        broken = bytearray(whole)
        broken[place] = rng.integers(256)
        file.write_bytes(broken)
        try:
            folder.load_model(path)
        except ValueError as e:
            assert str(e).startswith(f"{file} does not match the model: ")  # noqa: PT017
            assert "\n" not in str(e)  # noqa: PT017
            wrong += 1
    assert wrong > 4


def replace(file, name, values, **options):
    del file[name]
    file.create_dataset(name, data=values, **options)


def bomb(file):
    del file[KERNEL]
    file.create_dataset(KERNEL, (1 << 20, 1 << 20), "float32", chunks=(64, 64))


def late_bomb(file):
    """An array of a terabyte, of which nothing is in the file."""
    del file[KERNEL]
    file.create_dataset(KERNEL, (1 << 20, 1 << 18), "float32")


def external(file):
    values, name = file[KERNEL][:], f"{file.filename}.raw"
    pathlib.Path(name).write_bytes(values.tobytes())
    del file[KERNEL]
    file.create_dataset(
        KERNEL, values.shape, "float32", external=[(name, 0, values.nbytes)]
    )


def virtual(file):
    values = file[KERNEL][:]
    file["elsewhere"] = values
    layout = h5py.VirtualLayout(values.shape, "float32")
    layout[...] = h5py.VirtualSource(file["elsewhere"])
    del file[KERNEL]
    file.create_virtual_dataset(KERNEL, layout)
    del file["elsewhere"]


def link(file, to):
    del file[KERNEL]
    file[KERNEL] = to


def set_value(file, value):
    file[KERNEL][1, 2, 3] = value


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: f.create_dataset("layers/evil/vars/0", data=np.ones(3, "f4")),
            "unexpected: .*evil/vars/0",
        ),
        (
            lambda f: f.create_dataset("evil", data=np.ones(3, "f4")),
            r"unexpected: evil \(3,\)",
        ),
        (lambda f: f.create_dataset("evil", (0,), "f4"), r"unexpected: evil \(0,\)"),
        (
            lambda f: f.create_dataset("evil", data="x"),
            "'evil' contains values of type",
        ),
        (
            lambda f: f.__delitem__(KERNEL),
            "it has 888 parameters, but the model of config.json has 1,400",
        ),
        (lambda f: replace(f, KERNEL, f[KERNEL][:].astype("f8")), "type float64"),
        (lambda f: replace(f, KERNEL, f[KERNEL][:].astype("f2")), "type float16"),
        (lambda f: replace(f, KERNEL, f[KERNEL][:].astype(">f4")), "type >f4"),
        (lambda f: replace(f, KERNEL, np.zeros((8, 4, 16), "i4")), "contains integers"),
        (lambda f: replace(f, KERNEL, np.zeros((8, 4, 16), "?")), "contains integers"),
        (lambda f: replace(f, KERNEL, f[KERNEL][:].T), r"unexpected: .* \(16, 4, 8\)"),
        (
            lambda f: replace(f, KERNEL, f[KERNEL][:], compression="gzip"),
            "is compressed",
        ),
        (bomb, "is compressed, chunked"),
        (late_bomb, "has 0 bytes, not"),
        (external, "stored in another file"),
        (virtual, "stored in another file"),
        (lambda f: link(f, h5py.SoftLink(f"/{KERNEL}")), "is a link"),
        (lambda f: link(f, h5py.ExternalLink("a.h5", "/b")), "is a link"),
        (lambda f: link(f, f["layers"]), "also occurs under another name"),
        (lambda f: f.__setitem__("a", f[KERNEL]), "also occurs under another name"),
        (lambda f: link(f, np.dtype("f4")), "is not an array"),
        (lambda f: link(f, h5py.Empty("f4")), "is empty"),
        (lambda f: set_value(f, np.nan), "/encoder/vars/0' contains NaN or infinity"),
        (lambda f: set_value(f, -np.inf), "/encoder/vars/0' contains NaN or infinity"),
        (
            lambda f: f.move("projections/dense", "projections/other"),
            "projection_2.*expected 2 variables, but received 0",
        ),
    ],
)
def test_weights_that_are_not_the_models(copy, damage, message):
    path = copy()
    with h5py.File(path / "model.weights.h5", "a") as file:
        damage(file)
    found = refused(path, "model.weights.h5")
    pattern = f" does not match the model: .*{message}"
    assert re.match(pattern, found), found


@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_hdf5(copy, content):
    path = copy()
    (path / "model.weights.h5").write_bytes(content)
    assert "is damaged (" in refused(path, "model.weights.h5")


def test_weights_that_are_no_file(copy):
    path = copy()
    (path / "model.weights.h5").unlink()
    os.symlink("model.weights.h5", path / "model.weights.h5")
    assert "is not a file" in refused(path, "model.weights.h5")
    (path / "model.weights.h5").unlink()
    (path / "model.weights.h5").mkdir()
    assert "is not a file" in refused(path, "model.weights.h5")


def test_a_config_with_fewer_layers(copy):
    path = copy("bert")
    edit(path, lambda c: c["model"].update(num_hidden_layers=1))
    found = refused(path, "model.weights.h5")
    assert "unexpected: backbone/layers/encoder_block_1/inner" in found
    assert "and 13 more" in found


@pytest.mark.parametrize("part", ["model", "classifier"])
def test_a_trained_model_has_every_field(copy, part):
    path = copy("classifier")
    content = json.loads((path / "config.json").read_text())
    for key in content[part]:
        whole = (path / "config.json").read_text()
        edit(path, lambda c, key=key: c[part].pop(key))
        # Empty by default, or newer than some releases.
        if key in (
            *("positive", "readout", "strands", "members", "encoders"),
            "temperature",
        ):
            folder.load_model(path)
        else:
            found = refused(path)
            assert repr(key) in found or "binary with 0 classes" in found
        (path / "config.json").write_text(whole)


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("model", "units", 15_000, "15,.*|too large|it has"),
        ("model", "units", 10**12, "too large"),
        ("model", "stride", True, "stride must be an integer, got True"),
        ("model", "stride", 4.0, "stride must be an integer, got 4.0"),
        ("model", "gaps", [[2]], "gaps must be a list of integers"),
        ("model", "gaps", "2", "gaps must be a list of integers"),
        ("model", "gaps", [True], "gaps must be a list of integers"),
        ("model", "objective", ["cpc"], "objective must be a string"),
        ("model", "objective", "a\x1b[31m", r"control character U\+001B: 'a\\x1b"),
        ("model", "evil", 1, "has no 'evil'"),
        ("classifier", "length", 100.5, "length must be an integer, got 100.5"),
        ("classifier", "mean", [2, 2], "mean must be a finite number"),
        ("classifier", "mean", True, "mean must be a finite number"),
        ("classifier", "scale", float("nan"), "NaN is not a finite number"),
        ("classifier", "augment", 1, "augment must be true or false, got 1"),
        ("classifier", "both_strands", "yes", "both_strands must be true or false"),
        ("classifier", "classes", 1.5, "classes must be a list of strings"),
        ("classifier", "classes", "ab", "classes must be a list of strings"),
        ("classifier", "classes", ["no", 1], "classes must be a list of strings"),
        ("classifier", "classes", ["no", None], "classes must be a list of strings"),
        ("classifier", "classes", ["yes", "yes"], "two classes have the same name"),
        ("classifier", "classes", ["no", "\ud800"], "unpaired surrogate"),
        ("classifier", "classes", ["no", "a\tb"], r"control character U\+0009"),
        ("classifier", "classes", ["no", "a\nb"], r"control character U\+000A"),
        ("classifier", "classes", ["no", "a\u202eb"], r"control character U\+202E"),
        ("classifier", "classes", ["no", ""], "a class has no name"),
        ("classifier", "classes", ["no", " "], "a class has no name"),
        ("classifier", "task", None, "task must be a string, got None"),
        ("classifier", "window", 10**9, "a window of 1000000000 bases is out of"),
        ("training", "steps", 2.5, "steps must be an integer, got 2.5"),
        ("training", "seed", True, "seed must be an integer, got True"),
        ("training", "schedule", "\x07", r"control character U\+0007"),
        ("training", "learning_rate", "1e-3", "learning_rate must be a finite"),
        ("training", "jit_compile", 0, "jit_compile must be true or false"),
        (None, "family", ["bert"], r"unknown family \['bert'\]"),
        (None, "family", None, "unknown family None"),
        (None, "format", True, "is not a model of format 1"),
        (None, "model", [], 'has no "model"'),
        (None, "training", [], "'training' must be an object"),
        (None, "classifier", None, "'classifier' must be an object"),
        (None, "weights", {"size": "1"}, "'weights' must have"),
        (None, "weights", 3, "'weights' must be an object"),
    ],
)
def test_fields_of_a_config(copy, part, key, value, message):
    path = copy("classifier")
    edit(path, lambda c: (c[part] if part else c).update({key: value}))
    with pytest.raises(ValueError, match=message) as error:
        folder.load_model(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_config_without_a_format(copy):
    path = copy("classifier")
    edit(path, lambda c: c.pop("format"))
    with pytest.raises(ValueError, match='lacks "format": 1'):
        folder.load_model(path)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("bert", {"num_hidden_layers": 1_000_000}, "num_hidden_layers must be at most"),
        ("bert", {"num_hidden_layers": 200}, "it has .* parameters, but the model"),
        ("bert", {"hidden_size": 1 << 40}, "too large"),
        ("bert", {"max_position_embeddings": 1 << 50}, "too large"),
        ("encoder", {"units": 14_000}, "it has .* parameters, but the model of config"),
        ("encoder", {"filters": 1 << 60}, "too large"),
        ("encoder", {"gaps": list(range(1, 2000)), "length": 9000}, "gaps .* 256"),
    ],
)
def test_sizes_are_compared_before_anything_is_made(copy, name, values, message):
    path = copy(name)
    edit(path, lambda c: c["model"].update(values))
    begin = time.monotonic()
    with pytest.raises(ValueError, match=message):
        folder.load_model(path)
    assert time.monotonic() - begin < 2


def test_a_preset_may_use_defaults_but_has_a_limit(tmp_path):
    content = {"format": 1, "family": "bert", "model": {"kmer": 3}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert folder.read_config(tmp_path)["training"] == {}
    edit(tmp_path, lambda c: c["model"].update(hidden_size=12_000))
    with pytest.raises(ValueError, match=r"config.json: a model of [\d,]+ parameters"):
        folder.read_config(tmp_path)
    edit(tmp_path, lambda c: c.update(model={"kmer": 3}, training={"step": 3}))
    with pytest.raises(ValueError, match=r"config.json: training has no 'step'"):
        folder.read_config(tmp_path)
