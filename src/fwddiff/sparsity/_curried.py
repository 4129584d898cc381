"""Sparse operators without arguments: functions of them, which prepare themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fwddiff._errors import ArgumentError, SparsityError
from fwddiff.sparsity._prepared import SparseDerivative


class Curried:
    """The derivative as a function. The first call prepares it, and each for which that does not hold."""

    def __init__(self, kind: type[SparseDerivative], point: Any, pattern: Any, check: bool | None):
        self.how = kind, point, pattern, check
        self.prepared: SparseDerivative | None = None

    def __call__(self, *arguments: Any, out: Any = None) -> Any:
        return self._with(SparseDerivative.__call__, arguments, out)

    def value_and(self, *arguments: Any, out: Any = None) -> Any:
        """The function's value, and the derivative."""
        return self._with(SparseDerivative.value_and, arguments, out)

    def _with(self, evaluate: Callable[..., Any], arguments: tuple, out: Any) -> Any:
        kind, point, pattern, check = self.how
        if self.prepared is not None:
            try:
                return evaluate(self.prepared, *arguments, out=out)
            except (ArgumentError, SparsityError):
                if out is not None:
                    raise
        prepared = self.prepared = kind(point, arguments, pattern, check)
        return evaluate(prepared, *arguments, out=out)
