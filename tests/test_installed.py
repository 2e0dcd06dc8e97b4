"""As a newcomer: an empty environment, an installation by address, no checkout.

What is installed is the latest commit, not what has been changed since.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOTEBOOKS = ("finetuning.ipynb", "pretraining.ipynb")
COLAB = "3.12"  # the Python of Google Colab
ADDRESS = f"git+file://localhost{ROOT}"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PUBLISHED = PROJECT["urls"]["Repository"]  # as the notebooks name it

pytestmark = pytest.mark.slow


def colab_python() -> str | None:
    """Returns Colab's version of Python if this machine has it and it runs."""
    found = [shutil.which(f"python{COLAB}")]
    if pyenv := shutil.which("pyenv"):
        command = [pyenv, "whence", "--path", f"python{COLAB}"]
        done = subprocess.run(command, capture_output=True, text=True)
        found += done.stdout.split()
    for path in filter(None, found):
        done = subprocess.run([path, "-c", "import venv"], capture_output=True)
        if done.returncode == 0:
            return path
    return None


def environment() -> dict[str, str]:
    """Returns variables in which nothing leads to the checkout but the address.

    Nor is there a backend of Matplotlib, with which a notebook would show no figure.
    """
    left_out = "PYTHONPATH", "PWD", "MPLBACKEND"
    return {k: v for k, v in os.environ.items() if k not in left_out} | {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://localhost{ROOT}.insteadOf",
        "GIT_CONFIG_VALUE_0": PUBLISHED,
    }


def run(*command, cwd):
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_environment(interpreter, folder):
    run(interpreter, "-m", "venv", folder, cwd=folder.parent)
    return folder / "bin" / "python"


def write_inputs(folder):
    """Writes a genome, and a table in which one class holds a site."""
    draw = random.Random(0)
    letters = ["".join(draw.choices("ACGT", k=120)) for _ in range(120)]
    rows = [
        (x[:50] + "TGCTGAGTCAGCA" + x[63:] if n % 2 else x, ("no", "bound")[n % 2])
        for n, x in enumerate(letters)
    ]
    table = "".join(f"{sequence}\t{label}\n" for sequence, label in rows)
    (folder / "labelled.tsv").write_text(f"sequence\tlabel\n{table}")
    (folder / "genome.fa").write_text(f">one\n{''.join(letters[:20])}\n")


def check_commands(python, folder):
    """Loads every released model, fine-tunes one, predicts and embeds."""
    write_inputs(folder)
    code = (
        "import genomenet, pathlib\n"
        "trained = [n for n, kind in genomenet.list_models().items()"
        " if kind != 'preset']\n"
        "for name in trained: genomenet.load_model(name)\n"
        "print(pathlib.Path(genomenet.__file__).parent, *trained)"
    )
    package, *trained = run(python, "-c", code, cwd=folder).splitlines()[-1].split()
    assert pathlib.Path(package).is_relative_to(python.parent.parent)
    assert trained == sorted(x.parent.name for x in ROOT.glob("models/*/*.weights.h5"))
    command = python, "-m"
    run(
        *(*command, "genomenet.finetune", "--model=selfgenomenet_chr20"),
        *("--table=labelled.tsv", "--workdir=sites", "--epochs=2"),
        cwd=folder,
    )
    run(
        *(*command, "genomenet.predict", "--model=sites/export/sites"),
        *("--input=genome.fa", "--output=predicted.tsv"),
        cwd=folder,
    )
    assert "bound" in (folder / "predicted.tsv").read_text().splitlines()[0]
    run(
        *(*command, "genomenet.embed", "--model=logo6_genemask_human"),
        *("--input=genome.fa", "--output=embedded.parquet"),
        cwd=folder,
    )
    assert (folder / "embedded.parquet").stat().st_size


def check_notebooks(python, folder):
    """Runs the notebooks, of which the first installs the package by itself."""
    run(python, "-m", "pip", "install", "-q", "nbclient", "ipykernel", cwd=folder)
    for name in NOTEBOOKS:
        path = folder / name
        shutil.copy(ROOT / "colabs" / name, path)
        executable = python.parent / "jupyter-execute"
        run(executable, "--inplace", "--timeout=1800", path, cwd=folder)
        cells = json.loads(path.read_text())["cells"]
        text = json.dumps([cell.get("outputs") for cell in cells])
        assert "image/png" in text


@pytest.fixture
def empty(tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("only a repository has an address")
    (tmp_path / "work").mkdir()
    return tmp_path


def test_an_installation_from_the_repository_works_in_an_empty_folder(empty):
    python = make_environment(sys.executable, empty / "env")
    package = f"genomenet[eval,motifs] @ {ADDRESS}"
    run(python, "-m", "pip", "install", "-q", package, cwd=empty)
    check_commands(python, empty / "work")


def test_the_notebooks_install_the_package_and_run_in_an_empty_folder(empty):
    """On Colab's Python where there is one."""
    python = make_environment(colab_python() or sys.executable, empty / "env")
    check_notebooks(python, empty / "work")
