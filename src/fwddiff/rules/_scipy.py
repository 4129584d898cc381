"""What callables of SciPy mean: functions of ours, which engines know.

Nothing is imported here: a callable of SciPy's can only come from who imported it.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import sys
import types
from collections.abc import Callable
from typing import Any

from fwddiff._record import COMPOSED, OF_ARRAYS, RECORDS

_found: dict[int, tuple[Any, Callable]] = {}
_indexed: set[str] = set()


def names() -> dict[str, Callable]:
    """Our functions by the names in `scipy.special`."""
    own = {name: record.function for record in RECORDS.values() for name in record.scipy}
    return own | COMPOSED | OF_ARRAYS


# Ours, and frameworks whose special functions have SciPy's names and arguments.
_MODULES = ("fwddiff.special", "scipy.special", "jax.scipy.special", "torch.special")
_OTHER_AXES = ("torch.special",)  # calls the axis of its functions of arrays by another name


def meant_by(value: Any) -> Callable | None:
    """Our function of numbers that a callable of `scipy.special` means, or of a framework's counterpart, or
    that it is; `None` for anything else."""
    for name in _MODULES if _MODULES[0] in sys.modules else ():  # which has the records
        if name not in _indexed and name in sys.modules:
            _index(sys.modules[name])
            _indexed.add(name)
    theirs, own = _found.get(id(value), (None, None))
    return own if theirs is value else None


def _index(module: Any) -> None:
    for name, own in names().items():
        theirs = getattr(module, name, None)
        if theirs is not None and not (is_of_arrays(own) and module.__name__ in _OTHER_AXES):
            _found[id(theirs)] = theirs, own


def is_of_arrays(own: Any) -> bool:
    """Whether this function of ours takes whole arrays (`logsumexp`), and is none of their elements."""
    return isinstance(own, types.FunctionType) and OF_ARRAYS.get(own.__name__) is own


def distribution_function(value: Any) -> Callable | None:
    """Our function of numbers that a method of a distribution of `scipy.stats` means (`norm.logpdf`)."""
    if not isinstance(value, types.MethodType):
        return None
    owner = value.__self__
    if not type(owner).__module__.startswith("scipy.stats."):
        return None
    name = getattr(owner, "name", "")
    if getattr(sys.modules.get("scipy.stats"), name, None) is not owner:  # one that the user made
        return None
    return _distributions().get(name, {}).get(value.__name__)


@functools.cache
def _distributions() -> dict[str, dict[str, Callable]]:
    """Read once they are asked for: they stand above this file."""
    return importlib.import_module("fwddiff.stats._scipy").SCIPY


def name_of(function: Any) -> str:
    """How a callable of NumPy's, SciPy's or any other module is called, with its module."""
    name = getattr(function, "__name__", str(function))
    module = getattr(function, "__module__", None)
    if type(function).__name__ == "ufunc":
        theirs = getattr(sys.modules.get("scipy.special"), name.lstrip("_"), None)
        module = (
            "scipy.special" if theirs is not None and not hasattr(sys.modules["numpy"], name) else "numpy"
        )
    return f"{module}.{name}" if module else name


def close_to(name: str) -> list[str]:
    """Names that we have and that look like this one."""
    return difflib.get_close_matches(name, names(), n=4, cutoff=0.6)
