"""Benchmarks: `python -m benchmarks.NAME` prints one JSON line per measurement."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def in_turn(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Times functions in alternation.

    Args:
        sides: Name → function. Each was called before, so that it is warm.
        rounds: Number of calls of each function.

    Returns:
        Name → median time of its calls, in seconds.
    """
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, call in sides.items():
            start = time.perf_counter()
            call()
            seconds[side].append(time.perf_counter() - start)
    return {side: statistics.median(times) for side, times in seconds.items()}
