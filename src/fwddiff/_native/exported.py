"""Compiled functions that SciPy exports (`scipy.special.cython_special`), as symbols of this process.

A kernel names each by a symbol of ours, which tells which function it is, so that object code from disk
finds it again. The module is imported when the first of them is asked for.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import llvmlite.binding as llvm

PREFIX = "fwddiff_scipy_"
_KINDS = {"double": "double", "long": "i64", "int": "i32", "Py_ssize_t": "i64"}


class Export(NamedTuple):
    """`arguments` are LLVM's types. A function of several results writes them to `results` pointers, of
    which that at `position` is meant; one of a single result returns it."""

    symbol: str
    arguments: tuple[str, ...]
    results: int
    position: int
    address: int


def signature(name: str) -> Export:
    """What SciPy exports for doubles under `name`; `name[k]` is result k of several.

    Raises LookupError where there is none.
    """
    base, _, place = name.rstrip("]").partition("[")
    for key, capsule in _exports().items():
        if key != base and not re.fullmatch(rf"__pyx_fuse_\d{re.escape(base)}", key):
            continue
        address, text = _opened(capsule)
        kinds = [
            t.strip().replace("__pyx_skip_dispatch", "").strip()
            for t in text[text.index("(") + 1 : -1].split(",")
        ]
        numbers = [t for t in kinds if "*" not in t and t != "int"]
        if text.startswith(("double (", "void (")) and "float" not in text and "complex" not in text:
            arguments = tuple(_KINDS[t] for t in numbers)
            return Export(f"{PREFIX}{base}", arguments, text.count("double *"), int(place or 0), address)
    raise LookupError(f"SciPy exports no {base!r} for doubles.")


def provide(names: Iterable[str]) -> None:
    """Make those of the names that are SciPy's known to LLVM."""
    for name in names:
        if name.startswith(PREFIX) and llvm.address_of_symbol(name) is None:
            llvm.add_symbol(name, signature(name.removeprefix(PREFIX)).address)


def _exports() -> dict[str, Any]:
    from scipy.special import cython_special

    return cython_special.__pyx_capi__  # type: ignore[attr-defined]


def _opened(capsule: Any) -> tuple[int, str]:
    """Address and C signature in a capsule of Cython's."""
    api: Any = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    name = api.PyCapsule_GetName(capsule)
    return api.PyCapsule_GetPointer(capsule, name), name.decode()
