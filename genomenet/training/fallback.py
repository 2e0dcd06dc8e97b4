"""Falls back to older checkpoints if the newest are damaged."""

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
    """Reads the newest checkpoint that is intact, and reports damaged ones.

    Args:
        paths: The checkpoints, the newest last.
        read: Reads a checkpoint.
        discard: Removes a damaged checkpoint, once an older one has been read.

    Returns:
        The path of the checkpoint that was read.

    Raises:
        ValueError: If no checkpoint can be read.
    """
    damaged: list[pathlib.Path] = []
    for path in reversed(paths):
        try:
            read(path)
        except Exception as e:  # its type depends on the damage
            damaged.append(path)
            cause = f"{sources.cause(e):.200}"
            older = paths[: -len(damaged)]
            if not older:
                raise ValueError(
                    f"{path} is damaged, or belongs to another model ({cause}), and"
                    " there is no checkpoint before it: use another workdir"
                ) from e
            line = f"{path} is damaged ({cause}): reading {older[-1].name} instead"
            print(line, file=sys.stderr)
        else:
            for damaged_path in damaged:
                discard(damaged_path)
            return path
    raise ValueError("there is no checkpoint")
