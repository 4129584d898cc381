"""Functions written for PyTorch, by its autograd: what runs there, in-place operations, branches on values
and `autograd.Function`s of any style included, is differentiated."""

from __future__ import annotations

from fwddiff._capture import Foreign
from fwddiff._problem import Problem
from fwddiff.engines.foreign import ForeignRule
from fwddiff.engines.torch.framework import TORCH as FRAMEWORK


def user_rule(problem: Problem, given: Foreign) -> ForeignRule:
    """The rule of a function written for PyTorch."""
    return ForeignRule(problem, given, FRAMEWORK)


__all__ = ["FRAMEWORK", "user_rule"]
