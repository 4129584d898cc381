"""Which captured arrays are used as a whole, and which element by element."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from fwddiff import _capture

Y, Z = np.ones(5), np.ones(5)
PARAMS = {"w": np.ones(3), "b": np.ones(3)}
ROWS = [np.ones(3), np.ones(3)]
K = 1


def product(t, k):
    return t * k


def first(t, k):
    return t * k[0]


def last_of(t, *rest):
    return rest[-1] * t


def twice_removed(t, k):
    return product(t, k)


def reassigning(t, k):
    k = np.asarray(k)
    return t * k


def recursive(t, k, n):
    return t * k if n == 0 else recursive(t, k, n - 1)


def with_default(t, k=2.0):
    return t + k


@dataclasses.dataclass
class Linear:
    weight: Any
    bias: Any

    def value(self, x):
        return self.weight * x + self.offset(x)

    def offset(self, x):
        return self.bias

    def indexed(self, x):
        return self.weight[0] * x


LINEAR = Linear(np.ones(3), np.ones(3))


def alias(x):
    y = Y
    return x * y


def alias_of_table(x):
    y = Y
    return x * y[0]


def two_values(x):
    y = Y
    if x > 0:
        y = Z
    return x * y


def comparing(x):
    return x if x > Y else Y


def loop(x):
    total = 0.0
    for v in Y:
        total += v * x
    return total


def rows(x):
    total = 0.0
    for row in ROWS:
        total += row * x
    return total


def rows_of_tables(x):
    return sum(row[0] * x for row in ROWS)


def catching(x):
    try:
        return x / Y
    except ZeroDivisionError:
        return 0.0 * Y


def conditional_argument(x):
    return Y * (math.exp(x) if x > 0 else 1.0)


def slices(x):
    return Y[1:3] * x


def total(v):
    return np.exp(v).sum()


def of_a_number(v):
    return math.exp(v) if v > 0 else v


def computed_in_steps(x):
    z = Y * x
    w = np.exp(-z)
    return w.sum() / len(w)


ELEMENTS = {
    "computed, kept": lambda x: (np.exp(Y * x), Y),
    "computed, helper": lambda x: of_a_number(Y * x),
    "computed, where": lambda x: np.where(x > 0, Y * x, 0.0),
    "computed, maximum": lambda x: max(Y * x, 1.0),
    "computed, in a list": lambda x: [Y * x, x][0],
    "quotient": lambda x: x / Y,
    "power": lambda x: Y**x,
    "minus": lambda x: -Y * x,
    "math": lambda x: math.exp(Y) * x,
    "isnan": lambda x: 0.0 if math.isnan(Y) else x,
    "ufunc": lambda x: np.exp(Y) + np.isnan(Y) * x,
    "maximum": lambda x: max(x, Y),
    "conversion": lambda x: float(Y) + abs(Y) * x,
    "helper": lambda x: product(x, Y),
    "helper by keyword": lambda x: product(x, k=Y),
    "helper of helper": lambda x: twice_removed(x, Y),
    "recursive helper": lambda x: recursive(x, Y, 3),
    "default": lambda x: with_default(x, k=Y),
    "truth": lambda x: x if Y else 0.0,
    "in a tuple": lambda x: (x * Y, Y),
    "is None": lambda x: x if Y is None else x * Y,
    "alias": alias,
    "comparison": comparing,
    "try": catching,
    "conditional": conditional_argument,
    "in place": lambda x: [x := x * Y][0],
}
TABLES = {
    "computed, method": lambda x: np.exp(Y * x).sum(),
    "computed, function": lambda x: np.sum((Y - x) ** 2),
    "computed, built-in": lambda x: sum((Y - x) ** 2),
    "computed, attribute": lambda x: (Y * x).size * x,
    "computed, element": lambda x: (-Y * x)[1],
    "computed, loop": lambda x: sum(v for v in Y * x),
    "computed, product": lambda x: (Y * x) @ Z,
    "computed, helper": lambda x: total(Y * x),
    "computed, in steps": computed_in_steps,
    "constant index": lambda x: Y[0] * x,
    "global index": lambda x: Y[K] * x,
    "computed index": lambda x: Y[K + 1] * x,
    "called index": lambda x: Y[math.floor(x)] * x,
    "both": lambda x: Y * Y[0] * x,
    "as an index": lambda x: Z[Y] * x,
    "slice": slices,
    "len": lambda x: len(Y) * x,
    "loop": loop,
    "comprehension": lambda x: sum([v * x for v in Y]),
    "generator": lambda x: sum(v * x for v in Y),
    "enumerate": lambda x: sum(i * v * x for i, v in enumerate(Y)),
    "zip": lambda x: sum(a * b * x for a, b in zip(Y, Z, strict=True)),
    "sum": lambda x: np.sum(Y) * x,
    "dot": lambda x: np.dot(Y, Z) * x,
    "matmul": lambda x: Y @ Z * x,
    "method": lambda x: Y.sum() * x,
    "attribute": lambda x: Y.size * x,
    "max of one": lambda x: max(Y) * x,
    "fsum": lambda x: math.fsum(Y) * x,
    "unpacked": lambda x: last_of(x, *Y),
    "rest": lambda x: last_of(x, Y),
    "helper": lambda x: first(x, Y),
    "helper by keyword": lambda x: first(x, k=Y),
    "helper that reassigns": lambda x: reassigning(x, Y),
    "returned alone": lambda x: Y,
    "in": lambda x: x if x in Y else 0.0,
    "alias": alias_of_table,
    "two values": two_values,
    "starred": lambda x: [*Y, x][0] * x,
}


def tables(function):
    return {capture.name: capture.is_table for capture in _capture.plan(function).captures}


@pytest.mark.parametrize("name", ELEMENTS)
def test_elements(name):
    assert tables(ELEMENTS[name])["Y"] is False


@pytest.mark.parametrize("name", TABLES)
def test_tables(name):
    assert tables(TABLES[name])["Y"] is True


def test_containers_are_taken_apart():
    assert tables(lambda x: PARAMS["w"] * x + PARAMS["b"]) == {"PARAMS": False}
    assert tables(lambda x: PARAMS["w"][0] * x) == {"PARAMS": True}
    assert tables(lambda x: len(PARAMS) * x) == {"PARAMS": True}
    assert tables(rows) == {"ROWS": False}
    assert tables(rows_of_tables) == {"ROWS": True}


def test_structs_and_their_methods():
    assert tables(lambda x: LINEAR.weight * x + LINEAR.bias) == {"LINEAR": False}
    assert tables(lambda x: LINEAR.weight[0] * x) == {"LINEAR": True}
    assert tables(lambda x: LINEAR.value(x)) == {"LINEAR": False}
    assert tables(lambda x: LINEAR.indexed(x)) == {"LINEAR": True}


def test_one_function_may_use_as_table_what_another_uses_by_element():
    def inner(x):
        return x * Y

    captures = _capture.plan(lambda x: Y[0] * inner(x)).captures
    assert sorted((capture.name, capture.is_table) for capture in captures) == [("Y", False), ("Y", True)]
