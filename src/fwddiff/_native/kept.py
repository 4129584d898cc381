"""The package's own C functions: compiled once, then loaded from disk by every process."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from numba import cfunc

from fwddiff._native import disk, interrupts
from fwddiff._native.environment import environment
from fwddiff._native.machine_code import Code, Object, extract, load


def c_function(signature: str, function: Any) -> Code:
    """`numba.cfunc(signature)(function)`, from disk if it is there.

    `function` may depend on the sources in its own folder and on those of `environment`, on nothing else.
    """
    name = _name(signature, function)
    found = recall(name) if name else None
    if found is not None:
        return found
    compiled: Any = cfunc(signature)(function)
    if name:
        keep(name, compiled)
    return Code(compiled.address, compiled)


def recall(name: str) -> Code | None:
    """The machine code kept under this name, loaded."""
    found = disk.read(name)
    if found is None:
        return None
    header, content = found
    code = load(Object(header["symbol"], tuple(header["needs"]), content))
    return code and code._replace(polls=interrupts.expect(header["needs"]))


def keep(name: str, function: Any) -> None:
    """Keep a compiled `numba.cfunc` under this name, if it can be used in another process."""
    code = extract(function)
    if code is not None:
        disk.write(name, {"symbol": code.symbol, "needs": code.needs}, code.content)


def _name(signature: str, function: Any) -> str:
    made_by = environment() if disk.folder() is not None else ""
    try:
        paths = sorted(Path(function.__code__.co_filename).parent.glob("*.py"))
        source = b"".join(path.read_bytes() for path in paths)
    except OSError:
        return ""
    text = f"{made_by} {signature} {function.__qualname__} ".encode()
    return hashlib.sha256(text + source).hexdigest() if made_by else ""
