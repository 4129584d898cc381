"""`np.array([...])` of duals and numbers."""

from __future__ import annotations

import numpy as np

from fwddiff.engines.numba.array_functions.arguments import array_overload, new_array
from fwddiff.engines.numba.expressions import compile_function
from fwddiff.engines.numba.types import is_dual, is_number, join
from numba.core import types

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
    if dtype is not None or not any(map(is_dual, leaves)):
        return None
    if not all(is_dual(leaf) or is_number(leaf) for leaf in leaves) or _depth(object) not in (1, 2):
        return None
    lines = _vector(object) if _depth(object) == 1 else _matrix(object)
    text = "def array(object, dtype=None):\n" + "".join(f"    {line}\n" for line in [*lines, "return out"])
    return compile_function("array", text, {"new": new_array(join(*leaves))})


def _vector(kind) -> list[str]:
    return ["out = new((len(object),))", *_filled(kind, "object", "out[{}]")]


def _matrix(kind) -> list[str]:
    if isinstance(kind, types.List):
        rows = ["for i in range(len(object)):", "    row = object[i]", *_indented(_row("row", kind.dtype, "i"))]
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


def register() -> None:
    """Register everything of this file."""
    array_overload(np.array)(_array)
