"""Every row of the rules table as Numba overloads on duals: the operators, `math`, NumPy's ufuncs of scalars.

An overload is generated when Numba meets a combination of types: it takes the outermost layer off, computes
the value by the same function (on floats, or on duals of the lower levels: an overload again), evaluates the
row's partial expressions there, and multiplies them with the partials that the arguments carry. Rows with the
partial "0" drop the layer, so locally constant functions cost nothing further on.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from fwddiff import rules
from fwddiff.engines.numba import zeros
from fwddiff.engines.numba.expressions import Source
from fwddiff.engines.numba.options import overload
from fwddiff.engines.numba.types import (
    constructor,
    converter,
    is_dual,
    is_number,
    join,
    partials_of,
    value_of,
)
from numba.core import types

# Functions that `scalars` treats itself, because Python gives them a meaning beyond the row.
SPECIAL_CASES: set = set()

_NO_NAMES: Mapping[str, object] = MappingProxyType({})
_UNKNOWN_TO_NUMBA = {math.fmod, math.remainder, np.fix, np.heaviside, getattr(math, "cbrt", np.fix)}

_IN_PLACE = {
    "add": operator.iadd,
    "subtract": operator.isub,
    "multiply": operator.imul,
    "divide": operator.itruediv,
    "remainder": operator.imod,
    "floor_divide": operator.ifloordiv,
}


def register_row(row: rules.Row) -> None:
    """Teach Numba the row: all functions that mean it accept duals."""
    own = rules.scalar_namespace().get(row.name)
    for function in dict.fromkeys((*row.functions, own, _IN_PLACE.get(row.name))):
        if function is not None and function not in SPECIAL_CASES:
            overload(function, prefer_literal=False)(_overload_of(row))
    for function in row.functions:
        if function in _UNKNOWN_TO_NUMBA:
            overload(function)(_of_plain_numbers(row))
    if own is not None and own.__module__ == "fwddiff._special":
        overload(own)(_numbers_only(own, row))


def _of_plain_numbers(row: rules.Row):
    """Typing function for plain numbers alone, where Numba has none: by the row's value."""

    def typer(*kinds):
        if not all(map(is_number, kinds)):
            return None
        source = Source(types.float64)
        source.line(f"return {source.expression(row.value)}")
        return source.compile(row.name, row.arguments)

    listing = ", ".join(row.arguments)
    namespace = {"typer": typer}
    exec(f"def named({listing}):\n    return typer({listing})", namespace)
    return namespace["named"]


def _overload_of(row: rules.Row):
    """The typing function of a row, with the row's number of arguments."""
    listing = ", ".join(row.arguments)
    namespace = {"implement": implement, "row": row}
    exec(f"def typer({listing}):\n    return implement(row, ({listing},))", namespace)
    return namespace["typer"]


def _numbers_only(function, row: rules.Row):
    """Plain code of ours on plain numbers: the function is its own implementation."""
    listing = ", ".join(row.arguments)
    namespace = {"function": function, "is_number": is_number}
    body = f"return function if all(is_number(t) for t in ({listing},)) else None"
    exec(f"def typer({listing}):\n    {body}", namespace)
    return namespace["typer"]


def implement(
    row: rules.Row, kinds: tuple, names: Mapping[str, object] = _NO_NAMES, captured: Sequence[str] = ()
) -> object:
    """Implementation of `row` for arguments of these Numba types; `None` if no dual is among them.

    `names` are what the row's text means by names of the user's; the function with this row takes `captured`
    before its arguments.
    """
    if not any(map(is_dual, kinds)) or not all(is_dual(t) or is_number(t) for t in kinds):
        return None
    result = join(*kinds)
    if not result.layers:
        return _of_floats(row, result, names, captured)
    return _of_layers(row, kinds, result, names, captured)


def _of_floats(row: rules.Row, result, names: Mapping[str, object], captured: Sequence[str]):
    source = Source(result.base, names, {row.name: captured})
    source.bind("strip", converter(result.base))
    source.bind("wrap", converter(result))
    for position, name in enumerate(row.arguments):
        if position not in rules.INTEGER_ARGUMENTS.get(row.name, ()):
            source.line(f"{name} = strip({name})")
    source.line(f"return wrap({source.expression(row.value)})")
    return source.compile(row.name, (*captured, *row.arguments))


def _of_layers(row: rules.Row, kinds: tuple, result, names: Mapping[str, object], captured: Sequence[str]):
    """One layer: `y = f(values)`, then the chain rule position by position."""
    top = result.level
    carriers = [
        (name, text, kind)
        for name, text, kind in zip(row.arguments, row.partials, kinds, strict=True)
        if is_dual(kind) and kind.level == top and text != "0"
    ]
    source = Source(result.value_type, names, {row.name: captured})
    source.bind("value_of", value_of)
    source.bind("partials_of", partials_of)
    source.bind("strip", converter(result.base))
    target = join(*(kind for _, _, kind in carriers), *(_without(kind, top) for kind in kinds))
    for position, (name, kind) in enumerate(zip(row.arguments, kinds, strict=True)):
        if any(name == carrier for carrier, _, _ in carriers):
            source.line(f"p_{name} = partials_of({name})")
        if is_dual(kind) and kind.level == top:
            source.line(f"{name} = value_of({name})")
        elif (is_number(kind) or not kind.layers) and position not in rules.INTEGER_ARGUMENTS.get(
            row.name, ()
        ):
            source.line(f"{name} = strip({name})")
    source.line(f"y = {source.expression(row.value)}")
    if target.exact:
        source.namespace.update(zeros.NAMES)
    if not carriers:
        source.bind("wrap", converter(target))
        source.line("return wrap(y)")
        return source.compile(row.name, (*captured, *row.arguments))
    for name, text, _ in carriers:
        assert text is not None  # those of recorded functions are compiled as what they are made of
        if text not in ("1", "-1"):
            source.line(f"d_{name} = {source.expression(text)}")
    times = _product_text(row, target.exact)
    parts = ", ".join(_chain(position, carriers, times) for position in target.positions)
    source.bind("construct", constructor(target))
    source.line(f"return construct(y, ({parts},))")
    return source.compile(row.name, (*captured, *row.arguments))


def _without(kind, level: int):
    """The type of `kind`'s value, if its outermost layer is the one at `level`."""
    if not is_dual(kind) or kind.level != level:
        return kind
    inner = kind.value_type
    return inner if is_dual(inner) else type(kind)(kind.base)


def _product_text(row: rules.Row, exact: bool) -> Callable[[str, str], str]:
    """How slope * partial is written; a slope is text of the table, or the name of a variable."""
    function = "chain_selected" if row.name in rules.SELECTIONS else "chain_product"

    def times(slope: str, part: str) -> str:
        if slope in ("1", "-1"):
            sign = "chain_opposite({})" if exact else "-{}"
            return part if slope == "1" else sign.format(part)
        return f"{function}({slope}, {part})" if exact else f"{slope} * {part}"

    return times


def _chain(position: int, carriers: list, times: Callable[[str, str], str]) -> str:
    """Sum over the arguments that carry this position of (partial of f) * (partial of the argument)."""
    terms = []
    for name, text, kind in carriers:
        if position in kind.positions:
            slope = text if text in ("1", "-1") else f"d_{name}"
            terms.append(times(slope, f"p_{name}[{kind.positions.index(position)}]"))
    return " + ".join(terms)
