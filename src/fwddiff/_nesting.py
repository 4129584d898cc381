"""How many evaluations on Python duals are going on inside each other, in this thread or task.

A function may differentiate another one. The levels of the inner derivative have to be above all those of the
outer one, or their perturbations would be confused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

_DEPTH: ContextVar[int] = ContextVar("fwddiff_nesting", default=0)
_MEMORY: ContextVar[dict[Any, Any] | None] = ContextVar("fwddiff_memory", default=None)


def depth() -> int:
    """0 outside of any evaluation."""
    return _DEPTH.get()


_PROGRAM: ContextVar[bool] = ContextVar("fwddiff_inside_a_program_of_jax", default=False)


# In the error of a function of JAX that is called there: the host knows it by that.
WAITING = "by Python code that a program of JAX is waiting for"


def is_in_jax() -> bool:
    """Whether a program of JAX waits for this: JAX, called from here, may wait for that in turn, for ever."""
    return _PROGRAM.get()


@contextlib.contextmanager
def in_jax() -> Iterator[None]:
    """What a program of JAX calls."""
    token = _PROGRAM.set(True)
    try:
        yield
    finally:
        _PROGRAM.reset(token)


@contextlib.contextmanager
def nested() -> Iterator[None]:
    """One evaluation more."""
    token = _DEPTH.set(_DEPTH.get() + 1)
    memory = None if _MEMORY.get() is not None else _MEMORY.set({})
    try:
        yield
    finally:
        _DEPTH.reset(token)
        if memory is not None:
            _MEMORY.reset(memory)


def memory() -> dict[Any, Any] | None:
    """What may be kept until the outermost evaluation ends: it calls its function once for every chunk of
    seeds. `None` outside of any."""
    return _MEMORY.get()
