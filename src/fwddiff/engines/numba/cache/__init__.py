"""Kernels kept on disk, so that a second process compiles nothing.

A `Store` keeps what one function compiles to: the structure of its results, and the machine code of its
kernels under keys of the caller's. A file holds no Python objects, its contents are checked when it is read,
and it is found by a hash of all that the machine code depends on:

    the function         its code, helpers, constants, classes with the methods that it names, argument types
    the rules            rows added by `fd.scalar_rule`; fwddiff's own sources
    the compiler         versions of Python, Numba, LLVM, NumPy and the C library, options, processor

What cannot be described or refers to this process (an address, an object) is not kept. Nothing in here
raises: where a file cannot be read or written, the kernel is compiled as if there were no cache.

FWDDIFF_CACHE_DIR names the folder (default: `fwddiff` in the user's cache folder), `off` switches it off.

    _environment    the compiler's and the library's part of the key
    _folder         files: ownership, checksums, a bounded size
    _machine_code   from compiled functions to object code and back
    _results        structures of results as text
"""

from fwddiff.engines.numba.cache._folder import VARIABLE, summary
from fwddiff.engines.numba.cache._machine_code import Code
from fwddiff.engines.numba.cache._store import Store

__all__ = ["VARIABLE", "Code", "Store", "summary"]
