"""Names and folders of the catalogues `models/` and `datasets/`.

The name of a folder is the public name of the model or dataset. In a checkout the
catalogues are the two folders beside this package; a wheel contains copies of them
as `genomenet/_models` and `genomenet/_datasets`.
"""

import difflib
import functools
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Final

_PACKAGE: Final = pathlib.Path(__file__).resolve().parent
# Removed models → the models that replaced them.
_SUCCESSORS: Final = {
    "logo6_genemask_chr20": "logo6_genemask_human",
    "logo6_kmer_span_chr20": "logo6_genemask_human",
    "selfgenomenet_bacteria": "selfgenomenet_bacteria2",
}


def models_root() -> pathlib.Path:
    """Returns the folder of all named models."""
    return _root("models")


def datasets_root() -> pathlib.Path:
    """Returns the folder of all dataset recipes."""
    return _root("datasets")


def model_names() -> list[str]:
    """Returns the names of all models in the catalogue, sorted."""
    return _names(models_root(), _is_model)


def dataset_names() -> list[str]:
    """Returns the names of all datasets in the catalogue, sorted."""
    return _names(datasets_root(), _is_dataset)


def model_folder(name: str | os.PathLike[str]) -> pathlib.Path:
    """Finds the folder of a model.

    Args:
        name: A name in the catalogue, or the path of a folder with a `config.json`.
            A word without a slash is first looked up as a name. The name of a
            replaced model stands for its successor, with a note on stderr.

    Returns:
        The folder.

    Raises:
        ValueError: If there is no such model; the message lists the known models.
    """
    if isinstance(name, str) and name in _SUCCESSORS and not os.path.isdir(name):
        name = _successor(name)
    return _folder(name, "model", models_root(), _is_model)


def dataset_folder(name: str | os.PathLike[str]) -> pathlib.Path:
    """Finds the folder of a dataset recipe.

    Args:
        name: A name in the catalogue, or the path of a folder `x` with an
            `x_dataset_builder.py`. A word without a slash is first looked up as a
            name.

    Returns:
        The folder.

    Raises:
        ValueError: If there is no such dataset; the message lists the known ones.
    """
    return _folder(name, "dataset", datasets_root(), _is_dataset)


@functools.cache
def _successor(name: str) -> str:
    """Returns the name of the model that replaced another, and prints a note once."""
    successor = _SUCCESSORS[name]
    print(f"the model {name} was replaced by {successor}", file=sys.stderr)
    return successor


def _root(catalogue: str) -> pathlib.Path:
    """Returns the copy inside a wheel, or the catalogue itself in a checkout."""
    packaged = _PACKAGE / f"_{catalogue}"
    return packaged if packaged.is_dir() else _PACKAGE.parent / catalogue


def _is_model(folder: pathlib.Path) -> bool:
    return (folder / "config.json").is_file()


def _is_dataset(folder: pathlib.Path) -> bool:
    return (folder / f"{folder.resolve().name}_dataset_builder.py").is_file()


def _names(root: pathlib.Path, is_entry: Callable[[pathlib.Path], bool]) -> list[str]:
    if not root.is_dir():
        return []
    return sorted(folder.name for folder in root.iterdir() if is_entry(folder))


def _folder(
    name: str | os.PathLike[str],
    kind: str,
    root: pathlib.Path,
    is_entry: Callable[[pathlib.Path], bool],
) -> pathlib.Path:
    text = os.fspath(name)
    names = _names(root, is_entry)
    if isinstance(name, str) and name in names:
        return root / name
    path = pathlib.Path(text).expanduser()
    if text and is_entry(path):
        return path
    if path.is_dir() and _is_path(name):
        missing = (
            "config.json" if kind == "model" else f"{path.name}_dataset_builder.py"
        )
        raise ValueError(f"{text} is not a {kind}: it has no {missing}")
    if path.is_file():
        hint = "; pass sequence files as fasta" if kind == "dataset" else ""
        raise ValueError(f"{text} is a file, not the folder of a {kind}{hint}")
    if _is_path(name):
        raise ValueError(f"there is no {kind} folder {text}")
    close = difflib.get_close_matches(text, names, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(
        f"there is no {kind} {text!r}; {hint}known: {', '.join(names) or 'none'}"
    )


def _is_path(name: str | os.PathLike[str]) -> bool:
    """Returns whether the name can only be a path: names have no separator."""
    return not isinstance(name, str) or pathlib.Path(name).name != name
