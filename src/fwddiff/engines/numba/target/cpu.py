"""Machine code for this processor, which goes when its owner goes.

A module (one kernel with all that it calls) is optimised and emitted in a context of its own, and its object
code is loaded into an execution engine of its own; what comes from disk is loaded the same way.
"""

from __future__ import annotations

import functools
import platform
from typing import Any, NamedTuple

import llvmlite.binding as llvm

from fwddiff._native import compiler
from fwddiff._native.machine_code import Object, holds_addresses, load
from fwddiff.engines.numba.target import vector_math


class Machine(NamedTuple):
    """A loaded function at `address`; dropping `owner` gives its memory back. `code` is what goes on disk
    (`fwddiff._native.kept.keep_object`), if it `is_portable`: holds no address of this process."""

    address: int
    owner: Any
    code: Object
    is_portable: bool

    @property
    def object_code(self) -> bytes:
        return self.code.content

    @property
    def needs(self) -> tuple[str, ...]:
        """Names from outside: of the C library, of vector math."""
        return self.code.needs


def compile_module(text: str, symbol: str) -> Machine:
    """Compile a module's text, which defines `symbol`; all else in it is internal.

    Raises RuntimeError where LLVM does not take the text, or where it calls what is not there.
    """
    vector_math.library()  # the text may name its functions
    code = compiler.compiled(text, symbol)
    loaded = load(code)
    if loaded is None:
        raise RuntimeError(f"{symbol} needs a function that is not there: {', '.join(code.needs)}")
    return Machine(loaded.address, loaded.owner, code, not holds_addresses(text))


def assembly(text: str, symbol: str) -> str:
    """The same machine code as text, to see whether a loop is vectorised."""
    return compiler.assembly(text, symbol)


def is_arm() -> bool:
    """Whether this is a 64-bit ARM, every one of which has vectors and fused multiply-adds."""
    return platform.machine() in ("aarch64", "arm64", "ARM64")


@functools.cache
def vector_bits() -> int:
    """Of the registers that elements go side by side in; 0 where they are too short to be worth it."""
    if is_arm():
        return 128
    features = llvm.get_host_cpu_features()
    return 512 if features.get("avx512f", False) else 256 if features.get("avx2", False) else 0
