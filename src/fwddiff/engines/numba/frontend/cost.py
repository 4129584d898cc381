"""What running a function costs, roughly: the choice between two right ways hangs on it (`Rule.decide`).

Names in the code are followed to functions of ours (`fwddiff.special`, SciPy's names) and to methods of
classes, which are no part of a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from fwddiff._capture import Function, has_loop, instructions
from fwddiff._magnitude import magnitude
from fwddiff.engines.numba.target import vector_math
from fwddiff.rules import distribution_function, meant_by, recorded

MANY_TURNS = 24  # of a loop in a function of ours, which else has the price of a function of C
# Functions without a vector version cost some ten times as much as one with it.
_SCALAR = 10.0
_OURS = ("fwddiff.special", "fwddiff.stats")
_ELEMENTARY = dict.fromkeys(vector_math.FUNCTIONS, 1.0)
_ELEMENTARY |= dict.fromkeys(("gamma", "lgamma", "digamma", "polygamma", "spherical_jn"), _SCALAR)


def cost(plan: Function) -> tuple[bool, float]:
    """Whether the function, or one that it calls, jumps backwards, or calls one of ours that iterates; and
    the elementary functions in the code reached, in units of a vectorised one.

    Names are counted, not meanings: the numbers decide only between two right ways.
    """
    users, ours = _reached(plan.reached())
    jumps_back = any(map(loops, users)) or any(map(_iterates, ours))
    return jumps_back, sum(map(_elementary, users)) + _SCALAR * sum(recorded(f) is not None for f in ours)


def loops(function: FunctionType) -> bool:
    return has_loop(function.__code__)


def _iterates(function: FunctionType) -> bool:
    """Whether it goes on until what it adds is small, or takes many turns."""
    code = function.__code__
    turns = [k for k in code.co_consts if type(k) is int] if "range" in code.co_names else []
    return loops(function) and (magnitude in _named(function) or max(turns, default=0) >= MANY_TURNS)


def _elementary(function: FunctionType) -> float:
    loads = [i.argval for i in instructions(function.__code__) if i.opname.startswith("LOAD_")]
    return sum(_ELEMENTARY[name] for name in loads if isinstance(name, str) and name in _ELEMENTARY)


def _reached(functions: Iterable[FunctionType]) -> tuple[list[FunctionType], list[FunctionType]]:
    """These, with the methods of classes that they name, and all functions of ours that are called."""
    users: dict[FunctionType, None] = dict.fromkeys(functions)
    ours: dict[FunctionType, None] = {}
    classes: dict[type, None] = {}
    known = -1
    while known != len(users) + len(ours) + len(classes):
        known = len(users) + len(ours) + len(classes)
        for function in [*users, *ours]:
            for value in filter(callable, _named(function)):
                own = _of_ours(value)
                if own is not None:
                    ours[own] = None
                elif isinstance(value, FunctionType) and str(value.__module__).startswith(_OURS):
                    ours[value] = None
                elif isinstance(value, type):
                    classes[value] = None
        names = {name for function in [*users, *ours] for name in function.__code__.co_names}
        users |= dict.fromkeys(m for c in classes for m in _methods(c) if m.__name__ in names)
    return list(users), list(ours)


def _of_ours(value: Any) -> FunctionType | None:
    """What a value is or means of ours: the code that derivatives are taken of, where a slope is no text."""
    own = distribution_function(value) or meant_by(value) or (value if recorded(value) else None)
    row = recorded(own)
    return own if row is None or row.body is None or None not in row.partials else row.body


def _methods(struct: type) -> Iterator[FunctionType]:
    for base in struct.__mro__:
        for member in vars(base).values():
            function = getattr(member, "fget", member)
            if isinstance(function, FunctionType):
                yield function


def _named(function: FunctionType) -> list[Any]:
    """What the names in its code lead to: globals, variables of outer functions, members of modules."""
    names = function.__code__.co_names
    found = [function.__globals__[name] for name in names if name in function.__globals__]
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # no value yet
            continue
    modules: list[ModuleType] = []
    for value in found:
        if isinstance(value, ModuleType) and value not in modules:
            modules.append(value)
            found += [vars(value)[name] for name in names if name in vars(value)]
        elif type(value).__module__.startswith("scipy.stats."):  # `norm`, of `norm.logpdf`
            found += [getattr(value, name) for name in names if hasattr(type(value), name)]
    return found
