"""Autograd's operators on a fwddiff function, against the same function in autograd's own operations."""

import math

import numpy as np
import pytest

autograd = pytest.importorskip("autograd")

import autograd.numpy as anp  # noqa: E402

from fwddiff import HostError, fwddiff  # noqa: E402
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


@pytest.mark.parametrize(
    ("mode", "evaluated"), [("store", ["partials(f, 0)"]), ("recompute", ["f", "pullback(f, 0)"])]
)
def test_only_boxed_inputs_are_differentiated(mode, evaluated):
    rule = symbolic_rule("x y", "x*sin(y)", mode=mode)
    x_bar = autograd.grad(lambda x: anp.sum(host.apply(rule, [x, Y])[0]))(X)
    np.testing.assert_allclose(x_bar, np.sin(Y), rtol=1e-12)
    assert rule.evaluations == evaluated


def test_one_pass_per_argument():
    rule = symbolic_rule("x y", "x*sin(y)", mode="recompute", passes="per_argument")
    autograd.grad(lambda x, y: anp.sum(host.apply(rule, [x, y])[0]), (0, 1))(X, Y)
    assert rule.evaluations == ["f", "pullback(f, 0)", "pullback(f, 1)"]


@pytest.mark.parametrize("mode", ["store", "recompute"])
def test_pushforward_of_several_outputs(mode):
    rule = symbolic_rule("x y n:int", "x*y", "n + 1", "sin(x)", mode=mode)

    def pair(x):
        product, _, sine = host.apply(rule, [x, Y, 3])
        return product * sine

    def plain(x):
        return x * Y * anp.sin(x)

    for make in (
        lambda f: autograd.make_jvp(f)(X)(Y)[1],
        lambda f: autograd.make_jvp(autograd.grad(total(f)))(X)(Y)[1],
    ):
        np.testing.assert_allclose(make(pair), make(plain), rtol=1e-12)


@pytest.mark.parametrize("reduce", [None, "sum"])
def test_stored_partials_of_two_nested_traces(reduce):
    """Each argument is boxed by another trace: stored partials would lose the mixed term."""
    rule = symbolic_rule("x y", "sin(x*y)", mode="store", reduce=reduce)

    def f(x, y):
        return anp.sum(host.apply(rule, [x, y])[0])

    mixed = autograd.grad(lambda y: autograd.grad(f)(0.3, y))(0.4)
    np.testing.assert_allclose(mixed, np.cos(0.12) - 0.12 * np.sin(0.12), rtol=1e-12)


def test_sum_is_one_kernel_with_stored_partials():
    g = fwddiff(formula).sum
    for transform in (autograd.grad, autograd.hessian, lambda f: autograd.make_jvp(f)(X)):
        found, wanted = (transform(lambda x, f=f: f(x, Y)) for f in (g, total(native)))
        argument = Y if transform not in (autograd.grad, autograd.hessian) else X
        for a, b in zip(flat(found(argument)), flat(wanted(argument)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10)


def test_what_cannot_be_traced_is_named():
    with pytest.raises(HostError, match=r"boxed a whole tuple.*one by one"):
        autograd.grad(lambda pair: host.shape(pair))((1.0, 2.0))
    with pytest.raises(HostError, match="int64; convert it to float32 or float64"):
        autograd.grad(total(STORED))(np.array([1, 2, 3]), Y)
    with pytest.raises(HostError, match="complex128"):
        autograd.grad(total(STORED))(X + 1j, Y)


def weighted(p):
    return p["w"][0] * math.sin(p["x"]) + p["w"][1] ** 2


def native_weighted(p):
    return p["w"][0] * anp.sin(p["x"]) + p["w"][1] ** 2


CONTAINERS = {
    "grad": lambda f, p: autograd.grad(lambda p: anp.sum(f(p) ** 2))(p),
    "value_and_grad": lambda f, p: autograd.value_and_grad(lambda p: anp.sum(f(p)))(p)[1],
    "hessian vector product": lambda f, p: autograd.grad(
        lambda p: anp.sum(autograd.grad(lambda p: anp.sum(f(p) ** 2))(p)["x"])
    )(p),
    "checkpoint": lambda f, p: autograd.grad(autograd.checkpoint(lambda p: anp.sum(f(p) ** 2)))(p),
}


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("sequence", [tuple, list])
@pytest.mark.parametrize("mode", ["store", "recompute"])
def test_boxed_containers_are_structs(name, sequence, mode):
    p = {"x": X, "w": sequence((0.4, Y))}
    function = fwddiff(weighted, mode=mode).broadcast
    found, wanted = (flat(CONTAINERS[name](f, p)) for f in (function, native_weighted))
    assert len(found) == 3
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


def test_containers_inside_tuples_and_in_forward_mode():
    function = fwddiff(lambda p, y: p[0] * math.sin(p[1]) * y).broadcast

    def objective(pair):
        return anp.sum(function(pair, Y))

    gradient = autograd.grad(objective)((0.4, X))
    np.testing.assert_allclose(gradient[1], 0.4 * np.cos(X) * Y, rtol=1e-12)
    _, tangent = autograd.make_jvp(objective)((0.4, X))((1.0, np.zeros(3)))
    np.testing.assert_allclose(tangent, np.sum(np.sin(X) * Y), rtol=1e-12)


def test_repeated_calls_of_other_kinds_are_told_apart():
    function = fwddiff(lambda x, y: x * y).sum
    small = X.astype(np.float32)
    for x, y in [
        (X, Y),
        (small, Y),
        (X, 2.0),
        (small, 2.0),
        (0.5, Y),
        (X[:2], Y[:2]),
        (X[:, None], Y),
        (X, Y),
    ]:
        found = autograd.grad(function)(x, y)
        assert np.asarray(found).dtype == np.asarray(x).dtype
        np.testing.assert_allclose(found, _bar(x, y), rtol=1e-6)


def _bar(x, y):
    """Gradient of sum(x * y) by x."""
    ones = np.ones(np.broadcast_shapes(np.shape(x), np.shape(y))) * y
    extra = ones.ndim - np.ndim(x)
    ones = ones.sum(axis=tuple(range(extra)))
    axes = tuple(k for k, n in enumerate(np.shape(x)) if n == 1)
    return ones.sum(axis=axes, keepdims=True)


def test_a_boxed_python_float_gives_way_to_float32_arrays():
    x = X.astype(np.float32)
    seen = []

    def objective(scale):
        result = RECOMPUTED(x, scale)
        seen.append(result.dtype)
        return anp.sum(result)

    gradient = autograd.grad(objective)(0.4)
    assert seen == [np.float32]
    np.testing.assert_allclose(gradient, autograd.grad(total(lambda y: native(x, y)))(0.4), rtol=1e-5)
