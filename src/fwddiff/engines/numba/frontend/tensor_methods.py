"""Elementwise functions and methods of frameworks, for numbers: `torch.exp(x)`, `x.exp()`,
`x.clamp(min=0)`."""

# Numba's modules have exports that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from fwddiff import rules
from fwddiff._capture import plan
from fwddiff._native.internals import templates
from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.inner import is_ours, means
from numba import types
from numba.extending import overload_method


@functools.cache
def compiled(function: Callable) -> Any:
    """What code of kernels calls: Python's and NumPy's functions as they are, ours in compiled form."""
    is_own = isinstance(function, FunctionType) and function.__module__ == _OWN
    return means().compile_plan(plan(function)) if is_own else function


_OWN = "fwddiff.rules._activations"


def register() -> None:
    """Teach Numba the methods."""
    for name, function in rules.tensor_methods().items():
        _register(types.Float, name, function)


def _register(kind: Any, name: str, function: Callable) -> None:
    names, listing = _parameters(function)

    def choose() -> Any:
        text = f"def method({listing}):\n    return function({', '.join(names)})\n"
        return compile_function("method", text, {"function": compiled(function)})

    text = f"def typer({listing}):\n    return choose()\n"
    overload_method(kind, name)(compile_function("typer", text, {"choose": choose}))
    # In code of ours alone: a user's own `@njit` functions know no such methods.
    template: Any = templates.builtin_registry.attributes[-1]
    general = template._resolve
    template._resolve = lambda self, *given: general(self, *given) if is_ours() else None


def _parameters(function: Callable) -> tuple[list[str], str]:
    """Names, and how a definition lists them; the first is the number that has the method."""
    if isinstance(function, FunctionType):
        parameters = list(inspect.signature(function).parameters.values())
        return [p.name for p in parameters], ", ".join(str(p) for p in parameters)
    count = function.nin if isinstance(function, np.ufunc) else _OTHERS.get(function, 1)
    names = ["x", "other", "third"][:count]
    return names, ", ".join(names)


_OTHERS: dict[Any, int] = {np.where: 3} | {
    getattr(operator, name): 2 for name in ("eq", "ne", "lt", "le", "gt", "ge", "pow", "floordiv", "mod")
}
