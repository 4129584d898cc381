"""Kernels that compiled programs call, found by a key that is the same in every process.

A program holds three attributes per call: `key`, a hash of the kernel's content; `layout`, its table of
int64; and `source`, by which Python finds a kernel that is not in the table yet. Compiled programs may
outlive their process (`jax.export`, JAX's compilation cache), so a program may come before its kernels.
"""

from __future__ import annotations

import collections
import ctypes
import hashlib
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding

from fwddiff._native import tasks
from fwddiff._rule import Native, Rule, Shape, recall

TABLE, FINDER, EXPLAINER = "fwddiff_jax_kernels", "fwddiff_jax_finder", "fwddiff_jax_explainer"
COMPLETER, STOPPED = "fwddiff_jax_completer", "fwddiff_jax_stopped"
ROW = 2  # words per kernel: key, address
MISSING, AGAIN = -1, -2  # statuses that no kernel returns

_MISSING_TEXT = (
    "fwddiff: this program calls a kernel of {name} that is not loaded in this process, and not kept on disk "
    "for these versions and this processor. Call (or lower) the same fwddiff function on the same shapes and "
    "dtypes first, in this process."
)


# --- the table that machine code reads ----------------------------------------------------------------------


class _Table:
    """Kernels by key, in memory that machine code reads while Python adds to it: [mask, rows].

    A row's key is written last, and a full table is replaced by a larger copy, so a reader needs no lock.
    Kernels are never removed: a compiled program may call them at any time.
    """

    def __init__(self) -> None:
        self.cell = np.zeros(1, np.int64)
        self.lock = threading.RLock()
        self.kept: list[object] = [self.cell]
        self.count = 0
        self.rows = np.zeros((0, ROW), np.int64)
        self._replace(1024)

    def _replace(self, capacity: int) -> None:
        table = np.zeros(1 + ROW * capacity, np.int64)
        table[0] = capacity - 1
        rows = table[1:].reshape(-1, ROW)
        for row in self.rows[self.rows[:, 0] != 0]:
            _insert(rows, *row.tolist())
        self.rows = rows
        self.kept.append(table)
        self.cell[0] = table.ctypes.data

    def add(self, key: int, address: int, owner: object) -> None:
        with self.lock:
            if _row(self.rows, key)[0] == key:
                return
            if 2 * self.count >= len(self.rows):
                self._replace(2 * len(self.rows))
            self.kept.append(owner)
            _insert(self.rows, key, address)
            self.count += 1


def _row(rows: np.ndarray, key: int) -> np.ndarray:
    """The row of this key, or the empty one where it belongs."""
    mask = len(rows) - 1
    i = key & mask
    while rows[i, 0] not in (0, key):
        i = (i + 1) & mask
    return rows[i]


def _insert(rows: np.ndarray, key: int, address: int) -> None:
    row = _row(rows, key)
    row[1] = address
    row[0] = key


_table = _Table()
keep = _table.kept.append


# --- what Python knows of them ------------------------------------------------------------------------------


class _Origin(NamedTuple):
    """A rule that this process has lowered, and the number of its batch axes."""

    rule: Rule
    batch_ndim: int


_origins: dict[str, _Origin] = {}
_names: dict[_Origin, str] = {}


class Attributes(NamedTuple):
    """What a custom call holds."""

    key: np.int64
    layout: np.ndarray
    source: str


def load_kernel(rule: Rule, native: Native, batch_ndim: int) -> Attributes:
    """Make a kernel known to the handler; returns the attributes of the custom call that runs it."""
    key = _key(native)
    _table.add(key, native.address, native.owner)
    source = f"{remember(rule, native, batch_ndim)}|{native.origin}|{rule.name}"
    return Attributes(np.int64(key), np.ascontiguousarray(native.layout, np.int64), source)


def remember(rule: Rule, native: Native, batch_ndim: int) -> str:
    """A name of the rule for programs, the same in every process. `native` is any kernel of the rule."""
    origin = _Origin(rule, batch_ndim)
    with _table.lock:
        name = _names.setdefault(origin, f"{native.key} {batch_ndim}")
        _origins.setdefault(name, origin)  # rules of one name have the same content
    return name


def _key(native: Native) -> int:
    version = getattr(sys.modules.get("fwddiff"), "__version__", "")
    digest = hashlib.sha256(f"{version} {native.key}".encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True) | 1  # 0 marks an empty row


# --- calls from the handler ---------------------------------------------------------------------------------


class _Frame:
    """Reads a call frame of XLA (offsets as in `handler`)."""

    def __init__(self, address: int):
        self.attributes, self.attribute_count = _word(address + 160), _word(address + 136)
        self.operands = [_word(_word(address + 72) + 8 * i) for i in range(_word(address + 56))]
        self.results = [_word(_word(address + 112) + 8 * i) for i in range(_word(address + 96))]

    @property
    def key(self) -> int:
        return _word(_word(_word(self.attributes) + 8))

    def source(self) -> Sequence[str]:
        """Name of the rule, where the engine keeps the kernel, name for people."""
        if self.attribute_count < len(Attributes._fields):
            return "", "", "another version of fwddiff"
        text = _word(self.attributes + 16)
        return ctypes.string_at(_word(text), _word(text + 8)).decode().split("|", 2)

    def shapes(self) -> list[Shape]:
        return [
            tuple(_word(_word(operand + 40) + 8 * axis) for axis in range(_word(operand + 32)))
            for operand in self.operands
        ]

    def arrays(self, rule: Rule) -> list[np.ndarray]:
        """Copies of the operands."""
        return [
            np.frombuffer(ctypes.string_at(_word(operand + 24), size), slot.dtype).reshape(shape)
            for operand, slot, shape in zip(self.operands, rule.inputs, self.shapes(), strict=True)
            for size in [slot.dtype.itemsize * int(np.prod(shape))]
        ]

    def write(self, arrays: Sequence[np.ndarray]) -> None:
        """Put these where XLA wants the results."""
        for result, array in zip(self.results, arrays, strict=True):
            ctypes.memmove(_word(result + 24), array.ctypes.data, array.nbytes)


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def _find(address: int) -> int:
    """Address of a kernel that is not in the table: of a rule that this process has lowered, or from disk."""
    frame = _Frame(address)
    name, kept, _ = frame.source()
    if name in _origins:
        rule, batch_ndim = _origins[name]
        native = rule.native(frame.shapes(), batch_ndim)
        if native is not None and _key(native) == frame.key:
            load_kernel(rule, native, batch_ndim)
            return native.address
    found = recall(kept)
    if found is None:
        return 0
    tasks.runner()
    _table.add(frame.key, found[0], found)
    return found[0]


def _complete(address: int) -> int:
    """The call once more, where a derivative was nan. A rule that this process has not lowered stays as it
    is."""
    frame = _Frame(address)
    name, _, _ = frame.source()
    if name in _origins:
        rule, batch_ndim = _origins[name]
        frame.write(rule(frame.arrays(rule), batch_ndim))
    return 0


def _explain(address: int, status: int) -> int:
    """Text of an XLA error: the exception that the rule raises on these operands."""
    frame = _Frame(address)
    name, _, readable = frame.source()
    if status == MISSING:
        return _text(_MISSING_TEXT.format(name=readable))
    if name not in _origins:
        return _text(f"fwddiff: {readable} raised an exception in its compiled kernel.")
    rule, batch_ndim = _origins[name]
    try:
        rule(frame.arrays(rule), batch_ndim)
    except Exception as error:
        return _text(f"{type(error).__name__}: {error} (raised in {readable}, a function of fwddiff)")
    return _text(
        f"fwddiff: {readable} raised an exception in its compiled kernel, but not when called again."
    )


_texts: collections.deque[Any] = collections.deque(maxlen=256)


def _text(message: str) -> int:
    """Address of the message, until 256 others were made; XLA copies it at once."""
    _texts.append(ctypes.create_string_buffer(message.encode()))
    return ctypes.addressof(_texts[-1])


def _guarded(function: Callable[..., int]) -> Callable[..., int]:
    """An exception that left a callback would be printed, and lost. After `AGAIN` the handler sees to it that
    a Ctrl-C is raised once more, where it can be caught."""

    def call(*arguments: int) -> int:
        try:
            return function(*arguments)
        except Exception as error:
            if function is _explain:
                return _text(f"fwddiff: {type(error).__name__}: {error}")
            return 0 if function is _find else tasks.EXCEPTION
        except KeyboardInterrupt:
            if function is not _complete:
                raise
            is_main = threading.current_thread() is threading.main_thread()
            return AGAIN if is_main else tasks.INTERRUPTED

    return call


_callbacks = (
    ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(_guarded(_find)),
    ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(_guarded(_explain)),
    ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(_guarded(_complete)),
)
_stopped_text = ctypes.create_string_buffer(b"fwddiff: stopped by Ctrl-C.")
_stopped_cell = np.array([ctypes.addressof(_stopped_text)], np.int64)
_callback_cells = np.array([ctypes.cast(f, ctypes.c_void_p).value for f in _callbacks], np.int64)


def prepare() -> None:
    """Give the linker the names by which machine code finds the table and Python."""
    binding.add_symbol(TABLE, _table.cell.ctypes.data)
    for k, name in enumerate((FINDER, EXPLAINER, COMPLETER)):
        binding.add_symbol(name, _callback_cells.ctypes.data + 8 * k)
    binding.add_symbol(STOPPED, _stopped_cell.ctypes.data)
