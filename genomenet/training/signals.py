"""Signals that ask a run to stop: SIGINT, SIGTERM and SIGHUP."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def handled() -> list[signal.Signals]:
    """Returns the signals that stop a run; under nohup without SIGHUP."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    is_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return numbers[:2] if is_nohup else numbers


@contextmanager
def noted() -> Iterator[Callable[[], int]]:
    """Yields a function that returns the signal that has arrived, 0 for none.

    The first signal is only recorded; the next one has its usual effect. The first
    signal is raised again after the block, unless the block ends with an exception.
    """
    received: list[int] = []
    handlers: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        del frame
        received.append(number)
        signal.signal(number, handlers[number])

    try:
        for number in handled():
            handlers[number] = signal.signal(number, note)
    except ValueError:  # not in the main thread
        handlers.clear()
    try:
        yield lambda: received[0] if received else 0
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if received:  # the block did not respond to it
        signal.raise_signal(received[0])
