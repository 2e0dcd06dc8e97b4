"""Measurements against peers: `python -m benchmarks.NAME`, one JSON line each."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def in_turn(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Runs functions one after the other, several times.

    Args:
        sides: Name → function, called before so that it is warm.
        rounds: Times that each is called.

    Returns:
        Name → median of its seconds.
    """
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, call in sides.items():
            start = time.perf_counter()
            call()
            seconds[side].append(time.perf_counter() - start)
    return {side: statistics.median(found) for side, found in seconds.items()}
