"""The user's function as one of its leaves: the nested arguments are put together, the result is taken
apart."""

# Numba's modules have exports that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import Any

import optree

from fwddiff._buffers import DiffCache
from fwddiff._errors import ArgumentError
from fwddiff._mistakes import argument_names
from fwddiff._problem import Problem
from fwddiff.engines.numba import structs
from fwddiff.engines.numba.buffers import maker, number_of
from fwddiff.engines.numba.expressions import compile_function
from fwddiff.engines.numba.prepare import Prepared
from numba.core import types


def function_of_leaves(problem: Problem, entry: Any) -> Any:
    """`core(*inputs) → flat tuple`: builds the nested arguments, calls the function, takes its result
    apart."""
    writer = _ArgumentWriter(problem)
    arguments = [writer.write(child) for child in problem.arguments.children()]
    captured = [writer.write(spec) for spec in problem.captured]
    writer.namespace.update(entry=entry, flat_result=structs.flat_result)
    parameters = ", ".join(f"x{k}" for k in range(len(problem.inputs)))
    lines = [*writer.lines, f"return flat_result(entry({', '.join(captured + arguments)}))"]
    text = f"def core({parameters}):\n" + "".join(f"    {line}\n" for line in lines)
    return compile_function("core", text, writer.namespace)


class _ArgumentWriter:
    """Writes expressions that rebuild nested arguments from the leaves `x0, x1, …`."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self.namespace: dict[str, object] = {}
        self.lines: list[str] = []  # before the call
        self.leaf = 0
        total = problem.arguments.num_leaves + sum(spec.num_leaves for spec in problem.captured)
        self.inputs = [k for k in range(total) if k not in problem.statics]

    def write(self, spec: optree.PyTreeSpec) -> str:
        if spec.is_leaf():
            return self._leaf()
        if spec.type is None or spec.type is type(None):
            return "None"
        items = [self.write(child) for child in spec.children()]
        listing = "".join(f"{item}, " for item in items)
        if spec.type in (tuple, list):
            return f"({listing})"
        name = f"make{len(self.namespace)}"
        if spec.type is dict:
            self.namespace[name] = structs.dict_constructor(tuple(map(str, spec.entries())))
            return f"{name}(({listing}))"
        if optree.is_namedtuple_class(spec.type):
            self.namespace[name] = spec.type
            return f"{name}({listing})"
        self.namespace[name] = structs.plain_constructor(spec.type)
        return f"{name}(({listing}))"

    def _owner(self, leaf: int) -> str:
        """Name of the argument that holds a leaf."""
        children = self.problem.arguments.children()
        owners = [k for k, child in enumerate(children) for _ in range(child.num_leaves)]
        return argument_names(self.problem)[owners[leaf]] if leaf < len(owners) else "captured"

    def _number(self, position: int) -> str:
        """An input. Integers are Python's own, as far as a kernel can: not of 32 bits, as some hosts have
        them."""
        slot = self.problem.inputs[position]
        if slot.core_ndim or slot.dtype.kind not in "iu" or slot.dtype.itemsize == 8:
            return f"x{position}"
        self.namespace["int64"] = types.int64
        return f"int64(x{position})"

    def _buffer(self, cache: DiffCache) -> str:
        """One value for all leaves that are this cache."""
        number = number_of(cache, self.problem.statics)
        name = f"cache{number}"
        if f"make_{name}" not in self.namespace:
            self.namespace[f"make_{name}"] = maker(cache, number, self.problem.float_dtype)
            leaves = "".join(f"x{k}, " for k in range(len(self.problem.inputs)))
            self.lines.append(f"{name} = make_{name}(({leaves}))")
        return name

    def _leaf(self) -> str:
        leaf, self.leaf = self.leaf, self.leaf + 1
        if leaf not in self.problem.statics:
            return self._number(self.inputs.index(leaf))
        static = self.problem.statics[leaf]
        if isinstance(static, DiffCache):
            return self._buffer(static)
        if not isinstance(static, str | bytes) and not callable(static):
            raise ArgumentError(
                f"{self.problem.name}: argument '{self._owner(leaf)}' holds a {type(static).__name__}, which "
                "has no meaning inside a compiled function. Pass numbers, arrays, strings, functions, and "
                "tuples, dicts or dataclasses of them; or use engine='numpy'."
            )
        name = f"static{leaf}"
        self.namespace[name] = (
            static if isinstance(static, str | bytes) else Prepared.of(static, self.problem.plan.owned)
        )
        return name
