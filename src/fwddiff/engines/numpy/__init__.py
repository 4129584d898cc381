"""The engine without a compiler: the user's own Python function runs on the dual numbers of `fwddiff.dual`.

Slow and complete: branches, loops, exceptions, and any library code that accepts a dual number behave as in
plain Python. The other engines are checked against it.

    rebuild     the user's function with captured values and `math` replaced
    structs     classes of structs, whose methods are rebuilt too
    ruled       functions with a meaning of their own: `wrt`, rules
    results     from what a function returns to flat leaves
    seeding     the primitives of `fwddiff._derive`
    loop        evaluation along loop axes, and reductions
    rule        the rules
    user_rule   those whose derivative the user wrote
"""

from __future__ import annotations

from fwddiff import special  # noqa: F401 - which adds its rows
from fwddiff._capture import UserRule
from fwddiff._problem import Problem
from fwddiff.engines.numpy.rule import BaseRule
from fwddiff.engines.numpy.user_rule import UserBaseRule


def rule(problem: Problem, not_compiled: str = "") -> BaseRule:
    """The rule of a problem; its `result_tree()` tells how outputs nest. `not_compiled`: why no kernel is."""
    return BaseRule(problem, not_compiled)


def user_rule(problem: Problem, given: UserRule) -> UserBaseRule:
    """The rule of a problem whose derivative the user wrote."""
    return UserBaseRule(problem, given)


__all__ = ["rule", "user_rule"]
