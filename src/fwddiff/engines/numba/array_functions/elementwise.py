"""Operators, ufuncs, `np.where` and `np.clip` on arrays of duals.

Numba fuses nested operators and ufuncs of arrays into one loop over a scalar function that it compiles from
the expression. Duals need two things for that: a type for the result, asked of the scalar function, and dual
numbers among the operands, which Numba's loop takes for unknown; it gets them as arrays without axes.
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
from fwddiff.engines.numba import scalars
from fwddiff.engines.numba.array_functions.arguments import (
    array_overload,
    involves_smooth_array,
    is_none,
    is_smooth,
)
from fwddiff.engines.numba.arrays import element_type
from fwddiff.engines.numba.expressions import compile_function
from fwddiff.engines.numba.inner import HOOKS, is_plain
from fwddiff.engines.numba.options import overload
from fwddiff.engines.numba.types import DualType, is_dual, is_number, join
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.core.typing.npydecl import supported_array_operators
from numba.extending import type_callable
from numba.np import arrayobj
from numba.np.ufunc import array_exprs

_POWERS = (operator.pow, np.power)

NO_ROOM = "Create the array like an argument: `np.zeros_like(x)`, `np.empty_like(x)`."

# A ufunc, so that Numba fuses it: NumPy has none for a choice.
select = np.frompyfunc(lambda condition, a, b: a if condition else b, 3, 1)
# Of others, Numba knows what they make of plain numbers.
_OWN = [select]


def register_function(function, arity: int) -> None:
    """Teach Numba the type of `function`, a ufunc or an operator, on arrays of duals."""
    names = ", ".join("abc"[:arity])
    namespace = {"result_type": _result_type, "function": function}
    text = f"def typing(context):\n    return lambda {names}: result_type(context, function, ({names},))\n"
    type_callable(function)(compile_function("typing", text, namespace))


def _result_type(context, function, kinds: tuple):
    """Array type of the result; None unless arrays and duals are involved."""
    if not involves_smooth_array(*kinds) or (is_plain() and function not in _OWN):
        return None
    elements = [types.unliteral(element_type(kind)) for kind in kinds]
    if function in _POWERS and isinstance(elements[1], types.Integer):
        # The loop sees a constant exponent as such: asking for the general power would compile it in vain.
        dtype = join(*elements)
    else:
        signature = context.resolve_function_type(function, tuple(elements), {})
        if signature is None:
            return None
        dtype = signature.return_type
    return types.Array(dtype, max(kind.ndim for kind in kinds if isinstance(kind, types.Array)), "C")


# --- dual numbers among the operands of an array expression -------------------------------------------------


class _Operands:
    """A lowerer as array expressions use it, with each dual number as an array without axes."""

    def __init__(self, lowerer):
        self.lowerer, self.context, self.builder = lowerer, lowerer.context, lowerer.builder

    def typeof(self, name: str):
        kind = self.lowerer.typeof(name)
        return types.Array(kind, 0, "C") if is_dual(kind) else kind

    def loadvar(self, name: str):
        kind, value = self.lowerer.typeof(name), self.lowerer.loadvar(name)
        if not is_dual(kind):
            return value
        data = self.context.get_value_as_data(self.builder, kind, value)
        array = arrayobj.make_array(types.Array(kind, 0, "C"))(self.context, self.builder)
        size = self.context.get_constant(types.intp, self.context.get_abi_sizeof(data.type))
        arrayobj.populate_array(
            array,
            data=cgutils.alloca_once_value(self.builder, data),
            shape=[],
            strides=[],
            itemsize=size,
            meminfo=None,
        )
        return array._getvalue()


def _lower_array_expression(lowerer, expression):
    return array_exprs._lower_array_expr(_Operands(lowerer), expression)


def _let_duals_into_array_expressions() -> None:
    HOOKS["arrayexpr"] = _lower_array_expression
    # Numba fuses operators of its own types only.
    DualType._is_internal = True


# --- registration -------------------------------------------------------------------------------------------


def register_row(row: rules.Row) -> None:
    """The functions of a row of the table, on arrays."""
    for function in row.functions:
        register_elementwise(function, len(row.arguments))


def register_elementwise(function, arity: int) -> None:
    """Operators and ufuncs are fused; a plain function of NumPy's is called in a loop."""
    if isinstance(function, np.ufunc) or function in supported_array_operators:
        register_function(function, arity)
    elif (function.__module__ or "").startswith("numpy"):
        _register_through_ufunc(function)


def _register_through_ufunc(function) -> None:
    """A function of one argument that is no ufunc (`np.sinc`) becomes one that Numba fuses."""
    fused = np.frompyfunc(function, 1, 1)
    _OWN.append(fused)
    overload(fused)(lambda x: (lambda x: function(x)) if is_smooth(x) else None)
    register_function(fused, 1)
    array_overload(function)(lambda x: (lambda x: fused(x)) if involves_smooth_array(x) else None)


def register_special(function, entry=None) -> None:
    """A function of ours, element by element. `entry`: its compiled form, where it is no row of the table."""
    names, defaults = inspect.signature(function).parameters, function.__defaults__
    fused = np.frompyfunc(function, len(names), 1)
    _OWN.append(fused)
    listing = ", ".join(names)

    def typing(condition, called):
        text = f"def typer({listing}):\n    return call if condition({listing}) else None\n"
        call = compile_function(
            "call", f"def call({listing}):\n    return called({listing})\n", {"called": called}
        )
        typer = compile_function("typer", text, {"condition": condition, "call": call})
        typer.__defaults__ = call.__defaults__ = defaults
        return typer

    overload(fused)(typing(lambda *kinds: all(map(_is_scalar, kinds)), entry or function))
    register_function(fused, len(names))
    array_overload(function)(typing(involves_smooth_array, fused))
    if entry is not None:
        overload(function)(typing(lambda *kinds: all(map(_is_scalar, kinds)), entry))
    cpu_target.typing_context.refresh()  # a compilation may be under way


def _is_scalar(kind) -> bool:
    return is_dual(kind) or is_number(kind)


def _register_where() -> None:
    @overload(select)
    def choose(condition, a, b):
        if is_number(condition) and _is_scalar(a) and _is_scalar(b) and (is_smooth(a) or is_smooth(b)):
            return lambda condition, a, b: a if condition else b
        return None

    register_function(select, 3)

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
        _check_room(a, element_type(b), sign)
        return compile_function("in_place", _in_place_text(a.ndim, sign), {})


def _in_place_text(ndim: int, sign: str) -> str:
    """The result is complete before the first element is written: `b` may overlap `a`."""
    at = ", ".join(f"i{k}" for k in range(ndim)) or "()"
    lines = [f"result = a {sign} b", "if result.shape != a.shape:", f"    raise ValueError({_NOT_INTO!r})"]
    lines += [f"{'    ' * k}for i{k} in range(a.shape[{k}]):" for k in range(ndim)]
    lines += [f"{'    ' * ndim}a[{at}] = result[{at}]", "return a"]
    return "def in_place(a, b):\n" + "".join(f"    {line}\n" for line in lines)


def _check_room(a, added, sign: str) -> None:
    # After an error of its own Numba would try its in-place operators, which fail with an AttributeError.
    if not a.mutable:
        raise CompileError(
            f"`{sign}=` writes to an argument. Arguments are read-only; work on a copy (`x.copy()`)."
        )
    if not is_smooth(a.dtype):
        raise CompileError(f"`{sign}=` adds numbers with derivatives to an array of plain numbers. {NO_ROOM}")
    if not is_plain() and join(a.dtype, added) != a.dtype:
        raise CompileError(
            f"`{sign}=` combines an array with numbers that have derivatives the array has no room for. "
            f"Write `z = z {sign} y` instead of `z {sign}= y`."
        )


def register() -> None:
    """Register everything of this file."""
    _let_duals_into_array_expressions()
    for row in rules.built_in():
        register_row(row)
    for function in (*scalars.COMPARISONS, *scalars.UFUNC_COMPARISONS):
        register_elementwise(function, 2)
    for function in scalars.TO_PLAIN:
        if isinstance(function, np.ufunc):
            register_elementwise(function, 1)
    for function in (builtins.abs, operator.abs):
        array_overload(function)(lambda x: (lambda x: np.absolute(x)) if involves_smooth_array(x) else None)
    array_overload(builtins.pow)(lambda a, b: (lambda a, b: a**b) if involves_smooth_array(a, b) else None)
    _register_where()
    _register_clip()
    for function, sign in _IN_PLACE.items():
        _register_in_place(function, sign)


__all__ = ["register", "register_elementwise", "register_row"]
