"""The files around the package agree with each other and with the package."""

import importlib
import importlib.metadata
import pathlib
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest
from packaging import requirements, utils

import genomenet

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def pins():
    """Returns the requirements of requirements.txt by name."""
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    found = [
        requirements.Requirement(x.split("#")[0]) for x in lines if x[:1].isalpha()
    ]
    return {
        utils.canonicalize_name(requirement.name): requirement for requirement in found
    }


def run(*command, cwd):
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "line",
    PROJECT["dependencies"] + PROJECT["optional-dependencies"]["eval"],
)
def test_every_core_and_eval_dependency_is_pinned_within_its_range(line):
    wanted = requirements.Requirement(line)
    pinned = pins()[utils.canonicalize_name(wanted.name)]
    (pin,) = pinned.specifier
    assert pin.operator == "=="
    assert wanted.specifier.contains(pin.version)
    assert pinned.extras == wanted.extras


def test_rpy2_is_an_extra_only():
    assert "rpy2" not in pins()
    assert PROJECT["optional-dependencies"]["r"]


def test_eval_is_part_of_dev():
    extras = PROJECT["optional-dependencies"]
    assert set(extras["eval"]) <= set(extras["dev"])


def test_versions_agree():
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\n## {genomenet.__version__}\n" in changes
    assert f"\nversion: {genomenet.__version__}\n" in citation


def test_the_address_of_the_repository_is_that_of_pyproject():
    """A move changes `project.urls`, and then what this test names."""
    owner = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
    folders = [ROOT / x for x in ("docs", "colabs", "models", "datasets", "genomenet")]
    paths = [path for folder in folders for path in folder.rglob("*.*")]
    texts = [p for p in paths if p.suffix in (".md", ".ipynb", ".py")]
    found = {}
    for path in [
        *texts,
        *ROOT.glob("*.md"),
        ROOT / "mkdocs.yml",
        ROOT / "CITATION.cff",
    ]:
        text = path.read_text("utf-8")
        for name in re.findall(r"github(?:\.com)?/([\w-]+/genomenet)\b", text):
            found.setdefault(name, []).append(path.relative_to(ROOT).as_posix())
    assert set(found) == {owner}, found


def test_r_packages_are_of_one_named_release():
    header, *rest = (ROOT / "requirementsR.txt").read_text("utf-8").splitlines()
    assert re.match(r"# R \d+\.\d+, Bioconductor \d+\.\d+", header)
    packages = dict(line.split(" ") for line in rest if not line.startswith("#"))
    assert set(packages) >= {
        "rGADEM",
        "Biostrings",
        "GenomicRanges",
        "BSgenome",
        "seqLogo",
    }
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", x) for x in packages.values())


def test_ci_runs_the_test_command_of_the_readme():
    """.ci/run takes the line out of the README; there is exactly one."""
    readme = (ROOT / "README.md").read_text("utf-8")
    lines = [x for x in readme.splitlines() if x.startswith("pip install -r")]
    assert lines == [
        "pip install -r requirements.txt && python -m genomenet.train "
        "--model=selfgenomenet",
        "pip install -r requirements.txt -e '.[dev]' && python -m pytest",
    ]


def test_importing_genomenet_is_quick():
    code = (
        "import sys, genomenet\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'Bio'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    run(sys.executable, "-c", code, cwd=ROOT)


def test_subpackages_are_reached_without_importing_them():
    code = (
        "import genomenet\n"
        "print(genomenet.losses.reverse_complement_contrastive.__name__)"
    )
    assert run(sys.executable, "-c", code, cwd=ROOT).strip() == (
        "reverse_complement_contrastive"
    )


def test_every_public_name_is_there_and_none_hides_a_submodule():
    submodules = {path.stem for path in (ROOT / "genomenet").iterdir()}
    for name in genomenet.__all__:
        value = getattr(genomenet, name)
        if name in submodules:
            assert value is importlib.import_module(f"genomenet.{name}")
    assert set(genomenet.__all__) <= set(dir(genomenet))


def test_every_package_is_a_public_name():
    folders = {path.parent.name for path in (ROOT / "genomenet").glob("*/__init__.py")}
    assert folders <= set(genomenet.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        genomenet.nothing  # noqa: B018


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation"),
        *("--outdir", folder),
        cwd=ROOT,
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_carries_both_catalogues_the_weights_and_one_genome(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {
        "genomenet",
        f"genomenet-{genomenet.__version__}.dist-info",
    }
    for model in genomenet.catalog.model_names():
        assert f"genomenet/_models/{model}/config.json" in names
    for dataset in genomenet.catalog.dataset_names():
        folder = f"genomenet/_datasets/{dataset}"
        assert f"{folder}/{dataset}_dataset_builder.py" in names
    assert "genomenet/_models/index.json" in names
    assert "genomenet/py.typed" in names
    assert any(re.match(r"genomenet/_datasets/ecoli_k12/.*\.fa\.gz$", x) for x in names)
    trained = {path.parent.name for path in (ROOT / "models").glob("*/*.weights.h5")}
    assert trained
    for model in trained:
        assert f"genomenet/_models/{model}/model.weights.h5" in names
    left_out = r"/dummy_data/|/saved_model/|\.pyc$"
    assert not [name for name in names if re.search(left_out, name)]
    assert wheel.stat().st_size < 100e6


@pytest.mark.slow
def test_an_installed_wheel_lists_both_catalogues(wheel, tmp_path):
    """In an empty environment: the catalogue needs no dependency."""
    run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-deps", wheel, cwd=tmp_path)
    code = (
        "from genomenet import catalog\n"
        "print(*catalog.model_names())\n"
        "print(*catalog.dataset_names())\n"
        "print(catalog.dataset_folder('ecoli_k12'))"
    )
    models, datasets, folder = run(python, "-c", code, cwd=tmp_path).splitlines()
    assert models.split() == genomenet.catalog.model_names()
    assert datasets.split() == genomenet.catalog.dataset_names()
    assert pathlib.Path(folder).is_relative_to(tmp_path / "env")
    assert list(pathlib.Path(folder).glob("*.fa.gz"))
