"""Atomic writes: files and folders appear complete or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import os
import pathlib
import re
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from typing import IO, Any, Final

import filelock

_AT_FDCWD: Final = -100
_EXCHANGE: Final = 2  # RENAME_EXCHANGE of Linux
_MARK: Final = ".partial-"
_OLD: Final = ".replaced-"
# .NAME.partial-HOST-PROCESS-COUNT names the writing process. Leftovers of a killed
# process can thus be told apart from files that another process is writing.
_TEMPORARY: Final = re.compile(
    r"(?P<mark>\.partial-|\.replaced-)(?P<host>.+)-(?P<process>[0-9]+)-[0-9]+"
)
_LONGEST: Final = 100  # characters of the name that a temporary name repeats
_HOST: Final = re.sub(r"[^\w.]", "_", socket.gethostname())

_count = iter(range(1 << 62))
_partials: set[pathlib.Path] = set()  # files that this process is writing


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file atomically, through a temporary file in the same folder.

    Args:
        path: The file, replaced if it exists.
        text: Its content, written as UTF-8.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def lock(file: IO[Any]) -> bool:
    """Locks a file until it is closed or the process ends.

    Args:
        file: An open file.

    Returns:
        True if this process holds the lock. On a file system without locks, every
        process gets True.
    """
    try:
        is_held = filelock.lock_descriptor(file.fileno(), blocking=False)
    except OSError:  # a file system without locks
        return True
    # The previous holder may have removed the file after it was opened here.
    return is_held and os.fstat(file.fileno()).st_nlink > 0


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a temporary path that is renamed to `path` when the block succeeds.

    Each process uses its own temporary name, so that two processes that write the same
    path never mix their content: the last one wins. Leftovers of killed processes are
    removed.

    Args:
        path: The file or folder to write. An existing one is replaced, but a folder is
            never replaced by a file. Missing parent folders are created, and removed
            again if the block raises. Where the system can exchange two names, either
            the old or the new content exists at every moment.

    Yields:
        A path in the same folder that does not exist yet. If the block raises, or
        SIGTERM or SIGHUP ends the process, whatever was written there is deleted and
        `path` stays unchanged.

    Raises:
        IsADirectoryError: If a file would replace a folder.
    """
    path = pathlib.Path(path)
    mark = f"{_HOST}-{os.getpid()}-{next(_count)}"
    partial = path.with_name(f".{path.name[:_LONGEST]}{_MARK}{mark}")
    with parents(path), _removed_by_signals(partial), _cleaned(partial, path):
        _remove_left(path)
        yield partial
        if path.is_dir() and not partial.is_dir():
            raise IsADirectoryError(f"{path} is a folder: choose another name")
        if path.is_dir():  # a folder cannot be renamed over a full one
            _exchange(partial, path)
        else:
            os.replace(partial, path)


def remove_partials() -> None:
    """Removes the incomplete files of this process, before it ends immediately."""
    for partial in list(_partials):
        with contextlib.suppress(OSError):
            _remove(partial)


@contextlib.contextmanager
def parents(path: pathlib.Path) -> Iterator[None]:
    """Creates the parents of a path, and removes the new ones if the block raises.

    Args:
        path: A file or folder.
    """
    made = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # no longer empty
            for parent in made:
                parent.rmdir()
        raise


@contextlib.contextmanager
def _cleaned(partial: pathlib.Path, path: pathlib.Path) -> Iterator[None]:
    """Removes a leftover partial file, and replaces its name in error messages."""
    try:
        yield
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT) and e.filename is None:
            e.filename = os.fspath(path)  # the error of a full disk names no file
        if isinstance(e.filename, str) and partial.name in e.filename:
            e.filename = e.filename.replace(partial.name, path.name)
        raise
    finally:
        _remove(partial)


@contextlib.contextmanager
def _removed_by_signals(partial: pathlib.Path) -> Iterator[None]:
    """Lets SIGTERM and SIGHUP remove incomplete files and end the process.

    The signal handler itself removes them. It raises no exception, because C++
    libraries drop exceptions from handlers or turn them into other errors.
    """
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {
            number: signal.signal(number, _end)
            for number in (signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(number) is signal.SIG_DFL
        }
    _partials.add(partial)
    try:
        yield
    finally:
        _partials.discard(partial)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _end(number: int, frame: Any) -> None:
    """Removes the incomplete files of this process, and ends it by the signal."""
    del frame
    remove_partials()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _exchange(partial: pathlib.Path, path: pathlib.Path) -> None:
    """Swaps a new folder with the old one, which gets the temporary name."""
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None, use_errno=True)
        names = os.fsencode(partial), os.fsencode(path)
        call = libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE)
        if not call:
            return
    old = partial.with_name(partial.name.replace(_MARK, _OLD))
    os.replace(path, old)  # if killed here, the next process restores the old folder
    os.replace(partial, path)
    _remove(old)


def _remove_left(path: pathlib.Path) -> None:
    """Removes temporary files of `path` left by dead processes of this machine.

    An old folder that such a process had moved aside is restored.
    """
    name = f".{path.name[:_LONGEST]}"
    for left in path.parent.glob(f"{glob.escape(name)}.*"):
        match = _TEMPORARY.fullmatch(left.name, len(name))
        if match and match["host"] == _HOST and not _is_alive(int(match["process"])):
            with contextlib.suppress(OSError):
                if match["mark"] == _OLD and not path.exists():
                    os.replace(left, path)
                else:
                    _remove(left)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
