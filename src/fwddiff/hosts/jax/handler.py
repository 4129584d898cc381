"""The XLA side of a call: one typed FFI handler, compiled by Numba, that runs any kernel.

XLA calls the handler with a call frame, on threads of its own, without the GIL. The handler finds the kernel
by the attribute `key` (see `kernels`), collects the addresses of operands and results, and turns a status
other than 0 into an XLA error. It calls Python only for a key that it does not know, for derivatives that are
nan, and for the text of an error; not after a Ctrl-C, which Python would raise there, and lose.

Offsets are those of the C structs in `xla/ffi/api/c_api.h` on 64-bit machines, in jaxlib 0.6 to 0.10.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from fwddiff._native import kept
from fwddiff._native.memory import (
    c_function,
    call_1,
    call_2,
    global_word,
    load,
    load_int32,
    stack,
    store,
    store_int32,
)
from fwddiff._native.tasks import INTERRUPTED, UNDEFINED, call_kernel
from fwddiff.hosts.jax import kernels

CANCELLED, NOT_FOUND, INTERNAL = 1, 5, 13
MISSING, AGAIN = kernels.MISSING, kernels.AGAIN
_ROW = 8 * kernels.ROW  # bytes

_table = global_word(kernels.TABLE)
_finder = global_word(kernels.FINDER)
_explainer = global_word(kernels.EXPLAINER)
_completer = global_word(kernels.COMPLETER)
_stopped = global_word(kernels.STOPPED)
_note_ctrl_c = c_function("PyErr_SetInterrupt", 0)


@njit(inline="always")
def _failed(frame, message, code):
    """XLA_FFI_Error_Create({size, extension, message, code})."""
    arguments = stack(4)
    store(arguments, 32)
    store(arguments + 8, 0)
    store(arguments + 16, message)
    store(arguments + 24, code)
    return call_1(load(load(frame + 16) + 48), arguments)


@njit(inline="always")
def _answer_metadata(frame, extension):
    """State the API version that this handler was written for: 0.3, or the runtime's if it is older.

    Up to jaxlib 0.7 this question comes without an api struct; 0.1 is right for them.
    """
    metadata, api = load(extension + 24), load(frame + 16)
    minor = 1 if api == 0 else min(load_int32(api + 36), 3)
    store(metadata + 8, 24)
    store(metadata + 16, 0)
    store_int32(metadata + 24, 0)
    store_int32(metadata + 28, minor)
    store_int32(metadata + 32, 0)
    return 0


@njit(inline="always")
def _find(key):
    """Address of the kernel of this key, or 0."""
    table = _table()
    mask = load(table)
    i = key & mask
    while load(table + 8 + _ROW * i) != key and load(table + 8 + _ROW * i) != 0:
        i = (i + 1) & mask
    return load(table + 8 + _ROW * i + 8)


@njit(inline="always")
def _run(frame, kernel, layout):
    inputs, outputs = load(frame + 56), load(frame + 96)
    pointers = stack(inputs + outputs + 1)
    for i in range(inputs):
        store(pointers + 8 * i, load(load(load(frame + 72) + 8 * i) + 24))
    for i in range(outputs):
        store(pointers + 8 * (inputs + i), load(load(load(frame + 112) + 8 * i) + 24))
    return call_kernel(kernel, pointers, layout)


def _fwddiff_xla_handler(frame):
    extension = load(frame + 8)
    if extension != 0 and load_int32(extension + 8) == 1:
        return _answer_metadata(frame, extension)
    if load_int32(frame + 32) != 3:  # not the execution stage
        return 0
    attributes = load(frame + 160)  # key, layout, source
    kernel = _find(load(load(load(attributes) + 8)))
    if kernel == 0:
        kernel = call_1(_finder(), frame)
    status = MISSING
    if kernel != 0:
        status = _run(frame, kernel, load(load(attributes + 8) + 16))
    if status == UNDEFINED:
        status = call_1(_completer(), frame)
    if status == AGAIN:
        _note_ctrl_c()
        status = INTERRUPTED
    if status == INTERRUPTED:
        return _failed(frame, _stopped(), CANCELLED)
    if status != 0:
        code = NOT_FOUND if status == MISSING else INTERNAL
        return _failed(frame, call_2(_explainer(), frame, status), code)
    return 0


def compile_handler() -> Any:
    """Address of the handler, compiled or found on disk."""
    kernels.prepare()
    function = kept.c_function("int64(int64)", _fwddiff_xla_handler)
    kernels.keep(function)
    return function.address
