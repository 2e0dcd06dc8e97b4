"""The notebooks run from start to end, in the checkout, on a CPU."""

import pathlib

import pytest

COLABS = pathlib.Path(__file__).resolve().parent.parent / "colabs"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of Jupyter's own
@pytest.mark.parametrize("path", sorted(COLABS.glob("*.ipynb")), ids=lambda p: p.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    import nbformat

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    client = nbclient.NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        resources={"metadata": {"path": str(COLABS)}},
    )
    client.execute()
    nbformat.write(notebook, tmp_path / path.name)  # to look at
    text = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    assert "image/png" in text
    assert "auroc" in text
