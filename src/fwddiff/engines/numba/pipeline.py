"""From a function of numbers to a kernel: language → ssa → schedule → target, each a folder.

Numba compiles the user's function once, on plain floats (`language`). Everything else works on LLVM's text:
derivatives (`ssa`), the loop around it (`schedule`), code for this processor (`target`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm

from fwddiff._rule import Slot, split_kind
from fwddiff.engines.numba import polls, ssa
from fwddiff.engines.numba.lanes import MANY_BLOCKS, OLDEST_LLVM, read, written
from fwddiff.engines.numba.lanes import Refused as NoLanes
from fwddiff.engines.numba.recorded import body
from fwddiff.engines.numba.schedule import Ahead, Checks, LanesInfo, kernel_text, kind_of
from fwddiff.engines.numba.ssa import memory, special
from fwddiff.engines.numba.target import cpu

SYMBOL = "kernel"
AHEAD = "ahead"
_WIDTHS = {"double": 64, "float": 32}
# Longer functions go side by side as those with many blocks do. LLVM's vectoriser takes 40 times as long as
# all else with 3000 instructions (5 s); the loops that it makes are faster for short functions (to 1.5 times,
# with 20 instructions) and slower for long ones (0.89, with 600).
MANY_INSTRUCTIONS = 200
# With fewer of each, but more of both than these, it finds no profit in vectors: what stands behind branches
# counts half. Log-densities of Cauchy, logistic and Student's distributions: 22, 33, 29 ns and 12, 17, 16.
MANY_OF_BOTH = (6, 40)
# Instructions that have to gain from vectors for each call that is made lane by lane: such calls alone take
# as long as in a plain loop, to 1.07 times (log-gammas). A gamma log-density takes 14 ns instead of 24.
CALL = 20
# Partials of an element of an array side by side, by order: two of the largest vector registers, then a few
# times as many (measured: Hessians with 1 to 8 in the second order).
WIDE = (16, 4, 1)
_VECTORISED = re.compile(r'^declare [^@\n]*@(\w+)\([^\n]*"vector-function-abi-variant"', re.M)
_log = logging.getLogger(__name__)


def wide(depth: int) -> int:
    """Partials that travel together, of functions of arrays of this order."""
    return WIDE[min(depth, len(WIDE) - 1)]


def kinds(slots: Sequence[Slot]) -> tuple[ssa.Kind, ...]:
    """LLVM's types of numbers, and arrays of them, in these slots."""
    return tuple(
        ssa.Array(kind_of(slot.dtype), slot.core_ndim) if slot.core_ndim else kind_of(slot.dtype)
        for slot in slots
    )


def derived(
    base: ssa.Function, kind: str, active: tuple[int, ...], slots: tuple[tuple[Slot, ...], ...], **options
) -> ssa.Function:
    """The derived function for a derived rule, whose `slots` are (of the base's outputs, inputs, outputs)."""
    outputs_of_base, inputs, outputs = slots
    results = tuple(j for j, slot in enumerate(outputs_of_base) if slot.differentiable)
    plain, options["values"] = split_kind(kind)
    what = ssa.Derivative(plain, active, results, kinds(inputs), kinds(outputs), **options)
    return ssa.derived(base, what, body)


def machine_code(function: ssa.Function, *how: Any) -> cpu.Machine:
    """The kernel `int64 kernel(int64 *pointers, int64 *layout)` that applies a function along operands, as
    `module_text` has it."""
    return cpu.compile_module(module_text(function, *how), SYMBOL)


def assembly(function: ssa.Function, *how: Any) -> str:
    """The same machine code as text."""
    return cpu.assembly(module_text(function, *how), SYMBOL)


def core_text(function: ssa.Function, symbol: str, linkage: str = "internal") -> str:
    """A module with the function as a core of this name, and with what functions of the table are here."""
    return _lowered({symbol: function}, linkage)


def module_text(
    function: ssa.Function,
    inputs: tuple[Slot, ...],
    outputs: tuple[Slot, ...],
    pattern: str,
    checks: Checks,
    loops_inside: bool,
) -> str:
    """The kernel for operands of a pattern, in LLVM's text; one that loops or branches much works on several
    elements side by side where it can. What depends on operands alone that do not change along the inner loop
    is computed ahead of it."""
    varying = [letter != "0" for letter in pattern[: len(inputs)]]
    parts = ssa.split(function, [not v for v in varying])
    if parts is not None:
        function, varying = parts.rest, [*varying, *[False] * len(parts.kept)]
    core = _lowered({"core": function} | ({} if parts is None else {AHEAD: parts.ahead}))
    whole, code = _inlined(core, function)
    is_tangled = _is_tangled(code)
    lanes, text = None, core
    left_alone = loops_inside or is_tangled or _calls_alone(code, core)
    if left_alone and whole is not None and not function.has_arrays:
        lanes, side_by_side = _side_by_side(whole, function, varying)
        text = side_by_side if lanes is not None else core
    ahead = Ahead(AHEAD, () if parts is None else parts.kept)
    loop = kernel_text(SYMBOL, "core", inputs, outputs, pattern, checks, not is_tangled, lanes, ahead)
    missing = [line for name, line in memory.DECLARATIONS.items() if f"@{name}(" in loop and line not in text]
    return polls.defined("\n".join([text, loop, *missing]))


def _inlined(core: str, function: ssa.Function) -> tuple[str | None, ssa.Code]:
    """The module with everything in the place of its calls, and the core's code there; `None` and the
    function's own where that holds what is never read back (a buffer's address)."""
    try:
        whole = ssa.inlined(core, "core", AHEAD)
        return whole, ssa.read(whole, "core")
    except ssa.Refused:
        return None, function.code


def _is_tangled(code: ssa.Code) -> bool:
    """Whether LLVM's vectoriser is not to try this."""
    blocks, instructions = len(code.blocks), len(code.instructions)
    is_branched = blocks > MANY_OF_BOTH[0] and instructions > MANY_OF_BOTH[1]
    return blocks > MANY_BLOCKS or instructions > MANY_INSTRUCTIONS or is_branched


def _calls_alone(code: ssa.Code, module: str) -> bool:
    """Whether calls without a vector version keep LLVM's vectoriser away from what gains more by it."""
    calls = [
        i.callee for i in code.instructions if i.operation == "call" and not i.callee.startswith("llvm.")
    ]
    vectorised = set(_VECTORISED.findall(module))
    alone = sum(name not in vectorised for name in calls)
    others = len(code.instructions) - len(calls)
    return 0 < alone * CALL < (len(calls) - alone) * CALL + others


def _lowered(functions: dict[str, ssa.Function], linkage: str = "internal") -> str:
    """A module of cores of these names."""
    outside: dict[str, str] = {}
    for function in functions.values():
        outside |= function.code.outside
    cores = [ssa.as_core(function, symbol, linkage) for symbol, function in functions.items()]
    return ssa.lowered("\n".join([*cores, *outside.values()]), body)


def _side_by_side(
    whole: str, function: ssa.Function, varying: Sequence[bool]
) -> tuple[LanesInfo | None, str]:
    taken, given = ssa.numbers_of(function.inputs), function.returned
    count = _lanes([*taken, *given]) if any(varying) else 0
    if not count:
        return None, ""
    places = list(zip(ssa.offsets(given), given, strict=True))
    try:
        text = _with_functions(written("lanes", read(whole, "core"), varying, places, count), whole)
    except NoLanes as reason:
        _log.debug("%s runs element by element: %s", function.symbol, reason)
        return None, ""
    return LanesInfo(count, "lanes", taken, given), text


def _with_functions(text: str, module: str) -> str:
    """The text with what is computed ahead, the functions of ours that it calls, and what these call."""
    if ahead := re.search(rf"^define [^\n]*@{AHEAD}\(.*?^}}$", module, re.M | re.S):
        text += _alone(ahead.group())
    for definition in re.findall(r"^define internal .*?^}$", module, re.M | re.S):
        found = re.match(rf".*?@({special.PREFIX}\w+)\(", definition)
        if found and f"@{found.group(1)}(" in text:
            text += _alone(definition)
    known = set(re.findall(r"^(?:declare|define) [^@]*@([\w.]+)\(", text, re.M))
    for declaration in re.findall(r"^declare [^@]*@[\w.]+\(.*\)", module, re.M):
        name = declaration.split("@", 1)[1].split("(", 1)[0]
        if name not in known and f"@{name}(" in text:
            text += f"{declaration} memory(none) nounwind willreturn\n"
    return text


def _alone(definition: str) -> str:
    """A definition for another module: groups of attributes and metadata stay behind."""
    return re.sub(r"( #\d+(?= \{$|$))|(, ![\w.]+ !\d+)", "", definition, flags=re.M) + "\n"


def _lanes(types: Sequence[str]) -> int:
    """Elements in a vector register, 0 where there are none."""
    if llvm.llvm_version_info[0] < OLDEST_LLVM:
        return 0
    widths = [_WIDTHS[kind] for kind in types if kind in _WIDTHS]
    return cpu.vector_bits() // max(widths) if widths else 0
