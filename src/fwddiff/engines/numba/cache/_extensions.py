"""What others taught Numba (`numba.extending.overload` and the like): kernels may have been compiled with it.

An installed package is known by the time and size of its file, code of the user's by what it says.
"""

# Numba's modules export what no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import os
import sys
import sysconfig
from typing import Any

from fwddiff import _capture
from fwddiff._native.internals import builtin_registry

_OWN = ("numba", "fwddiff")
_INSTALLED = tuple(sysconfig.get_paths()[name] for name in ("purelib", "platlib"))

_seen = [0, 0]
_foreign: list[Any] = []


def extensions() -> list[str]:
    """Text of every extension, "" where it is unknown; the order of imports does not matter."""
    for k, known in enumerate((builtin_registry.functions, builtin_registry.attributes)):
        _foreign.extend(template for template in known[_seen[k] :] if not _is_own(template))
        _seen[k] = len(known)
    return sorted(map(_text, _foreign))


def _code(template: Any) -> Any:
    """The function that the template was made of; `None` for a class written out."""
    return getattr(template, "_overload_func", None) or vars(template).get("generic")


def _module(template: Any) -> str:
    # Functions that fwddiff generates live in namespaces without a name.
    names = getattr(_code(template), "__globals__", {"__name__": template.__module__})
    return names.get("__name__", "fwddiff")


def _is_own(template: Any) -> bool:
    # An intrinsic is met where code names it: it is no function of Python's, and makes that code unknown.
    return _module(template).partition(".")[0] in _OWN or hasattr(template, "_definition_func")


def _text(template: Any) -> str:
    module = _module(template)
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    if file.startswith(_INSTALLED):
        status = os.stat(file)
        return f"{module} {status.st_mtime_ns} {status.st_size} {template.__name__}"
    description = _capture.Description()
    description.add(template.key, _code(template))
    digest = description.digest()
    return "" if description.unknown or _code(template) is None else digest
