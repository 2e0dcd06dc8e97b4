"""Prepares the process of a command: streams, signals, errors, TensorFlow."""

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
_PATIENCE: Final = 5.0  # seconds until an interrupt that a library swallows is forced
_LEVEL: Final = "TF_CPP_MIN_LOG_LEVEL"

# Characters that control a terminal or hide text, except line ends and \r of bars.
_CONTROL: Final = re.compile(
    r"[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)

_watch: threading.Timer | None = None  # runs from an interrupt until it is caught


def begin() -> None:
    """Prepares the process of a command, before other imports.

    Closed standard streams are replaced by the null device, and so is a stream when
    its reader goes away; result files are still written. An interrupt prints one line,
    also during imports.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: a file of ours must not get its descriptor
            os.open(os.devnull, os.O_RDWR)
    null = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stdout = _Stream(sys.stdout or null, is_output=True)
    sys.stderr = _Stream(sys.stderr or null)
    sys.excepthook = _tell
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def end(number: int, line: str) -> NoReturn:
    """Ends the process immediately after a signal.

    Incomplete files are removed. No exception is raised, as a C++ library may drop it.

    Args:
        number: Signal number; the exit status is 128 + `number`.
        line: Message for stderr.
    """
    atomic.remove_partials()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode())
    os._exit(128 + number)


def interrupted(line: str) -> NoReturn:
    """Ends the process after a caught KeyboardInterrupt.

    Args:
        line: Message for stderr.

    Raises:
        SystemExit: With status 130.
    """
    _stop_watch()
    print(line, file=sys.stderr)
    sys.exit(128 + signal.SIGINT)


def run(main: Callable[[], None]) -> None:
    """Parses the command-line flags and runs a command.

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
    """Turns errors that a user can fix into one line on stderr and an exit.

    Args:
        command: Name of the command, the prefix of the line.
        state: State of the output after an interrupt, for the message.

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
    """Returns a function that prints a line to stderr without breaking a progress bar.

    Args:
        command: Name of the command, the prefix of the line.
    """
    import tqdm

    return lambda line: tqdm.tqdm.write(f"{command}: {line}", file=sys.stderr)


def load_tensorflow() -> None:
    """Imports TensorFlow, which takes seconds, before any progress bar runs.

    Its C++ code writes messages to stderr before they can be turned off, which would
    break a progress bar; they are hidden here. On machines with an NVIDIA GPU, warnings
    and errors are shown, as the GPU may be unusable. Import errors are raised. An
    interrupt is delayed until the import ends, because C++ code may swallow it or end
    the process.
    """
    if "tensorflow" in sys.modules:
        return
    has_gpu = os.path.exists(_GPU)
    with _interrupts_later(), contextlib.ExitStack() as stack:
        if _LEVEL not in os.environ:  # TensorFlow reads it once, on import
            os.environ[_LEVEL] = "1" if has_gpu else "3"
            stack.callback(os.environ.pop, _LEVEL, None)
        with contextlib.suppress(OSError):  # there is no stderr
            kept = os.dup(2)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 2)
            if not has_gpu:
                with open(os.devnull, "wb") as null:
                    os.dup2(null.fileno(), 2)
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Delays an interrupt in the block until the block ends."""
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
    """Raises KeyboardInterrupt, and ends the process if a library swallows it."""
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
    """Returns a control character as a Python escape sequence."""
    return ascii(match[0])[1:-1]


class _Stream:
    """A text stream that survives a closed pipe and escapes control characters.

    Args:
        stream: The stream.
        is_output: Whether the stream carries results.
    """

    def __init__(self, stream: Any, *, is_output: bool = False):
        self._stream = stream
        self._is_output = is_output
        if hasattr(stream, "reconfigure"):  # file names may not be valid text
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Writes text, or drops it if the reader is gone."""
        with self._without_reader():
            self._stream.write(_CONTROL.sub(_shown, text))
        return len(text)

    def flush(self) -> None:
        """Flushes the buffer, or drops it if the reader is gone."""
        with self._without_reader():
            self._stream.flush()

    @contextlib.contextmanager
    def _without_reader(self) -> Any:
        try:
            yield
        except OSError as e:  # the reader is gone, or the disk is full
            if not isinstance(e, BrokenPipeError) and self._is_output:
                raise OSError(e.errno, e.strerror, "standard output") from e
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _tell(
    kind: type[BaseException], error: BaseException, trace: types.TracebackType | None
) -> None:
    """Prints an uncaught error; an interrupt without its traceback."""
    if issubclass(kind, KeyboardInterrupt):
        _stop_watch()
        print("interrupted", file=sys.stderr)
    elif isinstance(error, OSError) and error.filename == "standard output":
        print(f"{error.strerror}: standard output", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
