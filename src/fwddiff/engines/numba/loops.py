"""Kernels: a core function applied along strided operands, as one compiled loop.

The code of a kernel depends on a *pattern*, one letter per operand, which says what its innermost stride is:

    c  contiguous           0  the same element throughout (a scalar, a broadcast axis, a summed output)
    s  any other stride     C, Z, S  the same for outputs that are accumulated because the loop revisits their
    elements

and reads everything else (extents, outer strides) from a table of int64, the *layout*, so that a kernel
serves all shapes:

    [outer iterations, inner extent n, number d of outer axes, d extents,
     for each operand: d outer strides and the inner one, in bytes,
     the core extents of each operand in order, the number of elements of each output]

A kernel of derivatives looks for nan among them (`Checks`): it then finishes, and says `UNDEFINED`.

A summed output is accumulated over blocks in a register and the blocks' sums are added with their rounding
errors kept (Neumaier 1974), so that ten million terms lose no digits.
"""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import itertools
from collections.abc import Collection

from llvmlite import ir

import numba
from fwddiff._native.memory import Operands, barrier, pointer_to
from fwddiff._native.tasks import UNDEFINED
from fwddiff._rule import Slot
from fwddiff.engines.numba.arrays import flat, load_int64, store_int64, view_of
from fwddiff.engines.numba.expressions import compile_function
from fwddiff.engines.numba.schedule import BLOCK, NO_CHECKS, Checks
from fwddiff.engines.numba.types import DualType, converter
from numba.core import types
from numba.extending import intrinsic
from numba.np import numpy_support

SHAPE_MISMATCH = 2


def leaf_type(slot: Slot) -> types.Type:
    """Numba type by which the core function sees an input."""
    scalar = numpy_support.from_dtype(slot.dtype)
    if isinstance(scalar, types.Float):
        scalar = DualType(scalar)
    return types.Array(scalar, slot.core_ndim, "C", readonly=True) if slot.core_ndim else scalar


def stored_type(slot: Slot) -> types.Type:
    """Numba type of the elements in memory (a bool is a byte)."""
    scalar = numpy_support.from_dtype(slot.dtype)
    return types.uint8 if scalar == types.boolean else scalar


@intrinsic
def add_in_any_order(typing_context, a, b):
    """Float addition that LLVM may reorder, so that sums vectorise; nothing else in a kernel is reordered."""

    def codegen(context, builder, signature, arguments):
        return builder.fadd(*arguments, flags=("reassoc", "nsz"))

    return a(a, b), codegen


@intrinsic
def as_float64(typing_context, a):
    def codegen(context, builder, signature, arguments):
        return builder.fpext(arguments[0], ir.DoubleType()) if a == types.float32 else arguments[0]

    return types.float64(a), codegen


@intrinsic
def is_nan(typing_context, a, b):
    """Whether one of the two is nan."""

    def codegen(context, builder, signature, arguments):
        numbers = [context.cast(builder, x, t, kind) for x, t in zip(arguments, (a, b), strict=True)]
        return builder.fcmp_unordered("uno", *numbers)

    kind = max(a, b, key=lambda t: t.bitwidth)
    return types.boolean(a, b), codegen


def kernel_function(
    core,
    inputs: tuple[Slot, ...],
    outputs: tuple[Slot, ...],
    pattern: str,
    checks: Checks = NO_CHECKS,
    vectorise: bool = True,
):
    """`core(*leaves) → tuple` as a function `kernel(layout, *addresses) → status` for this pattern, to be
    compiled; all are int64. `vectorise`: whether LLVM may try to."""
    writer = Writer(inputs, outputs, pattern, checks)
    writer.namespace["core"] = core
    if not vectorise:
        writer.namespace["barrier"] = barrier
    return compile_function("kernel", writer.text(), writer.namespace)


class Writer:
    """Writes the source of one kernel."""

    def __init__(self, inputs, outputs, pattern, checks=NO_CHECKS):
        self.checked, self.infinities = frozenset(checks.outputs), checks.infinities
        self.slots = (*inputs, *outputs)
        self.inputs, self.outputs, self.pattern = inputs, outputs, pattern
        self.n_in = len(inputs)
        self.sums = [j for j, slot in enumerate(outputs) if self._is_register_sum(j, slot)]
        self.namespace: dict[str, object] = {
            "at": load_int64,
            "add_in_any_order": add_in_any_order,
            "as_float64": as_float64,
            "flat": flat,
            "is_nan": is_nan,
        }
        self.cells = Operands(*[[stored_type(slot) for slot in slots] for slots in (inputs, outputs)])
        for k, slot in enumerate(self.slots):
            self._bind(k, slot)

    def letter(self, operand: int) -> str:
        return self.pattern[operand]

    def _is_register_sum(self, j: int, slot: Slot) -> bool:
        return self.letter(self.n_in + j) == "Z" and slot.core_ndim == 0 and slot.dtype.kind == "f"

    def _bind(self, k: int, slot: Slot) -> None:
        stored = stored_type(slot)
        self.namespace[f"pointer{k}"] = pointer_to(stored)
        self.namespace[f"read{k}"] = self.cells.reader(k)
        if k < self.n_in:
            kind = leaf_type(slot)
            if slot.core_ndim:
                self.namespace[f"view{k}"] = view_of(kind.dtype, slot.core_ndim)
            elif isinstance(kind, DualType):
                self.namespace[f"wrap{k}"] = converter(kind)
        else:
            self.namespace[f"strip{k}"] = converter(stored)
            self.namespace[f"write{k}"] = self.cells.writer(k)
            if slot.core_ndim:
                self.namespace[f"view{k}"] = view_of(stored, slot.core_ndim, readonly=False)

    def text(self) -> str:
        operands = range(len(self.slots))
        lines = ["outer = at(layout, 0)", "n = at(layout, 1)", "axes = at(layout, 2)", "table = 3 + axes"]
        lines += self._core_extents()
        lines += self._clear()
        lines += self.before()
        lines += [f"stride{k} = at(layout, table + {k} * (axes + 1) + axes)" for k in operands]
        lines += ["for o in range(outer):"]
        lines += [f"    a{k} = address{k}" for k in operands]
        lines += ["    rest = o", "    for axis in range(axes - 1, -1, -1):"]
        lines += [
            "        extent = at(layout, 3 + axis)",
            "        index = rest % extent",
            "        rest = rest // extent",
        ]
        lines += [f"        a{k} += index * at(layout, table + {k} * (axes + 1) + axis)" for k in operands]
        lines += [f"    {line}" for line in self.inner()]
        parameters = ", ".join(["layout", *(f"address{k}" for k in operands)])
        lines.append(f"return {UNDEFINED} if undefined else 0" if self.checked else "return 0")
        return f"def kernel({parameters}):\n" + "".join(f"    {line}\n" for line in lines)

    def before(self) -> list[str]:
        """Lines ahead of all loops."""
        return ["undefined = False"] if self.checked else []

    def check(self, *texts: str) -> list[str]:
        """Lines that look at numbers: a comparison of two is enough for both."""
        if self.infinities:
            texts = tuple(f"{text} - {text}" for text in texts)
        pairs = itertools.zip_longest(texts[::2], texts[1::2])
        return [f"undefined |= is_nan({a}, {b or a})" for a, b in pairs]

    def _core_extents(self) -> list[str]:
        lines, position = [], 0
        for k, slot in enumerate(self.slots):
            for axis in range(slot.core_ndim):
                lines.append(f"e{k}_{axis} = at(layout, table + {len(self.slots)} * (axes + 1) + {position})")
                position += 1
        self.sizes_at = position
        return lines

    def _clear(self) -> list[str]:
        """Outputs that are accumulated start from zero."""
        lines = []
        for j in range(len(self.outputs)):
            k = self.n_in + j
            if self.letter(k).isupper():
                lines.append(f"q{k} = pointer{k}(address{k})")
                where = f"table + {len(self.slots)} * (axes + 1) + {self.sizes_at + j}"
                lines += [f"for i in range(at(layout, {where})):", f"    q{k}[i] = 0"]
        return lines

    def inner(self) -> list[str]:
        hoisted = [f"x{k} = {self._load(k)}" for k in range(self.n_in) if self.letter(k) == "0"]
        body = ["barrier()"] if "barrier" in self.namespace else []
        body += [f"x{k} = {self._load(k)}" for k in range(self.n_in) if self.letter(k) != "0"]
        body.append(f"r = core({', '.join(f'x{k}' for k in range(self.n_in))})")
        body += self.checks()
        stores = [line for j in range(len(self.outputs)) for line in self.store(j)]
        if not self.sums:
            return [*hoisted, "for i in range(n):", *(f"    {line}" for line in [*body, *stores])]
        return [
            *hoisted,
            *self.blocked(["for i in range(begin, end):", *(f"    {b}" for b in [*body, *stores])]),
        ]

    def blocked(self, body: list[str]) -> list[str]:
        """The loop in blocks; each block's sums are added to the total with compensation."""
        kinds = {j: f"zero{j}" for j in self.sums}
        for j, name in kinds.items():
            self.namespace[name] = self.outputs[j].dtype.type(0)
        lines = [f"total{j} = 0.0" for j in self.sums] + [f"lost{j} = 0.0" for j in self.sums]
        lines += [f"for begin in range(0, n, {BLOCK}):"]
        lines += [f"    s{j} = {name}" for j, name in kinds.items()]
        lines += [f"    end = min(begin + {BLOCK}, n)", *(f"    {line}" for line in body)]
        for j in self.sums:
            lines += [
                f"    block = as_float64(s{j})",
                f"    both = total{j} + block",
                f"    if abs(total{j}) >= abs(block):",
                f"        lost{j} += (total{j} - both) + block",
                "    else:",
                f"        lost{j} += (block - both) + total{j}",
                f"    total{j} = both",
            ]
        # An overflowing or nan total has no meaningful rounding error: inf - inf would turn it into nan.
        lines += [
            self._add(self.n_in + j, f"(total{j} + lost{j} if lost{j} == lost{j} else total{j})")
            for j in self.sums
        ]
        return [*lines, *self.check(*[f"total{j}" for j in self.sums if j in self.checked])]

    def cell(self, k: int) -> str:
        """Address and index of operand k's element in the current iteration."""
        letter = self.letter(k).lower()
        if letter == "s":
            return f"a{k} + i * stride{k}, 0"
        return f"a{k}, 0" if letter in "0z" else f"a{k}, i"

    def _address(self, k: int) -> str:
        return f"a{k} + i * stride{k}" if self.letter(k).lower() in "cs" else f"a{k}"

    def _load(self, k: int) -> str:
        slot = self.slots[k]
        if slot.core_ndim:
            return f"view{k}({self._address(k)}, {self._core_shape(k)})"
        if f"wrap{k}" in self.namespace:
            return f"wrap{k}(read{k}({self.cell(k)}))"
        return f"read{k}({self.cell(k)})" + (" != 0" if slot.dtype.kind == "b" else "")

    def _core_shape(self, k: int) -> str:
        return "(" + "".join(f"e{k}_{axis}, " for axis in range(self.slots[k].core_ndim)) + ")"

    def store(self, j: int) -> list[str]:
        k = self.n_in + j
        operator = "+=" if self.letter(k).isupper() else "="
        if self.outputs[j].core_ndim:
            cell = f"w{k}[e{k}]"
            return [
                f"m{k} = r[{j}]",
                *(
                    line
                    for axis in range(self.outputs[j].core_ndim)
                    for line in (f"if m{k}.shape[{axis}] != e{k}_{axis}:", f"    return {SHAPE_MISMATCH}")
                ),
                f"w{k} = flat(view{k}({self._address(k)}, {self._core_shape(k)}))",
                f"e{k} = 0",
                f"for element{k} in flat(m{k}):",
                *(f"    {line}" for line in self.check(f"strip{k}(element{k})") if j in self.checked),
                f"    {cell} {operator} strip{k}(element{k})",
                f"    e{k} += 1",
            ]
        if j in self.sums:
            return [f"s{j} = add_in_any_order(s{j}, strip{k}(r[{j}]))"]
        if operator == "+=":
            return [self._add(k, f"strip{k}(r[{j}])")]
        return [f"write{k}({self.cell(k)}, strip{k}(r[{j}]))"]

    def checks(self, *, but: Collection[int] = ()) -> list[str]:
        """Lines that look at the results of one element. Sums are looked at in the end, arrays when they are
        stored."""
        numbers = [j for j in sorted(self.checked) if self.outputs[j].core_ndim == 0]
        return self.check(*[f"strip{self.n_in + j}(r[{j}])" for j in numbers if j not in {*but, *self.sums}])

    def _add(self, k: int, term: str) -> str:
        return f"write{k}({self.cell(k)}, strip{k}(read{k}({self.cell(k)}) + {term}))"


def build_shapes(core, inputs: tuple[Slot, ...], outputs: tuple[Slot, ...]):
    """Compile `shapes(pointers, core extents of the inputs, found)`: one call of `core` that notes its
    outputs' shapes."""
    writer = Writer(inputs, outputs, "0" * (len(inputs) + len(outputs)))
    writer.namespace["core"] = core
    writer.namespace["set_at"] = store_int64
    lines, position = [], 0
    for k, slot in enumerate(inputs):
        lines.append(f"a{k} = at(pointers, {k})")
        for axis in range(slot.core_ndim):
            lines.append(f"e{k}_{axis} = at(extents, {position})")
            position += 1
        lines.append(f"x{k} = {writer._load(k)}")
    lines.append(f"r = core({', '.join(f'x{k}' for k in range(len(inputs)))})")
    axes = [(j, axis) for j, slot in enumerate(outputs) for axis in range(slot.core_ndim)]
    lines += [f"set_at(found, {number}, r[{j}].shape[{axis}])" for number, (j, axis) in enumerate(axes)]
    text = "def shapes(pointers, extents, found):\n" + "".join(
        f"    {line}\n" for line in [*lines, "return 0"]
    )
    signature = types.int64(types.int64, types.int64, types.int64)
    return numba.njit(signature, error_model="numpy")(compile_function("shapes", text, writer.namespace))
