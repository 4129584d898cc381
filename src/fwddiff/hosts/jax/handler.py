"""The XLA side of a call: one typed FFI handler, compiled by Numba, that runs any kernel.

XLA calls the handler with a call frame, on threads of its own, without the GIL. A call has two attributes:
`key`, a hash of the kernel's content, and `layout`, the kernel's table of int64. The handler finds the kernel
by its key, collects the addresses of operands and results, and turns a status other than 0 into an XLA error.
Keys are the same in every process (addresses would not be), so compiled programs may outlive theirs.

Offsets are those of the C structs in `xla/ffi/api/c_api.h` on 64-bit machines, in jaxlib 0.6 to 0.10.
"""

from __future__ import annotations

import ctypes
import hashlib
import threading
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import cfunc, extending, njit, types
from numba.core import cgutils

from fwddiff._native.tasks import call_kernel
from fwddiff._rule import Native

intrinsic: Any = extending.intrinsic  # type checkers do not know that it removes a parameter

_WORD = ir.IntType(64)
_ROW = 3  # words per kernel: key, address, message
_MISSING = (
    b"fwddiff: this program calls a kernel that is not loaded in this process; "
    b"call (or lower) the same fwddiff function on the same shapes and dtypes first."
)


# --- memory ------------------------------------------------------------------------------------------------


@intrinsic
def _load(typing_context, address):
    def codegen(context, builder, signature, arguments):
        return builder.load(builder.inttoptr(arguments[0], _WORD.as_pointer()))

    return types.int64(types.int64), codegen


@intrinsic
def _load_int32(typing_context, address):
    def codegen(context, builder, signature, arguments):
        value = builder.load(builder.inttoptr(arguments[0], ir.IntType(32).as_pointer()))
        return builder.sext(value, _WORD)

    return types.int64(types.int64), codegen


@intrinsic
def _store(typing_context, address, value):
    def codegen(context, builder, signature, arguments):
        builder.store(arguments[1], builder.inttoptr(arguments[0], _WORD.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def _store_int32(typing_context, address, value):
    def codegen(context, builder, signature, arguments):
        number = builder.trunc(arguments[1], ir.IntType(32))
        builder.store(number, builder.inttoptr(arguments[0], ir.IntType(32).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def _stack(typing_context, words):
    """Address of so many words on the stack of the calling function."""

    def codegen(context, builder, signature, arguments):
        return builder.ptrtoint(builder.alloca(_WORD, arguments[0]), _WORD)

    return types.int64(types.int64), codegen


@intrinsic
def _call_create(typing_context, function, argument):
    def codegen(context, builder, signature, arguments):
        kind = ir.FunctionType(_WORD, [_WORD]).as_pointer()
        return builder.call(builder.inttoptr(arguments[0], kind), arguments[1:])

    return types.int64(types.int64, types.int64), codegen


# --- the table of kernels ----------------------------------------------------------------------------------


class _Table:
    """Kernels by key, in memory that machine code reads while Python adds to it.

    A cell holds the address of an open-addressing table [mask, missing message, rows]. A row's key is written
    last, and a full table is replaced by a larger copy, so a reader needs no lock. Kernels are never removed:
    a compiled program may call them at any time.
    """

    def __init__(self) -> None:
        self.cell = np.zeros(1, np.int64)
        self.lock = threading.Lock()
        self.kept: list[object] = [self.cell]
        self.missing = self._text(_MISSING)
        self.count = 0
        self._replace(1024)

    def _text(self, message: bytes) -> int:
        buffer = ctypes.create_string_buffer(message)
        self.kept.append(buffer)
        return ctypes.addressof(buffer)

    def _replace(self, capacity: int) -> None:
        table = np.zeros(2 + _ROW * capacity, np.int64)
        table[0], table[1] = capacity - 1, self.missing
        if self.count:
            for row in self.rows[self.rows[:, 0] != 0]:
                _insert(table[2:].reshape(-1, _ROW), *row.tolist())
        self.rows = table[2:].reshape(-1, _ROW)
        self.kept.append(table)
        self.cell[0] = table.ctypes.data

    def add(self, key: int, native: Native, message: str) -> None:
        with self.lock:
            if _find(self.rows, key)[0] == key:
                return
            if 2 * self.count >= len(self.rows):
                self._replace(2 * len(self.rows))
            self.kept.append(native.owner)
            _insert(self.rows, key, native.address, self._text(message.encode()))
            self.count += 1


def _find(rows: np.ndarray, key: int) -> np.ndarray:
    """The row of this key, or the empty one where it belongs."""
    mask = len(rows) - 1
    i = key & mask
    while rows[i, 0] not in (0, key):
        i = (i + 1) & mask
    return rows[i]


def _insert(rows: np.ndarray, key: int, address: int, message: int) -> None:
    row = _find(rows, key)
    row[1], row[2] = address, message
    row[0] = key


_table = _Table()
# A name for the linker, so that machine code cached on disk holds no address of this process.
binding.add_symbol("fwddiff_jax_kernels", _table.cell.ctypes.data)


@intrinsic
def _current_table(typing_context):
    def codegen(context, builder, signature, arguments):
        cell = cgutils.add_global_variable(builder.module, _WORD, "fwddiff_jax_kernels")
        cell.linkage = "external"
        return builder.load(cell)

    return types.int64(), codegen


def load_kernel(native: Native, name: str) -> np.int64:
    """Make a kernel known to the handler; returns the value of the attribute `key` that calls it."""
    digest = hashlib.sha256(native.key.encode()).digest()
    key = int.from_bytes(digest[:8], "little", signed=True) | 1  # 0 marks an empty row
    message = (
        f"fwddiff: `{name}` raised an exception in its compiled kernel. Call it outside jax.jit, "
        "or on NumPy arrays, to see which."
    )
    _table.add(key, native, message)
    return np.int64(key)


# --- the handler -------------------------------------------------------------------------------------------

NOT_FOUND, INTERNAL = 5, 13


def _make_handler(compiler):
    """The handler, by `compiler(signature)(function)`: a `cfunc` for XLA."""

    @njit(inline="always")
    def failed(frame, message, code):
        """XLA_FFI_Error_Create({size, extension, message, code})."""
        arguments = _stack(4)
        _store(arguments, 32)
        _store(arguments + 8, 0)
        _store(arguments + 16, message)
        _store(arguments + 24, code)
        return _call_create(_load(_load(frame + 16) + 48), arguments)

    @njit(inline="always")
    def answer_metadata(frame, extension):
        """State the API version that this handler was written for: 0.3, or the runtime's if it is older.

        Up to jaxlib 0.7 this question comes without an api struct; 0.1 is right for them.
        """
        metadata, api = _load(extension + 24), _load(frame + 16)
        minor = 1 if api == 0 else min(_load_int32(api + 36), 3)
        _store(metadata + 8, 24)
        _store(metadata + 16, 0)
        _store_int32(metadata + 24, 0)
        _store_int32(metadata + 28, minor)
        _store_int32(metadata + 32, 0)
        return 0

    @njit(inline="always")
    def find(table, key):
        mask = _load(table)
        i = key & mask
        while _load(table + 16 + 8 * _ROW * i) != key and _load(table + 16 + 8 * _ROW * i) != 0:
            i = (i + 1) & mask
        return table + 16 + 8 * _ROW * i

    def fwddiff_xla_handler(frame):
        extension = _load(frame + 8)
        if extension != 0 and _load_int32(extension + 8) == 1:
            return answer_metadata(frame, extension)
        if _load_int32(frame + 32) != 3:  # not the execution stage
            return 0
        attributes = _load(frame + 160)
        key = _load(_load(_load(attributes) + 8))
        layout = _load(_load(attributes + 8) + 16)
        table = _current_table()
        row = find(table, key)
        if _load(row) == 0:
            return failed(frame, _load(table + 8), NOT_FOUND)
        inputs, outputs = _load(frame + 56), _load(frame + 96)
        pointers = _stack(inputs + outputs + 1)
        for i in range(inputs):
            _store(pointers + 8 * i, _load(_load(_load(frame + 72) + 8 * i) + 24))
        for i in range(outputs):
            _store(pointers + 8 * (inputs + i), _load(_load(_load(frame + 112) + 8 * i) + 24))
        if call_kernel(_load(row + 8), pointers, layout) != 0:
            return failed(frame, _load(row + 16), INTERNAL)
        return 0

    return compiler("int64(int64)")(fwddiff_xla_handler)


def compile_handler() -> Any:
    """Address of the handler, compiled or found in Numba's cache on disk."""
    try:
        function = _make_handler(lambda signature: cfunc(signature, cache=True))
    except RuntimeError:  # no place for a cache
        function = _make_handler(cfunc)
    _table.kept.append(function)
    return function.address
