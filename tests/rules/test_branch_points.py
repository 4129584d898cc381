"""Second derivatives where a row changes its formula, by every pair of arguments in both orders.

A branch that has the right slope at such a point may have lost what the slope depends on.
"""

from __future__ import annotations

import itertools
import math
from math import inf, nan

import numpy as np
import pytest

from fwddiff import rules
from rules import evaluation, oracles

_ROOT = math.sqrt(0.5)
_BY_SIZE = [
    (3.0, 3.0),
    (-3.0, 3.0),
    (3.0, -3.0),
    (-0.25, -0.25),
    (0.0, 2.0),
    (0.0, -2.0),
    (2.0, 0.0),
    (-2.0, 0.0),
]
# Points on or next to a condition of a `where`, at which the function itself is smooth.
POINTS: dict[str, list[tuple[float, ...]]] = {
    "pow": [(4.0, 0.0), (0.3, 0.0), (1.0, 0.0), (4.0, -0.0), (1e-3, 0.0), (2.0, 1.0), (0.5, 2.0)],
    "hypot": _BY_SIZE,
    "atan2": [(a, b) for a, b in _BY_SIZE if not (a == 0 and b < 0)],
    "logaddexp": [(0.7, 0.7), (-30.0, -30.0)],
    "logaddexp2": [(0.7, 0.7), (-30.0, -30.0)],
    "tanh": [(math.atanh(_ROOT),), (-math.atanh(_ROOT),), (math.nextafter(math.atanh(_ROOT), 1),)],
    **{
        name: [(_ROOT,), (-_ROOT,), (math.nextafter(_ROOT, 1),), (math.nextafter(_ROOT, 0),)]
        for name in ("asin", "acos", "atanh")
    },
    "spherical_jn": [(0, 0.4), (1, 0.4)],
    "heaviside": [(0.5, 0.2), (-0.5, 0.2)],
    "maximum": [(1.0, 2.0), (2.0, 1.0)],
    "minimum": [(1.0, 2.0), (2.0, 1.0)],
    "fmax": [(1.0, 2.0), (2.0, 1.0)],
    "fmin": [(1.0, 2.0), (2.0, 1.0)],
}


def _pairs(name: str) -> list[tuple[int, int]]:
    integers = rules.INTEGER_ARGUMENTS.get(name, ())
    positions = [k for k in range(len(rules.TABLE[name].arguments)) if k not in integers]
    return list(itertools.product(positions, positions))


def test_every_row_with_branches_has_points():
    branching = {row.name for row in rules.built_in() if any("where" in text for text in row.partials)}
    assert branching == set(POINTS)


@pytest.mark.parametrize("name", POINTS)
def test_second_derivatives_are_of_the_function_not_of_the_branch(name):
    for at in POINTS[name]:
        for along in _pairs(name):
            orders = tuple(along.count(k) for k in range(len(at)))
            expected = oracles.derivative(name, at, orders)
            allowed = 8 * oracles.EPSILON * oracles.sensitivity(name, at, orders) + 1e-25
            error = abs(evaluation.nested_along(name, at, along) - expected)
            assert error <= allowed, (at, along, float(expected))


# Where a second derivative is infinite, or the limit of the first one is: row, arguments, the derivatives by
# (a, a), (a, b), (b, a), (b, b) or by (x, x).
LIMITS: list[tuple[str, tuple[float, ...], tuple[float, ...]]] = [
    ("pow", (0.0, 0.0), (0, inf, inf, inf)),
    ("pow", (-0.0, -0.0), (0, inf, inf, inf)),
    ("pow", (0.0, 0.5), (-inf, -inf, nan, 0)),  # inf - inf: by a first, then by b
    ("pow", (0.0, 1.0), (0, -inf, -inf, 0)),
    ("pow", (0.0, 2.0), (2, 0, 0, 0)),
    ("pow", (0.0, 3.0), (0, 0, 0, 0)),
    ("pow", (0.0, -1.0), (inf, inf, inf, inf)),
    ("pow", (5e-324, 0.0), (0, inf, inf, math.log(5e-324) ** 2)),
    ("pow", (0.5, 3000.0), (0, 0, 0, 0)),
    ("pow", (10.0, 400.0), (inf, inf, inf, inf)),
    ("divide", (1.0, 0.0), (0, -inf, -inf, inf)),
    ("divide", (1.0, inf), (0, 0, 0, 0)),
    ("hypot", (inf, 1.0), (0, 0, 0, 0)),
    ("hypot", (1.5e308, 1.5e308), (0, 0, 0, 0)),
    ("atan2", (inf, 1.0), (0, 0, 0, 0)),
    ("logaddexp", (-inf, 0.0), (0, 0, 0, 0)),
    ("logaddexp", (inf, 0.0), (0, 0, 0, 0)),
    ("sqrt", (0.0,), (-inf,)),
    ("sqrt", (-0.0,), (-inf,)),
    ("cbrt", (0.0,), (nan,)),
    ("log", (0.0,), (-inf,)),
    ("log1p", (-1.0,), (-inf,)),
    ("asin", (1.0,), (inf,)),
    ("asin", (-1.0,), (-inf,)),
    ("acos", (1.0,), (-inf,)),
    ("acosh", (1.0,), (-inf,)),
    ("atanh", (1.0,), (inf,)),
    ("atanh", (-1.0,), (-inf,)),
    ("reciprocal", (0.0,), (inf,)),
    ("gamma", (0.0,), (inf,)),
    ("gamma", (-0.0,), (-inf,)),
    ("gamma", (200.0,), (inf,)),
    ("lgamma", (0.0,), (inf,)),
    ("digamma", (0.0,), (-inf,)),
    ("exp", (800.0,), (inf,)),
    ("exp", (-800.0,), (0,)),
    ("exp2", (2000.0,), (inf,)),
    ("expm1", (800.0,), (inf,)),
    ("sinh", (800.0,), (inf,)),
    ("sinh", (-800.0,), (-inf,)),
    ("cosh", (800.0,), (inf,)),
    ("tanh", (800.0,), (0,)),
    ("erf", (1e160,), (0,)),
    ("atan", (1e200,), (0,)),
]


@pytest.mark.parametrize(("name", "at", "expected"), LIMITS)
def test_limits(name, at, expected):
    computed = [evaluation.nested_along(name, at, along) for along in _pairs(name)]
    np.testing.assert_allclose(computed, expected, rtol=1e-14, atol=1e-300)


# What the choice at a kink says about second order: the slope there is a constant (docs/rules.md).
CHOSEN = [
    ("abs", (0.0,)),
    ("copysign", (0.0, 1.0)),
    ("hypot", (0.0, 0.0)),
    ("maximum", (1.0, 1.0)),
    ("fmin", (2.0, 2.0)),
    ("heaviside", (0.0, 0.5)),
    ("floor", (2.0,)),
    ("remainder", (6.0, 3.0)),
    ("floor_divide", (4.0, 2.0)),
    ("sign", (0.0,)),
]


@pytest.mark.parametrize(("name", "at"), CHOSEN)
def test_a_chosen_slope_is_a_constant(name, at):
    assert [evaluation.nested_along(name, at, along) for along in _pairs(name)] == [0.0] * len(at) ** 2
