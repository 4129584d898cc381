"""Variables that functions capture, and shared variables."""

from __future__ import annotations

import functools
import math
import types

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from fwddiff import fwddiff

from .comparison import assert_equal_graphs, compiled, random


@pytest.mark.parametrize("mode", ["numba", "python"])
def test_captured_variables(mode):
    shared = pytensor.shared(np.array([0.5, 1.5, 2.0]), name="shared")
    symbol, x = pt.dscalar("symbol"), pt.dvector("x")

    def inner(x, default=symbol):
        return math.sin(x * shared) * default

    f = fwddiff(inner)
    ours, theirs = f.broadcast(x), pt.sin(x * shared) * symbol
    wrt = [x, shared, symbol]
    assert_equal_graphs(
        [x, symbol],
        [random(3), np.array(0.3)],
        [ours, *pytensor.grad((ours**2).sum(), wrt)],
        [theirs, *pytensor.grad((theirs**2).sum(), wrt)],
        mode,
    )
    partial = fwddiff(functools.partial(lambda scale, x: x**2 * scale, symbol))
    total = partial.sum(x)
    expected = [total, *pytensor.grad(total, [x, symbol])]
    native = (x**2 * symbol).sum()
    theirs = [native, *pytensor.grad(native, [x, symbol])]
    assert_equal_graphs([x, symbol], [random(3), np.array(0.3)], expected, theirs, mode)


def test_shared_variable_is_read_at_each_call():
    weights = pytensor.shared(np.array([1.0, 2.0]))
    f = fwddiff(lambda w, x: w * x)
    x = pt.dscalar("x")
    call = compiled([x], pytensor.grad(f.sum(weights, x), x), "numba")
    assert call(3.0) == 3.0
    weights.set_value(np.array([1.0, 2.0, 4.0]))
    assert call(3.0) == 7.0


settings = types.SimpleNamespace(scale=None)


def test_attributes_may_be_symbolic_numbers():
    """What an attribute holds is looked at, for functions that index it; the shape of a variable is
    symbolic."""
    settings.scale = pt.dscalar("scale")
    x = pt.dvector("x")
    f = fwddiff(lambda x: math.exp(-x * settings.scale))
    ours, theirs = f.sum(x), pt.exp(-x * settings.scale).sum()
    wrt = [x, settings.scale]
    values = [random(3), np.array(0.3)]
    assert_equal_graphs(wrt, values, pytensor.grad(ours, wrt), pytensor.grad(theirs, wrt), "python")
