"""What a command does before it begins."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any, Final

# What moves a terminal or hides text; not what ends lines and draws bars.
_CONTROL: Final = re.compile(
    r"[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


def begin() -> None:
    """Prepares the process of a command; called before anything is imported.

    Standard streams that are closed lead nowhere, and one whose reader has gone does
    so from then on: results in files are written all the same. An interrupt, also
    while libraries are imported, is one line.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: a file of ours must not get its number
            os.open(os.devnull, os.O_RDWR)
    null = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stdout = _Stream(sys.stdout or null, is_output=True)
    sys.stderr = _Stream(sys.stderr or null)
    sys.excepthook = _tell


@contextlib.contextmanager
def refusing(command: str) -> Iterator[None]:
    """Ends the process with one line where the block raises what a user can mend.

    In the block stands what can be refused before TensorFlow is imported, which takes
    seconds.

    Args:
        command: Name of the command, for its errors.

    Raises:
        SystemExit: With status 1.
    """
    try:
        yield
    except (ValueError, OSError) as e:
        print(f"{command}: {e}", file=sys.stderr)
        sys.exit(1)


def load_tensorflow() -> None:
    """Imports TensorFlow now, for some seconds, and not while a bar counts time.

    Its C++ parts write notes to the standard error before anything can turn them
    off; they would tear the bar. What fails is raised all the same. An interrupt
    waits until it is done: C++ may swallow it, or end the process.
    """
    with _interrupts_later(), contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # no standard error at all
            kept = os.dup(2)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 2)
            with open(os.devnull, "wb") as null:
                os.dup2(null.fileno(), 2)
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Lets an interrupt that would be raised in the block be raised after it."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) != signal.default_int_handler:
        yield
        return
    received: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if received:
        raise KeyboardInterrupt


def _shown(match: re.Match[str]) -> str:
    """Returns a control character as Python writes it in a string."""
    return ascii(match[0])[1:-1]


class _Stream:
    """A stream of text that outlives its reader, and shows control characters.

    Args:
        stream: The stream.
        is_output: Whether results are written to it.
    """

    def __init__(self, stream: Any, *, is_output: bool = False):
        self._stream = stream
        self._is_output = is_output
        if hasattr(stream, "reconfigure"):  # names of files may be no text
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Writes text, or drops it where nobody reads."""
        with self._without_reader():
            self._stream.write(_CONTROL.sub(_shown, text))
        return len(text)

    def flush(self) -> None:
        """Writes what waits, or drops it."""
        with self._without_reader():
            self._stream.flush()

    @contextlib.contextmanager
    def _without_reader(self) -> Any:
        try:
            yield
        except OSError as e:  # gone, or full: results are in files
            if not isinstance(e, BrokenPipeError) and self._is_output:
                raise OSError(e.errno, e.strerror, "standard output") from e
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _tell(
    kind: type[BaseException], error: BaseException, place: types.TracebackType | None
) -> None:
    """Shows an error that nothing caught; an interrupt without its place."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    elif isinstance(error, OSError) and error.filename == "standard output":
        print(f"{error.strerror}: standard output", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, place)
