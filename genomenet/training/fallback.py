"""Of several checkpoints the newest that is whole."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable, Sequence


def newest(
    paths: Sequence[pathlib.Path],
    read: Callable[[pathlib.Path], None],
    *,
    damages: tuple[type[Exception], ...],
) -> pathlib.Path:
    """Reads the newest checkpoint that can be read, and names those that cannot.

    Args:
        paths: The checkpoints, the newest last.
        read: Reads one.
        damages: What `read` raises for a damaged one.

    Returns:
        What was read.

    Raises:
        ValueError: If none can be read.
    """
    for number, path in reversed(list(enumerate(paths))):
        try:
            read(path)
        except damages as e:
            if not number:
                raise ValueError(
                    f"{path} is damaged ({cause(e)}), and there is no checkpoint before"
                    " it: take another --workdir"
                ) from e
            line = f"{path} is damaged ({cause(e)}): {paths[number - 1].name} is taken"
            print(line, file=sys.stderr)
        else:
            return path
    raise ValueError("there is no checkpoint")


def cause(error: Exception) -> str:
    """Returns the first line of an error."""
    lines = str(error).splitlines() or [type(error).__name__]
    text = lines[0][:200]
    return text if text.isprintable() else repr(text)
