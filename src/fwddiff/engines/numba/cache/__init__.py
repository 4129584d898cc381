"""Kernels kept on disk, so that a second process compiles nothing.

A `Store` keeps what one function compiles to: the structure of its results, and the machine code of its
kernels under keys of the caller's. A file holds no Python objects, its contents are checked when it is read,
and it is found by a hash of all that the machine code depends on:

    the function         its code, helpers, constants, classes with the methods that it names, argument types
    the rules            rows added by `fd.scalar_rule`; others' extensions of Numba; fwddiff's own sources
    the compiler         versions of Python, Numba, LLVM, NumPy and the C library, options, processor

What cannot be described or refers to this process (an address, an object) is not kept. Nothing in here
raises: where a file cannot be read or written, the kernel is compiled as if there were no cache.

FWDDIFF_CACHE_DIR names the folder (default: `fwddiff` in the user's cache folder), `off` switches it off.

`fwddiff._native` has the files (`disk`), the way from compiled functions to object code and back
(`machine_code`), and the compiler's part of the key (`environment`).
"""

from fwddiff._native.disk import VARIABLE, summary
from fwddiff._native.machine_code import Code
from fwddiff.engines.numba.cache._extensions import extensions
from fwddiff.engines.numba.cache._store import Store, recall

__all__ = ["VARIABLE", "Code", "Store", "extensions", "recall", "summary"]
