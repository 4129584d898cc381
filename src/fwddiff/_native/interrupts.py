"""Ctrl-C while compiled code runs.

Python's handler of SIGINT only notes that there was one: `KeyboardInterrupt` is raised once Python's own code
runs again, which is never if a kernel is in an endless loop. So a C handler stands in front of Python's: it
calls Python's, and sets a word that kernels look at (`polls` in the engine), one load per turn of a loop. A
kernel that finds it set returns `INTERRUPTED`, and Python raises.

`install` puts the handler there, when the first function with polls is compiled or loaded; importing the
package does not. Python's own `signal.signal` puts Python's back (Jupyter does so at every cell): `begin`,
ahead of every call of such a kernel, looks every few milliseconds whether it has. Where SIGINT is ignored,
has its default effect or is not handled by Python, nothing is done. A forked child inherits all as it is.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from fwddiff._native.internals import global_compiler_lock
from fwddiff._native.machine_code import new_engine
from fwddiff._native.status import INTERRUPTED, STALE

WORD, BEGIN = "fwddiff_interrupted", "fwddiff_begin"
POLL = "fwddiff.poll"
SUPPORTED = os.name == "posix" and hasattr(time, "CLOCK_MONOTONIC") and hasattr(signal, "SIGINT")
# Linux has a clock that counts its timer's ticks (a few milliseconds), read in a fourth of the time.
_CLOCK = 6 if sys.platform == "linux" else int(getattr(time, "CLOCK_MONOTONIC", 0))

# Whether there was a SIGINT; address of `begin_anew`, 0 before `install`; that of the handler before ours, 0
# for none; the millisecond (of 2²⁰ nanoseconds) in which it was last looked for.
_cells = np.zeros(4, np.int64)
_NAMES = (WORD, BEGIN, "fwddiff_handler_before", "fwddiff_last_look")
for _k, _name in enumerate(_NAMES):
    llvm.add_symbol(_name, _cells.ctypes.data + 8 * _k)

# All systems' `struct sigaction` begins with the handler, and is below 256 bytes.
_CODE = f"""
target triple = "{llvm.get_process_triple()}"
@{WORD} = external global i64
@{_NAMES[2]} = external global ptr
@{_NAMES[3]} = external global i64
declare i32 @sigaction(i32, ptr, ptr)
declare i32 @clock_gettime(i32, ptr)

; Python's handler first: who sees the word then finds Python knowing of the signal.
define void @handler(i32 %number, ptr %about, ptr %context) {{
  %before = load ptr, ptr @{_NAMES[2]}
  %is_known = icmp ne ptr %before, null
  br i1 %is_known, label %call, label %note
call:
  call void %before(i32 %number, ptr %about, ptr %context)
  br label %note
note:
  store atomic volatile i64 1, ptr @{WORD} monotonic, align 8
  ret void
}}

; Our handler in the place of `old`, with its flags; whether it was there.
define i32 @exchange(ptr %old, ptr %new) {{
  %action = alloca [32 x i64]
  %failed = call i32 @sigaction(i32 {int(signal.SIGINT)}, ptr null, ptr %action)
  %found = load ptr, ptr %action
  %is_old = icmp eq ptr %found, %old
  br i1 %is_old, label %replace, label %done
replace:
  store ptr %new, ptr %action
  %failed_too = call i32 @sigaction(i32 {int(signal.SIGINT)}, ptr %action, ptr null)
  br label %done
done:
  %result = zext i1 %is_old to i32
  ret i32 %result
}}

define void @begin() {{
  %time = alloca [2 x i64]
  %failed = call i32 @clock_gettime(i32 {_CLOCK}, ptr %time)
  %place = getelementptr i64, ptr %time, i64 1
  %seconds = load i64, ptr %time
  %nanoseconds = load i64, ptr %place
  %high = shl i64 %seconds, 10
  %low = lshr i64 %nanoseconds, 20
  %now = or i64 %high, %low
  %last = load atomic i64, ptr @{_NAMES[3]} monotonic, align 8
  %is_done = icmp eq i64 %now, %last
  br i1 %is_done, label %done, label %look
look:
  store atomic i64 %now, ptr @{_NAMES[3]} monotonic, align 8
  %before = load ptr, ptr @{_NAMES[2]}
  %is_known = icmp ne ptr %before, null
  br i1 %is_known, label %put, label %done
put:
  %was_there = call i32 @exchange(ptr %before, ptr @handler)
  br label %done
done:
  ret void
}}

; Ahead of a call that machine code makes, which has no Python to ask about earlier signals.
define void @begin_anew() {{
  call void @begin()
  store atomic volatile i64 0, ptr @{WORD} monotonic, align 8
  ret void
}}

; A call that Python makes, on this thread alone, of the kernel whose address stands ahead of the layout
; (ctypes takes 100 ns for another argument).
define i64 @alone(ptr %pointers, ptr %layout) {{
  %place = getelementptr i64, ptr %layout, i64 -1
  %kernel = load ptr, ptr %place
  call void @begin()
  %set = load atomic volatile i64, ptr @{WORD} monotonic, align 8
  %is_set = icmp ne i64 %set, 0
  br i1 %is_set, label %stale, label %run
stale:
  ret i64 {STALE}
run:
  %status = tail call i64 %kernel(ptr %pointers, ptr %layout)
  ret i64 %status
}}

define i32 @"{POLL}"() {{
  %set = load atomic volatile i64, ptr @{WORD} monotonic, align 8
  %result = trunc i64 %set to i32
  ret i32 %result
}}
"""


class _Code:
    """The functions above, in machine code."""

    def __init__(self) -> None:
        self.engine = new_engine(_CODE)
        address = self.engine.get_function_address
        self.handler, self.exchange, self.begin = map(address, ("handler", "exchange", "begin"))
        self.begin_anew, self.alone, self.poll = map(address, ("begin_anew", "alone", POLL))
        word = ctypes.c_int64
        self.call_begin = ctypes.CFUNCTYPE(None)(self.begin)
        self.call_alone = ctypes.CFUNCTYPE(word, ctypes.c_char_p, word)(self.alone)
        self.call_exchange = ctypes.CFUNCTYPE(ctypes.c_int32, word, word)(self.exchange)


@functools.cache
@global_compiler_lock
def _code() -> _Code:
    code = _Code()
    llvm.add_symbol(POLL, code.poll)
    return code


_installing = threading.Lock()
_ended: list[bool] = []


def install() -> None:
    """Notice SIGINT from now on, as far as Python handles it."""
    with _installing:
        if not SUPPORTED or _cells[2] or _ended:
            return
        code = _code()
        _cells[1] = code.begin_anew
        before = c_handler()
        # 0 and 1 are C's "default" and "ignore".
        if callable(signal.getsignal(signal.SIGINT)) and before not in (0, 1):
            _cells[2] = before
            code.call_exchange(before, code.handler)
            atexit.register(_uninstall)


def c_handler() -> int:
    action = np.zeros(32, np.int64)
    ctypes.CDLL(None).sigaction(int(signal.SIGINT), None, ctypes.c_void_p(action.ctypes.data))
    return int(action[0])


def _uninstall() -> None:
    """Before the interpreter ends, and with it the handler's machine code."""
    _ended.append(True)
    before, _cells[2] = int(_cells[2]), 0
    _code().call_exchange(_code().handler, before)


def expect(needs: Iterable[str]) -> bool:
    """Whether machine code that refers to these symbols has polls; if so, SIGINT is noticed from now on."""
    has_polls = WORD in needs
    if has_polls:
        install()
    return has_polls


def caller() -> Any:
    """`call(pointers as bytes, address of the layout) → status` of a kernel that has polls, whose address is
    in the word ahead of the layout."""
    install()
    return _code().call_alone


def begin() -> bool:
    """Ahead of a call that Python makes in another way: whether it has to wait, as its status would say
    `STALE`."""
    _code().call_begin()
    return bool(_cells[0])


def forget() -> None:
    """Ahead of a call of other machine code with polls: what was there earlier does not stop it."""
    _cells[0] = 0


def deliver(status: int) -> None:
    """Let Python handle the signal: raises what its handler raises. Where that returns the call is to be
    repeated, as Python repeats a system call (PEP 475).

    Handlers run in the main thread. In another one nothing happens here, unless the kernel was stopped and
    nobody wants it to go on.
    """
    forget()
    ctypes.pythonapi.PyErr_CheckSignals()
    if status == INTERRUPTED and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        raise KeyboardInterrupt
