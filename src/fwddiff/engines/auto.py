"""The engine that nobody chose: kernels where the function compiles, else Python, slower and with the same
results."""

from __future__ import annotations

import logging
import weakref
from types import CodeType

from fwddiff._errors import CompileError, PythonOnlyError
from fwddiff._problem import Problem
from fwddiff._rule import Rule
from fwddiff.engines import numba, numpy

_log = logging.getLogger("fwddiff")
_told: weakref.WeakSet[CodeType] = weakref.WeakSet()


def rule(problem: Problem) -> Rule:
    """The rule of a problem. Compiles the function, which the first question to a rule would do too."""
    try:
        compiled = numba.rule(problem)
        compiled.outputs  # noqa: B018 - compiles
    except PythonOnlyError as error:  # because of what the user asked for
        return numpy.rule(problem, str(error))
    except CompileError as error:
        code = problem.plan.function.__code__
        if code not in _told:
            _told.add(code)
            _log.warning("%s runs in Python, which is right but slow: %s", problem.name, error)
        return numpy.rule(problem, str(error))
    return compiled


__all__ = ["rule"]
