"""Derivatives of compiled functions: LLVM's code of a function of numbers, differentiated once per order.

Numba, hosts, loops over elements and memory of arrays are unknown here. `Function` is what every step reads
and writes; `derived` takes a derivative; `lowered` says what functions of the rules table are on this machine.
"""

from fwddiff.engines.numba.ssa.code import Refused
from fwddiff.engines.numba.ssa.derive import Derivative, derived
from fwddiff.engines.numba.ssa.function import Function, as_core, new_symbol, returning
from fwddiff.engines.numba.ssa.lower import lowered

__all__ = ["Derivative", "Function", "Refused", "as_core", "derived", "lowered", "new_symbol", "returning"]
