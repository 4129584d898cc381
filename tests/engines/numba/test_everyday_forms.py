"""Dicts, replaced structs, assignments in expressions, formats in messages, kept axes: compiled.

The oracle is a central difference of the plain function.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

A, B = 0.7, 1.3
TABLE = np.array([[0.3, 0.9], [0.8, 0.1], [1.1, 2.0]])


class Pair(NamedTuple):
    u: float
    v: float = 2.0

    def stretched(self, k):
        return self._replace(v=self.v * k)


@dataclasses.dataclass(frozen=True)
class Power:
    a: float
    n: int = 2

    def __call__(self, x, k=2.0):
        return self.a * x**self.n * k

    def __getitem__(self, k):
        return self.a if k == 0 else self.n * self.a

    def stepped(self, h):
        return dataclasses.replace(self, a=self.a * h)


@dataclasses.dataclass
class Outer:
    power: Power
    c: float


def at_two_places(f, x):
    return f(x) * f(0.5 * x)


def weighted(d, k):
    return d["x"] * k + d.get("absent", 2.0) * d["y"]


def changes(d):
    d["x"] = 3.0 * d["x"]


# --- functions ----------------------------------------------------------------------------------------------


def dicts_made_inside(a, b):
    d = {"x": a, "y": b}
    total = weighted(d, a) + len(d)
    if "z" in d:
        return d["z"]
    if "z" not in d:
        total += sum(v * v for v in d.values()) + max(d.values())
    for key, value in d.items():
        total += value if key == "x" else value**3
    return total


def named_tuples(a, b):
    return Pair(a).stretched(b).v + Pair(a, b)._replace(u=b, v=a * a).u + Pair(a, b)._asdict()["v"]


def dataclass_functions(a, b):
    q = Power(a).stepped(b)
    d, t = dataclasses.asdict(Outer(q, b)), dataclasses.astuple(Outer(q, b))
    return q.a + d["power"]["a"] * d["c"] + t[0][0] * t[1]


def instances_that_are_called(a, b):
    q = Power(a)
    return q(b) + q(b, k=3.0) + q(x=a) + at_two_places(q, b) + q[0] * q[1]


def assignments_in_expressions(a, b):
    total = 0.0
    while (rest := a - total) > 0.1 and (square := rest * rest) < 5:
        total += rest * 0.5 * b + 0.01 * square
    return total + (z := a * b) * z + [y := a, y * y][1]


def formats_in_messages(a, b):
    def checked(x):
        if x < 0:
            raise ValueError(f"{x!r} of {a:.2f}")
        return x * a

    if b < 0:
        raise ValueError(f"bad {b:.3f}, {a:{10}.2f}")
    return checked(b)


@pytest.mark.parametrize(
    "f",
    [
        *(dicts_made_inside, named_tuples, dataclass_functions, instances_that_are_called),
        *(assignments_in_expressions, formats_in_messages),
    ],
    ids=lambda f: f.__name__,
)
def test_of_numbers(f):
    h = 1e-5
    want = [(f(A + h, B) - f(A - h, B)) / (2 * h), (f(A, B + h) - f(A, B - h)) / (2 * h)]
    for engine in ("numba", "numpy"):
        assert np.allclose(fd.gradient(fwddiff(f, engine=engine), A, B, argnum=(0, 1)), want, rtol=1e-7)


def test_messages_keep_their_formats():
    g = fwddiff(formats_in_messages, engine="numba")
    with pytest.raises(ValueError, match=r"bad -1.000"):
        fd.gradient(g, A, -1.0)
    with pytest.raises(fd.CompileError, match="format specification"):
        fd.gradient(fwddiff(lambda x: x * len(f"{x:.2f}"), engine="numba"), A)


def test_arguments_that_are_dicts():
    def f(d, b):
        if "absent" in d:
            return d["absent"] * b
        total, values = 0.0, d.values()
        first, _ = values
        for key, value in d.items():
            total += value * b if key == "z" else value**2
        return total + first * b * len(d)

    g = fwddiff(f, engine="numba")
    assert fd.gradient(g, {"z": 2.0, "a": 3.0}, 0.5) == {"z": 0.5 + 1.0, "a": 6.0}
    assert fd.gradient(g, {"a": 3.0, "z": 2.0}, 0.5) == {"a": 6.0 + 1.0, "z": 0.5}
    assert fd.gradient(g, {"absent": 3.0}, 0.5) == {"absent": 0.5}


def test_dicts_that_change_and_other_keys_are_left_to_python():
    def f(x):
        d = {"x": x, "y": 2.0}
        changes(d)
        return d["x"] * d["y"]

    with pytest.raises(fd.CompileError):
        fd.gradient(fwddiff(f, engine="numba"), A)
    assert np.isclose(fd.derivative(f, A), 6.0)
    with pytest.raises(fd.CompileError):
        fd.gradient(fwddiff(lambda d: len(d) * 1.0, engine="numba"), {1: A})
    assert fd.gradient(lambda d: d[1] ** 2 if "1" not in d else 0.0, {1: 3.0}) == {1: 6.0}


# --- arrays -------------------------------------------------------------------------------------------------


def softmax(x):
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return np.sum((e / e.sum(axis=-1, keepdims=True)) ** 2)


def along_axes(x):
    centred = (x - np.mean(x, axis=0, keepdims=True)) * np.prod(x, keepdims=True)
    return np.sum(centred**2) + np.sum(np.max(x, axis=0) ** 2) + np.sum(x.min(axis=1) ** 3)


def picked(x):
    rows = x[[0, -1, 0]]
    return np.sum(rows**2) + np.sum(np.tile(x[0], 2) * rows[0, 1]) + np.squeeze(x[:, :1], axis=1)[1] ** 2


@pytest.mark.parametrize("f", [softmax, along_axes, picked], ids=lambda f: f.__name__)
@pytest.mark.few(f=["along_axes", "picked"])
def test_of_arrays(f):
    got = fd.gradient(fwddiff(f, engine="numba"), TABLE)
    want = np.empty_like(TABLE)
    for k in np.ndindex(TABLE.shape):
        h = np.zeros_like(TABLE)
        h[k] = 1e-5
        want[k] = (f(TABLE + h) - f(TABLE - h)) / 2e-5
    assert np.allclose(got, want, rtol=1e-6, atol=1e-8)


def test_ties_are_taken_as_in_python():
    x = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0]])
    got = [fd.gradient(fwddiff(along_axes, engine=engine), x) for engine in ("numba", "numpy")]
    assert np.allclose(*got)


def test_places_outside_of_an_array_raise():
    g = fwddiff(lambda x: np.sum(x[[0, 5]] ** 2), engine="numba")
    with pytest.raises(IndexError):
        fd.gradient(g, np.arange(3.0))
