"""What derivative is asked for."""

from __future__ import annotations

import dataclasses

from fwddiff.engines.numba.ssa.code import Value
from fwddiff.engines.numba.ssa.function import Kind
from fwddiff.engines.numba.ssa.writer import Writer, number


@dataclasses.dataclass(frozen=True)
class Derivative:
    """What is asked for: of which inputs (`active`) and outputs (`results`), and the types of what the
    derived function takes and gives. `values`: the base's outputs come ahead, as they always do of
    partials."""

    kind: str
    active: tuple[int, ...]
    results: tuple[int, ...]
    inputs: tuple[Kind, ...]
    outputs: tuple[Kind, ...]
    exact: bool = False
    chunk: int = 0  # 0: all inputs at once
    values: bool = False

    @property
    def has_values(self) -> bool:
        return self.values or self.kind == "partials"

    @property
    def absent(self) -> float:
        return -0.0 if self.exact else 0.0

    def seed(self, writer: Writer, tangent: Value) -> Value:
        """A tangent as a partial: in exact code one that is zero, and does not vary, asks for nothing."""
        if not self.exact:
            return tangent
        suffix = ".f32" if tangent.type == "float" else ""
        return writer.call(f"fwddiff.seed.1{suffix}", tangent.type, [tangent])

    def settled(self, writer: Writer, partial: Value) -> Value:
        """A partial as a value: 0.0 for -0.0. What depends on it stays as it is."""
        return writer.binary("fadd", partial, number(partial.type, 0.0)) if self.exact else partial
