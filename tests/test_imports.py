"""The directions of imports in genomenet, read from the source.

dna ◄── data ◄── training ◄── release ◄── inference ◄── evaluation, interpret ◄── api
models ──► layers, losses ──► dna       motifs/discovery ──► dna       commands ──► all
"""

import ast
import itertools
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "genomenet"
FILES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
    if not path.relative_to(PACKAGE).parts[0].startswith("_") or path.parent == PACKAGE
}
BINARIES = {
    "audit.py",
    "build_dataset.py",
    "convert.py",
    "embed.py",
    "evaluate.py",
    "export.py",
    "find_motifs.py",
    "finetune.py",
    "mutate.py",
    "predict.py",
    "rank_kmers.py",
    "score_variants.py",
    "train.py",
}
FAMILIES = {path.parent.name for path in PACKAGE.glob("models/*/__init__.py")}

# What is known of flags beside the commands themselves.
OF_COMMANDS = {"command_flags.py", "startup.py"}

# What a part may import of genomenet, beside itself: the longest prefix of its path
# counts. Commands may import all, and nothing imports them.
_BASE = {"atomic", "catalog", "compiled", "html_page", "json_file", "startup"}
_BASE |= {"task_kinds"}
_MODELS = {"dna", "layers", "losses", "models"}
ALLOWED = {
    "atomic": set(),
    "catalog": set(),
    "compiled": {"dna"},
    "command_flags": {"task_kinds"},
    "html_page": set(),
    "json_file": set(),
    "startup": {"atomic"},
    "task_kinds": set(),
    "dna": set(),
    "data": {"dna", "catalog", "atomic", "startup", "task_kinds"},
    "layers": {"dna"},
    "losses": {"dna", "layers"},
    "models": {"dna", "layers", "losses", "task_kinds"},
    "training": _MODELS | {"atomic", "compiled", "data", "startup", "task_kinds"},
    "porting": {"dna", "models", "atomic", "json_file"},
    "release": _BASE | _MODELS | {"data", "training"},
    "inference": _BASE | _MODELS | {"data", "release"},
    "evaluation": _BASE | _MODELS | {"data", "training", "release", "inference"},
    "motifs": {"dna", "atomic", "html_page"},
    "motifs/discovery": {"dna"},
    "interpret": {
        "dna",
        "atomic",
        "compiled",
        "data",
        "layers",
        "models",
        "inference",
        "motifs",
        "task_kinds",
    },
    "variants": _BASE | {"dna", "data", "inference", "models", "motifs", "release"},
}
THIRD_PARTY = {
    "atomic": {"filelock"},
    "catalog": set(),
    "html_page": {"jinja2"},
    "json_file": set(),
    "startup": {"absl", "tensorflow", "tqdm"},
    "dna": {"numpy", "Bio"},
    "layers": {"keras", "numpy"},
    "losses": {"keras", "numpy"},
    "models": {"keras", "numpy"},
}
TENSORFLOW = (
    "data/",
    "training/",
    "inference/",
    "release/signatures.py",
    "release/parts.py",
    "release/saved.py",
    "interpret/",
    "startup.py",
    "compiled.py",
    *BINARIES,
)


def part(file):
    """`models/bert/config.py` → models; `catalog.py` → catalog."""
    return file.split("/")[0].removesuffix(".py")


def imports(tree):
    """Yields the full name of everything that is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(file):
    """Yields the parts of genomenet that a file imports, without itself."""
    for name in imports(FILES[file]):
        parts = name.split(".")
        if parts[0] == "genomenet" and len(parts) > 1 and parts[1] != part(file):
            yield parts[1]


def source(tree, name):
    """Returns the source of what is assigned to a name at the top, else \"\"."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.unparse(node.value).replace("'", '"')
    return ""


def loaded(start):
    """Yields files that run when `start` does: its imports, and theirs at the top."""
    todo, seen = [start], set()
    while todo:
        file = todo.pop()
        if file in seen or file not in FILES:
            continue
        seen.add(file)
        yield file
        tree = FILES[file] if file == start else at_the_top(FILES[file])
        for name in imports(tree):
            stems = [
                p for p in itertools.accumulate(name.split(".")[1:], "{}/{}".format)
            ]
            todo += [f"{s}{end}" for s in stems for end in (".py", "/__init__.py")]


def at_the_top(tree):
    """Returns the statements that run on import."""
    kinds = (ast.Import, ast.ImportFrom)
    return ast.Module([node for node in tree.body if isinstance(node, kinds)], [])


def third_party(file):
    tops = {name.split(".")[0] for name in imports(FILES[file])}
    return tops - {"genomenet"} - set(sys.stdlib_module_names)


files = pytest.mark.parametrize("file", FILES)


@files
def test_parts_import_only_what_lies_below_them(file):
    if file == "__init__.py":
        return
    if file in BINARIES or part(file) in ("api", "__main__"):
        return
    rules = [
        prefix
        for prefix in ALLOWED
        if f"{file}/".startswith((prefix + "/", prefix + ".py/"))
    ]
    allowed = ALLOWED[max(rules, key=len)]
    for name in own(file):
        assert name in allowed, f"{file} imports genomenet.{name}"


@files
def test_nothing_imports_a_command(file):
    if file not in BINARIES | {"__init__.py", "__main__.py"}:
        assert not {f"{name}.py" for name in own(file)} & BINARIES
        assert part(file) == "api" or "api" not in own(file)


@files
def test_third_party_packages_stay_where_they_belong(file):
    found = third_party(file)
    allowed = THIRD_PARTY.get(part(file), found)
    assert found <= allowed, f"{file} imports {sorted(found - allowed)}"
    if not file.startswith(TENSORFLOW):
        assert not found & {"tensorflow", "tensorflow_datasets"}, file
    if file != "motifs/rgadem.py":
        assert "rpy2" not in found, file
    assert not found & {"datasets", "models"}, "the root catalogues are no packages"


@files
def test_flags_live_in_binaries(file):
    names = set(imports(FILES[file]))
    is_command = file in BINARIES | OF_COMMANDS
    assert is_command or not names & {"absl.flags", "absl.app"}, file


@files
def test_no_tf_keras_and_no_relative_import(file):
    for node in ast.walk(FILES[file]):
        if isinstance(node, ast.Attribute) and node.attr == "keras":
            assert ast.unparse(node.value) not in ("tf", "tensorflow"), file
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
    assert not any(name.startswith("tensorflow.keras") for name in imports(FILES[file]))


@files
def test_modules_are_imported_not_names(file):
    """R5; a package, or a module with `__all__`, may hand names on."""
    if file.endswith("__init__.py"):
        return
    lifted = re.findall(r'"(\w+)"', source(FILES[file], "__all__"))
    for name in imports(FILES[file]):
        path = ROOT / pathlib.Path(*name.split("."))
        if name.startswith("genomenet.") and path.name not in lifted:
            assert path.is_dir() or path.with_suffix(".py").is_file(), f"{file}: {name}"


@pytest.mark.parametrize(
    "file", [f for f in FILES if f.startswith(("models/", "layers/", "losses/"))]
)
def test_graphs_name_nothing_within_an_expression(file):
    """AutoGraph reads no ``:=`` and would run such a function as it is, with a note."""
    assert not any(isinstance(node, ast.NamedExpr) for node in ast.walk(FILES[file]))


@files
def test_no_assert_in_the_library(file):
    """Asserts vanish under `python -O`."""
    lines = [n.lineno for n in ast.walk(FILES[file]) if isinstance(n, ast.Assert)]
    assert not lines, f"{file} asserts in lines {lines}"


@files
def test_families_know_no_other_family(file):
    parts = file.split("/")
    if parts[0] != "models" or len(parts) < 3:
        return
    for name in imports(FILES[file]):
        for other in FAMILIES - {parts[1]}:
            assert not f"{name}.".startswith(f"genomenet.models.{other}."), file


@files
def test_training_knows_no_family_by_name(file):
    if part(file) not in ("training", "layers", "losses"):
        return
    for name in imports(FILES[file]):
        assert not FAMILIES & set(name.split(".")), f"{file} imports {name}"
    for node in ast.walk(FILES[file]):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert node.value not in FAMILIES, f"{file}:{node.lineno}: {node.value}"


def test_training_on_jax_needs_no_tensorflow():
    """Nothing on the way imports it at the top; .ci/run trains where it is not."""
    entries = ("training/engines/jax.py", "training/loop.py", "data/rows.py")
    found = {file for entry in entries for file in loaded(entry)}
    found |= {"training/pretrain.py", "data/prepared.py", "data/integrity.py"}
    assert {"training/schedule.py", "dna/packed.py"} <= found
    tops = {
        name.split(".")[0]
        for file in found
        for name in imports(at_the_top(FILES[file]))
    }
    allowed = {"genomenet", "absl", "filelock", "keras", "jax", "numpy", "Bio"}
    assert tops - set(sys.stdlib_module_names) <= allowed


def test_rpy2_is_imported_lazily():
    tree = FILES.get("motifs/rgadem.py", ast.Module([], []))
    top = ast.Module(
        [node for node in tree.body if not isinstance(node, ast.FunctionDef)], []
    )
    assert not any(name.split(".")[0] == "rpy2" for name in imports(top))
