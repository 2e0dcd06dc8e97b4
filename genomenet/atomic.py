"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import shutil
from collections.abc import Iterator


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file by way of a temporary neighbour.

    Args:
        path: The file, replaced if it exists.
        text: Its content, written as UTF-8.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Gives a temporary path that becomes `path` when the block ends well.

    Args:
        path: The file or folder to make; one that exists is replaced, but no folder
            by a file. Its parent is made.

    Yields:
        A path beside it that does not exist yet. If the block raises, whatever was
        made there is deleted and `path` stays as it was.

    Raises:
        IsADirectoryError: If a file would replace a folder.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    _remove(partial)
    try:
        yield partial
        if path.is_dir() and not partial.is_dir():
            raise IsADirectoryError(f"{path} is a folder: choose another name")
        if path.is_dir():  # a folder cannot be renamed over a full one
            replaced = path.with_name(f".{path.name}.replaced")
            _remove(replaced)
            os.replace(path, replaced)
            os.replace(partial, path)
            _remove(replaced)
        else:
            os.replace(partial, path)
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT) and e.filename is None:
            e.filename = os.fspath(path)  # a full disk says not what it was to hold
        raise
    finally:
        _remove(partial)


def _remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
