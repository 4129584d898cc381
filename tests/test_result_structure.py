"""Results with more structure than tuples: dicts, and `None` that the types of arguments decide."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fwddiff as fd
from fwddiff import fwddiff

ENGINES = ("numba", "numpy")


def pulled(function, arguments, cotangent, engine):
    y, back = fd.rrule(fwddiff(function, engine=engine), *arguments)
    return y, [fd.unthunk(t) for t in back(cotangent)]


def flat_dict(x, y):
    return {"p": x * y, "q": x}


def nested(x, y):
    return {"b": (x, {"c": y * y, "n": 3}), "a": np.array([x, y])}


def named(x, y):
    both = {"p": x * y, "q": math.sin(x)}
    return both["q"], {"r": both["p"] * 2.0}


def branches(x, y):
    if x > y:
        return {"p": x, "q": 1.0}
    return {"p": y * y, "q": x}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("function", "cotangent", "slopes"),
    [
        (flat_dict, {"p": 1.0, "q": 10.0}, [13.0, 2.0]),
        (nested, {"b": (1.0, {"c": 1.0, "n": None}), "a": np.array([2.0, 3.0])}, [3.0, 9.0]),
        (named, (1.0, {"r": 1.0}), [math.cos(2.0) + 6.0, 4.0]),
        (branches, {"p": 1.0, "q": 5.0}, [5.0, 6.0]),
    ],
)
def test_dicts(function, cotangent, slopes, engine):
    y, found = pulled(function, (2.0, 3.0), cotangent, engine)
    want = function(2.0, 3.0)
    assert str(type(y)) == str(type(want))
    if isinstance(want, dict):
        assert list(y) == list(want)
    assert_allclose(found, slopes)


def test_dicts_in_a_broadcast_and_in_hosts():
    torch = pytest.importorskip("torch")
    x = torch.tensor([2.0, 4.0], dtype=torch.float64, requires_grad=True)
    y = fwddiff(flat_dict).broadcast(x, 3.0)
    assert y["p"].tolist() == [6.0, 12.0]
    assert torch.autograd.grad((y["p"] + y["q"]).sum(), x)[0].tolist() == [4.0, 4.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_other_keys_in_other_branches_are_refused(engine):
    def value(x):
        if x > 0.0:
            return {"p": x}
        return {"q": x}

    g = fwddiff(value, engine=engine)
    with pytest.raises(fd.FwdDiffError):
        g.broadcast(np.array([1.0, -1.0]))


def step(x, previous=None):
    y = 2.0 * x
    if previous is None:
        return y, None
    return y, y + previous


def negated(x, previous=None):
    if previous is not None:
        return {"y": x * previous, "n": None}
    return {"y": x, "n": x}


def through_a_helper(x, previous):
    first, second = step(x, previous)
    if second is None:
        return first
    return first * second


def filled_in(x, previous=None):
    if previous is None:
        previous = 3.0
    return x * previous


@pytest.mark.parametrize("engine", ENGINES)
def test_optional_results(engine):
    y, (slope, none) = pulled(step, (1.0, None), (1.0, None), engine)
    assert y == (2.0, None)
    assert (slope, none) == (2.0, None)
    y, slopes = pulled(step, (1.0, 7.0), (1.0, 1.0), engine)
    assert y == (2.0, 9.0)
    assert slopes == [4.0, 1.0]
    y, slopes = pulled(negated, (2.0, 7.0), {"y": 1.0, "n": None}, engine)
    assert y == {"y": 14.0, "n": None}
    assert slopes == [7.0, 2.0]
    assert pulled(negated, (2.0,), {"y": 1.0, "n": 1.0}, engine)[1] == [2.0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("function", "arguments", "slopes"),
    [
        (filled_in, (2.0,), [3.0]),
        (filled_in, (2.0, 5.0), [5.0, 2.0]),
        (through_a_helper, (1.0, 7.0), [22.0, 2.0]),
    ],
)
def test_optional_arguments(function, arguments, slopes, engine):
    assert_allclose(pulled(function, arguments, 1.0, engine)[1], slopes)


@dataclasses.dataclass
class Spectrum:
    power: np.ndarray
    total: float


def spectrum(x):
    power = x * x
    found = Spectrum(power, np.sum(power))
    return Spectrum(found.power * found.total, found.total)


def test_structs_own_the_arrays_that_they_hold():
    """Freed twice, the array would take the process with it."""
    g = fwddiff(spectrum)
    for _ in range(50):
        y, back = fd.rrule(g, np.array([1.0, 2.0]))
        assert_allclose(y.power, [5.0, 20.0])
        cotangent = Spectrum(np.array([1.0, 0.0]), 1.0)
        assert_allclose(fd.unthunk(back(cotangent)[0]), [10.0 + 2.0 + 2.0, 4.0 + 4.0])
