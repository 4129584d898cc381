"""What derivative is asked for."""

from __future__ import annotations

import dataclasses

from fwddiff.engines.numba.ssa.function import Kind


@dataclasses.dataclass(frozen=True)
class Derivative:
    """What is asked for: of which inputs (`active`) and outputs (`results`), and the types of what the
    derived function takes and gives."""

    kind: str
    active: tuple[int, ...]
    results: tuple[int, ...]
    inputs: tuple[Kind, ...]
    outputs: tuple[Kind, ...]
    exact: bool = False
    chunk: int = 0  # 0: all inputs at once

    @property
    def absent(self) -> float:
        return -0.0 if self.exact else 0.0
