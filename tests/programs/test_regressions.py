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

# Arrays that are filled with a dual, and conversions of what a function inside computes: each was wrong or
# refused in the engine that runs Python.
MADE = {
    # Partials were rounded to single precision where the value is Python's own float.
    "full of a dual": "return np.full(3, math.sin(x))",
    "changed in place": """
    a = np.full(2, math.exp(x))
    a[1] *= x
    return a
""",
    # What waits on the stack while a function inside is made was taken for a value that escapes.
    "conversion of a generator": "return np.float64(0.3 * sum(x * (j + 1.5) for j in range(3))) * x",
    "conversion of a list": "return float(0.3 * sum([math.sin(x) * j for j in range(3)])) * x",
    "conversion of a slice": "return float(np.sum(np.array([x, x * x, 2.0])[0:2])) * x",
    "conversion of a list of constants": "return np.float64(x * np.sum(np.array([1.0, 2.0, 3.0]))) * x",
    "conversion of unpacked arguments": "return np.float64(x + math.hypot(*(x, 2.0 * x))) * x",
    "conversion of a lambda": "return x * np.float64((lambda u, v=x: u * v * x)(x))",
}

# A rule says what the derivative is, whatever the function's code says.
RULES = {
    "by_scalar_rule": "'a * b', 'a * a / 2'",
    "by_frule": "lambda a, b=0.7: a * b, lambda a, b=0.7: a * a / 2",
    "by_rrule": "lambda a, b=0.7: a * b, lambda a, b=0.7: a * a / 2",
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.every(2)
def test_made_arrays_and_conversions(name):
    source = f"def program(x):\n    {MADE[name].lstrip()}\n"
    for x in (np.float64(0.3), X):
        check(Program(source, (x,), "auto", "single"), ["numba", "numpy"])


@pytest.mark.parametrize("kind", RULES)
def test_rules(kind):
    source = f"""
def taught(a, b=0.7):
    return math.tanh(a - b)
taught = {kind}(taught, lambda a, b=0.7: a * a * b / 2, {RULES[kind]})

def helper(a, *, b=0.4):
    return a * a * b + taught(b)
helper = partly(helper, "a")

def program(x, y=None, count=2):
    shift = 0.5 * x
    def inner(u, v=x * 2.0):
        return taught(b=v, a=u) * shift
    first = helper(b=x, a=inner(x)) + inner(v=x, u=1.0)
    several = np.array([taught(first * j) for j in range(count)])
    return {{"right": several, "left": None if y is None else x * y}}
"""
    for y in (None, np.float64(0.6)):
        check(Program(source, (X, y), "auto", "single"), ["numba", "numpy"])


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
