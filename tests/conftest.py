"""Set-up of every test run: backend, two CPU devices, seeds, a small FASTA."""

import os

# Both before Keras and TensorFlow are imported. Only the default is ours: the tests
# that need Keras alone also run on KERAS_BACKEND=jax, without TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if os.environ["KERAS_BACKEND"] == "jax":
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")

import importlib
import pathlib
import random
import sys

import numpy as np
import pytest

# Tests of these need no TensorFlow, which takes seconds to import.
_LIGHT = {"dna", "test_catalog.py", "test_imports.py", "test_installed.py"}
_LIGHT |= {"test_packaging.py"}


def pytest_collection_finish(session):
    """Splits the CPU in two, so that every machine can test distribution."""
    root = pathlib.Path(__file__).parent
    parts = {item.path.relative_to(root).parts[0] for item in session.items}
    if os.environ["KERAS_BACKEND"] != "tensorflow" or parts <= _LIGHT:
        return
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )


@pytest.fixture(autouse=True)
def _seeded():
    if "keras" in sys.modules:
        import keras

        keras.utils.set_random_seed(0)
    else:
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002 - what a stray global draw would use


@pytest.fixture
def binary():
    """Imports a binary and, at the end, forgets its flags: others have the same."""
    from absl import flags

    known, names = set(flags.FLAGS), []

    def load(name):
        module = f"genomenet.{name}"
        if module not in names:
            names.append(module)
        return importlib.import_module(module)

    yield load
    for flag in set(flags.FLAGS) - known:
        delattr(flags.FLAGS, flag)
    for name in names:
        del sys.modules[name]


@pytest.fixture
def call(binary, capsys):
    """Runs the main of a binary: its status, and what it prints and reports."""
    from absl import flags
    from absl.testing import flagsaver

    def call(name, *arguments):
        main = binary(name).main
        with flagsaver.flagsaver():
            flags.FLAGS([name, *arguments])
            try:
                main()
                code = 0
            except SystemExit as e:
                code = e.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def tiny_fasta(tmp_path):
    """A FASTA of three records: 700, 500 and 300 bases, 60 a line.

    The first has a stretch in lower case, the second a run of 120 N.
    """
    rng = np.random.default_rng(0)
    records = []
    for name, length in (("contig_1", 700), ("contig_2", 500), ("contig_3", 300)):
        records.append((name, "".join(rng.choice(list("ACGT"), length))))
    (first, soft), (second, gapped), third = records
    records = [
        (first, soft[:100] + soft[100:200].lower() + soft[200:]),
        (second, gapped[:190] + "N" * 120 + gapped[310:]),
        third,
    ]
    path = tmp_path / "tiny.fa"
    with path.open("w") as file:
        for name, bases in records:
            file.write(f">{name} a test contig\n")
            for start in range(0, len(bases), 60):
                file.write(bases[start : start + 60] + "\n")
    return path


@pytest.fixture(scope="session")
def tiny_genome(tmp_path_factory):
    """The folder of a prepared dataset: six contigs of 3 kb in chunks of 400."""
    from genomenet.data import building, recipes

    folder = tmp_path_factory.mktemp("tiny_genome")
    rng = np.random.default_rng(1)
    with (folder / "genome.fa").open("w") as file:
        for number in range(6):
            file.write(f">contig_{number}\n{''.join(rng.choice(list('ACGT'), 3000))}\n")
    directory, _ = building.prepare(
        "tiny",
        lambda root: recipes.GenomeChunks(
            name="tiny", sources=[folder / "genome.fa"], data_dir=root, chunk_length=400
        ),
        data_dir=folder,
        show_progress=False,
    )
    return directory
