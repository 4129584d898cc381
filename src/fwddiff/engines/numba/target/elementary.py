"""Which elementary functions are our own instructions here, and which are calls of the C library.

The library's vector versions are good: one function alone is rarely faster as instructions. A value with its
slope is, where both need the same exponential. Measured by benchmarks/elementary.py: see docs/design.md.

The environment variable FWDDIFF_OWN_MATH says `off` (always the library) or `all` (always our own); FWDDIFF_VECTOR_MATH=off
takes the library's vector versions away, as on systems that have none, and leaves our own.
"""

from __future__ import annotations

import functools
import os
import platform

import llvmlite.binding

from fwddiff.engines.numba.target import vector_math

VARIABLE = "FWDDIFF_OWN_MATH"
# Faster than the library's vector version, by bits of a float.
_FASTER = {64: frozenset({"tanh"}), 32: frozenset({"tanh"})}


@functools.cache
def chosen(name: str, bits: int) -> bool:
    """Whether to write our own instructions for a function that has them."""
    wish = os.environ.get(VARIABLE, "").lower()
    if wish == "off" or not fuses():
        return False
    return wish == "all" or name in _FASTER[bits] or not vector_math.available(name, bits)


@functools.cache
def fuses() -> bool:
    """Whether the processor multiplies and adds in one instruction: else LLVM calls a slow function."""
    if platform.machine() in ("aarch64", "arm64", "ARM64"):
        return True
    return bool(llvmlite.binding.get_host_cpu_features().get("fma", False))
