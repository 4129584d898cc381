"""Functions of numbers on arrays, where Numba has none: `np.where`, `np.clip`, special functions, what is no
ufunc; and operators that change an array in place.

Numba fuses nested operators and ufuncs of arrays into one loop over a scalar function that it compiles from
the expression. What is no ufunc becomes one for that.
"""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import builtins
import inspect
import operator

import numpy as np

from fwddiff import rules
from fwddiff._errors import CompileError
from fwddiff._native.internals import cpu_target
from fwddiff.engines.numba.frontend.array_functions.arguments import (
    array_overload,
    involves_smooth_array,
    is_none,
    is_smooth,
)
from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.numbers import element_type, is_number
from fwddiff.engines.numba.frontend.options import overload
from numba import types
from numba.extending import type_callable

NO_ROOM = "Create the array like an argument: `np.zeros_like(x)`, `np.empty_like(x)`."

# A ufunc, so that Numba fuses it: NumPy has none for a choice.
select = np.frompyfunc(lambda condition, a, b: a if condition else b, 3, 1)


def _register_fused(function, arity: int) -> None:
    """Teach Numba the type of a ufunc of ours on arrays: of the others it knows it."""
    names = ", ".join(f"a{k}" for k in range(arity))
    namespace = {"result_type": _result_type, "function": function}
    text = f"def typing(context):\n    return lambda {names}: result_type(context, function, ({names},))\n"
    type_callable(function)(compile_function("typing", text, namespace))


def _result_type(context, function, kinds: tuple):
    """Array type of the result; None unless an array of floats is involved."""
    if not involves_smooth_array(*kinds):
        return None
    elements = tuple(types.unliteral(element_type(kind)) for kind in kinds)
    signature = context.resolve_function_type(function, elements, {})
    if signature is None:
        return None
    dtype = signature.return_type
    return types.Array(dtype, max(kind.ndim for kind in kinds if isinstance(kind, types.Array)), "C")


def _register_through_ufunc(function) -> None:
    """A function of one argument that is no ufunc (`np.sinc`) becomes one that Numba fuses."""
    fused = np.frompyfunc(function, 1, 1)
    overload(fused)(lambda x: (lambda x: function(x)) if is_smooth(x) else None)
    _register_fused(fused, 1)
    array_overload(function)(lambda x: (lambda x: fused(x)) if involves_smooth_array(x) else None)


def register_special(function, entry=None) -> None:
    """A function of ours, element by element. `entry`: its compiled form, where it is no row of the table."""
    names, defaults = inspect.signature(function).parameters, function.__defaults__
    fused = np.frompyfunc(function, len(names), 1)
    listing = ", ".join(names)

    def typing(holds, called):
        def condition(*kinds):
            return holds(*map(_given_or_default, kinds))

        text = f"def typer({listing}):\n    return call if condition({listing}) else None\n"
        call = compile_function(
            "call", f"def call({listing}):\n    return called({listing})\n", {"called": called}
        )
        typer = compile_function("typer", text, {"condition": condition, "call": call})
        typer.__defaults__ = call.__defaults__ = defaults
        return typer

    overload(fused)(typing(lambda *kinds: all(map(is_number, kinds)), entry or function))
    _register_fused(fused, len(names))
    array_overload(function)(typing(involves_smooth_array, fused))
    if entry is not None:
        overload(function)(typing(lambda *kinds: all(map(is_number, kinds)), entry))
    cpu_target.typing_context.refresh()  # a compilation may be under way


def _given_or_default(kind):
    """Type of an argument, also of one that is left out."""
    kind = kind.value if isinstance(kind, types.Omitted) else kind
    return kind if isinstance(kind, types.Type) else types.float64


def _register_where() -> None:
    @overload(select)
    def choose(condition, a, b):
        if is_number(condition) and is_number(a) and is_number(b) and (is_smooth(a) or is_smooth(b)):
            return lambda condition, a, b: a if condition else b
        return None

    _register_fused(select, 3)

    @array_overload(np.where)
    def where(condition, x, y):
        if involves_smooth_array(condition, x, y):
            return lambda condition, x, y: select(condition, x, y)
        return None


def _register_clip() -> None:
    def clip(a, a_min=None, a_max=None):
        if not involves_smooth_array(a, a_min, a_max):
            return None
        if is_none(a_min):
            return lambda a, a_min=None, a_max=None: np.minimum(a, a_max)
        if is_none(a_max):
            return lambda a, a_min=None, a_max=None: np.maximum(a, a_min)
        return lambda a, a_min=None, a_max=None: np.minimum(np.maximum(a, a_min), a_max)

    array_overload(np.clip)(clip)


_NOT_INTO = "an array cannot be changed in place by one of another shape"
_IN_PLACE = {
    operator.iadd: "+",
    operator.isub: "-",
    operator.imul: "*",
    operator.itruediv: "/",
    operator.ifloordiv: "//",
    operator.imod: "%",
    operator.ipow: "**",
}


def _register_in_place(function, sign: str) -> None:
    """`z += y` writes the elements of `z`, which has to have room for the partials of the result."""

    @array_overload(function)
    def typer(a, b):
        if not isinstance(a, types.Array) or not involves_smooth_array(a, b):
            return None
        _check_room(a, sign)
        return compile_function("in_place", _in_place_text(a.ndim, sign), {})


def _in_place_text(ndim: int, sign: str) -> str:
    """The result is complete before the first element is written: `b` may overlap `a`."""
    at = ", ".join(f"i{k}" for k in range(ndim)) or "()"
    lines = [f"result = a {sign} b", "if result.shape != a.shape:", f"    raise ValueError({_NOT_INTO!r})"]
    lines += [f"{'    ' * k}for i{k} in range(a.shape[{k}]):" for k in range(ndim)]
    lines += [f"{'    ' * ndim}a[{at}] = result[{at}]", "return a"]
    return "def in_place(a, b):\n" + "".join(f"    {line}\n" for line in lines)


def _check_room(a, sign: str) -> None:
    # After an error of its own Numba would try its in-place operators, which fail with an AttributeError.
    if not a.mutable:
        raise CompileError(
            f"`{sign}=` writes to an argument. Arguments are read-only; work on a copy (`x.copy()`)."
        )
    if not is_smooth(a.dtype):
        raise CompileError(f"`{sign}=` adds numbers with derivatives to an array of plain numbers. {NO_ROOM}")


def register() -> None:
    """Register everything of this file."""
    for row in rules.built_in():
        for function in row.functions:
            is_numpys = (getattr(function, "__module__", None) or "").startswith("numpy")
            if is_numpys and not isinstance(function, np.ufunc):
                _register_through_ufunc(function)
    for function in (builtins.abs, operator.abs):
        array_overload(function)(lambda x: (lambda x: np.absolute(x)) if involves_smooth_array(x) else None)
    array_overload(builtins.pow)(lambda a, b: (lambda a, b: a**b) if involves_smooth_array(a, b) else None)
    _register_where()
    _register_clip()
    for function, sign in _IN_PLACE.items():
        _register_in_place(function, sign)


__all__ = ["register", "register_special"]
