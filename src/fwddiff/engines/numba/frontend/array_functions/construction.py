"""`np.array([...])` of numbers.

Numba turns `np.array` of a list literal into a list and a copy. In functions that this engine compiles, such
a list becomes a tuple before that.
"""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

import numpy as np

from fwddiff._native.internals import Rewrite, find_callname, guard, ir, register_rewrite
from fwddiff._record import OF_ARRAYS
from fwddiff.engines.numba.frontend.array_functions.arguments import array_overload, is_smooth, new_array
from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.numbers import is_number
from numba import types

# Functions whose first argument may as well be a tuple.
_TAKING_LISTS = {("array", "numpy"), *((name, f.__module__) for name, f in OF_ARRAYS.items())}
_RAGGED = "the rows of a matrix have different lengths"


def _leaf_types(kind) -> list:
    """Types of the numbers in a nested list or tuple."""
    if isinstance(kind, types.BaseTuple):
        return [leaf for item in kind.types for leaf in _leaf_types(item)]
    return _leaf_types(kind.dtype) if isinstance(kind, types.List) else [kind]


def _depth(kind) -> int:
    """Number of axes; -1 for a tuple of items of different depth."""
    if isinstance(kind, types.List):
        return 1 + _depth(kind.dtype)
    if not isinstance(kind, types.BaseTuple) or not kind.count:
        return 0
    depths = {_depth(item) for item in kind.types}
    return 1 + depths.pop() if len(depths) == 1 else -1


def _array(object, dtype=None):
    leaves = _leaf_types(object)
    if dtype is not None or not any(map(is_smooth, leaves)):
        return None
    if not all(is_smooth(leaf) or is_number(leaf) for leaf in leaves) or _depth(object) not in (1, 2):
        return None
    lines = _vector(object) if _depth(object) == 1 else _matrix(object)
    text = "def array(object, dtype=None):\n" + "".join(f"    {line}\n" for line in [*lines, "return out"])
    return compile_function("array", text, {"new": new_array(types.float64)})


def _vector(kind) -> list[str]:
    return ["out = new((len(object),))", *_filled(kind, "object", "out[{}]")]


def _matrix(kind) -> list[str]:
    if isinstance(kind, types.List):
        rows = [
            "for i in range(len(object)):",
            "    row = object[i]",
            *_indented(_row("row", kind.dtype, "i")),
        ]
    else:
        rows = [
            line
            for i, row in enumerate(kind.types)
            for line in (f"row{i} = object[{i}]", *_row(f"row{i}", row, str(i)))
        ]
    return ["out = new((len(object), len(object[0])))", *rows]


def _row(name: str, kind, index: str) -> list[str]:
    check = [f"if len({name}) != out.shape[1]:", f"    raise ValueError({_RAGGED!r})"]
    return [*check, *_filled(kind, name, f"out[{index}, {{}}]")]


def _filled(kind, name: str, target: str) -> list[str]:
    """Lines that copy a list in a loop, or a tuple, whose items differ in type, one by one."""
    if isinstance(kind, types.List):
        return [f"for j in range(len({name})):", f"    {target.format('j')} = {name}[j]"]
    return [f"{target.format(j)} = {name}[{j}]" for j in range(kind.count)]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


class ListsToTuples(Rewrite):
    """`np.array([a, b])` becomes `np.array((a, b))`, unless all items are constants."""

    def __init__(self, state):
        identity = getattr(state, "func_id", None)
        self.is_ours = identity is not None and hasattr(identity.func, "__fwddiff_node__")

    def match(self, func_ir, block, typemap, calltypes) -> bool:
        if not self.is_ours:
            return False
        self.block, self.definitions = block, func_ir._definitions
        lists = {
            statement.target.name: statement
            for statement in block.find_insts(ir.Assign)
            if isinstance(statement.value, ir.Expr) and statement.value.op == "build_list"
        }
        wanted = [
            call.args[0].name
            for call in block.find_exprs("call")
            if call.args
            and call.args[0].name in lists
            and guard(find_callname, func_ir, call) in _TAKING_LISTS
        ]
        self.found = [lists[name] for name in wanted if self._is_temporary(lists[name])]
        items = [item.name for statement in self.found for item in statement.value.items]
        self.found += [lists[name] for name in items if name in lists and lists[name].target.is_temp]
        return bool(self.found)

    def _is_temporary(self, statement) -> bool:
        """Whether only the call can see the list, and its items are not all constants."""
        items = [self.definitions[item.name] for item in statement.value.items]
        constant = all(isinstance(value, ir.Const) for values in items for value in values)
        return statement.target.is_temp and not constant

    def apply(self):
        for statement in self.found:
            tuple_of_items = ir.Expr.build_tuple(statement.value.items, statement.loc)
            statement.value = tuple_of_items
            self.definitions[statement.target.name] = [tuple_of_items]
        return self.block


def register() -> None:
    """Register everything of this file."""
    register_rewrite("before-inference")(ListsToTuples)
    array_overload(np.array)(_array)
