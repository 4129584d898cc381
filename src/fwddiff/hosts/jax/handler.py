"""The XLA side of a call: one typed FFI handler, machine code, that runs any kernel.

XLA calls the handler with a call frame, on threads of its own, without the GIL. The handler finds the kernel
by the attribute `key` (see `kernels`), collects the addresses of operands and results, and turns a status
other than 0 into an XLA error. It calls Python only for a key that it does not know, for derivatives that are
nan, and for the text of an error; not after a Ctrl-C, which Python would raise there, and lose.

Offsets are those of the C structs in `xla/ffi/api/c_api.h` on 64-bit machines, in jaxlib 0.6 to 0.10.
"""

from __future__ import annotations

from fwddiff._native import kept
from fwddiff._native.tasks import INTERRUPTED, UNDEFINED, call_kernel
from fwddiff._native.words import Word, Words
from fwddiff.hosts.jax import kernels

CANCELLED, NOT_FOUND, INTERNAL = 1, 5, 13
EXECUTE = 3  # the stage of a call in which kernels run
MISSING, AGAIN = kernels.MISSING, kernels.AGAIN
SYMBOL = "fwddiff_xla_handler"


def handler_text() -> str:
    """LLVM's text of the handler: a function of a call frame."""
    c = Words(SYMBOL, "frame")
    (frame,) = c.parameters
    extension = frame[1]
    with c.when(extension.is_not(0)), c.when(c.load_half(extension + 8).is_(1)):
        _answer_metadata(c, frame, extension)
        c.leave(0)
    with c.when(c.load_half(frame + 32).is_not(EXECUTE)):
        c.leave(0)
    attributes = frame[20]  # addresses of key, layout, source
    kernel, status = c.variable(_find(c, attributes[0][1][0])), c.variable(MISSING)
    with c.when(kernel.value.is_(0)):
        kernel.value = c.call(c.known_word(kernels.FINDER), frame)
    with c.when(kernel.value.is_not(0)):
        status.value = _run(c, frame, kernel.value, attributes[1][2])
    with c.when(status.value.is_(UNDEFINED)):
        status.value = c.call(c.known_word(kernels.COMPLETER), frame)
    with c.when(status.value.is_(AGAIN)):
        c.call_library("PyErr_SetInterrupt")
        status.value = INTERRUPTED
    with c.when(status.value.is_(INTERRUPTED)):
        c.leave(_failed(c, frame, c.known_word(kernels.STOPPED), CANCELLED))
    with c.when(status.value.is_not(0)):
        code = c.choose(status.value.is_(MISSING), NOT_FOUND, INTERNAL)
        message = c.call(c.known_word(kernels.EXPLAINER), frame, status.value)
        c.leave(_failed(c, frame, message, code))
    c.end(0)
    return str(c)


def _failed(c: Words, frame: Word, message: Word, code: Word | int) -> Word:
    """XLA_FFI_Error_Create({size, extension, message, code})."""
    arguments = c.stack(4)
    arguments[0], arguments[1], arguments[2], arguments[3] = 32, 0, message, code
    return c.call(frame[2][6], arguments)


def _answer_metadata(c: Words, frame: Word, extension: Word) -> None:
    """State the API version that this handler was written for: 0.3, or the runtime's if it is older.

    Up to jaxlib 0.7 this question comes without an api struct; 0.1 is right for them.
    """
    metadata, api, minor = extension[3], frame[2], c.variable(1)
    with c.when(api.is_not(0)):
        minor.value = c.smaller(c.load_half(api + 36), 3)
    metadata[1], metadata[2] = 24, 0
    c.store_half(metadata + 24, 0)
    c.store_half(metadata + 28, minor.value)
    c.store_half(metadata + 32, 0)


def _find(c: Words, key: Word) -> Word:
    """Address of the kernel of this key, or 0: the last word of the row where it belongs."""
    table = c.known_word(kernels.TABLE)
    mask, row = table[0], c.variable(0)
    i = c.variable(key & mask)
    with c.endless() as leave:
        row.value = table + 8 + 8 * kernels.ROW * i.value
        leave.unless(row.value[0].is_not(key))
        leave.unless(row.value[0].is_not(0))
        i.value = (i.value + 1) & mask
    return row.value[1]


def _run(c: Words, frame: Word, kernel: Word, layout: Word) -> Word:
    """Run the kernel on the addresses of the call's operands and results."""
    inputs, outputs = frame[7], frame[12]
    pointers = c.stack(inputs + outputs + 1)
    with c.loop(inputs) as i:
        pointers[i] = frame[9][i][3]
    with c.loop(outputs) as i:
        pointers[inputs + i] = frame[14][i][3]
    return call_kernel(c, kernel, pointers, layout)


def compile_handler() -> int:
    """Address of the handler, compiled or found on disk."""
    kernels.prepare()
    handler = kept.function(SYMBOL, handler_text())
    kernels.keep(handler)
    return handler.address
