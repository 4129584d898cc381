"""One result of `run`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["pass", "fail", "unsupported"]


@dataclass(frozen=True)
class Cell:
    """One operator on one scenario in one backend.

    `detail` says what is wrong, in numbers, or why it is unsupported. `seconds` is the median of a call,
    `passes` how often it runs the function (on numbers that carry many partials each, in fwddiff),
    `bytes` the most memory of Python and NumPy that it holds at once. They are `None` where unknown.
    """

    scenario: str
    kinds: tuple[str, ...]
    operator: str
    backend: str
    status: Status
    detail: str = ""
    seconds: float | None = None
    passes: int | None = None
    bytes: int | None = None
