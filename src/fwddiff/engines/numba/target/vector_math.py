"""Elementary functions that LLVM vectorises: calls that say which vector function of the C library does the
same.

A call of C's `log` in a loop is one scalar call per element, unless LLVM knows a vector version. It can be
told by the call itself: the attribute `vector-function-abi-variant` (LLVM language reference, "Call Site
Attributes"; the names follow the x86 vector function ABI) lists vector versions, and the loop vectoriser
takes the one of its width. glibc ships them in libmvec: exp, log, sin, cos and pow since 2.22, tanh, expm1,
log1p, erf and all others of C99 since 2.35, each within 4 ulp, special values included. Nothing is installed,
no option of the process is set, and functions outside fwddiff's kernels are not touched.

The environment variable FWDDIFF_VECTOR_MATH=off does without them (`elementary` says what is called then).
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys

import llvmlite.binding

VARIABLE = "FWDDIFF_VECTOR_MATH"
LIBRARY = "libmvec.so.1"

# Name in the rules table → C name and number of arguments, of what glibc has vector versions of.
FUNCTIONS = {
    **{
        name: (name, 1)
        for name in [
            "exp",
            "exp2",
            "expm1",
            "log",
            "log2",
            "log10",
            "log1p",
            "sin",
            "cos",
            "tan",
            "sinh",
            "cosh",
            "tanh",
            "erf",
            "erfc",
            "cbrt",
        ]
    },
    **{f"a{name}": (f"a{name}", 1) for name in ["sin", "cos", "tan", "sinh", "cosh", "tanh"]},
    "atan2": ("atan2", 2),
    "hypot": ("hypot", 2),
    "pow": ("pow", 2),
}

# x86 vector ABI: letter of the instruction set, the CPU feature it needs, bits of a vector.
_INSTRUCTION_SETS = (("b", "sse4.2", 128), ("d", "avx2", 256), ("e", "avx512f", 512))


@functools.cache
def library() -> ctypes.CDLL | None:
    """The vector math library, loaded for LLVM too; `None` where there is none or it is switched off."""
    if os.environ.get(VARIABLE, "").lower() == "off" or platform.machine() not in ("x86_64", "AMD64"):
        return None
    if not sys.platform.startswith("linux"):
        return None
    try:
        found = ctypes.CDLL(LIBRARY)
        llvmlite.binding.load_library_permanently(LIBRARY)
    except (OSError, RuntimeError):
        return None
    return found


@functools.cache
def variants(name: str, arity: int, bits: int) -> tuple[tuple[str, int], ...]:
    """(vector function, lanes) for a C function of `bits`-bit floats that exist here and that this CPU
    runs."""
    lib = library()
    if lib is None:
        return ()
    features = llvmlite.binding.get_host_cpu_features()
    symbol = name if bits == 64 else f"{name}f"
    found = []
    for letter, feature, width in _INSTRUCTION_SETS:
        lanes = width // bits
        vector = f"_ZGV{letter}N{lanes}{'v' * arity}_{symbol}"
        if features.get(feature, False) and hasattr(lib, vector):
            found.append((vector, lanes))
    return tuple(found)


def available(name: str, bits: int) -> bool:
    """Whether a function of the rules table has a vector version here."""
    c_name, arity = FUNCTIONS[name]
    return bool(variants(c_name, arity, bits))
