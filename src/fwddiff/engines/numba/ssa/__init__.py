"""Derivatives of compiled functions: LLVM's code of a function of numbers, differentiated once per order.

Numba, hosts, loops over elements and memory of arrays are unknown here. `Function` is what every step
reads and writes; `derived` takes a derivative; `lowered` says what functions of the table are here.
"""

from fwddiff.engines.numba.ssa.ahead import Split, split
from fwddiff.engines.numba.ssa.code import Code, Refused, read
from fwddiff.engines.numba.ssa.derivative import Derivative
from fwddiff.engines.numba.ssa.derive import derived
from fwddiff.engines.numba.ssa.function import (
    Array,
    Function,
    Kind,
    as_core,
    inlined,
    new_symbol,
    numbers_of,
    offsets,
    returning,
    size,
)
from fwddiff.engines.numba.ssa.lower import lowered
from fwddiff.engines.numba.ssa.narrow import narrowed

__all__ = [
    "Array",
    "Code",
    "Derivative",
    "Function",
    "Kind",
    "Refused",
    "Split",
    "as_core",
    "derived",
    "inlined",
    "lowered",
    "narrowed",
    "new_symbol",
    "numbers_of",
    "offsets",
    "read",
    "returning",
    "size",
    "split",
]
