"""A `scalar_rule` holds where names lead to the function; other calls are refused, never ignored."""

from __future__ import annotations

import enum
import math
import operator
import sys
import types

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

ENGINES = ("numba", "numpy")


def ten(x):
    return 10 * x


def step(x):
    return 1.0 if x > 0 else 0.0


def whole(x):
    return math.floor(x) * 1.0


@pytest.fixture(scope="module", autouse=True)
def _rules():
    for function in (ten, step, whole):
        fd.scalar_rule(function, "7")


class Plain:
    def method(self, x):
        return ten(x)

    def steps(self, x):
        return step(x)

    def floors(self, x):
        return whole(x)

    def __mul__(self, x):
        return ten(x)

    static = staticmethod(ten)


class Heir(Plain):
    def method(self, x):
        return super().method(x)


kept, heir, table = Plain(), Heir(), {"ten": ten}
module = types.ModuleType("module_with_a_rule")
module.ten = ten  # pyright: ignore[reportAttributeAccessIssue]


def imported_inside(x):
    from module_with_a_rule import ten as again  # pyright: ignore[reportMissingImports]

    return again(x)


def slope(f, engine="numpy"):
    return fd.unthunk(fd.rrule(fwddiff(f, engine=engine), 0.8)[1](1.0)[0])


BY_NAME = [
    lambda x: ten(x),
    lambda x: kept.method(x),
    lambda x: kept.static(x),
    lambda x: Plain.static(x),
    lambda x: module.ten(x),
    lambda x: table["ten"](x),
    lambda x: sum(map(ten, [x])),
]


@pytest.mark.parametrize("f", BY_NAME)
def test_names_lead_to_the_rule(f):
    assert slope(f) == 7.0


@pytest.mark.parametrize(
    "f",
    [
        lambda x: Plain().method(x),
        lambda x: Plain().steps(x),
        lambda x: Plain().floors(x),
        lambda x: Plain().static(x),
        lambda x: kept * x,
        lambda x: heir.method(x),
        lambda x: getattr(module, "ten")(x),  # noqa: B009 - the spelling tested
        lambda x: table.get("ten")(x),  # pyright: ignore[reportOptionalCall]
        lambda x: sum([o.method(x) for o in [kept]]),
        lambda x: operator.methodcaller("method", x)(kept),
        imported_inside,
    ],
)
def test_other_ways_are_refused(f, monkeypatch):
    monkeypatch.setitem(sys.modules, "module_with_a_rule", module)
    with pytest.raises(fd.DerivativeError, match="would be ignored here"):
        slope(f)
    with pytest.raises(fd.DerivativeError, match="would be ignored"):
        fd.derivative(f, 0.8)


def _made(factor):
    def inner(x):
        return factor * x

    return inner


def test_functions_of_the_same_code_have_no_rule():
    ruled, other = _made(10.0), _made(3.0)
    fd.scalar_rule(ruled, "7")
    assert slope(lambda x: ruled(x) + other(x)) == 10.0


def test_what_a_ruled_function_captures_and_differentiates_inside():
    k = np.array(2.0)

    def nested(x):
        return k * fd.derivative(lambda z: z * z, x)

    fd.scalar_rule(nested, "7")
    value, pullback = fd.rrule(fwddiff(lambda x: nested(x), engine="numpy"), 0.8)
    assert value == 2.0 * 2 * 0.8
    assert fd.unthunk(pullback(1.0)[0]) == 7.0


class Number:
    def __call__(self, x):
        return x


@pytest.mark.parametrize("rule", [kept.method, Plain.method, Number()])
def test_methods_and_objects_have_no_rules(rule):
    with pytest.raises(fd.ArgumentError, match="scalar_rule"):
        fd.scalar_rule(rule, "7")


class Kind(enum.Enum):
    ONE = 1
    TWO = 2.0


@pytest.mark.parametrize("engine", ENGINES)
def test_values_of_members_are_numbers(engine):
    f = fwddiff(lambda x: x**Kind.ONE.value * Kind.TWO.value if Kind.ONE is Kind(1) else x, engine="numpy")
    assert fd.unthunk(fd.rrule(f, 0.7)[1](1.0)[0]) == 2.0
    assert slope(lambda x: x * Kind.TWO.value, engine) == 2.0


def test_text_of_numbers_is_not_compiled():
    """Numba's text of a float is the name of its type."""
    for f in (
        lambda x: x * len(str(x)),
        lambda x: x * len(f"{x}"),
        lambda x: 2 * x if repr(x) == "0.8" else x,
    ):
        with pytest.raises(fd.CompileError, match="it makes text of a number"):
            slope(f, "numba")
    assert slope(lambda x: x * len(f"{x}"), "auto") == 3.0
    assert slope(lambda x: x * len(str(x > 0)), "numba") == 4.0
