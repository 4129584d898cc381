"""Elementary functions that LLVM vectorises: calls that say which vector function of the C library does the
same.

Numba's `math.log` in a loop is one scalar call per element, unless LLVM knows a vector version. It can be
told by the call itself: the attribute `vector-function-abi-variant` (LLVM language reference, "Call Site
Attributes"; the names follow the x86 vector function ABI) lists vector versions, and the loop vectoriser
takes the one of its width. glibc ships them in libmvec: exp, log, sin, cos and pow since 2.22, tanh, expm1,
log1p, erf and all others of C99 since 2.35, each within 4 ulp, special values included. Nothing is installed,
no option of the process is set, and functions outside fwddiff's kernels are not touched.

The environment variable FWDDIFF_VECTOR_MATH=off leaves all calls scalar.
"""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false, reportRedeclaration=false

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
from collections.abc import Callable

import llvmlite.binding
from llvmlite import ir

from numba.core import cgutils, types
from numba.extending import intrinsic

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


@functools.cache
def function(name: str, number_type: types.Float) -> Callable | None:
    """Intrinsic for the function `name` of the rules table on floats of this type; `None` where no vector
    version exists."""
    if name not in FUNCTIONS:
        return None
    c_name, arity = FUNCTIONS[name]
    found = variants(c_name, arity, number_type.bitwidth)
    if not found:
        return None
    symbol = c_name if number_type.bitwidth == 64 else f"{c_name}f"

    def codegen(context, builder, signature, arguments):
        arguments = [
            context.cast(builder, a, t, number_type) for a, t in zip(arguments, signature.args, strict=True)
        ]
        return builder.call(_declaration(builder.module, symbol, arguments, found), arguments)

    if arity == 1:

        @intrinsic
        def call(typing_context, x):
            return number_type(x), codegen
    else:

        @intrinsic
        def call(typing_context, a, b):
            return number_type(a, b), codegen

    return call


def _declaration(module: ir.Module, symbol: str, arguments: list, versions) -> ir.Function:
    """The scalar C function with its vector versions named; they are declared and kept, or LLVM would not see
    them."""
    scalar = arguments[0].type
    function_type = ir.FunctionType(scalar, [scalar] * len(arguments))
    declared = cgutils.get_or_insert_function(module, function_type, symbol)
    if "readnone" in declared.attributes:
        return declared
    names = []
    for vector, lanes in versions:
        wide = ir.VectorType(scalar, lanes)
        kept = cgutils.get_or_insert_function(module, ir.FunctionType(wide, [wide] * len(arguments)), vector)
        _keep(module, kept)
        names.append(f"_ZGV_LLVM_N{lanes}{'v' * len(arguments)}_{symbol}({vector})")
    for attribute in ("readnone", "nounwind"):
        declared.attributes.add(attribute)
    # llvmlite has no interface for string attributes: it prints the members of this set as they are.
    for text in ("willreturn", f'"vector-function-abi-variant"="{",".join(names)}"'):
        set.add(declared.attributes, text)
    return declared


def _keep(module: ir.Module, declared: ir.Function) -> None:
    """Add to `llvm.compiler.used`, whose entries survive optimisation and are merged when modules are
    linked."""
    pointer = ir.IntType(8).as_pointer()
    used = module.globals.get("llvm.compiler.used")
    kept = [] if used is None else list(used.initializer.constant)
    kept.append(declared.bitcast(pointer))
    array = ir.ArrayType(pointer, len(kept))
    if used is None:
        used = ir.GlobalVariable(module, array, "llvm.compiler.used")
        used.linkage = "appending"
        used.section = "llvm.metadata"
    used.value_type, used.type = array, array.as_pointer()
    used.initializer = ir.Constant(array, kept)
