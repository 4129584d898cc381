"""`print` in compiled code: Python prints, called by kernels with each part of the line.

Numbers are printed by their values. Code that prints is not made side by side, and prints once for each time
that it runs: again for a pullback that computes values anew.
"""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from fwddiff._native.internals import cgutils
from fwddiff.engines.numba.frontend.numbers import is_number
from fwddiff.engines.numba.language._opaque import PREFIX, call_opaque
from fwddiff.engines.numba.ssa.code import Refused
from fwddiff.engines.numba.ssa.functions import PRINT
from numba import types

_VOID, _POINTER = ir.VoidType(), ir.IntType(8).as_pointer()
_KINDS = {"text": _POINTER, "float": ir.DoubleType(), "int": ir.IntType(64), "bool": ir.IntType(64)}


class _Line(threading.local):
    """What a thread has to print until the line ends."""

    def __init__(self) -> None:
        self.parts: list[str] = []


_line = _Line()


def _flush() -> None:
    parts, _line.parts = _line.parts, []
    sys.stdout.write("".join(parts) + "\n")


_CALLBACKS: dict[str, tuple[tuple, Callable[..., None]]] = {
    "text": ((ctypes.c_char_p,), lambda text: _line.parts.append(text.decode())),
    "float": ((ctypes.c_double,), lambda number: _line.parts.append(str(number))),
    "int": ((ctypes.c_int64,), lambda number: _line.parts.append(str(number))),
    "bool": ((ctypes.c_int64,), lambda truth: _line.parts.append(str(bool(truth)))),
    "end": ((), _flush),
}


def _bound() -> Iterator[Any]:
    for name, (kinds, function) in _CALLBACKS.items():
        callback = ctypes.CFUNCTYPE(None, *kinds)(function)
        llvm.add_symbol(f"{PRINT}{name}", ctypes.cast(callback, ctypes.c_void_p).value)
        yield callback


_kept = list(_bound())  # callbacks live as long as kernels may call them


def printing(context: Any, signature: Any) -> Any:
    """What makes LLVM's code of a call of `print`."""

    def emit(builder: Any, values: Sequence[Any], loc: Any = None) -> Any:
        for k, (kind, value) in enumerate(zip(signature.args, values, strict=True)):
            if k:
                _text(context, builder, " ")
            _item(context, builder, kind, value)
        _call(builder, "end", [])
        return context.get_dummy_value()

    emit.libs = ()  # pyright: ignore[reportFunctionMemberAccess]
    return emit


def _call(builder: Any, name: str, arguments: Sequence[Any]) -> None:
    kind = ir.FunctionType(_VOID, [argument.type for argument in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"{PRINT}{name}"), arguments)


def _text(context: Any, builder: Any, text: str) -> None:
    place = context.insert_const_string(builder.module, text)
    _call(builder, "text", [builder.bitcast(place, _POINTER)])


def _item(context: Any, builder: Any, kind: Any, value: Any) -> None:
    if isinstance(kind, types.StringLiteral):
        _text(context, builder, kind.literal_value)
    elif isinstance(kind, types.BaseTuple) and not isinstance(kind, types.BaseNamedTuple):
        _tuple(context, builder, kind, value)
    elif is_number(kind):
        name = (
            "float" if isinstance(kind, types.Float) else "bool" if isinstance(kind, types.Boolean) else "int"
        )
        target = types.float64 if name == "float" else types.int64
        number = context.cast(builder, value, kind, target)
        if name == "float":
            number = call_opaque(builder, f"{PREFIX}value", [number])
        _call(builder, name, [number])
    else:
        raise Refused(f"it prints {kind}: kernels print numbers, constant text and tuples of them")


def _tuple(context: Any, builder: Any, kind: Any, value: Any) -> None:
    _text(context, builder, "(")
    for k, (item, part) in enumerate(zip(kind, cgutils.unpack_tuple(builder, value), strict=True)):
        if k:
            _text(context, builder, ", ")
        _item(context, builder, item, part)
    _text(context, builder, ",)" if len(kind) == 1 else ")")
