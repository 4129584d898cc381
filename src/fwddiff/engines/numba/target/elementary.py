"""Which elementary functions are our own instructions on this machine, and which are calls of the C library.

The library's vector versions (`vector_math`) are good: where they exist, our own are taken only of the
functions that were measured to be faster so, most of all where the slope needs the same exponential as the
value. Where there are none (ARM, macOS, musl), our own are what lets elements go side by side.

The environment variable FWDDIFF_OWN_MATH=off leaves all to the library, FWDDIFF_OWN_MATH=all takes our own
wherever there is one. Together with FWDDIFF_VECTOR_MATH=off, the former makes every call scalar.
"""

from __future__ import annotations

import functools
import os

import llvmlite.binding as llvm

from fwddiff.engines.numba.target import cpu, vector_math

VARIABLE = "FWDDIFF_OWN_MATH"
# Faster than the library's vector version, by bits of a float (docs/design.md has the table): tanh with its
# slope, 4.5 ns instead of 6.2 and 2.0 instead of 3.0.
FASTER = {64: frozenset({"tanh"}), 32: frozenset({"tanh"})}


def wish() -> str:
    """What the environment says: "off", "all" or nothing. It is part of the key of kernels on disk."""
    found = os.environ.get(VARIABLE, "").lower()
    return found if found in ("off", "all") else ""


@functools.cache
def is_own(name: str, bits: int) -> bool:
    """Whether a function that we have is taken from us."""
    if wish() == "off" or not _fuses():
        return False
    return wish() == "all" or name in FASTER[bits] or not vector_math.available(name, bits)


def _fuses() -> bool:
    """Whether the processor multiplies and adds in one instruction: elsewhere LLVM calls a slow function."""
    return cpu.is_arm() or bool(llvm.get_host_cpu_features().get("fma", False))
