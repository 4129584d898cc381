"""Kernels: a core function applied along strided operands, as one loop nest in LLVM's text."""

from __future__ import annotations

from fwddiff._native.text import Function
from fwddiff._rule import Slot
from fwddiff.engines.numba.schedule._ahead import NOTHING, Ahead, Computed
from fwddiff.engines.numba.schedule._elements import Elements
from fwddiff.engines.numba.schedule._groups import Groups, LanesInfo
from fwddiff.engines.numba.schedule._operands import Operands
from fwddiff.engines.numba.schedule._results import NO_CHECKS, Checks, Results
from fwddiff.engines.numba.schedule._scratch import Scratch

# With a frame pointer LLVM can align the stack for vectors that wait there while others are in calls.
_ATTRIBUTES = 'nounwind "frame-pointer"="all"'


def kernel_text(
    symbol: str,
    core_symbol: str,
    inputs: tuple[Slot, ...],
    outputs: tuple[Slot, ...],
    pattern: str,
    checks: Checks = NO_CHECKS,
    vectorise: bool = True,
    lanes: LanesInfo | None = None,
    ahead: Ahead = NOTHING,
) -> str:
    """`define i64 @symbol(ptr %pointers, ptr %layout)`, which applies the core along operands of this
    pattern.

    `malloc` and `free` are declared elsewhere. The core, `i32 @core_symbol(ptr result, ptr exception,
    arguments…)`, or the function of `lanes` which then takes its place, is to be put into the same
    module, as is that of `ahead`; metadata of its own has numbers below `FIRST_METADATA`. The core's symbol
    is given as the text has it, quoted where need be. `vectorise`: whether LLVM's vectoriser may try the loop
    over elements.
    """
    if lanes is not None and any(slot.core_ndim for slot in (*inputs, *outputs)):
        raise ValueError("functions of arrays do not work on elements side by side")
    # Neither table changes, nor are they among the operands.
    parameters = "ptr noalias readonly %pointers, ptr noalias readonly %layout"
    out = Function(f"define i64 @{symbol}({parameters}) {_ATTRIBUTES}")
    operands = Operands(out, inputs, outputs, pattern)
    results = Results(operands, checks)
    scratch = Scratch(operands)
    computed = Computed(operands, ahead)
    if lanes is None:
        loop = Elements(results, core_symbol, vectorise, scratch, computed)
    else:
        loop = Groups(results, lanes, computed)
    operands.clear()
    n = operands.word(1)
    with out.loop(operands.word(0), name="outer") as row:
        operands.begin_row(row)
        loop.row(n)
    scratch.free()
    out.line(f"ret i64 {results.status()}")
    return str(out)
