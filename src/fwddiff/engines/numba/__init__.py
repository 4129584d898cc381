"""The default engine: plain Python compiled by Numba, its code differentiated as LLVM has it.

`rule(problem)` compiles nothing yet: a rule compiles a function when its outputs are asked for, and a kernel
at its first call.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

import optree

from fwddiff import _capture, special  # noqa: F401 - which adds its rows
from fwddiff._buffers import LazyBufferCache
from fwddiff._errors import CaptureError, PythonOnlyError
from fwddiff._problem import Problem
from fwddiff.engines.numba.frontend import (
    array_functions,
    builtins,
    dicts,
    iteration,
    magnitudes,  # noqa: F401 - registers itself
    named_tuples,
    several,  # noqa: F401 - registers itself
    structs,
    tensor_methods,
)
from fwddiff.engines.numba.frontend.prepare import refuse_python_only
from fwddiff.engines.numba.rule import BaseRule

named_tuples.register()
iteration.register()
builtins.register()
structs.register_operators()
dicts.register()
array_functions.register()
tensor_methods.register()


def rule(problem: Problem) -> BaseRule:
    """The rule of a problem; its `result_tree()` tells how outputs nest."""
    _refuse_lazy_buffers(problem)
    for spec in (problem.arguments, *problem.captured):
        _check_methods(spec, problem.plan.owned)
    refuse_python_only(problem.plan)
    return BaseRule(problem)


def _refuse_lazy_buffers(problem: Problem) -> None:
    if any(isinstance(static, LazyBufferCache) for static in problem.statics.values()):
        raise PythonOnlyError(
            f"{problem.name} takes a buffer from a LazyBufferCache, whose shape is known where the function "
            "runs and not where it is compiled. Use engine='auto' or 'numpy', which run it as Python, or a "
            "fd.DiffCache."
        )


def _check_methods(spec: optree.PyTreeSpec, owned: Callable[[object], bool]) -> None:
    """Methods of structs are compiled where they are met, too late for another engine."""
    if dataclasses.is_dataclass(spec.type):
        for method in structs.methods(spec.type):
            with contextlib.suppress(CaptureError):  # told where the method is called
                refuse_python_only(_capture.plan(method, owned, with_state=True))
    for child in spec.children():
        _check_methods(child, owned)


__all__ = ["rule"]
