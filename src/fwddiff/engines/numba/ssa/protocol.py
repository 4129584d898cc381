"""What shadows of memory and moves of lanes need of the code that is being differentiated."""

from __future__ import annotations

from typing import Protocol

from fwddiff.engines.numba.ssa.activity import Activity
from fwddiff.engines.numba.ssa.code import Code, Value
from fwddiff.engines.numba.ssa.writer import Writer


class Differentiating(Protocol):
    """`width` partials are one vector, 0 where each is a number; `absent` is a partial that is zero for want
    of dependence."""

    code: Code
    exact: bool
    width: int
    active: Activity
    writer: Writer

    @property
    def absent(self) -> float: ...

    def lifted(self, kind: str) -> str:
        """The type of a partial of a value of this type."""
        ...

    def positions(self, value: Value) -> list[int]: ...

    def partial(self, value: Value, k: int) -> Value: ...
