"""How long a call takes, how often it runs a function, and how much memory it takes."""

from __future__ import annotations

import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

_ROUNDS = 5


def seconds_of(call: Callable[[], Any], budget: float) -> float:
    """Median seconds of a call, of several rounds that take `budget` seconds together; where one call takes
    as long by itself, those of that one."""
    once = max(_seconds(call, 1), 1e-9)
    if once >= budget:
        return once
    repeat = max(1, round(budget / _ROUNDS / once))
    return statistics.median(_seconds(call, repeat) / repeat for _ in range(_ROUNDS))


def _seconds(call: Callable[[], Any], repeat: int) -> float:
    start = time.perf_counter()
    for _ in range(repeat):
        call()
    return time.perf_counter() - start


def runs_of(call: Callable[[], Any], code: Any) -> int:
    """How often Python runs a function with this code, or a copy of it, in this thread during a call."""
    place, found = (code.co_filename, code.co_firstlineno, code.co_name), 0

    def entered(frame: Any, event: str, _: Any) -> None:
        nonlocal found
        if event == "call":
            own = frame.f_code
            found += (own.co_filename, own.co_firstlineno, own.co_name) == place

    previous = sys.getprofile()
    sys.setprofile(entered)
    try:
        call()
    finally:
        sys.setprofile(previous)
    return found


def bytes_of(call: Callable[[], Any]) -> int:
    """Most bytes that Python and NumPy hold at once during a call, its result included."""
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        call()
        return max(0, tracemalloc.get_traced_memory()[1] - before)
    finally:
        if not was_tracing:
            tracemalloc.stop()
