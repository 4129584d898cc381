"""Interleaved timing: rounds over all contestants, so that a slow second of the machine meets all of them."""

from __future__ import annotations

import contextlib
import gc
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.harness.case import Case, Contestant, Measurement, Run, Unavailable, check_agreement, numbers

SAMPLE = 2e-3  # seconds that a sample takes at least: the clock and the loop then do not matter
FEWEST, MOST = 3, 40  # samples of one contestant

_FOLDERS = re.compile(r"(?<!\w)/(\S*/)?")  # the report is published, the machine's folders are not


@dataclass(frozen=True)
class Limits:
    """Seconds: `budget` for the samples of one case, `patience` for one contestant's first call."""

    budget: float = 8.0
    patience: float = 90.0


QUICK = Limits(0.8, 20.0)


def measure(
    case: Case, limits: Limits = QUICK, progress: Callable[[str], None] = lambda text: None
) -> list[Measurement]:
    """Check that all contestants agree, then time them.

    First calls, which compile, are noted apart. A contestant that is not installed, raises, or is not done
    within its patience is left out, with the reason. Raises `Disagreement`.
    """
    measurements, runs, results = {}, {}, {}
    for contestant in case.contestants:
        progress(f"{case.label}: {contestant.name}, first call")
        measurement = measurements[contestant.name] = Measurement(contestant.name, contestant.group)
        run, result = _first_call(contestant, measurement, limits.patience)
        if run is not None:
            runs[contestant.name], results[contestant.name] = run, numbers(result)
    check_agreement(case, results)
    results.clear()
    progress(f"{case.label}: timing")
    gc.collect()
    _rounds(runs, measurements, limits.budget)
    return list(measurements.values())


class _GaveUp(BaseException):
    """No `Exception`: frameworks would catch it and go on."""


def _first_call(contestant: Contestant, measurement: Measurement, patience: float) -> tuple[Run | None, Any]:
    try:
        with _patience(patience):
            begin = time.perf_counter()
            run = contestant.make()
            result = run()
            measurement.first_call = time.perf_counter() - begin
            return run, result
    except Unavailable as reason:
        measurement.reason = str(reason)
    except _GaveUp:
        measurement.reason = f"not done after {patience:.0f} s"
    except Exception as error:  # of whatever framework: the others still run
        line = next(iter(str(error).splitlines()), "")
        measurement.reason = f"raised {type(error).__name__}: {_FOLDERS.sub('', line)[:80]}"
    return None, None


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer, as soon as it is in Python code (an XLA compilation is not)."""

    def interrupt(signum: int, frame: Any) -> None:
        raise _GaveUp

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _rounds(runs: dict[str, Run], measurements: dict[str, Measurement], budget: float) -> None:
    """Samples of all contestants in shuffled rounds; a slow one skips some, so that each has its share."""
    counts, samples = {}, {}
    for name, run in runs.items():
        once = _once(run)
        counts[name] = max(1, round(SAMPLE / once))
        samples[name] = min(MOST, max(FEWEST, int(budget / len(runs) / (counts[name] * once))))
    order, shuffle = list(runs), random.Random(0).shuffle
    rounds = max(samples.values(), default=0)
    for number in range(rounds):
        shuffle(order)
        for name in order:
            if (number + 1) * samples[name] // rounds > number * samples[name] // rounds:
                measurements[name].seconds.append(_sample(runs[name], counts[name]))


def _once(run: Run) -> float:
    """Seconds of one evaluation; quick ones are looked at again, after a warm-up."""
    once = _sample(run, 1)
    return max(1e-9, once if once > 0.1 else min(_sample(run, 1) for _ in range(3)))


def _sample(run: Run, count: int) -> float:
    if count > 1:
        run()  # brings data and code back into the caches, after the others
    enabled = gc.isenabled()
    gc.disable()
    try:
        begin = time.perf_counter()
        for _ in range(count):
            run()
        return (time.perf_counter() - begin) / count
    finally:
        if enabled:
            gc.enable()
