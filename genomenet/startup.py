"""What a binary does before it begins."""

from __future__ import annotations

import contextlib
import os


def load_tensorflow() -> None:
    """Imports TensorFlow now, for some seconds, and not while a bar counts time.

    Its C++ parts write notes to the standard error before anything can turn them
    off; they would tear the bar. What fails is raised all the same.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # no standard error at all
            kept = os.dup(2)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 2)
            with open(os.devnull, "wb") as null:
                os.dup2(null.fileno(), 2)
        import tensorflow  # noqa: F401
