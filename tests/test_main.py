import ast
import pathlib
import subprocess
import sys

import pytest

from genomenet import __main__ as main_lib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def call(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True
    )


def test_every_command_is_listed():
    found = {
        path.stem
        for path in (ROOT / "genomenet").glob("*.py")
        if "startup.run(main)" in path.read_text("utf-8")
    }
    assert set(main_lib.COMMANDS) == found
    for name in found:
        tree = ast.parse((ROOT / "genomenet" / f"{name}.py").read_text("utf-8"))
        assert ast.get_docstring(tree).split()[0] == main_lib.COMMANDS[name].split()[0]
    done = call("-m", "genomenet")
    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in found)


def test_stray_arguments_are_refused():
    done = call("-m", "genomenet.export", "--name=x", "stray", "more")
    assert done.returncode == 1
    assert "unexpected arguments: stray more" in done.stdout + done.stderr


def test_a_command_is_run_or_named():
    done = call("-m", "genomenet", "predict", "--help")
    assert "--max_n" in done.stdout
    done = call("-m", "genomenet", "predcit")
    assert done.returncode == 2
    assert done.stderr == "genomenet: no command 'predcit'; did you mean predict?\n"


@pytest.mark.parametrize("what", ["list_models", "list_datasets"])
def test_lists_load_no_tensorflow(what):
    code = (
        f"import sys, genomenet; assert genomenet.{what}();"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = call("-c", code)
    assert done.returncode == 0, done.stderr
