"""Every folder of models/ has its card, its config and its schedule."""

import importlib.util
import json
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from genomenet import catalog, models
from genomenet.dna import encode
from genomenet.release import folder
from genomenet.training import settings

HEADINGS = [
    "Intended use",
    "Training data",
    "Metrics",
    "Limits",
    "Licence",
    "Citation",
    "How made",
]
each = pytest.mark.parametrize("name", catalog.model_names())
WEIGHTS = [p.parent.name for p in catalog.models_root().glob("*/model.weights.h5")]
TRAINED = sorted(WEIGHTS)
each_preset = pytest.mark.parametrize(
    "name", [name for name in catalog.model_names() if name not in WEIGHTS]
)
each_trained = pytest.mark.parametrize("name", TRAINED)


def read(name, file):
    return (catalog.models_root() / name / file).read_text(encoding="utf-8")


@each
def test_the_card_has_every_heading_and_words_below_it(name):
    title, *sections = re.split(r"^#{1,2} +", read(name, "README.md"), flags=re.M)[1:]
    assert title.splitlines()[0] == name
    found = {section.splitlines()[0]: section.splitlines()[1:] for section in sections}
    assert list(found) == HEADINGS
    assert all("".join(lines).strip() for lines in found.values())


@each
def test_the_config_is_valid(name):
    config = json.loads(read(name, "config.json"))
    assert list(config)[:4] == ["format", "family", "model", "training"]
    assert config["format"] == 1
    models.get_family(config["family"]).from_dict(config["model"])
    settings.from_dict(config["training"])


@pytest.mark.parametrize(
    ("name", "model", "batch_size", "steps"),
    [
        ("selfgenomenet", (150, 24, 6, 512, [3]), 512, 360 * 400),
        ("selfgenomenet_1000", (1000, 40, 20, 512, [1]), 128, 1000 * 400),
        ("selfgenomenet_1000_bacteria", (1000, 40, 20, 256, [1]), 128, 1000 * 400),
        (
            "selfgenomenet_1000_deepsea",
            (1000, 40, 20, 512, list(range(2, 20))),
            128,
            600 * 400,
        ),
    ],
)
def test_presets_have_the_published_numbers(name, model, batch_size, steps):
    config = json.loads(read(name, "config.json"))["model"]
    keys = ("length", "kernel_size", "stride", "units", "gaps")
    assert tuple(config[key] for key in keys) == model
    assert config["filters"] == 1024
    lines = read(name, "train.flags").splitlines()
    assert {f"--batch_size={batch_size}", f"--steps={steps}"} <= set(lines)
    assert {"--learning_rate=1e-4", "--schedule=constant"} <= set(lines)


@each_preset
def test_the_schedule_is_a_flagfile_for_this_model(name):
    lines = [x for x in read(name, "train.flags").splitlines() if not x.startswith("#")]
    flags = dict(re.fullmatch(r"--(\w+)=(\S+)", line).groups() for line in lines)
    assert flags["model"] == name
    assert {"steps", "batch_size", "learning_rate", "schedule"} <= set(flags)
    binary = pathlib.Path(models.__file__).parent.parent / "train.py"
    known = re.findall(r'DEFINE_\w+\(\s*"(\w+)"', binary.read_text("utf-8"))
    assert set(flags) <= set(known)


@each
def test_the_table_names_it(name):
    table = (catalog.models_root() / "README.md").read_text(encoding="utf-8")
    assert f"[`{name}`]({name}/README.md)" in table


def test_the_index_and_the_tables_are_those_of_the_files():
    path = catalog.models_root() / "update.py"
    spec = importlib.util.spec_from_file_location("update", path)
    update = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(update)
    for file, text in update.updated():
        assert file.read_text("utf-8") == text, "run python models/update.py"
    index = json.loads((catalog.models_root() / "index.json").read_text("utf-8"))
    assert list(index) == ["format", "base_url", "models"]
    assert sorted(index["models"]) == TRAINED
    sizes = [sum(f["size"] for f in m["files"]) for m in index["models"].values()]
    assert all(size <= 45e6 for size in sizes)
    assert sum(sizes) <= 150e6


@each_trained
def test_a_trained_model_gives_what_it_gave(name):
    family = models.get_family(json.loads(read(name, "config.json"))["family"])
    model = folder.load_model(name)
    saved = tf.saved_model.load(str(catalog.model_folder(name) / "saved_model"))
    cases = json.loads(read(name, "golden.json"))
    assert len(cases) == 3
    for case in cases:
        bases = encode.encode(case["sequence"])[None]
        ours = np.asarray(family.embed(model, {"bases": bases}, family.POOLS[0]))
        theirs = saved.embed([case["sequence"]])["embedding"]
        np.testing.assert_allclose(ours[0, :5], case["embed"], atol=1e-5)
        np.testing.assert_allclose(theirs[0, :5], case["embed"], atol=1e-5)


@each_trained
def test_a_trained_model_says_how_it_was_made(name):
    flags = read(name, "train.flags").splitlines()
    assert any(line.startswith("--model=") for line in flags)
    assert any(line.startswith("--dataset=") for line in flags)
    assert not any("=/" in line for line in flags)  # no absolute path
    metrics = json.loads(read(name, "metrics.json"))
    assert metrics["val_loss"] < metrics["val_chance_loss"] - 0.3
    assert metrics["val_accuracy"] > 4 * metrics["val_chance"]
