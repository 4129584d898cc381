"""Functions of the user's with a row of their own (`fd.scalar_rule`), on plain numbers.

The value is what the user's own code gives for numbers without derivatives, in the place of the call as all
code is. It then goes through an opaque function, `fwddiff.<name>(value, arguments…)`, which gives the same
value and has the slopes of the row. What these slopes call is made a row as well: one whose value is code.
"""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import ast
import itertools
from collections.abc import Sequence
from types import FunctionType
from typing import Any

import numpy as np

import numba  # noqa: F401 - before its parts
from fwddiff import _tree, rules
from fwddiff._capture import Function
from fwddiff._capture import plan as capture_plan
from fwddiff._errors import CompileError
from fwddiff._problem import Problem
from fwddiff._rule import Slot
from fwddiff.engines.numba.frontend.constants import constant
from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.inner import compiled, means
from fwddiff.engines.numba.frontend.numbers import is_number
from fwddiff.engines.numba.frontend.options import INLINED
from fwddiff.engines.numba.language._meanings import Meaning
from fwddiff.engines.numba.language._opaque import PREFIX, call_opaque
from fwddiff.engines.numba.ssa import functions
from fwddiff.engines.numba.ssa.code import Refused
from numba import types

_numbers = itertools.count()
# Rows that were made, by what they say: functions made again and again have the same.
_names: dict[tuple, str] = {}
PROBLEMS: dict[str, Problem] = {}  # of the functions that slopes call


def dispatcher(node: Function, code: Any, stub: FunctionType) -> Any:
    """Compiled form of a function with a row. `code` is compiled from the function itself; `stub` has the
    parameters and defaults that callers see."""
    assert node.row is not None
    captured = [f"captured_{k}" for k in range(len(node.captures))]
    # A rule has derivatives of arguments alone: what carries one of a captured value is not there.
    listing = ", ".join([*captured, *node.row.arguments])
    plain = ", ".join(f"constant({name})" for name in [*captured, *node.row.arguments])
    text = f"def {node.row.name}({listing}):\n    return by_row(code({plain}), {listing})\n"
    namespace = {"by_row": Ruled(node), "code": code, "constant": constant}
    call = compile_function(node.row.name, text, namespace)
    call.__defaults__ = stub.__defaults__
    return compiled(call, **INLINED)


class Ruled:
    """Means `(value, captured values…, arguments…) → value`, with the slopes of a row."""

    def __init__(self, node: Function):
        self.node, self.__name__ = node, node.function.__name__
        self.meaning = Meaning(self, self._choose)

    def _choose(self, kinds: Sequence[Any]) -> Any:
        row, split = self.node.row, 1 + len(self.node.captures)
        assert row is not None
        if not all(map(is_number, kinds[split:])):
            raise CompileError(
                f"`{row.name}` has a scalar_rule, which is for numbers: call it element by element."
            )
        if not any(isinstance(kind, types.Float) for kind in kinds[split:]):
            return kinds[0], lambda context, builder, kinds, values: values[0]
        if not is_number(kinds[0]):
            raise CompileError(
                f"`{row.name}` has a scalar_rule, which is for numbers, and returns {kinds[0]}."
            )
        return types.float64, self._emit

    def _emit(self, context: Any, builder: Any, kinds: Sequence[Any], values: Sequence[Any]) -> Any:
        split = 1 + len(self.node.captures)
        texts = _Texts(self.node, [_is_whole(kind) for kind in kinds[split:]], kinds[1:split])
        # Captured values are there for slopes that call the function itself.
        chosen = [0, *([*range(1, split)] if texts.names_itself else []), *range(split, len(kinds))]
        targets = [types.int64 if k and _is_whole(kinds[k]) else types.float64 for k in chosen]
        given = [
            context.cast(builder, values[k], kinds[k], kind) for k, kind in zip(chosen, targets, strict=True)
        ]
        return call_opaque(builder, PREFIX + texts.row(), given)


def _is_whole(kind: Any) -> bool:
    return not isinstance(kind, types.Float)


class _Texts(ast.NodeTransformer):
    """The slopes of a function for arguments of which these are integers, in names of rows that are there."""

    def __init__(self, node: Function, whole: Sequence[bool], captured: Sequence[Any]):
        assert node.row is not None
        self.node, self.own, self.kinds = node, node.row, captured
        self.whole, self.names_itself = list(whole), False
        self.captured = [f"captured_{k}" for k in range(len(captured))]
        self.partials = tuple(
            "0"
            if is_whole or text is None
            else ast.unparse(self.visit(ast.parse(text.strip(), mode="eval").body))
            for is_whole, text in zip(whole, self.own.partials, strict=True)
        )

    def row(self) -> str:
        """The name of the row whose value is its first argument."""
        captured = self.captured if self.names_itself else []
        key = (self.own.name, self.own.arguments, self.partials, tuple(self.whole), len(captured))
        if key not in _names:
            arguments = ("fwddiff value", *captured, *self.own.arguments)
            slopes = ("0",) * (1 + len(captured)) + self.partials
            _names[key] = _new_name(self.own)
            functions.add(rules.Row(_names[key], arguments, slopes, (), ""))
        return _names[key]

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        given: list[ast.expr] = [self.visit(argument) for argument in node.args]
        if name == self.own.name:
            if [ast.unparse(argument) for argument in given] == list(self.own.arguments):
                return ast.Name("y")
            self.names_itself = True
            callee, given = self.node, [*given, *map(ast.Name, self.captured)]
        elif rules.is_added(name):
            callee = _other(rules.TABLE[name])
        else:
            return ast.Call(node.func, given, [])
        whole = [
            *map(self._is_integer, node.args),
            *(map(_is_whole, self.kinds) if callee is self.node else []),
        ]
        return ast.Call(ast.Name(_called(callee, whole, self.kinds)), given, [])

    def _is_integer(self, node: ast.expr) -> bool:
        """Whether `ssa.expressions` makes an integer of this text."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
            return self._is_integer(node.left) and self._is_integer(node.right)
        if isinstance(node, ast.Name) and node.id in self.own.arguments:
            return self.whole[self.own.arguments.index(node.id)]
        return isinstance(node, ast.Constant)


def _new_name(row: rules.Row) -> str:
    return f"{row.name if row.name.isascii() else 'function'}__{next(_numbers)}"


def _other(row: rules.Row) -> Function:
    """The function of a row that only the text of another one names."""
    found = capture_plan(row.functions[0], means().owned)
    if found.captures:
        raise CompileError(
            f"the rule of another function names `{row.name}`, which captures `{found.captures[0].name}`: "
            "make that an argument."
        )
    return found


def _called(node: Function, whole: Sequence[bool], captured: Sequence[Any]) -> str:
    """The name of the row of a function that slopes call, with its arguments and then what it captures; the
    `whole` ones are integers."""
    row = node.row
    assert row is not None
    if node.captures and not all(map(is_number, captured)):
        raise Refused(f"the rule of `{row.name}` names it, and it captures more than numbers")
    key = (*node.identity, row, tuple(whole))
    if key not in _names:
        _names[key] = name = _new_name(row)
        count = len(row.arguments)
        texts = _Texts(node, whole[:count], captured if node.captures else [])
        arguments = (*row.arguments, *texts.captured)
        slopes = (*texts.partials, *["0"] * len(texts.captured))
        functions.add(rules.Row(name, arguments, slopes, (), "", node.function), whole)
        PROBLEMS[name] = _problem(node, whole)
    return _names[key]


def _problem(node: Function, whole: Sequence[bool]) -> Problem:
    given = tuple(0 if is_whole else 0.0 for is_whole in whole)
    split = len(given) - len(node.captures)
    slots = tuple(Slot(np.dtype(type(x)), differentiable=isinstance(x, float)) for x in given)
    captured = tuple(_tree.flatten(x)[1] for x in given[split:])
    return Problem(node, _tree.flatten(given[:split])[1], captured, {}, slots)
