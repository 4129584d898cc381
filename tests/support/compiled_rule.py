"""Symbolic rules with machine code: to test hosts that bypass Python (XLA) without any engine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import sympy
from numba import types
from numba.extending import intrinsic

from fwddiff._rule import Native, Shape
from support.symbolic_rule import SymbolicRule, symbolic_rule

_POINTER = types.CPointer(types.int64)
_TYPES = ("float64", "float32", "int64", "int32")


def _pointer_to(element: types.Type) -> Any:
    """Function from an address to a pointer to elements of this type."""

    @intrinsic
    def pointer(typing_context, address):
        def codegen(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(element)(types.int64), codegen

    return pointer


class CompiledRule(SymbolicRule):
    """`native` compiles the expressions, one loop over flat indices; `calls` counts the runs of machine code.

    The layout is [counter address, iterations, number d of axes, d extents, d strides of every operand in
    elements, size of every output]. With `failing`, machine code returns the status 7 and evaluation raises
    ZeroDivisionError.
    """

    failing = False

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        if self.failing:
            raise ZeroDivisionError("the user's own message")
        return super().__call__(arrays, batch_ndim)

    def _derive(self, kind: str, active: tuple[int, ...]) -> CompiledRule:
        derived = super()._derive(kind, active)
        derived.__class__ = CompiledRule
        derived.counters, derived.failing = self.counters, self.failing
        return derived

    @property
    def calls(self) -> dict[str, int]:
        return {name: int(counter[0]) for name, counter in self.counters.items() if counter[0]}

    def native(self, shapes: Sequence[Shape], batch_ndim: int = 0) -> Native:
        loop = self.loop_shape(shapes, batch_ndim)
        aligned = list(self.aligned_loops(shapes, batch_ndim))
        kept = [self.reduced_loop(slot, loop, shapes, batch_ndim) for slot in self.outputs]
        aligned += [k[:batch_ndim] + (1,) * (len(loop) - len(k)) + k[batch_ndim:] for k in kept]
        counter = self.counters.setdefault(self.name, np.zeros(1, np.int64))
        layout = [counter.ctypes.data, math.prod(loop), len(loop), *loop]
        layout += [s for shape in aligned for s in _strides(shape)] + [math.prod(k) for k in kept]
        if "_machine_code" not in self.__dict__:
            self._machine_code = _compile(self)
        function, key = self._machine_code
        undivided = [1, 2]  # one task, and where its layout begins
        return Native(function.address, np.array(undivided + layout, np.int64), key, (function, counter))


def compiled_rule(arguments: str, *expressions: str, failing: bool = False, **options: Any) -> CompiledRule:
    """As `symbolic_rule`, with machine code."""
    rule = symbolic_rule(arguments, *expressions, **options)
    rule.__class__ = CompiledRule
    rule.counters, rule.failing = {}, failing
    return rule


def _strides(shape: Shape) -> list[int]:
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(0 if extent == 1 else step)
        step *= extent
    return strides[::-1]


def _compile(rule: CompiledRule) -> tuple[Any, str]:
    text = _source(rule)
    namespace: dict[str, Any] = {"math": math} | {name: _pointer_to(getattr(types, name)) for name in _TYPES}
    exec(text, namespace)
    function = numba.cfunc(types.int64(_POINTER, _POINTER))(namespace["kernel"])
    return function, hashlib.sha256(text.encode()).hexdigest()


def _source(rule: CompiledRule) -> str:
    operands = [*rule.inputs, *rule.outputs]
    first = len(rule.inputs)
    lines = ["int64(layout[0])[0] += 1"]
    lines += ["return 7"] if rule.failing else []
    lines += ["n, d = layout[1], layout[2]", f"sizes = 3 + d + {len(operands)} * d"]
    lines += [f"p{k} = {slot.dtype.name}(pointers[{k}])" for k, slot in enumerate(operands)]
    for j in range(len(rule.outputs)):
        lines += [f"for i in range(layout[sizes + {j}]):", f"    p{first + j}[i] = 0"]
    lines += ["for i in range(n):", "    rest = i"]
    lines += [f"    o{k} = 0" for k in range(len(operands))]
    lines += ["    for axis in range(d - 1, -1, -1):"]
    lines += ["        at = rest % layout[3 + axis]", "        rest //= layout[3 + axis]"]
    lines += [f"        o{k} += at * layout[3 + d + {k} * d + axis]" for k in range(len(operands))]
    names = {symbol: sympy.Symbol(f"x{k}") for k, symbol in enumerate(rule.symbols)}
    lines += [f"    x{k} = p{k}[o{k}]" for k in range(first)]
    expressions = [sympy.pycode(e.xreplace(names)) for e in rule.expressions]
    lines += [f"    p{first + j}[o{first + j}] += {text}" for j, text in enumerate(expressions)]
    body = "".join(f"    {line}\n" for line in [*lines, "return 0"])
    return f"# {rule.name}\ndef kernel(pointers, layout):\n{body}"
