"""Rules made by SymPy (`sympy.diff`), evaluated by NumPy: hosts are tested with them, without any engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy

from fwddiff._errors import DerivativeError
from fwddiff._rule import Rule, Shape, Slot, derived_slots


class SymbolicRule(Rule):
    """A rule of numbers (no core axes) whose outputs are SymPy expressions of its input symbols.

    `evaluations` lists the name of every rule that was evaluated, this one's and all derived from it, in
    order: "f", "pullback(f, 0, 1)", "partials(f, 1)", ... The family shares it, so that tests can count.
    """

    def __init__(
        self,
        name: str,
        symbols: Sequence[sympy.Symbol],
        expressions: Sequence[sympy.Expr],
        inputs: Sequence[Slot],
        outputs: Sequence[Slot],
        evaluations: list[str],
    ) -> None:
        self.name = name
        self.symbols = tuple(symbols)
        self.expressions = tuple(expressions)
        self.inputs = tuple(inputs)
        self.evaluations = evaluations
        self._outputs = tuple(outputs)
        self._compute = sympy.lambdify(self.symbols, list(self.expressions), "numpy")

    @property
    def outputs(self) -> tuple[Slot, ...]:
        return self._outputs

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        return ((),) * len(self._outputs)

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        self.evaluations.append(self.name)
        shapes = [array.shape for array in arrays]
        for array, slot in zip(arrays, self.inputs, strict=True):
            assert isinstance(array, np.ndarray)
            assert array.dtype == slot.dtype, (self.name, array.dtype, slot.dtype)
        loop = self.loop_shape(shapes, batch_ndim)
        aligned = self.aligned_loops(shapes, batch_ndim)
        values = self._compute(*[a.reshape(s) for a, s in zip(arrays, aligned, strict=True)])
        return tuple(
            _finished(value, slot, loop, self.reduced_loop(slot, loop, shapes, batch_ndim), batch_ndim)
            for value, slot in zip(values, self._outputs, strict=True)
        )

    def _derive(self, kind: str, active: tuple[int, ...]) -> Rule:
        inputs, outputs = derived_slots(kind, self.inputs, self._outputs, active)
        results = [e for e, slot in zip(self.expressions, self._outputs, strict=True) if slot.differentiable]
        extra = [sympy.Dummy(f"d{i}", real=True) for i in range(len(inputs) - len(self.inputs))]
        expressions = _derivatives(kind, results, [self.symbols[a] for a in active], extra)
        if kind == "partials":
            expressions = [*self.expressions, *expressions]
        name = f"{kind}({self.name}, {', '.join(map(str, active))})"
        return SymbolicRule(name, [*self.symbols, *extra], expressions, inputs, outputs, self.evaluations)


def symbolic_rule(
    arguments: str,
    *expressions: str,
    reduce: Any = None,
    dtype: Any = np.float64,
    mode: Any = "auto",
    passes: Any = "single",
    dear: bool = False,
    name: str = "f",
) -> SymbolicRule:
    """`symbolic_rule("x y n:int", "sin(x)*y**n", "n + 1")`: one output per expression.

    Arguments marked `:int` are int64, without a derivative; an expression of integers is an int64 output.
    `reduce` is one for all outputs, or a list with one per output.
    """
    symbols, inputs = [], []
    for word in arguments.split():
        integer = word.endswith(":int")
        symbols.append(sympy.Symbol(word.removesuffix(":int"), real=True, integer=integer or None))
        inputs.append(Slot(np.dtype(np.int64 if integer else dtype), 0, not integer))
    namespace = {symbol.name: symbol for symbol in symbols}
    parsed = [sympy.sympify(text, locals=namespace) for text in expressions]
    reductions = reduce if isinstance(reduce, list) else [reduce] * len(parsed)
    outputs = [_output_slot(e, r, dtype) for e, r in zip(parsed, reductions, strict=True)]
    rule = SymbolicRule(name, symbols, parsed, inputs, outputs, [])
    rule.mode, rule.passes, rule.dear = mode, passes, dear
    return rule


def _output_slot(expression: sympy.Expr, reduce: Any, dtype: Any) -> Slot:
    integer = bool(expression.is_integer)
    return Slot(np.dtype(np.int64 if integer else dtype), 0, not integer, reduce)


def _derivatives(kind: str, results: list, active: list, extra: list) -> list:
    if kind == "partials":
        return [sympy.diff(e, a) for e in results for a in active]
    if kind == "pushforward":
        return [sum(sympy.diff(e, a) * t for a, t in zip(active, extra, strict=True)) for e in results]
    if kind == "pullback":
        return [sum(c * sympy.diff(e, a) for e, c in zip(results, extra, strict=True)) for a in active]
    raise DerivativeError(kind)


def _finished(value: Any, slot: Slot, loop: Shape, wanted: Shape, batch_ndim: int) -> np.ndarray:
    """Broadcast to the loop, sum to the wanted shape, and copy into aligned memory."""
    full = np.broadcast_to(np.asarray(value), loop)
    if slot.reduce == "sum":
        full = full.sum(axis=tuple(range(batch_ndim, len(loop))))
    elif slot.reduce is not None:
        missing = len(loop) - len(wanted)
        aligned = wanted[:batch_ndim] + (1,) * missing + wanted[batch_ndim:]
        axes = tuple(i for i, (n, m) in enumerate(zip(loop, aligned, strict=True)) if m == 1 and n != 1)
        full = full.sum(axis=axes, keepdims=True).reshape(wanted)
    result = aligned_empty(wanted, slot.dtype)
    result[...] = full
    return result


def aligned_empty(shape: Shape, dtype: np.dtype) -> np.ndarray:
    """A new C-contiguous array that starts at a multiple of 64 bytes, as rules promise."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    buffer = np.empty(size + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + size].view(dtype).reshape(shape)
