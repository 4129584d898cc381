"""Which way calls go: by the primitive, or by public functions of JAX where its internals are others."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax

from fwddiff.hosts.jax import public
from fwddiff.hosts.jax.operation import Operation

Way = Callable[[Operation, Sequence[Any]], list[Any]]

_RULES_OF_THE_PRIMITIVE = ("batching", "derivatives", "lowering")  # importing them registers them


@functools.cache
def chosen() -> Way:
    """Records a call, or evaluates it. Decided once: what this JAX lacks is found by looking for it, and
    how a version behaves that nobody has tried by a rehearsal."""
    reason = _obstacle()
    if not reason:
        return _module("primitive").call
    warnings.warn(
        "fwddiff calls Python from JAX (about 100 µs per call, more for derivatives), because the internals "
        f"of jax {jax.__version__} are not those that it knows ({reason}).",
        RuntimeWarning,
        stacklevel=3,
    )
    return public.call


def _obstacle() -> str:
    try:
        for name in _RULES_OF_THE_PRIMITIVE:
            _module(name)
    except Exception as error:  # whatever a changed JAX raises
        return f"{type(error).__name__}: {error}"
    if _module("lowering").known(jax.__version__):
        return ""
    kernels_are_called()  # warns, here and not in the thread of the rehearsal
    return _module("rehearsal").failure()


def kernels_are_called() -> bool:
    """Whether compiled programs call machine code, not Python."""
    return _module("lowering").handler_registered()


def _module(name: str) -> Any:
    return importlib.import_module(f"fwddiff.hosts.jax.{name}")
