"""What a command does before it begins."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NoReturn

from genomenet import atomic

_GPU: Final = "/dev/nvidiactl"
_PATIENCE: Final = 5.0  # seconds that an interrupt has to get through a library
_LEVEL: Final = "TF_CPP_MIN_LOG_LEVEL"

# What moves a terminal or hides text; not what ends lines and draws bars.
_CONTROL: Final = re.compile(
    r"[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)

_watch: threading.Timer | None = None  # from an interrupt until it has been caught


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
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def end(number: int, line: str) -> NoReturn:
    """Ends the process at once, as a signal asked for.

    What is half written is removed. No exception is raised, which a library in C++
    may drop.

    Args:
        number: Of the signal; the status is 128 more.
        line: For the standard error.
    """
    atomic.remove_partials()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode())
    os._exit(128 + number)


def interrupted(line: str) -> NoReturn:
    """Ends the process where a KeyboardInterrupt has been caught.

    Args:
        line: For the standard error.

    Raises:
        SystemExit: With status 130.
    """
    _stop_watch()
    print(line, file=sys.stderr)
    sys.exit(128 + signal.SIGINT)


def run(main: Callable[[], None]) -> None:
    """Parses the flags of the shell, and runs a command.

    Args:
        main: The command.
    """
    from absl import app, logging

    def call(argv: Sequence[str]) -> None:
        if len(argv) > 1:
            raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
        main()

    logging.set_verbosity(logging.WARNING)
    app.run(call)


@contextlib.contextmanager
def refusing(command: str, *, state: str = "nothing was written") -> Iterator[None]:
    """Ends the process with one line where the block raises what a user can mend.

    Args:
        command: Name of the command, for its errors.
        state: What is so after an interrupt.

    Raises:
        SystemExit: With status 1; 130 after an interrupt.
    """
    try:
        yield
    except (ValueError, OSError, ImportError) as e:
        print(f"{command}: {e}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        interrupted(f"{command}: interrupted; {state}")


def warner(command: str) -> Callable[[str], None]:
    """Returns what prints a line to the standard error without tearing a bar.

    Args:
        command: Name of the command, for the beginning of the line.
    """
    import tqdm

    return lambda line: tqdm.tqdm.write(f"{command}: {line}", file=sys.stderr)


def load_tensorflow() -> None:
    """Imports TensorFlow now, for some seconds, and not while a bar counts time.

    Its C++ parts write notes to the standard error before anything can turn them
    off; they would tear the bar. Where there is an NVIDIA GPU, warnings and errors are
    shown: it may be that it cannot be used. What fails is raised all the same. An
    interrupt waits until it is done: C++ may swallow it, or end the process.
    """
    if "tensorflow" in sys.modules:
        return
    has_gpu = os.path.exists(_GPU)
    with _interrupts_later(), contextlib.ExitStack() as stack:
        if _LEVEL not in os.environ:  # it is read once, by the import
            os.environ[_LEVEL] = "1" if has_gpu else "3"
            stack.callback(os.environ.pop, _LEVEL, None)
        with contextlib.suppress(OSError):  # no standard error at all
            kept = os.dup(2)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 2)
            if not has_gpu:
                with open(os.devnull, "wb") as null:
                    os.dup2(null.fileno(), 2)
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Lets an interrupt that would be raised in the block be raised after it."""
    before = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or before not in (signal.default_int_handler, _interrupt):
        yield
        return
    received: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        raise KeyboardInterrupt


def _interrupt(number: int, frame: Any) -> None:
    """Raises a KeyboardInterrupt, and ends the process where a library swallows it."""
    global _watch
    _stop_watch()
    _watch = threading.Timer(_PATIENCE, end, (number, "interrupted"))
    _watch.daemon = True
    _watch.start()
    signal.default_int_handler(number, frame)


def _stop_watch() -> None:
    if _watch is not None:
        _watch.cancel()


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
        _stop_watch()
        print("interrupted", file=sys.stderr)
    elif isinstance(error, OSError) and error.filename == "standard output":
        print(f"{error.strerror}: standard output", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, place)
