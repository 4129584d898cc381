"""PyTensor's Numba linker: elementwise rules are inlined into its loops, others called as machine code."""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false

# PyTensor is an extra, which type checkers do not find.
# pyright: reportMissingImports=false

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from pytensor.graph.basic import Apply
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_and_cache_key

from fwddiff._errors import ShapeError
from fwddiff._native import interrupts, tasks
from fwddiff._native.memory import call_0, call_2, call_4, global_word, interrupt, load, stack, store
from fwddiff._rule import Rule, Shape
from fwddiff.hosts.pytensor._arrays import ArrayRule, check_broadcasting
from fwddiff.hosts.pytensor._elementwise import ScalarRule, on_arrays

NO_CODE = -1  # a status that no kernel returns

_runner, _threads = global_word(tasks.RUNNER), global_word(tasks.THREADS)
_begin = global_word(interrupts.BEGIN)


@numba.njit(inline="always")
def _call_kernel(kernel, pointers, layout):
    """`tasks.call_kernel` for code that Numba compiles."""
    begin = _begin()
    if begin != 0:
        call_0(begin)
    if load(layout) == 1:
        return call_2(kernel, pointers, layout + 8 * load(layout + 8))
    return call_4(_runner(), kernel, pointers, layout, _threads())


@register_funcify_and_cache_key(ScalarRule)
def _scalar(op: ScalarRule, node: Any = None, **options: Any) -> tuple[Any, None]:
    """The second result is PyTensor's cache key: machine code on its disk could not find the rule again."""
    rule = op.derivation.rule
    function = rule.scalar_function() or _called_from_machine_code(rule)
    parameters = ", ".join(f"x{i}" for i in range(op.nin))
    item = "[0]" if op.nout == 1 else ""
    text = f"def scalar({parameters}):\n    return function({parameters}){item}\n"
    return numba_njit(_executed(text, "scalar", {"function": function})), None


def _called_from_machine_code(rule: Rule) -> Any:
    """For rules that only Python can evaluate: slow, a call of Python per element."""
    kinds = [numba.from_dtype(slot.dtype) for slot in rule.outputs]
    result = numba.types.Tuple(kinds)

    def evaluate(numbers: tuple) -> tuple:
        found = on_arrays(rule, numbers)
        return tuple(slot.dtype.type(x) for slot, x in zip(rule.outputs, found, strict=True))

    @numba_njit
    def function(*numbers):
        with numba.objmode(results=result):
            results = evaluate(numbers)
        return results

    return function


@register_funcify_and_cache_key(ArrayRule)
def _array(op: ArrayRule, node: Apply, **options: Any) -> tuple[Any, None]:
    table = _Table(op, node)
    namespace = {
        "np": np,
        "load": load,
        "stack": stack,
        "store": store,
        "call_kernel": _call_kernel,
        "interrupt": interrupt,
        "cell": table.cell.ctypes.data,
        "find": _python_function(table.find, len(node.inputs)),
        "evaluate": _python_function(table.evaluate, len(node.inputs) + len(node.outputs)),
    }
    for j, slot in enumerate(op.rule.outputs):
        namespace[f"dtype{j}"] = slot.dtype
    return numba_njit(_executed(_caller_text(node), "call_rule", namespace)), None


def _python_function(function: Any, arity: int) -> Any:
    """A call of Python from machine code that returns a word. (Numba makes wrong code of two in one
    function.)"""
    parameters = ", ".join(f"x{i}" for i in range(arity))
    text = f"def call({parameters}):\n    with objmode(word='int64'):\n        word = f({parameters})\n"
    return numba_njit(
        _executed(text + "    return word\n", "call", {"objmode": numba.objmode, "f": function})
    )


def _caller_text(node: Apply) -> str:
    """A function that finds the kernel for the operands' shapes, which are mostly those of the last call, and
    calls it. Where there is none, or it fails, Python evaluates the rule and raises what the user's function
    raises."""
    inputs, outputs = node.inputs, node.outputs
    names = [f"x{i}" for i in range(len(inputs))]
    dimensions = [f"{x}.shape[{k}]" for x, v in zip(names, inputs, strict=True) for k in range(v.type.ndim)]
    known = [f"load(entry + {8 * (2 + k)}) != {size}" for k, size in enumerate(dimensions)]
    place, lines = 2 + len(dimensions), [f"def call_rule({', '.join(names)}):", "    entry = load(cell)"]
    lines += [f"    if {' or '.join(['entry == 0', *known])}:", f"        entry = find({', '.join(names)})"]
    for i, v in enumerate(inputs):
        lines.append(f"    a{i} = np.ascontiguousarray(x{i})" if v.type.ndim else f"    a{i} = x{i}")
    for j, v in enumerate(outputs):
        sizes = "".join(f"load(entry + {8 * (place + k)}), " for k in range(v.type.ndim))
        place += v.type.ndim
        lines.append(f"    y{j} = np.empty(({sizes}), dtype{j})")
    arrays = [*(f"a{i}" for i in range(len(inputs))), *(f"y{j}" for j in range(len(outputs)))]
    # On the stack: Numba would free an array once its address is taken, before the kernel reads it.
    lines.append(f"    pointers = stack({len(arrays)})")
    lines += [f"    store(pointers + {8 * k}, {array}.ctypes.data)" for k, array in enumerate(arrays)]
    lines += [
        f"    status = {NO_CODE}",
        "    if load(entry) != 0:",
        "        status = call_kernel(load(entry), pointers, load(entry + 8))",
        # Python would raise it within Numba's call of `evaluate`, which would lose it.
        f"    interrupt(status == {tasks.INTERRUPTED})",
        "    if status != 0:",  # also what keeps the operands alive until here
        f"        evaluate({', '.join(arrays)})",
        f"    return {', '.join(f'y{j}' for j in range(len(outputs)))}",
    ]
    return "\n".join(lines) + "\n"


class _Table:
    """The kernels of one node by its operands' shapes. `cell` holds the address of the last one's entry:
    machine code, layout, sizes of the inputs' axes, sizes of the outputs' axes."""

    def __init__(self, op: ArrayRule, node: Apply):
        self.op, self.node = op, node
        self.cell = np.zeros(1, np.int64)
        self.entries: dict[tuple[Shape, ...], tuple[np.ndarray, Any]] = {}
        self.latest = self.cell

    def __reduce__(self) -> Any:
        """Numba asks whether it may keep what it calls as bytes; the table must be this one."""
        raise pickle.PicklingError("the kernels of a PyTensor node belong to their process")

    def find(self, *arrays: np.ndarray) -> int:
        """Address of the entry for operands of these shapes."""
        shapes = tuple(array.shape for array in arrays)
        if shapes not in self.entries:
            check_broadcasting(self.op, self.node, shapes)
            try:
                self.entries[shapes] = self._entry(shapes)
            except ShapeError:
                return self._by_values(arrays)
        address = self.entries[shapes][0].ctypes.data
        self.cell[0] = address
        return address

    def _entry(self, shapes: tuple[Shape, ...]) -> tuple[np.ndarray, Any]:
        rule, batch_ndim = self.op.rule, self.op.batch_ndim
        native = rule.native(shapes, batch_ndim)
        sizes = [size for shape in (*shapes, *rule.output_shapes(shapes, batch_ndim)) for size in shape]
        head = [0, 0] if native is None else [native.address, native.layout.ctypes.data]
        return np.array([*head, *sizes], np.int64), native

    def _by_values(self, arrays: Sequence[np.ndarray]) -> int:
        """Address of an entry for this call alone, whose results tell the sizes."""
        results = self.op.rule(arrays, self.op.batch_ndim)
        sizes = [size for array in (*arrays, *results) for size in array.shape]
        self.latest, self.cell[0] = np.array([0, 0, *sizes], np.int64), 0
        return self.latest.ctypes.data

    def evaluate(self, *arrays: np.ndarray) -> int:
        """The same in Python; the outputs are the last of the arrays."""
        rule = self.op.rule
        count = len(rule.inputs)
        for output, result in zip(arrays[count:], rule(arrays[:count], self.op.batch_ndim), strict=True):
            if output.shape != result.shape:
                raise ShapeError(f"{rule.name}: a result of shape {result.shape} instead of {output.shape}.")
            output[...] = result
        return 0


def _executed(text: str, name: str, namespace: dict[str, Any]) -> Any:
    exec(text, namespace)
    return namespace[name]
