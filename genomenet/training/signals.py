"""Signals that ask a run to stop: SIGINT, SIGTERM and SIGHUP."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def handled() -> list[signal.Signals]:
    """Returns the signals to listen to; under nohup SIGHUP is none."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    is_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return numbers[:2] if is_nohup else numbers


@contextmanager
def noted() -> Iterator[Callable[[], int]]:
    """Yields a function that tells which signal has come, 0 for none.

    The first signal is noted, the next one acts as it would have. So does the first
    after the block, unless the block ends with an exception, as it should for a signal.
    """
    received: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        del frame
        received.append(number)
        signal.signal(number, before[number])

    try:
        for number in handled():
            before[number] = signal.signal(number, note)
    except ValueError:  # not in the main thread
        before.clear()
    try:
        yield lambda: received[0] if received else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:  # too late for what ran in the block, not for what comes after it
        signal.raise_signal(received[0])
