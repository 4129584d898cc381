"""Machine code on disk: compiled once, then loaded by every process."""

from __future__ import annotations

import hashlib

from fwddiff._native import compiler, disk, interrupts
from fwddiff._native.environment import environment
from fwddiff._native.machine_code import Code, Object, load


def function(symbol: str, text: str) -> Code:
    """The package's own C function `symbol` of this LLVM text, from disk if it is there."""
    made_by = environment() if disk.folder() is not None else ""
    name = hashlib.sha256(f"{made_by} {symbol} {text}".encode()).hexdigest()
    found = recall(name) if made_by else None
    if found is not None:
        return found
    compiled = compiler.compiled(text, symbol, plain=True)
    if made_by:
        keep_object(name, compiled)
    loaded = load(compiled)
    if loaded is None:
        raise RuntimeError(f"{symbol} needs functions that are not there: {', '.join(compiled.needs)}")
    return loaded


def recall(name: str) -> Code | None:
    """The machine code kept under this name, loaded."""
    found = disk.read(name)
    if found is None:
        return None
    header, content = found
    code = load(Object(header["symbol"], tuple(header["needs"]), content))
    return code and code._replace(polls=interrupts.expect(header["needs"]))


def keep_object(name: str, code: Object) -> None:
    """Keep object code under this name; whoever made it answers for its use in another process."""
    disk.write(name, {"symbol": code.symbol, "needs": code.needs}, code.content)
