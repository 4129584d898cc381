"""Functions of the user's with a row of their own (`fd.scalar_rule`), in compiled code.

What stands for such a function takes its captured values first, as its compiled code does. On numbers it is
that code; on duals it is the row, with that code for the value. Nothing is registered for the user's own
function, which Numba may know as well.
"""

# Numba's modules have exports that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numba
from fwddiff import rules
from fwddiff._errors import CompileError
from fwddiff.engines.numba import operations
from fwddiff.engines.numba.constants import constant
from fwddiff.engines.numba.expressions import compile_function
from fwddiff.engines.numba.options import INLINED, overload
from fwddiff.engines.numba.types import is_dual, is_number, strip_bottom
from numba.core.registry import cpu_target


def dispatcher(row: rules.Row, captured: int, code: Any, stub: FunctionType) -> Any:
    """Compiled form of a function with a row. `code` is compiled from the function itself; `stub` has the
    parameters and defaults that callers see."""
    names = tuple(f"captured_{k}" for k in range(captured))
    listing = ", ".join((*names, *row.arguments))
    own = compile_function(row.name, f"def {row.name}({listing}):\n    raise NotImplementedError\n", {})
    _register(own, row, names, code)
    # A rule has derivatives of arguments alone: what carries one of a captured value is not there.
    given = ", ".join([*(f"constant({name})" for name in names), *row.arguments])
    namespace = {"own": own, "constant": constant}
    call = compile_function(row.name, f"def {row.name}({listing}):\n    return own({given})\n", namespace)
    call.__defaults__ = stub.__defaults__
    return numba.njit(call, **INLINED)


def _register(own: Callable, row: rules.Row, captured: Sequence[str], code: Any) -> None:
    arguments = ", ".join(row.arguments)
    listing = ", ".join((*captured, *row.arguments))
    # Captured numbers are duals, if only without partials; of bare numbers the result is one.
    text, namespace = (
        f"def plain({listing}):\n    return bare(code({listing}))\n",
        {"code": code, "bare": strip_bottom},
    )
    plain = compile_function("plain", text, namespace)

    def choose(kinds: tuple) -> Any:
        if not any(map(_has_partials, kinds)):
            return (
                plain if not any(map(is_dual, kinds)) else operations.implement(row, kinds, names, captured)
            )
        if not all(is_dual(kind) or is_number(kind) for kind in kinds):
            raise CompileError(
                f"`{row.name}` has a scalar_rule, which is for numbers: call it element by element."
            )
        return operations.implement(row, kinds, names, captured)

    names = {row.name: own} | _others(row)
    text = f"def typer({listing}):\n    return choose(({arguments},))\n"
    overload(own)(compile_function("typer", text, {"choose": choose}))
    # A function may be half compiled already when it meets this one.
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def _has_partials(kind: Any) -> bool:
    element = getattr(kind, "dtype", kind)
    return is_dual(element) and bool(element.layers)


def _others(row: rules.Row) -> dict[str, Any]:
    """The functions with added rows that this row's text names."""
    texts = (row.value, *filter(None, row.partials))
    found = {
        node.id for text in texts for node in ast.walk(ast.parse(text.strip())) if isinstance(node, ast.Name)
    }
    return {name: stand_in(rules.TABLE[name]) for name in found - {row.name} if rules.is_added(name)}


def stand_in(row: rules.Row) -> Any:
    """Compiled form of a function that only the text of a row names; `prepare`, above this, puts its own
    here."""
    raise NotImplementedError
