"""The rule layer on plain arguments: thunks, structures, and every function of the catalogue by both
modes."""

import numpy as np
import pytest

import fwddiff as fd
from catalogue import CASES, Exponential, Point, flatten, float_leaves, log_density, tolerance
from fwddiff import fwddiff
from test_catalogue import ENGINES, expected, wrapped


def sums_of_powers(x, pair, array):
    squares = x**2 + pair[0] ** 2 + pair[1] ** 2
    cubes = x**3 + pair[0] ** 3 + pair[1] ** 3
    for element in array:
        squares += element**2
        cubes += element**3
    return squares, cubes, 42


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("passes", ["single", "per_argument"])
def test_the_seed_example(engine, passes):
    g = fwddiff(sums_of_powers, engine=engine, passes=passes)
    y, pullback = fd.rrule(g, 2.0, (3.0, 4.0), np.array([5.0, 6.0, 7.0]))
    assert y == (139.0, 783.0, 42)
    thunks = pullback((10, 20, 30))
    assert not any(thunk.computed for thunk in thunks)
    x_bar, pair_bar, array_bar = map(fd.unthunk, thunks)
    assert (x_bar, pair_bar) == (280.0, (600.0, 1040.0))
    np.testing.assert_array_equal(array_bar, [1600.0, 2280.0, 3080.0])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pullback_of_sum(case, engine):
    y, pullback = fd.rrule(wrapped(case, engine).sum, *case.arguments)
    ones = [1.0 if isinstance(leaf, float) else None for leaf in flatten(y)[0]]
    spec = flatten(y)[1]
    cotangents = [fd.unthunk(thunk) for thunk in pullback(spec.unflatten(ones) if len(ones) > 1 else ones[0])]
    for found, wanted in zip(float_leaves(cotangents), expected(case), strict=True):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=tolerance(case), atol=tolerance(case))


@pytest.mark.parametrize("engine", ENGINES)
def test_pushforward_and_pullback_are_transposes(engine):
    """<ct, J t> = <Jᵀ ct, t> for random t and ct: no reference values needed."""
    random = np.random.default_rng(3)
    x, theta = random.uniform(0.5, 2, (4, 1)), random.uniform(0.5, 2, 3)
    g = fwddiff(log_density, engine=engine).broadcast
    tangents = Exponential(random.normal(size=3)), random.normal(size=(4, 1))
    y, dy = fd.frule(g, (Exponential(theta), x), tangents)
    cotangent = random.normal(size=y.shape)
    model_bar, x_bar = map(fd.unthunk, fd.rrule(g, Exponential(theta), x)[1](cotangent))
    forward = np.sum(cotangent * dy)
    backward = np.sum(model_bar.theta * tangents[0].theta) + np.sum(x_bar * tangents[1])
    np.testing.assert_allclose(forward, backward, rtol=1e-12)


def test_cotangents_mirror_their_arguments():
    def f(point, n, name, nothing, flag):
        return point.x * point.y * n if flag and nothing is None and name == "a" else 0.0

    _, pullback = fd.rrule(f, Point(2.0, 3.0), 4, "a", None, True)
    assert [fd.unthunk(t) for t in pullback(1.0)] == [Point(12.0, 8.0), None, None, None, None]


def test_a_thunk_computes_once_and_only_when_asked():
    calls = []
    thunk = fd.Thunk(lambda: calls.append(1) or 5.0)
    assert (thunk.computed, calls) == (False, [])
    assert (fd.unthunk(thunk), fd.unthunk(thunk), calls) == (5.0, 5.0, [1])
    assert fd.unthunk(3.0) == 3.0


def test_only_the_argument_asked_for_is_computed():
    """With passes="per_argument", a thunk runs the pass of its own argument alone."""
    g = fwddiff(lambda x, y: x * y, passes="per_argument")
    _, pullback = fd.rrule(g, 2.0, 3.0)
    assert fd.unthunk(pullback(1.0)[1]) == 2.0
    assert list(g.whole.prepare(2.0, 3.0).rule._derived_cache) == [("pullback", (1,))]


def test_zero_cotangents_and_tangents():
    g = fwddiff(lambda x, y: (x * y, x + y))
    _, pullback = fd.rrule(g, 2.0, 3.0)
    assert [fd.unthunk(t) for t in pullback((None, 1.0))] == [1.0, 1.0]
    assert [fd.unthunk(t) for t in pullback(0)] == [0.0, 0.0]
    assert fd.frule(g, (2.0, 3.0), (None, 1.0)) == ((6.0, 5.0), (2.0, 1.0))
    assert fd.frule(g, (2.0, 3.0), (0.0, None))[1] == (0.0, 0.0)


def test_wrt():
    g = fwddiff(lambda x, y: x * y, wrt="y")
    _, pullback = fd.rrule(g, 2.0, 3.0)
    assert [fd.unthunk(t) for t in pullback(1.0)] == [None, 2.0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 30])
def test_gradient_of_an_array_argument_by_chunks(size, engine):
    def rosenbrock(x):
        total = 0.0
        for i in range(len(x) - 1):
            total += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
        return total

    scipy_optimize = pytest.importorskip("scipy.optimize")
    x = np.linspace(-1.2, 1.3, size)
    _, pullback = fd.rrule(wrapped_rosenbrock(rosenbrock, engine), x)
    wanted = scipy_optimize.rosen_der(x) if size > 1 else np.zeros(size)
    np.testing.assert_allclose(fd.unthunk(pullback(1.0)[0]), wanted, rtol=1e-12, atol=1e-12)


_rosenbrock: dict = {}


def wrapped_rosenbrock(function, engine):
    return _rosenbrock.setdefault(engine, fwddiff(function, engine=engine))


@pytest.mark.parametrize("wrt", [None, "scale", "x"])
def test_a_copy_of_a_constant_array_has_room_for_derivatives(wrt):
    """`np.empty_like(x)` where x is not differentiated, filled with what depends on another argument."""

    def scaled(x, scale):
        out = np.empty_like(x)
        for i in range(len(x)):
            out[i] = scale * x[i]
        return out

    x = np.array([1.0, 2.0, 3.0])
    _, pullback = fd.rrule(fwddiff(scaled, wrt=wrt), x, 2.0)
    x_bar, scale_bar = map(fd.unthunk, pullback(np.ones(3)))
    assert scale_bar == (None if wrt == "x" else 6.0)
    assert x_bar is None if wrt == "scale" else x_bar.tolist() == [2.0, 2.0, 2.0]
