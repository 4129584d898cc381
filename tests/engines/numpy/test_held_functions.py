"""Functions in tuples, lists and dicts that the code refers to are run on duals as those that it names."""

import functools
import math
import random

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

SCALE = 2.0
PAIR = (lambda x: SCALE * math.exp(x), math.sin)
NAMED = {"e": lambda x: math.exp(x), "deep": [(lambda x: x**3,)]}
RANDOM = (lambda x: x * random.random(),)


def of_globals(x):
    return PAIR[0](x) + PAIR[1](x) - NAMED["e"](x) + NAMED["deep"][0][0](x)


def of_cells(x):
    return made(x)


def _make():
    functions = [lambda x: 2.0 * math.exp(x), math.sin]

    def f(x):
        total = 0.0
        for function in functions:
            total = total + function(x)
        return total

    return f


made = _make()


def in_a_partial(x):
    return functools.partial(PAIR[0])(x) + math.sin(x)


@pytest.mark.parametrize("engine", ["numpy", "auto"])
@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (of_globals, lambda x: math.exp(x) + math.cos(x) + 3 * x * x),
        (of_cells, lambda x: 2 * math.exp(x) + math.cos(x)),
        (in_a_partial, lambda x: 2 * math.exp(x) + math.cos(x)),
    ],
)
def test_derivatives(f, slope, engine):
    assert math.isclose(fd.gradient(f, backend=engine)(0.3), slope(0.3), rel_tol=1e-14)


def test_second_derivatives():
    assert math.isclose(fd.hessian(of_globals, backend="numpy")(0.3), math.exp(0.3) - math.sin(0.3) + 1.8)


def test_what_held_functions_refer_to_may_change(monkeypatch):
    g = fwddiff(of_globals, engine="numpy")
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert math.isclose(fd.gradient(g)(0.3), 2 * math.exp(0.3) + math.cos(0.3) + 0.27, rel_tol=1e-14)
    _, pullback = fd.rrule(g, 0.3)
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    with pytest.raises(fd.StaleError):
        fd.unthunk(pullback(1.0)[0])


def square(x):
    return x * x


SQUARES = (square, np.cos)


def test_functions_that_need_no_other_form_stay_what_they_are():
    def f(x):
        is_same = SQUARES[0] is square and SQUARES.index(square) == 0
        return SQUARES[0](x) if is_same else SQUARES[1](x)

    assert fd.gradient(f, backend="numpy")(1.5) == 3.0


def test_state_is_refused_there_too():
    with pytest.raises(fd.CaptureError, match="random"):
        fd.gradient(lambda x: RANDOM[0](x), backend="numpy")(1.5)


def test_host_arrays_are_refused_there_too():
    torch = pytest.importorskip("torch")
    weight = torch.tensor(2.0, requires_grad=True)
    held = (lambda x: weight * x,)
    with pytest.raises(fd.CaptureError):
        fwddiff(lambda x: held[0](x))(torch.tensor(1.0))
