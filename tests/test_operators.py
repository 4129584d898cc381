"""Operators on plain functions, by both engines, and derivatives inside derivatives."""

import functools
import math

import numpy as np
import pytest

import fwddiff as fd
from catalogue import Point
from fwddiff.engines.numpy.function import UserFunction

ENGINES = ["auto", "numpy"]
X = np.array([0.5, -1.2, 2.0])


def rosenbrock(x):
    total = 0.0
    for i in range(len(x) - 1):
        total += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return total


def spiral(x, scale):
    return np.exp(-x) * scale * x


@pytest.mark.parametrize("backend", ENGINES)
def test_first_order(backend):
    optimize = pytest.importorskip("scipy.optimize")
    assert fd.derivative(lambda t: math.sin(t) * t, 0.7, backend=backend) == pytest.approx(
        math.sin(0.7) + 0.7 * math.cos(0.7), rel=1e-14
    )
    value, gradient = fd.value_and_gradient(rosenbrock, X, backend=backend)
    assert value == pytest.approx(optimize.rosen(X), rel=1e-14)
    np.testing.assert_allclose(gradient, optimize.rosen_der(X), rtol=1e-13)
    jacobian = fd.jacobian(spiral, X, 2.0, backend=backend)
    np.testing.assert_allclose(jacobian, np.diag(2 * np.exp(-X) * (1 - X)), rtol=1e-13)
    assert fd.gradient(lambda p: p.x**2 * p.y, Point(3.0, 2.0), backend=backend) == Point(12.0, 9.0)


@pytest.mark.parametrize("backend", ENGINES)
def test_second_order(backend):
    optimize = pytest.importorskip("scipy.optimize")
    hessian = fd.hessian(rosenbrock, X, backend=backend)
    np.testing.assert_allclose(hessian, optimize.rosen_hess(X), rtol=1e-12, atol=1e-12)
    direction = np.array([1.0, 0.5, -2.0])
    product = fd.hvp(rosenbrock, X, direction, backend=backend)
    np.testing.assert_allclose(product, optimize.rosen_hess_prod(X, direction), rtol=1e-12)
    assert fd.hessian(lambda t: t**3, 2.0, backend=backend) == pytest.approx(12.0)


@pytest.mark.parametrize("backend", ENGINES)
def test_products(backend):
    tangent = np.array([1.0, 2.0, 3.0])
    slope = 2 * np.exp(-X) * (1 - X)
    np.testing.assert_allclose(fd.pushforward(spiral, X, tangent, 2.0, backend=backend), slope * tangent)
    np.testing.assert_allclose(fd.pullback(spiral, X, tangent, 2.0, backend=backend), slope * tangent)


def test_perturbations_are_not_confused():
    """d/dx (x · d/dy (x + y)) at x = 1 is 1; a derivative that mixed both perturbations up would give 2."""
    assert fd.derivative(lambda x: x * fd.derivative(lambda y: x + y, 1.0), 1.0) == 1.0


def test_three_levels():
    """d/dx (x · d/dy (y² · d/dz (x y z))): the innermost is x y, then d/dy (x y³) = 3 x y², so 3 y² · 2 x."""

    def outer(x):
        def middle(y):
            return y**2 * fd.derivative(lambda z: x * y * z, 5.0)

        return x * fd.derivative(middle, 3.0)

    assert fd.derivative(outer, 2.0) == pytest.approx(27 * 2 * 2.0)


def test_derivative_of_a_derivative():
    def slope(x):
        return fd.derivative(lambda t: math.sin(t) * t, x)

    assert fd.derivative(slope, 0.7) == pytest.approx(2 * math.cos(0.7) - 0.7 * math.sin(0.7), rel=1e-13)


def test_a_gradient_inside_a_gradient():
    """The inner gradient of sum(w x²)/2 is w x; its squared norm has the gradient 2 w² x."""
    w = np.array([1.0, 2.0, 3.0])

    def squared_slope(x):
        slope = fd.gradient(lambda t: np.sum(w * t * t) / 2, x)
        return np.sum(slope * slope)

    np.testing.assert_allclose(fd.gradient(squared_slope, X), 2 * w**2 * X, rtol=1e-13)


def test_misuse():
    with pytest.raises(fd.ArgumentError, match="Perhaps you meant jacobian"):
        fd.gradient(spiral, X, 2.0)
    with pytest.raises(fd.ArgumentError, match="Use gradient or jacobian"):
        fd.derivative(rosenbrock, X)
    with pytest.raises(fd.ArgumentError, match="holds no float"):
        fd.derivative(lambda flag: flag * 1.0, True)
    with pytest.raises(fd.ArgumentError, match="argnum=2 is none of the 2"):
        fd.derivative(spiral, 1.0, 2.0, argnum=2)
    with pytest.raises(fd.ArgumentError, match="takes x, scale"):
        fd.derivative(spiral, 1.0, 2.0, argnum="y")
    with pytest.raises(fd.ArgumentError, match="needs a tangent"):
        fd.hvp(rosenbrock, X)
    with pytest.raises(fd.ArgumentError, match="'auto', 'numba', 'numpy'"):
        fd.derivative(math.sin, 1.0, backend="fortran")
    with pytest.raises(fd.ShapeError, match=r"shape \(2,\)"):
        fd.pushforward(rosenbrock, X, np.ones(2))
    with pytest.raises(fd.ArgumentError, match="not a struct"):
        fd.hessian(lambda p: p.x * p.y, Point(1.0, 2.0))


def power(x, y, n):
    return x**n * y


@pytest.mark.parametrize(("argnum", "expected"), [(0, 24.0), (1, 8.0), (-2, 8.0), ("y", 8.0)])
def test_argnum(argnum, expected):
    assert fd.derivative(power, 2.0, 2.0, 3, argnum=argnum, backend="numpy") == expected
    assert fd.gradient(power, argnum=argnum, backend="numpy")(2.0, 2.0, 3) == expected


def test_several_arguments():
    assert fd.gradient(power, 2.0, 2.0, 3, argnum=(1, "x"), backend="numpy") == (8.0, 24.0)
    rows = fd.hessian(power, 2.0, 2.0, 3, argnum=(0, 1), backend="numpy")
    np.testing.assert_allclose(np.array(rows), [[24.0, 12.0], [12.0, 0.0]])
    assert fd.hvp(power, 2.0, (1.0, 0.0), 2.0, 3, argnum=("x", "y"), backend="numpy") == (24.0, 12.0)


def test_presets_are_no_arguments():
    half = functools.partial(power, 2.0)
    assert fd.derivative(half, 5.0, 3, backend="numpy") == 8.0
    assert fd.derivative(half, 5.0, 3, argnum="y", backend="numpy") == 8.0


def test_operators_without_a_point_are_functions():
    gradient = fd.gradient(rosenbrock, backend="numpy")
    np.testing.assert_allclose(gradient(X), fd.gradient(rosenbrock, X, backend="numpy"))
    assert fd.derivative(fd.derivative(fd.derivative(lambda x: x**4)))(2.0) == 48.0
    assert fd.pushforward(power, backend="numpy")(2.0, 0.5, 2.0, 3) == 12.0


@pytest.mark.parametrize("backend", ENGINES)
def test_integers_and_constants(backend):
    assert fd.derivative(lambda x: x * x, 3, backend=backend) == 6.0
    assert fd.derivative(lambda x: 1, 3.0, backend=backend) == 0.0
    if backend == "numpy":  # as above: nothing that depends on the engine
        assert fd.gradient(lambda q: q[0] * q[1], (2, 3), backend=backend) == (3.0, 2.0)
        found = fd.jacobian(lambda q: q * q, np.array([1, 2]), backend=backend)
        assert found.tolist() == [[2.0, 0.0], [0.0, 4.0]]
        assert fd.gradient(lambda q: 7, X, backend=backend).tolist() == [0.0, 0.0, 0.0]
        assert fd.hessian(lambda q: 7, X, backend=backend).tolist() == np.zeros((3, 3)).tolist()
        assert fd.gradient(lambda q: q[0] * q[1], (2.0, 3), backend=backend) == (3.0, None)


def mixed(x, scale):
    out = np.empty_like(x[:4])
    for i in range(4):
        out[i] = np.sum(np.sin(x * (i + 1))) * scale[i]
    return out


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("chunk", [None, 4])
def test_jacobian_in_chunks(engine, chunk):
    """30 columns: more than a chunk, and no multiple of either chunk."""
    x, scale = np.linspace(-1, 1, 30), np.arange(1.0, 5.0)
    found = fd.jacobian(fd.fwddiff(mixed, engine=engine, chunk=chunk), x, scale)
    rows = [scale[i] * (i + 1) * np.cos((i + 1) * x) for i in range(4)]
    np.testing.assert_allclose(found, rows, rtol=1e-13)


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_hessian_in_chunks(engine):
    optimize = pytest.importorskip("scipy.optimize")
    x = np.linspace(-1, 1, 14)
    found = fd.hessian(fd.fwddiff(rosenbrock, engine=engine, chunk=4), x)
    np.testing.assert_allclose(found, optimize.rosen_hess(x), rtol=1e-12, atol=1e-11)


def test_a_jacobian_takes_one_pass_per_chunk(monkeypatch):
    calls, run = [], UserFunction.__call__
    monkeypatch.setattr(UserFunction, "__call__", lambda *given: calls.append(1) or run(*given))
    g = fd.fwddiff(lambda x: x * x, engine="numpy", chunk=5)
    fd.jacobian(g, np.ones(20))
    calls.clear()
    fd.jacobian(g, np.ones(20))
    assert len(calls) == 4


def test_jacobian_of_a_matrix():
    x = np.arange(6.0).reshape(2, 3)
    found = fd.jacobian(lambda x: x.T * x[0, 0], x, backend="numba")
    expected = np.einsum("ik,jl->ijkl", np.eye(3), np.eye(2)).transpose(0, 1, 3, 2) * x[0, 0]
    expected[:, :, 0, 0] += x.T
    np.testing.assert_allclose(found, expected)


def test_wrapped_operations_are_functions():
    g = fd.fwddiff(lambda x, a: math.exp(-a * x))
    np.testing.assert_allclose(fd.gradient(g.sum, X, 0.5), -0.5 * np.exp(-0.5 * X))
    np.testing.assert_allclose(fd.jacobian(g.broadcast, X, 0.5), np.diag(-0.5 * np.exp(-0.5 * X)))
    assert fd.derivative(g.sum, X, 0.5, argnum="a") == pytest.approx(np.sum(-X * np.exp(-0.5 * X)))


def test_the_engine_asked_for_is_made_once():
    wrapped = fd.fwddiff(spiral)
    assert wrapped.with_engine("numpy") is wrapped.with_engine("numpy")
    assert wrapped.with_engine("auto") is wrapped


def test_arrays_of_a_framework_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(fd.HostError, match="torch, which differentiates by itself"):
        fd.gradient(lambda x: x * x, torch.tensor(1.0))


def scaled(x, by=2.0, *, offset=1.0):
    return np.sum(x**2) * by + offset * x[0]


def test_arguments_by_name():
    e, wrapped = np.array([1.0, 0.0, 0.0]), fd.fwddiff(scaled)
    cases = [
        ({"by": 3.0}, 6 * X + e),
        ({"offset": 4.0}, 4 * X + 4 * e),
        ({"by": 3.0, "offset": 4.0}, 6 * X + 4 * e),
    ]
    for named, expected in cases:
        for found in (
            fd.gradient(scaled, X, **named),
            fd.gradient(scaled, **named, x=X),
            fd.gradient(scaled)(X, **named),
            fd.gradient(scaled, **named)(X),
            fd.gradient(wrapped, X, **named),
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-14)
        product = fd.hvp(scaled, X, X, **named)
        np.testing.assert_allclose(product, 2 * named.get("by", 2.0) * X, rtol=1e-14)
    assert fd.gradient(scaled, X, by=3.0, argnum="by") == pytest.approx(np.sum(X**2))
    inner = fd.derivative(lambda t: fd.gradient(scaled, X, offset=t)[0], 1.0)
    assert inner == pytest.approx(1.0)
    with pytest.raises(fd.ArgumentError, match="scaled has no argument of that name: it takes x, by, offset"):
        fd.gradient(scaled, X, of=1.0)
    with pytest.raises(fd.ArgumentError, match="got by twice"):
        fd.gradient(scaled)(X, 1.0, by=2.0)
    with pytest.raises(fd.ArgumentError, match="gradient takes no sparsity="):
        fd.gradient(scaled, X, sparsity="detect")
    with pytest.raises(fd.ArgumentError, match="by position"):
        fd.gradient(fd.fwddiff(lambda a, *b: a * b[0]).sum)(X, a=2.0)


@pytest.mark.parametrize("f", [np.sum, np.mean, np.prod, np.linalg.norm])
def test_numpys_functions_themselves(f):
    """Options of theirs that have no value but a mark are no arguments."""
    step = np.eye(3) * 1e-6
    expected = [(f(X + d) - f(X - d)) / 2e-6 for d in step]
    np.testing.assert_allclose(fd.gradient(f, X), expected, rtol=1e-7)
    np.testing.assert_allclose(fd.jacobian(functools.partial(np.sum, axis=0), np.eye(2)).sum(), 4.0)


def test_a_derivative_by_several_numbers_is_a_gradient():
    with pytest.raises(fd.ArgumentError, match="argnum= names 2: gradient gives a tuple"):
        fd.derivative(lambda a, b: a * b, 2.0, 3.0, argnum=(0, 1))
    assert fd.gradient(lambda a, b: a * b, 2.0, 3.0, argnum=(0, 1)) == (3.0, 2.0)
