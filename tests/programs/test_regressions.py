"""Programs that once failed, smallest form, each with what was wrong."""

from __future__ import annotations

import numpy as np
import pytest

from fwddiff import fwddiff
from programs.checking import check
from programs.writing import Program

X = np.array([0.3, -0.7, 1.1])

SOURCES = {
    # Numba's `math.log` takes one argument.
    "logarithm to a base": "return math.log(1.5 + x * x, 3.0) + math.log(2.0, 3.0)",
    # Functions that Numba lacks for plain numbers, which a constant or a captured literal is.
    "clip of constants": "return np.clip(1.7, -1.3, 1.2) * x",
    "fix of a constant": "return np.fix(-2.5) * x",
    "cube root of a constant": "return math.cbrt(2.0) * x",
    "remainders of constants": "return math.fmod(7.3, 2.0) * x + math.remainder(7.3, 2.0)",
    "step of a constant": "return np.heaviside(0.0, 0.3) * x",
    # Numba makes an array of this.
    "choice of constants": "return np.where(x < 0.5, 0.3, -0.6) * x + math.tanh(np.where(x > 0.0, 1, 0.5))",
}

# NamedTuples whose fields depend on different inputs, where branches and loops meet.
TUPLES = {
    "returned": """
    if x > 0.5:
        return Pair(x * y, 1.0)
    if x > 0.2:
        return Pair(0.5, y)
    return Pair(y, x)
""",
    "assigned": """
    p = Pair(x, 1.0)
    for k in range(3):
        p = Pair(p.right * y, p.left)
    if x > 0.6:
        p = Pair(p.left, 0.3)
    return p
""",
    "nested": """
    return (Pair(Pair(1.0, y), x) if x > 0.2 else Pair(Pair(x * x, 1.0), 1.0)), x
""",
}


@pytest.mark.parametrize("name", TUPLES)
def test_named_tuples(name):
    source = f"def program(x, y):{TUPLES[name]}"
    check(Program(source, (X, np.float64(1.7)), "auto", "single"), ["numba", "numpy"])


def test_many_inputs_to_second_order():
    """A kernel of more than 30 operands: Python makes a list for the call, which Numba refuses in `try`."""

    def products(a, b, c, d, e, f, g, h, i, j, k):
        return a * b + c * d + e * f * g + h * i + j * k

    arguments = [np.array(0.3 + n / 10) for n in range(11)]
    call = fwddiff(products).broadcast.prepare(*arguments)
    twice = call.rule.pullback(range(11)).pullback(range(12))
    assert len(twice.inputs) + len(twice.outputs) > 30
    found = twice([*call.inputs, *[np.array(1.0)] * 12])
    # Cotangents of one: the sums of the Hessian's columns, and of the gradient.
    e, f, g = arguments[4:7]
    others = sum(arguments[:4]) + sum(arguments[7:])
    np.testing.assert_allclose(found[:5], [1, 1, 1, 1, f + g], rtol=1e-14)
    np.testing.assert_allclose(found[11], others + e * f + e * g + f * g, rtol=1e-14)


def test_helpers_that_functions_defined_inside_call():
    """Their calls were found before Numba had put the inner functions in place: it did not know the names."""
    source = """
def helper(a):
    return math.sin(a * SHIFT)

def program(x):
    return (lambda u: u * helper(x) + helper(u))(x * 0.5) + sum([helper(x + k) for k in range(2)])
"""
    check(Program(f"SHIFT = 0.7\n{source}", (X,), "auto", "single"), ["numba", "numpy"])


@pytest.mark.parametrize("name", SOURCES)
def test_program(name):
    source = f"def program(x):\n    {SOURCES[name]}\n"
    check(Program(source, (X,), "auto", "single"), ["numba", "numpy"])
