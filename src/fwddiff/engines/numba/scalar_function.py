"""A rule of numbers as a Numba function, for programs that Numba compiles (PyTensor's)."""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import itertools
import weakref
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

import numba
from fwddiff._errors import FwdDiffError
from fwddiff._native.internals import cgutils, cpu_target, global_compiler_lock, numpy_support
from fwddiff._native.status import STOPPED
from fwddiff._rule import Slot
from fwddiff.engines.numba import pipeline, polls, ssa
from fwddiff.engines.numba.frontend.expressions import compile_function
from numba import types
from numba.extending import intrinsic

_LLVM = {"double": ir.DoubleType(), "float": ir.FloatType()}
_numbers = itertools.count()


def scalar_function(rule: Any) -> Any:
    """A Numba function of plain numbers that returns the tuple of the outputs, to be inlined by its caller.

    Where the user's function raises, it calls the rule's `fail(leaves)`, which is Python's. After a Ctrl-C it
    raises `KeyboardInterrupt`.
    """
    function, inputs, outputs = rule.code, rule.inputs, rule.outputs
    symbol = f"fwddiff_scalar_{next(_numbers)}"
    text = pipeline.core_text(function, symbol, "external")
    has_polls = polls.POLL in text
    namespace: dict[str, Any] = {
        "run": _call(symbol, polls.defined(text), function, outputs),
        "begin": polls.begin,
        "failed": _failing(rule),
        "stopped": STOPPED,
    }
    parameters = ", ".join(f"x{i}" for i in range(len(inputs)))
    listing = "".join(f"x{i}, " for i in range(len(inputs)))
    results = "".join(f"r[{j + 1}], " for j in range(len(outputs)))
    lines = [
        *(["begin()"] if has_polls else []),
        f"r = run(({listing}))",
        "if r[0] != 0:",
        f"    failed(r[0] == stopped, ({listing}))",
        f"return ({results})",
    ]
    text = f"def scalar({parameters}):\n" + "".join(f"    {line}\n" for line in lines)
    return numba.njit(compile_function("scalar", text, namespace), error_model="numpy", nogil=True)


def _call(symbol: str, text: str, function: ssa.Function, outputs: tuple[Slot, ...]) -> Any:
    """Intrinsic `tuple of numbers → (status, *results)`; the function's code is linked to its caller's."""
    given = [numpy_support.from_dtype(slot.dtype) for slot in outputs]
    result = types.Tuple([types.int32, *given])
    library = _library(symbol, text)

    def codegen(context, builder, signature, arguments):
        context.active_code_library.add_linking_library(library)
        taken = cgutils.unpack_tuple(builder, arguments[0])
        values = [
            _as(builder, context, value, kind, wanted)
            for value, kind, wanted in zip(
                taken, signature.args[0], ssa.numbers_of(function.inputs), strict=True
            )
        ]
        pointer = ir.IntType(8).as_pointer()
        place = cgutils.alloca_once(builder, ir.ArrayType(ir.IntType(8), max(ssa.size(function.returned), 8)))
        place = builder.bitcast(place, pointer)
        kind = ir.FunctionType(ir.IntType(32), [pointer, pointer, *[value.type for value in values]])
        callee = cgutils.get_or_insert_function(builder.module, kind, symbol)
        status = builder.call(callee, [place, pointer(None), *values])
        places = zip(ssa.offsets(function.returned), function.returned, given, strict=True)
        found = [_result(builder, place, offset, kind, wanted) for offset, kind, wanted in places]
        return context.make_tuple(builder, result, [status, *found])

    return intrinsic(lambda typing_context, numbers: (result(numbers), codegen))


def _as(builder: Any, context: Any, value: Any, kind: Any, wanted: str) -> Any:
    """A number of Numba's type as one of LLVM's."""
    target = {"double": types.float64, "float": types.float32}.get(wanted)
    if target is not None:
        return context.cast(builder, value, kind, target)
    bits = int(wanted[1:])
    whole = types.Integer.from_bitwidth(max(bits, 8), signed=True)
    return context.cast(builder, value, kind, whole)


def _result(builder: Any, place: Any, offset: int, kind: str, wanted: Any) -> Any:
    stored = _LLVM.get(kind) or ir.IntType(int(kind[1:]))
    address = builder.bitcast(builder.gep(place, [ir.IntType(64)(offset)]), stored.as_pointer())
    value = builder.load(address, align=1)
    return builder.icmp_unsigned("!=", value, stored(0)) if isinstance(wanted, types.Boolean) else value


@global_compiler_lock
def _library(symbol: str, text: str) -> Any:
    library = cpu_target.target_context.codegen().create_library(symbol)
    library.add_llvm_module(llvm.parse_assembly(f'target triple = "{llvm.get_process_triple()}"\n{text}'))
    library.finalize()
    return library


# Whose function has this number: compiled code holds no Python objects, and nothing is kept alive by it.
_rules: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def _raise(number: int, was_stopped: bool, numbers: tuple) -> None:
    if was_stopped:
        raise KeyboardInterrupt
    rule = _rules.get(number)
    if rule is not None:
        rule.fail(numbers)
    raise FwdDiffError(
        "a function raised an exception in compiled code, and is no longer there to say which."
    )


def _failing(rule: Any) -> Any:
    number = next(_numbers)
    _rules[number] = rule

    @numba.njit
    def failed(was_stopped, numbers):
        with numba.objmode():
            _raise(number, was_stopped, numbers)

    return failed
