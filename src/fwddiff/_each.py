"""`each`: a method of every item of a tuple, whose items may be of several classes."""

from __future__ import annotations

from typing import Any


def each(items: tuple[Any, ...], method: str, *arguments: Any) -> tuple[Any, ...]:
    """The results of this method, called with these arguments; in kernels, which have no loop over values of
    several classes, one call beside the other."""
    return tuple(getattr(item, method)(*arguments) for item in items)
