"""The table evaluated three ways: compiled by Numba, on scalar duals of any depth, and on NumPy arrays.

The duals are 40 lines of plain Python that know the chain rule and nothing else; their plain numbers come
from the compiled values, so that no operation of Python raises where IEEE arithmetic goes on.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Sequence

import numba
import numpy as np

from fwddiff import rules

ROWS = rules.built_in()
INDEX = {row.name: k for k, row in enumerate(ROWS)}


class _ForNumba(ast.NodeTransformer):
    """Integers become constants of the dtype, `where` becomes a conditional expression."""

    def visit_Constant(self, node):
        return ast.Call(ast.Name("number", ast.Load()), [node], [])

    def visit_Call(self, node):
        node = self.generic_visit(node)
        return ast.IfExp(*node.args) if node.func.id == "where" else node


def for_numba(text: str) -> str:
    return ast.unparse(ast.fix_missing_locations(_ForNumba().visit(ast.parse(text, mode="eval"))))


def _namespace(dtype: type) -> dict[str, object]:
    """What the generated text refers to; plain functions of the package are compiled unchanged."""
    names: dict[str, object] = dict(rules.scalar_namespace())
    for name, function in names.items():
        if getattr(function, "__module__", "") == "fwddiff._special":
            names[name] = numba.njit(error_model="numpy")(function)
    return names | {"number": dtype, "pi": dtype(np.pi)}


def _switch(texts: list[tuple[rules.Row, str]], dtype: type) -> Callable:
    """One compiled function `f(k, a, b, y)` that evaluates text number k."""
    lines = ["def switch(k, a, b, y):"]
    for k, (row, text) in enumerate(texts):
        names = ", ".join(row.arguments)
        lines += [f"    if k == {k}:", f"        {names} = {', '.join('ab'[: len(row.arguments)])}"]
        lines += [f"        return number({for_numba(text)})"]
    namespace = _namespace(dtype)
    exec("\n".join([*lines, "    return number(0)"]), namespace)
    return numba.njit(error_model="numpy")(namespace["switch"])


@functools.cache
def _values(dtype: type) -> Callable:
    return _switch([(row, row.value) for row in ROWS], dtype)


@functools.cache
def _partials(dtype: type) -> tuple[Callable, dict]:
    cases = [(row, k) for row in ROWS for k in range(len(row.partials))]
    numbers = {(row.name, k): number for number, (row, k) in enumerate(cases)}
    return _switch([(row, row.partials[k]) for row, k in cases], dtype), numbers


def compiled_value(name: str, *at: float, dtype: type = np.float64) -> float:
    a, b = (*map(dtype, at), dtype(0))[:2]
    return _values(dtype)(INDEX[name], a, b, dtype(0))


def compiled_partial(name: str, k: int, *at: float, dtype: type = np.float64) -> float:
    switch, numbers = _partials(dtype)
    a, b = (*map(dtype, at), dtype(0))[:2]
    return switch(numbers[name, k], a, b, dtype(compiled_value(name, *at, dtype=dtype)))


class Dual:
    """A value and one tangent; both may be duals. A zero tangent is the int 0 and never multiplied."""

    def __init__(self, value, tangent):
        self.value, self.tangent = value, tangent

    def __eq__(self, other):
        return plain(self) == plain(other)

    def __lt__(self, other):
        return plain(self) < plain(other)

    def __gt__(self, other):
        return plain(self) > plain(other)

    __hash__ = None


def plain(x) -> float:
    return plain(x.value) if isinstance(x, Dual) else x


def _depth(x) -> int:
    return 1 + _depth(x.value) if isinstance(x, Dual) else 0


_OPERATORS = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "pow"}


class _ByRow(ast.NodeTransformer):
    """Every operation of an expression becomes a call of its row."""

    def visit_BinOp(self, node):
        node = self.generic_visit(node)
        return ast.Call(ast.Name(_OPERATORS[type(node.op)], ast.Load()), [node.left, node.right], [])

    def visit_UnaryOp(self, node):
        return ast.Call(ast.Name("negative", ast.Load()), [self.visit(node.operand)], [])

    def visit_Call(self, node):
        node = self.generic_visit(node)
        return ast.IfExp(*node.args) if node.func.id == "where" else node


@functools.cache
def _on_duals(name: str, k: int) -> Callable:
    row = rules.TABLE[name]
    tree = ast.fix_missing_locations(_ByRow().visit(ast.parse(row.partials[k], mode="eval")))
    namespace: dict = {other: functools.partial(apply, other) for other in rules.TABLE}
    namespace["pi"] = np.pi
    return eval(f"lambda {', '.join(row.arguments)}, y: {ast.unparse(tree)}", namespace)


def apply(name: str, *arguments):
    """Row `name` of numbers and duals: the chain rule for the outermost level, recursion for the rest."""
    level = max(map(_depth, arguments))
    if level == 0:
        return compiled_value(name, *arguments)
    top = [isinstance(x, Dual) and _depth(x) == level for x in arguments]
    values = [x.value if on_top else x for x, on_top in zip(arguments, top, strict=True)]
    y = apply(name, *values)
    tangent = 0
    for k, x in enumerate(arguments):
        if (
            top[k]
            and not (isinstance(x.tangent, int) and x.tangent == 0)
            and rules.TABLE[name].partials[k] != "0"
        ):
            term = apply("multiply", _on_duals(name, k)(*values, y), x.tangent)
            tangent = term if isinstance(tangent, int) else apply("add", tangent, term)
    return Dual(y, tangent)


def nested(name: str, at: tuple[float, ...], orders: tuple[int, ...]) -> float:
    """Mixed partial derivative of row `name` by one level of duals per order."""
    return nested_along(name, at, [k for k, order in enumerate(orders) for _ in range(order)])


def nested_along(name: str, at: tuple[float, ...], positions: Sequence[int]) -> float:
    """The same, by the arguments at these positions; the last is differentiated first."""
    arguments: list = list(at)
    for k in positions:
        level = max(map(_depth, arguments))
        arguments = [_lift(x, level, 1.0 if i == k else 0) for i, x in enumerate(arguments)]
    result = apply(name, *arguments)
    for _ in positions:
        result = result.tangent if isinstance(result, Dual) else 0.0
    return plain(result)


def _lift(x, level: int, tangent) -> Dual:
    while _depth(x) < level:
        x = Dual(x, 0)
    return Dual(x, tangent)


def on_arrays(name: str, k: int, *at: np.ndarray) -> np.ndarray:
    """Partial k of row `name`, evaluated on arrays with NumPy's operators and `where`."""
    row = rules.TABLE[name]
    namespace: dict[str, object] = {"where": np.where, "pi": np.pi}
    for other in rules.TABLE:
        namespace[other] = np.vectorize(functools.partial(compiled_value, other), otypes=[float])
    arguments = dict(zip(row.arguments, at, strict=True))
    return eval(row.partials[k], namespace, arguments | {"y": namespace[name](*at)}) + np.zeros(
        np.shape(at[0])
    )
