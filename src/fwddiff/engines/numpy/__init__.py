"""The engine without a compiler: the user's own Python function runs on the dual numbers of `fwddiff.dual`.

Slow and complete: branches, loops, exceptions, and any library code that accepts a dual number behave as in
plain Python. The other engines are checked against it.

    rebuild     the user's function with captured values and `math` replaced
    structs     classes of structs, whose methods are rebuilt too
    results     from what a function returns to flat leaves
    seeding     the primitives of `fwddiff._derive`
    loop        evaluation along loop axes, and reductions
    rule        the rules
"""

from __future__ import annotations

from fwddiff._problem import Problem
from fwddiff.engines.numpy.rule import BaseRule


def rule(problem: Problem) -> BaseRule:
    """The rule of a problem; its `result_tree()` tells how outputs nest."""
    return BaseRule(problem)


__all__ = ["rule"]
