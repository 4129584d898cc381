"""Functions written in `autograd.numpy`, by HIPS autograd's own derivatives."""

from __future__ import annotations

from fwddiff._capture import Foreign
from fwddiff._problem import Problem
from fwddiff.engines.autograd.framework import AUTOGRAD as FRAMEWORK
from fwddiff.engines.foreign import ForeignRule


def user_rule(problem: Problem, given: Foreign) -> ForeignRule:
    """The rule of a function written for HIPS autograd."""
    return ForeignRule(problem, given, FRAMEWORK)


__all__ = ["FRAMEWORK", "user_rule"]
