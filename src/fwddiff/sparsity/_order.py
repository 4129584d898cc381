"""What a row of the rules table says of the structure of its derivatives, read off the text of its partials.

A partial whose text is `0` is no dependency. The second derivative by arguments i and j is zero where the
text of partial i refers to argument j through nothing but steps: comparisons, and functions whose own
partials are `0`.
"""

from __future__ import annotations

import ast
import functools
from typing import NamedTuple

from fwddiff import rules
from fwddiff.rules import INTEGER_ARGUMENTS, SELECTIONS, TABLE, Row


class Order(NamedTuple):
    """Arguments with a derivative, and the pairs of them whose second derivative is not zero everywhere."""

    first: tuple[int, ...]
    second: tuple[tuple[int, int], ...]


def order_of(row: Row) -> Order:
    """The structure of a row's derivatives."""
    return _found(row, rules.given)


def nonlinear(count: int) -> Order:
    """Of a function of which nothing is known."""
    places = range(count)
    return Order(tuple(places), tuple((i, j) for i in places for j in places if i <= j))


def linear(count: int) -> Order:
    """Of sums, and of whatever picks one of its arguments."""
    return Order(tuple(range(count)), ())


@functools.cache
def _found(row: Row, _given: object) -> Order:
    first = _first(row)
    if row.name in SELECTIONS:
        return Order(first, ())
    pairs = {
        (min(i, row.arguments.index(name)), max(i, row.arguments.index(name)))
        for i in first
        for name in _named(row.partials[i], row)
        if row.arguments.index(name) in first
    }
    return Order(first, tuple(sorted(pairs)))


def _first(row: Row) -> tuple[int, ...]:
    integers = INTEGER_ARGUMENTS.get(row.name, ())
    return tuple(
        i for i, text in enumerate(row.partials) if (text or "").strip() != "0" and i not in integers
    )


def _named(text: str | None, row: Row) -> set[str]:
    """Arguments by which a partial has a derivative: all, where it is that of code."""
    return set(row.arguments) if text is None else _names(ast.parse(text.strip(), mode="eval").body, row)


def _names(node: ast.expr, row: Row) -> set[str]:
    """Arguments of the row by which an expression has a derivative."""
    if isinstance(node, ast.Name):
        if node.id == "y":
            return {row.arguments[i] for i in _first(row)}
        return {node.id} & set(row.arguments)
    if isinstance(node, ast.BinOp):
        return _names(node.left, row) | _names(node.right, row)
    if isinstance(node, ast.UnaryOp):
        return _names(node.operand, row)
    if not isinstance(node, ast.Call):
        return set()
    assert isinstance(node.func, ast.Name)
    name = node.func.id
    moving = (1, 2) if name == "where" else _first(row if name == row.name else TABLE[name])
    return set().union(*(_names(node.args[k], row) for k in moving))
