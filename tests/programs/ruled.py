"""Rules that programs give their functions. None has the slope of its function, so that one left out is seen.

A program names `by_scalar_rule`, `by_frule`, `by_rrule` and `partly`: here what the package makes of them, in
`oracle` what they mean, by a primitive of the slopes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from fwddiff import custom_rule, fwddiff, scalar_rule


class Taught(NamedTuple):
    parameters: str
    body: str
    primitive: str
    slopes: tuple[str, ...]


TAUGHT = (
    Taught("a", "math.sin(a) + 0.5", "3 * a * a / 4", ("3 * a / 2",)),
    Taught("a", "1.0 / (1.0 + math.exp(-a))", "-math.cos(2 * a) / 2", ("sin(2 * a)",)),
    Taught("a", "0.7 if a > 0.1 else -0.2", "math.exp(-a * a)", ("-2 * a * exp(-a * a)",)),
    Taught("a, b=0.6", "a * b", "2 * math.sin(a) * b", ("2 * cos(a) * b", "2 * sin(a)")),
    Taught("a, b=-0.4", "math.tanh(a - b)", "a * a * b / 2", ("a * b", "a * a / 2")),
)
CUSTOM = ("by_frule", "by_rrule")


def definition(name: str, kind: str, taught: Taught) -> list[str]:
    """Lines of a program that define a function and give it its rule."""
    if kind == "by_scalar_rule":
        slopes = [repr(slope) for slope in taught.slopes]
    else:
        in_python = [re.sub(r"(sin|cos|exp)\(", r"math.\1(", slope) for slope in taught.slopes]
        slopes = [f"lambda {taught.parameters}: {slope}" for slope in in_python]
    primitive = f"lambda {taught.parameters}: {taught.primitive}"
    return [
        f"def {name}({taught.parameters}):",
        f"    return {taught.body}",
        f"{name} = {kind}({name}, {primitive}, {', '.join(slopes)})",
        "",
    ]


def by_scalar_rule(f: Callable, primitive: Callable, *slopes: str) -> Any:
    return scalar_rule(f, *slopes)


def by_frule(f: Callable, primitive: Callable, first: Callable, second: Callable | None = None) -> Any:
    def of_one(primals, tangents):
        return f(*primals), first(*primals) * tangents[0]

    def of_two(primals, tangents):
        return f(*primals), first(*primals) * tangents[0] + second(*primals) * tangents[1]

    return custom_rule(f, frule=of_one if second is None else of_two)


def by_rrule(f: Callable, primitive: Callable, first: Callable, second: Callable | None = None) -> Any:
    def of_one(a):
        return f(a), lambda cotangent: (cotangent * first(a),)

    def of_two(a, b):
        return f(a, b), lambda cotangent: (cotangent * first(a, b), cotangent * second(a, b))

    return custom_rule(f, rrule=of_one if second is None else of_two)


def partly(f: Callable, name: str) -> Any:
    return fwddiff(f, wrt=name)


MEANINGS = {f.__name__: f for f in (by_scalar_rule, by_frule, by_rrule, partly)}
