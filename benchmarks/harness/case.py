"""A case: one workload at one size, and the contestants that take part in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Run = Callable[[], Any]


class Unavailable(Exception):
    """A contestant that cannot take part here; the text says why and appears in the report."""


@dataclass(frozen=True)
class Contestant:
    """`make()` prepares data; what it returns does one whole evaluation and waits until it is done.

    Ratios in the tables are to the first contestant of the same `group`. Contestants that name the same
    thing as what it `computes` must get the same numbers; an empty name is the group's.
    `memory`: measure the peak memory of one evaluation, too.
    """

    name: str
    make: Callable[[], Run]
    group: str = "gradient"
    memory: bool = False
    computes: str = ""


@dataclass(frozen=True)
class Process:
    """What is measured where nothing else has run: `python -m module arguments…` prints, as JSON, what it
    `tells` of contestants by name: "seconds", and perhaps "memory" in bytes and the "numbers" computed.

    `once`: it takes too long to be repeated.
    """

    module: str
    arguments: tuple[str, ...]
    tells: tuple[str, ...]
    once: bool = False


@dataclass(frozen=True)
class Case:
    """`letter` is the workload's in the table of targets. `tolerance` is relative to an array's largest
    magnitude. `processes`, where there are any, tell all about the contestants, which are not made here."""

    letter: str
    title: str
    size: str
    contestants: Sequence[Contestant]
    tolerance: float = 1e-6
    note: str = ""
    processes: Sequence[Process] = ()

    @property
    def label(self) -> str:
        return f"({self.letter}) {self.title}, {self.size}"


def told(name: str, group: str, computes: str = "") -> Contestant:
    """A contestant that processes of their own tell about."""

    def make() -> Run:
        raise Unavailable("is measured in a process of its own")

    return Contestant(name, make, group, computes=computes)


@dataclass
class Measurement:
    """What one contestant did. Times in seconds, memory in bytes; `reason` says why it did not take part.

    Of processes the fastest counts: what else the machine does can only add to their time.
    """

    contestant: str
    group: str
    seconds: list[float] = field(default_factory=list)
    first_call: float | None = None
    peak_memory: int | None = None
    reason: str = ""
    of_processes: bool = False

    @property
    def typical(self) -> float:
        """The time that ratios are of."""
        return self.quantile(0.0 if self.of_processes else 0.5)

    @property
    def median(self) -> float:
        return self.quantile(0.5)

    def quantile(self, share: float) -> float:
        return float(np.quantile(self.seconds, share)) if self.seconds else float("nan")


class Disagreement(Exception):
    """Two contestants computed different numbers: nothing is timed."""


def numbers(result: Any) -> list[np.ndarray]:
    """All arrays of a nested result, as copies in float64."""
    if isinstance(result, tuple | list):
        return [array for item in result for array in numbers(item)]
    if hasattr(result, "detach"):
        result = result.detach()
    return [np.array(result, dtype=np.float64)]


def check_agreement(case: Case, results: dict[str, list[np.ndarray]]) -> None:
    """Raise `Disagreement` unless all contestants that compute the same thing got the same numbers.

    The yardstick is the largest magnitude of the array: single elements may be rounded differently.
    """
    first: dict[str, str] = {}
    for contestant in case.contestants:
        if contestant.name in results:
            reference = first.setdefault(contestant.computes or contestant.group, contestant.name)
            worst = _difference(results[reference], results[contestant.name])
            if not worst <= case.tolerance:  # so that NaN disagrees
                raise Disagreement(
                    f"{case.label}: {contestant.name} and {reference} computed different numbers: they "
                    f"differ by {worst:.1e} of the largest, {case.tolerance:.0e} is allowed."
                )


def _difference(expected: list[np.ndarray], found: list[np.ndarray]) -> float:
    """Largest difference, relative to the largest magnitude in its array; infinite where sizes differ."""
    if [array.size for array in expected] != [array.size for array in found]:
        return float("inf")
    worst = [_relative(a.ravel(), b.ravel()) for a, b in zip(expected, found, strict=True)]
    return float(np.max(worst, initial=0.0))


def _relative(expected: np.ndarray, found: np.ndarray) -> float:
    scale = np.max(np.abs(expected), initial=np.finfo(float).tiny)
    return float(np.max(np.abs(expected - found), initial=0.0) / scale)
