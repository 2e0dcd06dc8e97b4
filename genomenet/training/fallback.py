"""Of several checkpoints the newest that is whole."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable, Sequence

from genomenet.data import sources


def newest(
    paths: Sequence[pathlib.Path],
    read: Callable[[pathlib.Path], None],
    *,
    discard: Callable[[pathlib.Path], None] = lambda path: None,
) -> pathlib.Path:
    """Reads the newest checkpoint that can be read, and names those that cannot.

    Args:
        paths: The checkpoints, the newest last.
        read: Reads one.
        discard: Removes a damaged one, once an older one has been read.

    Returns:
        What was read.

    Raises:
        ValueError: If none can be read.
    """
    damaged: list[pathlib.Path] = []
    for path in reversed(paths):
        try:
            read(path)
        except Exception as e:  # of many kinds, by what is wrong in which file
            damaged.append(path)
            cause = f"{sources.cause(e):.200}"
            older = paths[: -len(damaged)]
            if not older:
                raise ValueError(
                    f"{path} is damaged, or of another model ({cause}), and there is"
                    " no checkpoint before it: take another workdir"
                ) from e
            line = f"{path} is damaged ({cause}): {older[-1].name} is taken"
            print(line, file=sys.stderr)
        else:
            for one in damaged:
                discard(one)
            return path
    raise ValueError("there is no checkpoint")
