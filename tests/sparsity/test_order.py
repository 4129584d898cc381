"""What rows of the table say of their derivatives' structure, against nested duals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fwddiff import dual, rules
from fwddiff.dual._chain import call
from fwddiff.rules import INTEGER_ARGUMENTS, SELECTIONS
from fwddiff.sparsity._order import order_of

ROWS = [row.name for row in rules.built_in()]


def slopes(row, values, active):
    """All first derivatives, and all second ones, of a row at a point."""
    count = len(active)

    def lifted(k, x, level):
        seeds = [1.0 if active[m] == k else 0 for m in range(count)]
        return dual.make(x, seeds, level) if k in active else x

    arguments = [lifted(k, lifted(k, x, 1), 2) for k, x in enumerate(values)]
    with np.errstate(all="ignore"):
        y = call(row, *arguments)
    first = [dual.strip(p) for p in dual.partials(dual.value(y), 1, count)]
    second = [[dual.strip(q) for q in dual.partials(p, 1, count)] for p in dual.partials(y, 2, count)]
    return np.array(first), np.array(second)


@pytest.mark.parametrize("name", ROWS)
def test_no_derivative_is_left_out(name):
    row, rng = rules.TABLE[name], np.random.default_rng(0)
    order, integers = order_of(row), INTEGER_ARGUMENTS.get(name, ())
    active = [k for k in range(len(row.arguments)) if k not in integers]
    for low, high in ((0.1, 0.9), (1.1, 3.0), (-0.9, -0.1)):
        values = [
            2 if k in integers else np.float64(rng.uniform(low, high)) for k in range(len(row.arguments))
        ]
        first, second = slopes(row, values, active)
        for m, k in enumerate(active):
            assert first[m] == 0 or np.isnan(first[m]) or k in order.first
        for (m, i), (n, j) in itertools.product(enumerate(active), repeat=2):
            assert second[m][n] == 0 or np.isnan(second[m][n]) or (min(i, j), max(i, j)) in order.second


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("add", (0, 1), ()),
        ("negative", (0,), ()),
        ("multiply", (0, 1), ((0, 1),)),
        ("divide", (0, 1), ((0, 1), (1, 1))),
        ("floor", (), ()),
        ("sign", (), ()),
        ("abs", (0,), ()),
        ("remainder", (0, 1), ()),
        ("copysign", (0,), ()),
        ("heaviside", (1,), ()),
        ("radians", (0,), ()),
        ("ldexp", (0,), ()),
        ("exp", (0,), ((0, 0),)),
        ("tanh", (0,), ((0, 0),)),
        ("pow", (0, 1), ((0, 0), (0, 1), (1, 1))),
        ("polygamma", (1,), ((1, 1),)),
    ],
)
def test_structure_of_rows(name, first, second):
    assert order_of(rules.TABLE[name]) == (first, second)


def test_selections_are_linear():
    for name in SELECTIONS:
        assert order_of(rules.TABLE[name]).second == ()
