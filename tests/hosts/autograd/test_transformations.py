"""All of autograd's operators on a fwddiff function, against the same function in autograd's own operations."""

import math

import numpy as np
import pytest

autograd = pytest.importorskip("autograd")

import autograd.numpy as anp  # noqa: E402

from fwddiff import fwddiff  # noqa: E402
from fwddiff.hosts import autograd as host  # noqa: E402
from support.symbolic_rule import symbolic_rule  # noqa: E402


def formula(x, y):
    return math.sin(x) * x * y / 2 + math.exp(x * y)


def native(x, y):
    return anp.sin(x) * x * y / 2 + anp.exp(x * y)


STORED = fwddiff(formula, mode="store").broadcast
RECOMPUTED = fwddiff(formula, mode="recompute").broadcast
X, Y = np.array([0.3, -0.7, 1.1]), np.array([0.5, 0.9, -0.4])
COLUMN = X[:, None]


def total(f):
    return lambda *arguments: anp.sum(f(*arguments))


TRANSFORMATIONS = {
    "value": lambda f: f(X, Y),
    "grad of one": lambda f: autograd.grad(total(f))(X, Y),
    "grad of the other": lambda f: autograd.grad(total(f), 1)(X, Y),
    "grad of both": lambda f: autograd.grad(total(f), (0, 1))(X, Y),
    "broadcast": lambda f: autograd.grad(total(f), (0, 1))(COLUMN, Y),
    "scalar beside array": lambda f: autograd.grad(total(f), (0, 1))(0.4, Y),
    "numbers": lambda f: autograd.grad(f)(0.3, 0.4),
    "value_and_grad": lambda f: autograd.value_and_grad(total(f))(X, Y),
    "elementwise_grad": lambda f: autograd.elementwise_grad(f)(X, Y),
    "jacobian": lambda f: autograd.jacobian(f)(X, Y),
    "hessian": lambda f: autograd.hessian(total(f))(X, Y),
    "third order": lambda f: autograd.grad(autograd.grad(autograd.grad(f)))(0.3, 0.4),
    "mixed third order": lambda f: autograd.grad(autograd.grad(autograd.grad(f, 1), 0), 1)(0.3, 0.4),
    "hessian_vector_product": lambda f: autograd.hessian_vector_product(total(f))(X, Y, X + 1),
    "make_jvp": lambda f: autograd.make_jvp(lambda x: f(x, Y))(X)(Y),
    "forward over reverse": lambda f: autograd.make_jvp(autograd.grad(total(lambda x: f(x, Y))))(X)(Y),
    "reverse over forward": lambda f: autograd.grad(
        lambda x: anp.sum(autograd.make_jvp(lambda t: f(t, Y))(x)(Y)[1])
    )(X),
    "checkpoint": lambda f: autograd.grad(total(autograd.checkpoint(f)))(X, Y),
    "dict": lambda f: autograd.grad(lambda p: anp.sum(f(p["x"], p["y"])))({"x": X, "y": Y}),
    "list": lambda f: autograd.grad(lambda p: anp.sum(f(p[0], p[1])))([X, Y]),
    "twice in one expression": lambda f: autograd.grad(lambda x: anp.sum(f(f(x, Y), x)))(X / 3),
}


def flat(result):
    if isinstance(result, dict):
        return [leaf for key in sorted(result) for leaf in flat(result[key])]
    if isinstance(result, tuple | list):
        return [leaf for part in result for leaf in flat(part)]
    return [np.asarray(result)]


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@pytest.mark.parametrize("function", [STORED, RECOMPUTED], ids=["store", "recompute"])
def test_transformation_agrees_with_native(function, name):
    found, wanted = flat(TRANSFORMATIONS[name](function)), flat(TRANSFORMATIONS[name](native))
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_several_outputs_run_the_forward_pass_once():
    rule = symbolic_rule("x y n:int", "x*y", "n**2", "sin(x)", mode="recompute")

    def objective(x, y):
        product, square, sine = host.apply(rule, [x, y, 3])
        assert np.all(square == 9)
        return anp.sum(product * sine)

    x_bar = autograd.grad(objective)(X, Y)
    np.testing.assert_allclose(x_bar, Y * np.sin(X) + X * Y * np.cos(X), rtol=1e-12)
    assert rule.evaluations.count("f") == 1
    assert rule.evaluations[1:] == ["pullback(f, 0)"]


def test_float32_stays_float32():
    x = X.astype(np.float32)
    gradient = autograd.grad(total(STORED))(x, 0.5)
    assert gradient.dtype == np.float32


def test_wrt_cuts_the_gradient_off():
    g = fwddiff(formula, wrt="y").broadcast
    x_bar, y_bar = autograd.grad(total(g), (0, 1))(X, Y)
    np.testing.assert_array_equal(x_bar, 0)
    np.testing.assert_allclose(y_bar, autograd.grad(total(native), 1)(X, Y), rtol=1e-12)
