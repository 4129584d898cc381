"""Cotangents that are not yet computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Thunk:
    """A cotangent that is computed when first asked for, and once. `fd.unthunk` (or calling it) gives the
    value."""

    __slots__ = ("_compute", "_value")

    def __init__(self, compute: Callable[[], Any]):
        self._compute: Callable[[], Any] | None = compute
        self._value: Any = None

    @property
    def computed(self) -> bool:
        """Whether the cotangent has been computed already."""
        return self._compute is None

    def __call__(self) -> Any:
        if self._compute is not None:
            self._value = self._compute()
            self._compute = None
        return self._value

    def __repr__(self) -> str:
        return f"Thunk({self._value!r})" if self.computed else "Thunk(not computed)"


def unthunk(cotangent: Any) -> Any:
    """The cotangent itself: computes a thunk, returns anything else unchanged."""
    return cotangent() if isinstance(cotangent, Thunk) else cotangent
