"""The code of the tutorials runs: each page by itself, in an empty folder.

The Python blocks of a page share one process and its names; shell blocks run between
them. A block after `<!-- not run: why -->` is left out.
"""

import ast
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(
    r"(?P<left_out><!-- not run: [^>]+ -->\n+)?^```(?P<kind>\w+)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
SHELL = """
import subprocess
done = subprocess.run(["bash", "-euo", "pipefail", "-c", {code!r}])
if done.returncode: raise SystemExit({code!r})
"""


def blocks(path):
    """Yields the kind and the code of the blocks of a page that run."""
    for match in BLOCK.finditer(path.read_text("utf-8")):
        if match["kind"] in ("python", "bash") and not match["left_out"]:
            yield match["kind"], match["code"]


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id):
    """A folder for prepared datasets; one for each worker, as both may build."""
    return tmp_path_factory.mktemp(f"datasets_{worker_id}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in PAGES if list(blocks(p))], ids=lambda page: page.stem
)
def test_the_code_of_a_page_runs(page, tmp_path, shared):
    parts = [
        code if kind == "python" else SHELL.format(code=code)
        for kind, code in blocks(page)
    ]
    (tmp_path / "page").mkdir()
    script = tmp_path / "page.py"
    script.write_text("\n".join(parts))
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path / "page",
        env={
            **os.environ,
            "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TFDS_DATA_DIR": str(shared),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "MPLBACKEND": "agg",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_every_tutorial_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert PAGES
    assert [p.name for p in PAGES if f"tutorials/{p.name}" not in nav] == []


def test_the_first_code_of_the_readme_is_that_of_the_quick_start():
    quick = (ROOT / "docs" / "tutorials" / "quick_start.md").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8").split("## Set up")[0]
    found = [match["code"] for match in BLOCK.finditer(readme)]
    assert len(found) >= 3  # Python, what it prints, shell
    assert [code for code in found if code not in quick] == []


@pytest.mark.parametrize("path", sorted((ROOT / "colabs").glob("*.ipynb")), ids=str)
def test_a_notebook_calls_python_only_and_keeps_no_output(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    install, *rest = [c for c in cells if c["cell_type"] == "code"]
    assert "%pip install" in "".join(install["source"])
    for cell in rest:
        tree = ast.parse("".join(cell["source"]))  # no ! and no %
        assert not cell["outputs"]
        names = {
            alias.name
            for n in ast.walk(tree)
            if isinstance(n, ast.Import)
            for alias in n.names
        }
        assert not names & {"subprocess", "os"}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 5
