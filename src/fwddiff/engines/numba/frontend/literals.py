"""Dicts with constant keys."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

from fwddiff._native.internals import get_definition, guard, ir
from fwddiff.engines.numba.frontend import dicts, structs


def dicts_to_structs(function_ir: Any) -> None:
    """`{"a": x, "b": y}` with constant text as keys, where it is returned or read by such keys alone."""
    for block in function_ir.blocks.values():
        for position, statement in reversed(list(enumerate(block.body))):
            value = getattr(statement, "value", None)
            if not isinstance(value, ir.Expr) or value.op != "build_map" or not value.items:
                continue
            keys: list[Any] = [
                getattr(guard(get_definition, function_ir, key), "value", None) for key, _ in value.items
            ]
            if all(isinstance(key, str) for key in keys) and _is_only_read(
                function_ir, statement.target.name
            ):
                block.body[position : position + 1] = _construction(function_ir, statement, keys)
                # The function is half compiled already, and does not know what was made just now.
                structs.refresh()


def _is_only_read(function_ir: Any, name: str) -> bool:
    for statement in _uses(function_ir, name):
        if isinstance(statement, ir.Return | ir.Del):
            continue
        value = statement.value if isinstance(statement, ir.Assign) else None
        if isinstance(value, ir.Var):
            if len(function_ir._definitions[statement.target.name]) > 1 and name == statement.target.name:
                return False
            if not _is_only_read(function_ir, statement.target.name):
                return False
        elif not isinstance(value, ir.Expr) or not _only_reads(function_ir, value):
            return False
    return True


def _only_reads(function_ir: Any, value: Any) -> bool:
    if value.op == "getattr":
        return value.attr in dicts.METHODS
    if value.op == "getitem":
        return isinstance(getattr(guard(get_definition, function_ir, value.index), "value", None), str)
    if value.op == "binop":
        return value.fn is operator.contains
    return value.op in _READING


# What a function is called with, it cannot change: a struct has no items to be set.
_READING = ("cast", "static_getitem", "build_tuple", "build_map", "call")


def _uses(function_ir: Any, name: str) -> Iterator[Any]:
    for block in function_ir.blocks.values():
        for statement in block.body:
            if isinstance(statement, ir.Assign):
                value = statement.value
                read = value.list_vars() if isinstance(value, ir.Expr) else [value]
                if any(isinstance(v, ir.Var) and v.name == name for v in read):
                    yield statement
            elif any(v.name == name for v in statement.list_vars()):
                yield statement


def _construction(function_ir: Any, statement: Any, keys: list[str]) -> list[Any]:
    """Statements that make a struct that is read like the dict; of equal keys the last counts."""
    values = dict(zip(keys, (value for _, value in statement.value.items), strict=True))
    scope, loc = statement.target.scope, statement.loc
    function = scope.redefine("$dict_constructor", loc)
    items = scope.redefine("$dict_values", loc)
    parts = {
        function: ir.Global("dict_constructor", structs.dict_constructor(tuple(values)), loc),
        items: ir.Expr.build_tuple(list(values.values()), loc),
        statement.target: ir.Expr.call(function, [items], (), loc),
    }
    for target, value in parts.items():
        function_ir._definitions[target.name] = [value]
    return [ir.Assign(value, target, loc) for target, value in parts.items()]
