"""`each`: one call for every item of a tuple, written out, because Numba has no loop over items of several
types."""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from fwddiff._each import each
from fwddiff._errors import CompileError
from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.options import overload
from numba import types


@overload(each, prefer_literal=True)
def _each(items, method, *arguments):
    if not isinstance(items, types.BaseTuple):
        raise CompileError(f"a method of each item is called of tuples, and this is a {items}.")
    names = [f"argument_{k}" for k in range(len(arguments))]
    calls = [f"items[{k}].{method.literal_value}({', '.join(names)})" for k in range(len(items))]
    unpacked = [f"    {name} = arguments[{k}]\n" for k, name in enumerate(names)]
    text = f"def each(items, method, *arguments):\n{''.join(unpacked)}    return ({', '.join(calls)},)\n"
    return compile_function("each", text, {})
