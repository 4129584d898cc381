"""From a function of numbers to machine code: language → ssa → schedule → target, each a folder.

Numba compiles the user's function once, on plain floats (`language`). Everything else works on LLVM's text:
derivatives (`ssa`), the loop around it (`schedule`), code for this processor (`target`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import llvmlite.binding as llvm

from fwddiff._rule import Slot
from fwddiff.engines.numba import ssa, vector_math
from fwddiff.engines.numba.lanes import MANY_BLOCKS, OLDEST_LLVM
from fwddiff.engines.numba.lanes._code import Refused as NoLanes
from fwddiff.engines.numba.lanes._code import read
from fwddiff.engines.numba.lanes._writer import written
from fwddiff.engines.numba.schedule import Checks, LanesInfo, kernel_text, kind_of
from fwddiff.engines.numba.target.cpu import Machine, compile_module

# Partials of an element of an array side by side, by order: two of the largest vector registers, then a few
# times as many (measured: Hessians with 1 to 8 in the second order).
WIDE = (16, 4, 1)
_WIDTHS = {"double": 64, "float": 32}
_MEMORY = {"malloc": "declare noalias ptr @malloc(i64)", "free": "declare void @free(ptr)"}
_log = logging.getLogger(__name__)


def wide(depth: int) -> int:
    """Partials that travel together, of functions of arrays of this order."""
    return WIDE[min(depth, len(WIDE) - 1)]


def kinds(slots: Sequence[Slot]) -> tuple[ssa.Kind, ...]:
    """LLVM's types of numbers, and arrays of them, in these slots."""
    return tuple(
        ssa.Array(kind_of(slot.dtype), slot.core_ndim) if slot.core_ndim else kind_of(slot.dtype) for slot in slots
    )


def derived(
    base: ssa.Function, kind: str, active: tuple[int, ...], slots: tuple[tuple[Slot, ...], ...], **options
) -> ssa.Function:
    """The derived function for a derived rule, whose `slots` are (of the base's outputs, inputs, outputs)."""
    outputs_of_base, inputs, outputs = slots
    results = tuple(j for j, slot in enumerate(outputs_of_base) if slot.differentiable)
    return ssa.derived(base, ssa.Derivative(kind, active, results, kinds(inputs), kinds(outputs), **options))


def machine_code(
    function: ssa.Function,
    inputs: tuple[Slot, ...],
    outputs: tuple[Slot, ...],
    pattern: str,
    checks: Checks,
    loops_inside: bool,
) -> Machine:
    """The kernel `int64 kernel(int64 *pointers, int64 *layout)` that applies a function along operands of a
    pattern; one that loops or branches much works on several elements side by side where it can."""
    core = ssa.lowered(ssa.as_core(function, "core") + "\n".join(function.code.outside.values()))
    is_tangled = len(function.code.blocks) > MANY_BLOCKS
    lanes, text = None, core
    if (loops_inside or is_tangled) and not function.has_arrays:
        lanes, side_by_side = _side_by_side(core, function, [letter != "0" for letter in pattern[: len(inputs)]])
        text = side_by_side if lanes is not None else core
    loop = kernel_text("kernel", "core", inputs, outputs, pattern, checks, not is_tangled, lanes)
    missing = [line for name, line in _MEMORY.items() if f"@{name}(" in loop and line not in text]
    return compile_module("\n".join([text, loop, *missing]), "kernel")


def _side_by_side(
    core: str, function: ssa.Function, varying: Sequence[bool]
) -> tuple[LanesInfo | None, str]:
    count = _lanes([*function.inputs, *function.outputs]) if any(varying) else 0
    if not count:
        return None, ""
    places = list(zip(ssa.offsets(function.outputs), function.outputs, strict=True))
    try:
        code = read(ssa.inlined(core, "core"), "core")
        if not code.loops and len(code.blocks) <= MANY_BLOCKS:
            return None, ""
        text = written("lanes", code, varying, places, count)
    except NoLanes as reason:
        _log.debug("%s runs element by element: %s", function.symbol, reason)
        return None, ""
    return LanesInfo(count, "lanes", function.inputs, function.outputs), text


def _lanes(types: Sequence[str]) -> int:
    """Elements in a vector register, 0 where there are none."""
    features = llvm.get_host_cpu_features()
    bits = 512 if features.get("avx512f", False) else 256 if features.get("avx2", False) else 0
    if vector_math.library() is None or llvm.llvm_version_info[0] < OLDEST_LLVM:
        return 0
    widths = [_WIDTHS[kind] for kind in types if kind in _WIDTHS]
    return bits // max(widths) if widths else 0
