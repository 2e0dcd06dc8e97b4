"""What the commands that train a model share."""

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
    """Ends the process with one line and a status where a run ends early.

    Args:
        name: Of the command, for its errors.
        workdir: Folder of the run.

    Raises:
        SystemExit: With 128 and the signal's number if one came, 1 if the run
            failed for a reason that the user can mend.
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
            e.filename = os.fspath(workdir)  # a full disk says not what it was to hold
        print(f"{name}: {e}", file=sys.stderr)
        sys.exit(1)


def release_folder(workdir: str | os.PathLike[str]) -> pathlib.Path:
    """Returns where the release folder of a run goes, which has the run's name.

    Args:
        workdir: Folder of the run, which may be ".".

    Returns:
        The path, relative where the run's is.
    """
    return pathlib.Path(workdir, "export", os.path.basename(os.path.abspath(workdir)))


def flags_text(flags: Iterable[Any]) -> str:
    """Returns the flags that were given, as a --flagfile takes them.

    Args:
        flags: Of absl.

    Returns:
        A line for each.
    """
    return "".join(f"{flag.serialize()}\n" for flag in flags if flag.present)
