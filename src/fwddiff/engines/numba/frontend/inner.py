"""Functions that only kernels call: alone in seeing what we teach Numba."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from fwddiff._capture import Function
from fwddiff._native.internals import CompilerBase, DefaultPassBuilder

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


@dataclasses.dataclass(frozen=True)
class Means:
    """How the functions that one kernel reaches are compiled.

    Methods, properties and rules are met while their callers are typed, by files that lie below those that
    know how.
    """

    decorator: Callable[..., Any]  # Numba's, of the target
    owned: Callable[[object], bool]  # whether a value is an array of a host
    compile_plan: Callable[[Function], Any]  # a function → its compiled form
    with_row: Callable[[Function, Any, FunctionType], Any]  # and that of one with a rule
    takes_lists: bool = True  # whether a tuple among the arguments may be a list of the user's


_means: contextvars.ContextVar[Means] = contextvars.ContextVar("means")


@contextlib.contextmanager
def compiling_with(means: Means) -> Iterator[None]:
    """Functions that are met here are compiled by these means."""
    token = _means.set(means)
    try:
        yield
    finally:
        _means.reset(token)


def means() -> Means:
    """Those of the kernel that is being compiled."""
    return _means.get()


def compiled(function: Any, **options: Any) -> Any:
    """`numba.njit(function, **options)`, for the target that is being compiled for."""
    return means().decorator(function, **options)


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
