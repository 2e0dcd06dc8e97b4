"""Helpers that the training commands share."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import sys
from collections.abc import Generator, Iterable
from typing import Any

from genomenet import startup
from genomenet.training import loop


@contextlib.contextmanager
def resumable(name: str, workdir: str | os.PathLike[str]) -> Generator[None]:
    """Turns signals and user errors of a run into one line and an exit status.

    Args:
        name: Name of the command, printed before its errors.
        workdir: Folder of the run.

    Raises:
        SystemExit: With 128 plus the signal number if a signal arrived, with 1 if
            the run failed for a reason that the user can correct.
    """
    try:
        yield
    except loop.Stopped as stopped:
        print(
            f"stopped at step {stopped.step}, saved in {workdir}: run the same command"
            " again to go on",
            file=sys.stderr,
        )
        sys.exit(128 + (stopped.signal_number or signal.SIGTERM))
    except KeyboardInterrupt:
        startup.interrupted("interrupted: run the same command again to go on")
    except (ValueError, OSError, ImportError, loop.TrainingError) as e:
        if isinstance(e, OSError) and e.filename is None and e.strerror:
            e.filename = os.fspath(workdir)  # a full disk names no file
        print(f"{name}: {e}", file=sys.stderr)
        sys.exit(1)


def release_folder(workdir: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the path of a run's release folder, which is named after the run.

    Args:
        workdir: Folder of the run; may be ".".

    Returns:
        The path, relative if `workdir` is.
    """
    return pathlib.Path(workdir, "export", os.path.basename(os.path.abspath(workdir)))


def flags_text(flags: Iterable[Any]) -> str:
    """Returns the flags that were given, in the format of a --flagfile.

    Args:
        flags: Flags of absl.

    Returns:
        One line per flag.
    """
    return "".join(f"{flag.serialize()}\n" for flag in flags if flag.present)
