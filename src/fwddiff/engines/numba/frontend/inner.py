"""Functions that only kernels call: alone in seeing what we teach Numba."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import numba
from numba.core.compiler import CompilerBase, DefaultPassBuilder

# How many of our functions are being compiled, inside each other; Numba's lock lets one thread compile.
_depth = [0]


def is_ours() -> bool:
    """Whether a function of ours is being compiled: what we taught Numba holds for these alone."""
    return _depth[0] > 0


@contextlib.contextmanager
def ours() -> Iterator[None]:
    """What Numba compiles here is ours; the user's own functions are compiled as if we did not exist."""
    _depth[0] += 1
    try:
        yield
    finally:
        _depth[0] -= 1


# What makes compiled functions of Python's: the decorator of our target, where that compiles.
_decorator: contextvars.ContextVar[Callable[..., Any]] = contextvars.ContextVar(
    "decorator", default=numba.njit
)


def compiled(function: Any, **options: Any) -> Any:
    """`numba.njit(function, **options)`, for the target that is being compiled for."""
    return _decorator.get()(function, **options)


@contextlib.contextmanager
def compiling_with(other: Callable[..., Any]) -> Iterator[None]:
    """Functions of the user's are compiled for another target."""
    token = _decorator.set(other)
    try:
        yield
    finally:
        _decorator.reset(token)


class InnerCompiler(CompilerBase):
    """Numba's compiler of nopython functions, into what the target has for a library."""

    def _compile_core(self):
        with ours():
            return super()._compile_core()

    def define_pipelines(self):
        new = getattr(self.state.targetctx, "inner_library", None)
        if new is not None:
            self.state.library = new()
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]
