"""Functions written in `jax.numpy`, by JAX's own derivatives.

Arrays in double precision are computed with in double precision, also where `jax_enable_x64` is off.
"""

from __future__ import annotations

from fwddiff._capture import Foreign
from fwddiff._problem import Problem
from fwddiff.engines.foreign import ForeignRule
from fwddiff.engines.jax.framework import JAX as FRAMEWORK


def user_rule(problem: Problem, given: Foreign) -> ForeignRule:
    """The rule of a function written for JAX."""
    return ForeignRule(problem, given, FRAMEWORK)


__all__ = ["FRAMEWORK", "user_rule"]
