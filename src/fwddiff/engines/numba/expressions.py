"""Generated implementations: expressions of the rules table turned into source that Numba compiles.

Numbers in an expression become constants of the dtype computed in, or float32 arithmetic would widen; `where`
becomes a conditional expression, which LLVM turns into a select; small powers become products.
"""

from __future__ import annotations

import ast
import functools
import linecache
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fwddiff import rules
from fwddiff.engines.numba import vector_math
from numba.core import types

_LARGEST_PRODUCT = 4


class Source:
    """Lines of one generated function and the names they use. `leading` are arguments that calls of a name
    get before their own."""

    def __init__(
        self,
        number_type: types.Type,
        more_names: Mapping[str, object] | None = None,
        leading: Mapping[str, Sequence[str]] | None = None,
    ):
        self.float32 = number_type == types.float32
        self.leading = leading or {}
        self.namespace: dict[str, object] = rules.scalar_namespace() | dict(more_names or {})
        if isinstance(number_type, types.Float):
            self.namespace |= _vectorised(number_type)
        self.lines: list[str] = []

    def bind(self, name: str, thing: object) -> None:
        self.namespace[name] = thing

    def line(self, text: str) -> None:
        self.lines.append(text)

    def expression(self, text: str) -> str:
        """Text of the table as text for Numba."""
        tree = _Rewrite(self).visit(ast.parse(text, mode="eval"))
        return ast.unparse(ast.fix_missing_locations(tree))

    def constant(self, number: float) -> str:
        """Name of a constant of the dtype computed in (a Python float where duals or float64 make it weak or
        exact)."""
        name = f"c_{number}".replace(".", "_").replace("-", "m").replace("+", "p")
        self.namespace[name] = np.float32(number) if self.float32 else float(number)
        return name

    def compile(self, name: str, arguments: tuple[str, ...]):
        body = "\n".join(f"    {line}" for line in self.lines)
        name = f"dual_{name}"
        return compile_function(name, f"def {name}({', '.join(arguments)}):\n{body}\n", self.namespace)


@functools.cache
def _vectorised(number_type: types.Float) -> dict[str, object]:
    """The functions of the table that have vector versions, by name."""
    found = {name: vector_math.function(name, number_type) for name in rules.scalar_namespace()}
    return {name: function for name, function in found.items() if function is not None}


class _Rewrite(ast.NodeTransformer):
    def __init__(self, source: Source):
        self.source = source

    def visit_Constant(self, node: Any):
        if isinstance(node.value, bool):
            return node
        return ast.Name(self.source.constant(node.value), ast.Load())

    def visit_Name(self, node):
        return ast.Name(self.source.constant(math.pi), ast.Load()) if node.id == "pi" else node

    def visit_Call(self, node: Any):
        name = node.func.id
        arguments = [self.visit(argument) for argument in node.args]
        if name == "where":
            return ast.IfExp(*arguments)
        leading = [ast.Name(name, ast.Load()) for name in self.source.leading.get(name, ())]
        return ast.Call(node.func, [*leading, *arguments], [])

    def visit_BinOp(self, node: Any):
        power: Any = (
            node.right.value
            if isinstance(node.op, ast.Pow) and isinstance(node.right, ast.Constant)
            else None
        )
        if isinstance(node.left, ast.Name) and power in range(2, _LARGEST_PRODUCT + 1):
            product = node.left
            for _ in range(power - 1):
                product = ast.BinOp(product, ast.Mult(), node.left)
            return self.generic_visit(product) if node.left.id == "pi" else product
        if isinstance(node.op, ast.Pow):
            return ast.Call(ast.Name("pow", ast.Load()), [self.visit(node.left), self.visit(node.right)], [])
        return self.generic_visit(node)


_counter = 0


def compile_function(name: str, text: str, namespace: dict[str, Any]) -> Any:
    """Python function from generated source, with the source kept where tracebacks and Numba look for it."""
    global _counter
    _counter += 1
    filename = f"<fwddiff {name} {_counter}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    exec(compile(text, filename, "exec"), namespace)
    return namespace[name]
