"""Generated functions."""

from __future__ import annotations

import linecache
from typing import Any

_counter = 0


def compile_function(name: str, text: str, namespace: dict[str, Any]) -> Any:
    """Python function from generated source, with the source kept where tracebacks and Numba look for it."""
    global _counter
    _counter += 1
    filename = f"<fwddiff {name} {_counter}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    exec(compile(text, filename, "exec"), namespace)
    return namespace[name]
