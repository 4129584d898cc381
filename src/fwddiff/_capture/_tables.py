"""Which captured arrays are tables, used as a whole: `y[i]`, `len(y)`, `for v in y`, `np.dot(y, x)`.

In a broadcast, `y` in `x / y` means its element that belongs to the element of `x`; a table means the whole
array. Where the code leaves it open, an array is a table: the result then has a shape that nobody expects,
but no wrong number.
"""

from __future__ import annotations

import builtins
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

import numpy as np

from fwddiff import _tree, rules
from fwddiff._capture._bytecode import nested_codes, uses, uses_of_computed
from fwddiff._capture._names import look_up, unbound
from fwddiff._capture._stack import APPLIED, COMPUTED, ELEMENT, Argument, Steps, Use, parameters
from fwddiff._capture._values import is_struct
from fwddiff._probe import probe

_OF_NUMBERS = (float, int, bool, abs, round, pow, divmod, np.float32, np.float64, np.int32, np.int64)
_OF_SEVERAL = (min, max)
_OF_SEQUENCES = ("fsum", "prod", "dist", "sumprod")


class _Scope(NamedTuple):
    """A function whose names are looked up, and its `self`."""

    function: Any
    bound: Any


def is_table(function: Any, bound: Any, root: str, steps: Steps, value: Any) -> bool:
    """Whether `function` uses what `root.step.step` leads to, which is `value` now, as a whole."""
    return not leaf_arrays(value) or _verdict(_Scope(function, bound), root, steps, value, set()) != "scalar"


def _verdict(scope: _Scope, root: str, steps: Steps, value: Any, visited: set) -> str | None:
    """The strongest of the uses, "whole" above "scalar"; `None` where there is none that tells."""
    key = (scope.function.__code__, root, steps)
    if key in visited:
        return None
    visited.add(key)
    verdicts = [
        _judge(scope, value, use.path[1][len(steps) :], use, visited)
        for use in _uses_of(scope.function, root)
        if use.path[1][: len(steps)] == steps
    ]
    if "scalar" in verdicts and _is_computed_with_as_array(scope, root, steps, value, visited):
        return "whole"
    return next((verdict for verdict in ("whole", "scalar") if verdict in verdicts), None)


def _uses_of(function: Any, root: str, found: Callable[[CodeType], Sequence[Use]] = uses) -> Iterator[Use]:
    code = function.__code__
    yield from (use for use in found(code) if use.path[0] == root)
    for inner in nested_codes(code):
        if root in inner.co_freevars or root not in (*code.co_varnames, *code.co_cellvars, *code.co_freevars):
            yield from (use for use in found(inner) if use.path[0] == root and root not in parameters(inner))


# --- what arithmetic makes of an array ----------------------------------------------------------------------

# What is asked of arrays alone: as methods, or as functions of NumPy.
_OF_ARRAYS = {
    *("sum", "mean", "prod", "max", "min", "amax", "amin", "std", "var"),
    *("ptp", "any", "all", "argmax", "argmin", "cumsum", "cumprod", "dot", "matmul"),
    *("inner", "outer", "vdot", "trace", "sort", "argsort", "diff", "median", "quantile"),
    *("percentile", "average", "nansum", "nanmean", "trapezoid", "ravel", "reshape", "flatten", "transpose"),
    *("size", "shape", "T", "nonzero", "tolist", "concatenate", "stack", "norm"),
}
_BUILT_IN = (
    len,
    sum,
    min,
    max,
    sorted,
    any,
    all,
    list,
    tuple,
    enumerate,
    zip,
    reversed,
    math.fsum,
    math.prod,
)


def _is_computed_with_as_array(scope: _Scope, root: str, steps: Steps, value: Any, visited: set) -> bool:
    """Whether the code asks an array of what its arithmetic makes of the value: `np.exp(y * x).sum()`."""
    return any(
        _asks_array(scope, use.path[1][use.path[1].index(COMPUTED) + 1 :], use, value, visited)
        for use in _uses_of(scope.function, root, uses_of_computed)
        if use.path[1][: len(steps)] == steps
    )


def _asks_array(scope: _Scope, rest: Steps, use: Use, value: Any, visited: set) -> bool:
    while rest and rest[0].startswith(APPLIED):
        callee_root, *callee_steps = rest[0][len(APPLIED) :].split(".")
        if not _takes_numbers(unbound(_resolve(scope, callee_root, tuple(callee_steps)))[1], 1):
            return False
        rest = rest[1:]
    if rest or use.how == "array":
        return not rest or rest[0] in _OF_ARRAYS or rest == (ELEMENT,)
    if use.argument is None:
        return False
    return any(_asks_array_of(scope, callee, use.argument, value, visited) for callee in use.argument.callees)


def _asks_array_of(scope: _Scope, path: tuple, argument: Argument, value: Any, visited: set) -> bool:
    """Whether a function asks an array of its argument."""
    bound, callee = unbound(_resolve(scope, *path))
    if any(callee is known for known in _BUILT_IN):
        return argument.count == 1
    if (getattr(callee, "__module__", None) or "").partition(".")[0] == "numpy":
        return callee.__name__ in _OF_ARRAYS
    if rules.is_of_arrays(rules.meant_by(callee)):
        return True
    name = _parameter(callee, argument.place, bound is not None)
    return name is not None and _verdict(_Scope(callee, bound), name, (), value, visited) == "whole"


def _judge(scope: _Scope, value: Any, rest: Steps, use: Use, visited: set) -> str | None:
    owner, values = value, [value]
    for step in rest:
        if any(_is_array(v) for v in values):
            return "whole"
        owner, values = values[0] if values else None, [inner for v in values for inner in _inside(v, step)]
    if use.how == "called":
        return _judge_method(owner, values, visited)
    if not any(map(leaf_arrays, values)):
        return None
    if use.argument is not None:
        return _judge_argument(scope, use.argument, values, visited)
    if use.how == "scalar":
        return "whole" if any(map(is_struct, values)) else "scalar"
    return None if use.how in ("neutral", "updated") else "whole"


def _inside(value: Any, step: str) -> Sequence[Any]:
    if step != ELEMENT:
        return [probe(value, step)]
    return (
        list(value.values())
        if isinstance(value, dict)
        else list(value)
        if isinstance(value, tuple | list)
        else []
    )


def _judge_method(owner: Any, values: Sequence[Any], visited: set) -> str | None:
    """`value.method(…)`: what the method does with `self`."""
    for method in values:
        function = getattr(method, "__func__", None)
        if not isinstance(function, FunctionType) or not isinstance(method, MethodType):
            return "whole"
        names = parameters(function.__code__)
        return _verdict(_Scope(function, None), names[0], (), owner, visited) if names else "whole"
    return None


def _judge_argument(scope: _Scope, argument: Argument, values: Sequence[Any], visited: set) -> str | None:
    verdicts = []
    for root, steps in argument.callees:
        bound, callee = unbound(_resolve(scope, root, steps))
        if rules.is_of_arrays(rules.meant_by(callee)):
            return "whole"
        if _takes_numbers(callee, argument.count):
            verdicts.append("scalar")
            continue
        name = _parameter(callee, argument.place, bound is not None)
        if name is None:
            return "whole"
        verdicts += [_verdict(_Scope(callee, bound), name, (), value, visited) for value in values]
    if not verdicts or "whole" in verdicts:
        return "whole"
    return "scalar" if "scalar" in verdicts else None


def _resolve(scope: _Scope, root: str, steps: Steps) -> Any:
    found = look_up(scope.function, scope.bound, root, steps)
    if found is None and not steps and root not in scope.function.__code__.co_varnames:
        return getattr(builtins, root, None)
    return found


def _parameter(callee: Any, place: int | str, is_method: bool) -> str | None:
    """Name of the parameter that the argument becomes; `None` without Python code, or in `*rest`."""
    if not isinstance(callee, FunctionType):
        return None
    code = callee.__code__
    if isinstance(place, str):
        return place if place in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] else None
    position = place + is_method
    return code.co_varnames[position] if position < code.co_argcount else None


def _takes_numbers(function: Any, count: int) -> bool:
    if isinstance(function, np.ufunc):
        return function.signature is None
    if any(function is several for several in _OF_SEVERAL):
        return count > 1
    if probe(function, "__module__") == "math":
        return function.__name__ not in _OF_SEQUENCES and isinstance(function, type(math.exp))
    return any(function is known for known in (*_OF_NUMBERS, *_rule_functions(len(rules.TABLE))))


@functools.lru_cache(maxsize=4)
def _rule_functions(size: int) -> tuple[Any, ...]:
    return tuple(function for row in rules.TABLE.values() for function in row.functions)


def _is_array(value: Any) -> bool:
    if is_struct(value):
        return False
    ndim = probe(value, "ndim")  # asked first: a symbolic shape has no length
    return bool(len(probe(value, "shape", ())) if ndim is None else ndim)


def leaf_arrays(value: Any) -> bool:
    if not is_struct(value):
        return _is_array(value)
    return any(_is_array(leaf) for leaf in _tree.flatten(value)[0])
