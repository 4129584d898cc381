"""Prepared and curried operators: the numbers of the operators themselves, nothing stale, clear refusals."""

import copy
import dataclasses
import functools
import math
import pickle
import threading

import numpy as np
import pytest

import fwddiff as fd
from catalogue import Point
from fwddiff._operators._fast import MISMATCH
from fwddiff.engines.numpy.function import UserFunction

X, Y = np.array([0.5, -1.2, 2.0]), np.array([1.5, 0.3, -0.7])
V = np.array([1.0, 0.5, -2.0])
PLAIN = ("derivative", "gradient", "jacobian", "hessian", "hvp", "pushforward", "pullback")
ALL = (*PLAIN, *(f"value_and_{name}" for name in PLAIN), "value_gradient_and_hessian")


def cubic(x, scale):
    """Gradient 3 s x², Hessian diag(6 s x)."""
    total = 0.0
    for i in range(len(x)):
        total += scale * x[i] ** 3
    return total


def waves(x, scale):
    return np.sin(x) * scale


def wave(x, scale):
    return math.sin(x) * scale


# Operator → function, what stands after x, and value and derivatives in closed form.
CASES = {
    "derivative": (wave, (), lambda x, s: (math.sin(x) * s, math.cos(x) * s)),
    "gradient": (cubic, (), lambda x, s: (np.sum(s * x**3), 3 * s * x**2)),
    "jacobian": (waves, (), lambda x, s: (np.sin(x) * s, np.diag(np.cos(x) * s))),
    "hessian": (cubic, (), lambda x, s: (np.sum(s * x**3), np.diag(6 * s * x))),
    "hvp": (cubic, (V,), lambda x, s: (np.sum(s * x**3), 6 * s * x * V)),
    "pushforward": (waves, (V,), lambda x, s: (np.sin(x) * s, np.cos(x) * s * V)),
    "pullback": (waves, (V,), lambda x, s: (np.sin(x) * s, np.cos(x) * s * V)),
}


def case(name):
    """(operator, function, (co)tangents, expected result of x and s as a tuple of parts)."""
    if name == "value_gradient_and_hessian":
        both = lambda x, s: (np.sum(s * x**3), 3 * s * x**2, np.diag(6 * s * x))  # noqa: E731
        return fd.value_gradient_and_hessian, cubic, (), both
    function, given, expected = CASES[name.removeprefix("value_and_")]
    parts = expected if name.startswith("value_and_") else lambda x, s: expected(x, s)[1:]
    return getattr(fd, name), function, given, parts


def parts_of(name, result):
    return result if name.startswith("value_") else (result,)


def assert_parts(name, result, expected, rtol=1e-13):
    for found, wanted in zip(parts_of(name, result), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=1e-13)
        assert np.shape(found) == np.shape(wanted)


def goes_quickly(prepared, *args):
    """Whether these arguments take the way without set-up work."""
    return prepared._way is not None and prepared._way(args, None) is not MISMATCH


# --- the same numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("name", ALL)
@pytest.mark.every(3)
def test_every_operator(name, backend):
    operator, function, given, expected = case(name)
    x = 0.7 if function is wave else X
    prepared = fd.prepare(operator, function, x, *given, 2.0, backend=backend)
    later = operator(function, backend=backend)
    for factor in (1.0, -0.5, 1.0):
        point, scale = x * factor, 2.0 + factor
        wanted = expected(point, scale)
        assert_parts(name, operator(function, point, *given, scale, backend=backend), wanted)
        assert_parts(name, prepared(point, *given, scale), wanted)
        assert_parts(name, later(point, *given, scale), wanted)
    if backend == "numba":
        assert goes_quickly(prepared, x, *given, 2.0)


@pytest.mark.parametrize("name", [n for n in ALL if "derivative" not in n])
@pytest.mark.every(3)
def test_single_precision(name):
    operator, function, given, expected = case(name)
    x, given = X.astype(np.float32), [v.astype(np.float32) for v in given]
    prepared = fd.prepare(operator, function, x, *given, 2.0)
    assert goes_quickly(prepared, x, *given, 2.0)
    found = prepared(x, *given, 2.0)
    assert_parts(name, found, expected(X, 2.0), rtol=1e-5)
    assert all(np.asarray(part).dtype == np.float32 for part in parts_of(name, found)[1:])


def test_the_tangent_may_be_left_out_when_preparing():
    for operator, function in ((fd.hvp, cubic), (fd.pushforward, waves), (fd.pullback, waves)):
        for args in ((X, 2.0), (X, V, 2.0)):
            prepared = fd.prepare(operator, function, *args)
            np.testing.assert_array_equal(prepared(Y, V, 3.0), operator(function, Y, V, 3.0))
            assert goes_quickly(prepared, Y, V, 3.0)


def likelihood(a, b, log_s, x, y):
    total, s = 0.0, math.exp(log_s)
    for i in range(len(x)):
        z = (y[i] - a - b * x[i]) / s
        total += 0.5 * z * z + log_s
    return total


PARAMETERS = ["a", "b", "log_s", "x", "y"]


def test_several_arguments():
    """Gradient and Hessian by numbers and by an array, by central differences of the function."""
    args = (0.1, 0.2, 0.3, X, Y)
    step = 1e-6
    for chosen in ((0, 1, 2), ("b", "x"), (3,)):
        numbers = [k if isinstance(k, int) else PARAMETERS.index(k) for k in chosen]
        found = fd.prepare(fd.gradient, likelihood, *args, argnum=chosen)(*args)
        value, both, rows = fd.value_gradient_and_hessian(likelihood, *args, argnum=chosen)
        assert value == pytest.approx(likelihood(*args))
        for k, part, same in zip(numbers, found, both, strict=True):
            np.testing.assert_allclose(part, same, rtol=1e-13)
            for e in range(np.size(args[k])):
                up, down = _moved(args, k, e, step), _moved(args, k, e, -step)
                slope = (likelihood(*up) - likelihood(*down)) / (2 * step)
                assert np.ravel(part)[e] == pytest.approx(slope, rel=1e-7, abs=1e-8)
                higher = fd.gradient(likelihood, *up, argnum=chosen)
                lower = fd.gradient(likelihood, *down, argnum=chosen)
                for row, g, h in zip(rows, higher, lower, strict=True):
                    second = (np.asarray(g) - h) / (2 * step)
                    column = np.reshape(row[numbers.index(k)], (*np.shape(g), -1))[..., e]
                    np.testing.assert_allclose(column, second, rtol=1e-6, atol=1e-7)


def _moved(args, k, element, step):
    args = list(args)
    if np.ndim(args[k]) == 0:
        args[k] = args[k] + step
    else:
        args[k] = args[k].copy()
        args[k][element] += step
    return args


def test_tangents_of_integers():
    later = fd.pushforward(waves)
    for _ in range(3):
        np.testing.assert_allclose(later(X, np.array([1, 2, 3]), 2.0), 2 * np.cos(X) * [1, 2, 3])
    assert later(X, V, 2.0).tolist() == fd.pushforward(waves, X, V, 2.0).tolist()
    prepared = fd.prepare(fd.pushforward, wave, 0.5, 1, 2.0)
    assert prepared(0.5, 3, 2.0) == prepared(0.5, 3.0, 2.0) == 6 * math.cos(0.5)
    assert goes_quickly(prepared, 0.5, 3.0, 2.0)


def test_arguments_that_are_no_numbers():
    def power(x, how, shift):
        return x**2 + shift if how == "square" else x**3

    for operator, given in ((fd.derivative, ()), (fd.pushforward, (1.0,))):
        prepared, later = fd.prepare(operator, power, 2.0, *given, "square", 1.0), operator(power)
        for _ in range(3):
            assert prepared(3.0, *given, "square", 1.0) == later(3.0, *given, "square", 1.0) == 6.0
            assert later(3.0, *given, "cube", 1.0) == 27.0
        with pytest.raises(
            fd.ArgumentError, match="argument 'how' is 'cube', and it was prepared for 'square'"
        ):
            prepared(3.0, *given, "cube", 1.0)


def test_structures():
    def product(p, pair):
        return p.x**2 * p.y * pair[0] + pair[1]["w"]

    pair = (2.0, {"w": 1.0})
    prepared = fd.prepare(fd.gradient, product, Point(3.0, 2.0), pair)
    assert prepared(Point(3.0, 2.0), pair) == Point(24.0, 18.0)
    assert prepared(Point(1.0, 2.0), (1.0, {"w": 0.0})) == Point(4.0, 1.0)
    assert goes_quickly(prepared, Point(3.0, 2.0), pair)
    moved = fd.prepare(fd.pushforward, product, Point(3.0, 2.0), pair)
    assert moved(Point(3.0, 2.0), Point(1.0, 0.5), pair) == 33.0
    curved = fd.prepare(fd.hvp, product, Point(3.0, 2.0), pair)
    assert curved(Point(3.0, 2.0), Point(1.0, 0.5), pair) == Point(14.0, 12.0)
    both = fd.prepare(fd.value_and_gradient, product, Point(3.0, 2.0), pair, argnum=(1, 0))
    assert both(Point(3.0, 2.0), pair) == (37.0, ((18.0, {"w": 1.0}), Point(24.0, 18.0)))


def test_results_with_structure():
    def parts(x):
        return {"sin": np.sin(x), "first": x[0] ** 2, "count": 3}

    value, moved = fd.prepare(fd.value_and_pushforward, parts, X)(X, V)
    np.testing.assert_allclose(value["sin"], np.sin(X))
    assert (value["first"], value["count"]) == (0.25, 3)
    np.testing.assert_allclose(moved["sin"], np.cos(X) * V)
    assert (moved["first"], moved["count"]) == (1.0, None)
    given = {"sin": V, "first": 2.0, "count": None}
    value, found = fd.prepare(fd.value_and_pullback, parts, X, given)(X, given)
    np.testing.assert_allclose(found, np.cos(X) * V + [2.0, 0, 0])
    assert value["count"] == 3


def test_memory_of_any_kind():
    """Columns, transposed matrices and unaligned arrays are what they hold."""

    def total(m):
        return np.sum(m * m * m)

    prepared, later = fd.prepare(fd.gradient, total, np.ones((3, 3))), fd.gradient(total)
    m = np.arange(9.0).reshape(3, 3)
    unaligned = np.frombuffer(b"0" + m.tobytes(), np.uint8)[1:].view(np.float64).reshape(3, 3)
    assert not unaligned.flags.aligned
    for matrix in (m, m.T, np.asfortranarray(m), np.repeat(m, 2, axis=1)[:, ::2], unaligned, m[::-1]):
        for _ in range(3):
            np.testing.assert_array_equal(prepared(matrix), 3 * matrix**2)
            np.testing.assert_array_equal(later(matrix), 3 * matrix**2)


def test_numbers_of_numpy_are_numbers():
    prepared = fd.prepare(fd.derivative, wave, 0.5, 2.0)
    assert prepared(np.float64(0.5), 2.0) == prepared(0.5, np.float64(2.0)) == 2.0 * math.cos(0.5)
    assert prepared(1, 2.0) == 2.0 * math.cos(1.0)


def test_presets_defaults_and_rest():
    half = functools.partial(cubic, scale=2.0)
    np.testing.assert_allclose(fd.prepare(fd.gradient, half, X)(Y), 6 * Y**2)
    first = functools.partial(likelihood, 0.1)
    expected = fd.derivative(likelihood, 0.1, 0.2, 0.3, X, Y, argnum="b")
    prepared = fd.prepare(fd.derivative, first, 0.5, 0.3, X, Y)
    assert prepared(0.2, 0.3, X, Y) == expected
    assert goes_quickly(prepared, 0.2, 0.3, X, Y)

    def with_default(x, weights=np.ones(3)):  # noqa: B008
        return np.sum(x * x * weights)

    prepared, later = fd.prepare(fd.gradient, with_default, X), fd.gradient(with_default)
    assert goes_quickly(prepared, X)
    for _ in range(3):
        np.testing.assert_allclose(prepared(X), 2 * X)
        np.testing.assert_allclose(later(X), 2 * X)
    with_default.__defaults__ = (2 * np.ones(3),)
    np.testing.assert_allclose(prepared(X), 4 * X)
    np.testing.assert_allclose(later(X), 4 * X)

    def rest(x, *factors):
        return np.sum(x) * factors[0] ** 2 * factors[1]

    prepared = fd.prepare(fd.gradient, rest, X, 1.0, 2.0, argnum=(1, 2))
    assert prepared(np.ones(3), 3.0, 4.0) == (72.0, 27.0)
    assert goes_quickly(prepared, np.ones(3), 3.0, 4.0)


def test_integers_that_are_sizes():
    def padded(x, k):
        out = np.zeros(k)
        out[0] = x * x
        return out

    prepared, later = fd.prepare(fd.jacobian, padded, 2.0, 3), fd.jacobian(padded)
    for k in (3, 5, 3):
        assert prepared(3.0, k).tolist() == later(3.0, k).tolist() == [6.0] + [0.0] * (k - 1)


def test_wrapped_operations():
    g = fd.fwddiff(lambda x, a: math.exp(-a * x))
    prepared = fd.prepare(fd.value_and_gradient, g.sum, X, 0.5, argnum=(0, 1))
    assert goes_quickly(prepared, X, 0.5)
    value, (by_x, by_a) = prepared(Y, 0.25)
    assert value == pytest.approx(np.sum(np.exp(-0.25 * Y)))
    np.testing.assert_allclose(by_x, -0.25 * np.exp(-0.25 * Y))
    assert by_a == pytest.approx(np.sum(-Y * np.exp(-0.25 * Y)))
    value, found = fd.value_and_jacobian(g.broadcast, X, 0.5)
    np.testing.assert_allclose(value, np.exp(-0.5 * X))
    np.testing.assert_allclose(found, np.diag(-0.5 * np.exp(-0.5 * X)))
    value, slope, curvature = fd.value_gradient_and_hessian(g.sum, X, 0.5)
    np.testing.assert_allclose(slope, -0.5 * np.exp(-0.5 * X))
    np.testing.assert_allclose(curvature, np.diag(0.25 * np.exp(-0.5 * X)), atol=1e-15)


def test_custom_rules():
    def rrule(x):
        return np.sum(x * x), lambda c: (5.0 * c * x,)

    g = fd.custom_rule(lambda x: np.sum(x * x), rrule=rrule)
    value, slope = fd.value_and_gradient(g, X)
    assert value == np.sum(X * X)
    np.testing.assert_array_equal(slope, 5 * X)
    np.testing.assert_array_equal(fd.prepare(fd.gradient, g, X)(Y), 5 * Y)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_functions_of_integers_have_the_derivative_zero(backend):
    value, slope, curvature = fd.value_gradient_and_hessian(lambda x: 7, X, backend=backend)
    assert (value, slope.tolist(), curvature.tolist()) == (7, [0.0] * 3, np.zeros((3, 3)).tolist())
    assert fd.prepare(fd.value_and_hvp, lambda x: 7, X, backend=backend)(X, V)[1].tolist() == [0.0] * 3


def test_infinite_slopes_stay_where_they_are():
    """inf · 0 would be nan: a kernel that finds one makes a second attempt."""

    def root(x):
        return math.sqrt(x[0]) + x[1] ** 2

    prepared, x = fd.prepare(fd.value_and_gradient, root, np.ones(3)), np.array([0.0, 2.0, 1.0])
    value, slope = prepared(x)
    assert value == 4.0
    assert slope.tolist() == [math.inf, 4.0, 0.0]
    assert goes_quickly(prepared, x)
    out = np.empty(3)
    assert prepared(x, out=out)[1].tolist() == [math.inf, 4.0, 0.0]


def test_errors_of_the_function_come_through():
    def positive(x):
        if x[0] < 0:
            raise ValueError("negative")
        return np.sum(x)

    prepared = fd.prepare(fd.gradient, positive, X)
    with pytest.raises(ValueError, match="negative"):
        prepared(-X)
    assert prepared(X).tolist() == [1.0] * 3


# --- nothing is stale ---------------------------------------------------------------------------------------

weights = np.array([1.0, 2.0, 3.0])
factor = 2.0


def helper(x):
    return x * x


def weighted(x):
    return factor * np.sum(weights * helper(x))


@pytest.mark.parametrize("kind", ["prepared", "curried", "direct"])
@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_what_is_captured_may_change(kind, backend, monkeypatch):
    made = {
        "prepared": lambda: fd.prepare(fd.gradient, weighted, X, backend=backend),
        "curried": lambda: fd.gradient(weighted, backend=backend),
        "direct": lambda: lambda x: fd.gradient(weighted, x, backend=backend),
    }[kind]()
    for _ in range(3):
        np.testing.assert_allclose(made(X), 4 * weights * X)
    monkeypatch.setitem(globals(), "factor", 3.0)
    np.testing.assert_allclose(made(X), 6 * weights * X)
    monkeypatch.setitem(globals(), "weights", weights[::-1].copy())
    np.testing.assert_allclose(made(X), 6 * weights * X)
    weights[0] = 100.0  # of the copy
    np.testing.assert_allclose(made(X), 6 * weights * X)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_code_that_changes(backend, monkeypatch):
    prepared, later = (
        fd.prepare(fd.gradient, weighted, X, backend=backend),
        fd.gradient(weighted, backend=backend),
    )
    for _ in range(3):
        np.testing.assert_allclose(later(X), 2 * factor * weights * X)
    monkeypatch.setitem(globals(), "helper", lambda x: x * x * x)
    np.testing.assert_allclose(later(X), 3 * factor * weights * X**2)
    with pytest.raises(fd.StaleError, match=r"prepared gradient of weighted.*Prepare it again"):
        prepared(X)
    monkeypatch.undo()
    np.testing.assert_allclose(later(X), 2 * factor * weights * X)
    np.testing.assert_allclose(prepared(X), 2 * factor * weights * X)


def test_captured_values_of_other_kinds(monkeypatch):
    prepared, later = fd.prepare(fd.gradient, weighted, X), fd.gradient(weighted)
    for value in (3, np.float32(3.0)):
        monkeypatch.setitem(globals(), "factor", value)
        np.testing.assert_allclose(later(X), 2 * 3 * weights * X)
        with pytest.raises(fd.FwdDiffError, match="prepared gradient of weighted"):
            prepared(X)
    monkeypatch.undo()
    monkeypatch.setitem(globals(), "weights", np.ones((2, 3)))
    with pytest.raises(fd.ShapeError, match=r"captured 'weights' is an array of shape \(2, 3\)"):
        prepared(X)


def test_methods_read_their_object():
    class Model:
        def __init__(self):
            self.scale = np.ones(3)

        def loss(self, x):
            return np.sum(self.scale * x * x)

    model = Model()
    prepared, later = fd.prepare(fd.gradient, model.loss, X), fd.gradient(model.loss)
    for k in range(1, 4):
        model.scale = k * np.ones(3)
        np.testing.assert_allclose(prepared(X), 2 * k * X)
        np.testing.assert_allclose(later(X), 2 * k * X)


class Spring:
    """An object with a prepared gradient of its own energy."""

    def __init__(self):
        self.stiffness = 2.0
        self.force = fd.prepare(fd.gradient, self.energy, X)

    def energy(self, x):
        return self.stiffness * np.sum(x * x)


def test_copies_belong_to_the_copied_object():
    spring = Spring()
    for other in (copy.deepcopy(spring), pickle.loads(pickle.dumps(spring))):
        other.stiffness = 5.0
        np.testing.assert_allclose(other.force(X), 10 * X)
        with pytest.raises(fd.ShapeError, match=r"of shape \(2,\)"):
            copy.copy(other.force)(np.ones(2))
        np.testing.assert_allclose(spring.force(X), 4 * X)
        assert goes_quickly(other.force, X)


def test_classes_of_arguments_may_change():
    @dataclasses.dataclass
    class Rate:
        k: float

        def squared(self):
            return self.k**2

    def energy(rate):
        return rate.squared()

    prepared, later = fd.prepare(fd.gradient, energy, Rate(3.0)), fd.gradient(energy)
    for _ in range(3):
        assert prepared(Rate(3.0)).k == later(Rate(3.0)).k == 6.0
    Rate.squared = lambda self: self.k**3
    assert later(Rate(3.0)).k == 27.0
    with pytest.raises(fd.FwdDiffError):
        prepared(Rate(3.0))


def test_shapes_and_types_may_change_where_nothing_is_prepared():
    later = fd.gradient(cubic)
    for _ in range(3):
        for n in (2, 3, 5):
            x = np.linspace(0.1, 1.0, n)
            np.testing.assert_allclose(later(x, 2.0), 6 * x**2, rtol=1e-13)
            assert later(x.astype(np.float32), 2.0).dtype == np.float32
            np.testing.assert_allclose(later(x, 2), 6 * x**2, rtol=1e-13)
            assert later(np.arange(n), 1.0).tolist() == [3.0 * k**2 for k in range(n)]


# --- inside of other derivatives ----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["auto", "numba", "numpy"])
def test_prepared_operators_nest(backend):
    """d/dq of (2 s x) at x = q, s = q: 4 q; a prepared operator that is called on plain numbers is one."""
    inner = fd.prepare(fd.derivative, lambda x, s: s * x * x, 1.0, 2.0, backend=backend)
    later = fd.derivative(lambda x, s: s * x * x, backend=backend)
    assert inner(3.0, 2.0) == later(3.0, 2.0) == 12.0
    for _ in range(2):
        assert fd.derivative(lambda q: inner(q, q), 3.0) == pytest.approx(12.0)
        assert fd.derivative(lambda q: later(q, q), 3.0) == pytest.approx(12.0)
        assert fd.derivative(lambda q: inner(3.0, 2.0) * q, 3.0) == pytest.approx(12.0)
    outer = fd.prepare(fd.derivative, lambda q: inner(q, q) + later(q, 2.0) * q, 1.0)
    assert outer(3.0) == pytest.approx(12.0 + 24.0)


def test_a_dual_that_is_captured():
    """d/dc (d/dx c x²) = 2 x, where the inner function gets c from around it."""

    def slope(c):
        return fd.derivative(lambda x: c * x * x)(3.0)

    for _ in range(3):
        assert fd.derivative(slope, 2.0) == 6.0


def test_preparing_inside_of_a_derivative():
    with pytest.raises(fd.ArgumentError, match="prepare outside of the function"):
        fd.derivative(lambda q: fd.prepare(fd.derivative, lambda x: x * x, q)(q), 3.0)


# --- out= ---------------------------------------------------------------------------------------------------

WRITTEN = [n for n in ALL if "derivative" not in n]


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("name", WRITTEN)
def test_out_is_written_and_returned(name, backend):
    operator, function, given, expected = case(name)
    wanted = expected(X, 2.0)
    derivatives = wanted[1:] if name.startswith("value_") else wanted
    prepared = fd.prepare(operator, function, X, *given, 2.0, backend=backend)
    later = operator(function, backend=backend)
    direct = functools.partial(operator, function, backend=backend)
    for made in (direct, prepared, later, later, later):
        outs = [np.full(np.shape(part), np.nan) for part in derivatives]
        out = tuple(outs) if len(outs) > 1 else outs[0]
        found = parts_of(name, made(X, *given, 2.0, out=out))
        assert_parts(name, found if name.startswith("value_") else found[0], wanted)
        for given_array, part in zip(outs, found[-len(outs) :], strict=True):
            assert part is given_array


def test_out_that_is_an_input_or_not_contiguous():
    start = np.linspace(0.5, 2.0, 50)  # several passes: what is written too early is read again
    prepared = fd.prepare(fd.gradient, cubic, start, 2.0)
    x = start.copy()
    assert prepared(x, 2.0, out=x) is x
    np.testing.assert_allclose(x, 6 * start**2)
    for shift in (-3, 3):
        both = np.zeros(60)
        both[5:55] = start
        prepared(both[5:55], 2.0, out=both[5 + shift : 55 + shift])
        np.testing.assert_allclose(both[5 + shift : 55 + shift], 6 * start**2)
    wide = np.zeros(100)
    prepared(start, 2.0, out=wide[::2])
    np.testing.assert_allclose(wide, np.ravel([6 * start**2, np.zeros(50)], "F"))


@pytest.mark.parametrize("is_prepared", [True, False])
def test_out_that_does_not_fit(is_prepared):
    made = fd.prepare(fd.gradient, cubic, X, 2.0) if is_prepared else fd.gradient(cubic)
    locked = np.zeros(3)
    locked.flags.writeable = False
    for _ in range(3):
        for out, error, text in (
            (np.zeros(4), fd.ShapeError, r"out= has shape \(4,\), the result \(3,\)"),
            (np.zeros(3, np.float32), fd.ArgumentError, "out= has dtype float32"),
            ([0.0] * 3, fd.ArgumentError, "not list"),
            (locked, fd.ArgumentError, "read-only"),
        ):
            with pytest.raises(error, match=text):
                made(X, 2.0, out=out)


def test_out_of_a_result_that_is_no_array():
    with pytest.raises(fd.ArgumentError, match="out= is for results that are one array"):
        fd.derivative(wave, 0.5, 2.0, out=np.zeros(()))
    with pytest.raises(fd.ArgumentError, match="out= is for results that are one array"):
        fd.prepare(fd.gradient, likelihood, 0.1, 0.2, 0.3, X, Y, argnum=(0, 1))(
            0.1, 0.2, 0.3, X, Y, out=np.zeros(2)
        )


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_other_arguments_are_refused(backend):
    prepared = fd.prepare(fd.gradient, cubic, X, 2.0, backend=backend)
    for args, error, text in (
        (
            (np.ones(4), 2.0),
            fd.ShapeError,
            r"argument 'x' is an array of shape \(4,\) .*prepared for .*\(3,\)",
        ),
        ((np.ones((3, 1)), 2.0), fd.ShapeError, r"\(3, 1\)"),
        ((X.astype(np.float32), 2.0), fd.ArgumentError, "dtype float32"),
        ((X, 2), fd.ArgumentError, "argument 'scale' is an int, and it was prepared for a float"),
        ((X, np.ones(3)), fd.ArgumentError, "argument 'scale' is an array"),
        (
            (X.tolist(), 2.0),
            fd.StructureError,
            r"argument 'x' has the structure of \[\*, \*, \*\], and it was prepared for one number",
        ),
        ((X,), fd.ArgumentError, "scale"),
    ):
        with pytest.raises(error, match=text):
            prepared(*args)
    np.testing.assert_allclose(prepared(Y, 3.0), 9 * Y**2)


def test_other_structures_are_refused():
    prepared = fd.prepare(fd.gradient, lambda p: p["a"] * 2.0, {"a": 1.0})
    with pytest.raises(fd.StructureError, match="argument 'p' has the structure"):
        prepared({"a": 1.0, "b": 2.0})
    with pytest.raises(fd.StructureError, match="the structure of a list with 99 leaves"):
        prepared([1.0] * 99)
    with pytest.raises(fd.ShapeError, match=r"argument 'p' at \['a'\] is an array"):
        fd.prepare(fd.gradient, lambda p: np.sum(p["a"]), {"a": X})({"a": np.ones(2)})


def test_other_tangents_are_refused():
    for operator, function in ((fd.hvp, cubic), (fd.pushforward, waves), (fd.pullback, waves)):
        prepared = fd.prepare(operator, function, X, 2.0)
        with pytest.raises(fd.ShapeError, match=r"tangent has shape \(2,\)"):
            prepared(X, np.ones(2), 2.0)
        with pytest.raises(fd.ArgumentError, match=r"needs a (co)?tangent after the point"):
            prepared(X)
        np.testing.assert_allclose(prepared(X, V.astype(int), 2.0), operator(function, X, V.astype(int), 2.0))


def test_misuse():
    with pytest.raises(
        fd.ArgumentError, match=r"is no operator: prepare one of fd\.derivative, fd\.gradient"
    ):
        fd.prepare(np.gradient, cubic, X)
    with pytest.raises(fd.ArgumentError, match="needs arguments like those of later calls"):
        fd.prepare(fd.gradient, cubic)
    with pytest.raises(fd.ArgumentError, match="Perhaps you meant jacobian"):
        fd.prepare(fd.gradient, waves, X, 2.0)
    with pytest.raises(fd.ArgumentError, match="Use gradient or jacobian"):
        fd.prepare(fd.derivative, cubic, X, 2.0)
    with pytest.raises(fd.ArgumentError, match="gradient takes no sparsity="):
        fd.prepare(fd.gradient, cubic, X, 2.0, sparsity="detect")
    with pytest.raises(fd.ArgumentError, match="chunk=0"):
        fd.gradient(cubic, X, 2.0, chunk=0)
    with pytest.raises(fd.ArgumentError, match="has no argument of that name: it takes"):
        fd.gradient(cubic)(X, size=2.0)


def test_arguments_by_name():
    prepared = fd.prepare(fd.gradient, stretched, X, by=2.0, offset=1.0)
    expected = fd.gradient(stretched, X, 3.0, offset=1.0)
    for found in (prepared(X, 3.0), prepared(X, by=3.0), prepared(by=3.0, x=X)):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(fd.ArgumentError, match="cannot take offset by name"):
        prepared(X, 3.0, offset=2.0)
    product = fd.prepare(fd.hvp, stretched, X, V, by=2.0)
    np.testing.assert_allclose(product(X, V, by=3.0), fd.hvp(stretched, X, V, 3.0))
    with pytest.raises(fd.ArgumentError, match="needs its tangent too"):
        fd.prepare(fd.hvp, stretched, X, by=2.0)


def stretched(x, by=1.0, *, offset=0.0):
    total = 0.0
    for k in range(len(x)):
        total += by * (x[k] - offset) ** 3
    return total


def test_arrays_of_a_framework():
    torch = pytest.importorskip("torch")
    x = torch.tensor(X)
    prepared = fd.prepare(fd.hessian, lambda x: torch.sum(x**3), x, backend="torch")
    np.testing.assert_allclose(prepared(2 * x), np.diag(12 * X))
    with pytest.raises(fd.ShapeError, match=r"a Tensor of shape \(1,\)"):
        prepared(x[:1])
    with pytest.raises(fd.ArgumentError, match=r"dtype torch\.float32"):
        prepared(x.float())


# --- work ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in ALL if n.startswith("value_")])
def test_values_come_in_the_same_pass(name, monkeypatch):
    operator, function, given, _ = case(name)
    x = 0.7 if function is wave else X
    prepared = fd.prepare(operator, function, x, *given, 2.0, backend="numpy")
    calls, run = [], UserFunction.__call__
    monkeypatch.setattr(UserFunction, "__call__", lambda *given: calls.append(1) or run(*given))
    prepared(x, *given, 2.0)
    assert len(calls) == 1


def test_a_hessian_by_many_arguments_is_one_kernel(monkeypatch):
    from fwddiff.engines.numba import pipeline

    made, compile_it = [], pipeline.machine_code
    monkeypatch.setattr(pipeline, "machine_code", lambda *how: made.append(1) or compile_it(*how))

    def product(a, b, c, d):
        return math.exp(a * b) * c * d

    rows = fd.hessian(product, 0.1, 0.2, 0.3, 0.4, argnum=(0, 1, 2, 3))
    assert len(made) == 1
    e = math.exp(0.02)
    np.testing.assert_allclose(rows[0], [0.04 * e * 0.12, 1.02 * e * 0.12, 0.2 * e * 0.4, 0.2 * e * 0.3])
    np.testing.assert_allclose(np.array(rows), np.array(rows).T)


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_chunks(chunk):
    prepared = fd.prepare(fd.gradient, cubic, X, 2.0, chunk=chunk)
    np.testing.assert_allclose(prepared(Y, 2.0), 6 * Y**2)
    assert prepared.wrapped.options["chunk"] == chunk


def test_nothing_is_kept_alive():
    import weakref

    x = np.ones(3)
    prepared, later = fd.prepare(fd.gradient, cubic, x, 2.0), fd.gradient(cubic)
    for _ in range(3):
        later(x, 2.0)
    gone = weakref.ref(x)
    del x
    assert gone() is None
    assert prepared(X, 2.0).shape == (3,)


def test_threads_share_one():
    prepared, later, wrong = fd.prepare(fd.value_and_gradient, cubic, X, 2.0), fd.gradient(cubic), []

    def work(seed):
        random = np.random.default_rng(seed)
        for _ in range(300):
            x, scale = random.normal(size=3), random.normal()
            value, slope = prepared(x, scale)
            expected = 3 * scale * x**2
            same = np.allclose(slope, expected, rtol=1e-12) and np.allclose(
                later(x, scale), expected, rtol=1e-12
            )
            if not same or not math.isclose(value, np.sum(scale * x**3), rel_tol=1e-9, abs_tol=1e-12):
                wrong.append(x)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_slices_take_the_quick_way():
    """Rows that do not follow each other are copied, and two shapes in turn are both remembered."""
    pushed = fd.pushforward(lambda x: x * x)
    arrays = [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24.0).reshape(4, 6)[::2, ::-2],
        np.arange(6.0).reshape(2, 3)[:, :-1],
        np.arange(6.0).reshape(3, 2).T[:, 1:],
    ]
    for _ in range(4):
        for x in arrays:
            kept = x.copy()
            t = np.asfortranarray(1.0 + x)
            np.testing.assert_array_equal(pushed(x, t), 2 * x * t)
            np.testing.assert_array_equal(x, kept)
    room = np.arange(8.0)
    overlapping = room[::2]
    gradient = fd.gradient(lambda x: np.sum(x**3))
    for _ in range(3):
        room[:] = np.arange(8.0)
        assert gradient(overlapping, out=room[:4]).tolist() == [0.0, 12.0, 48.0, 108.0]


def test_two_shapes_in_turn_need_no_search(monkeypatch):
    from fwddiff._operators._calls import Curried

    gradient = fd.gradient(lambda x: np.sum(x * x))
    x, y = np.ones(3), np.ones((2, 2)).T
    for _ in range(3):
        gradient(x), gradient(y)
    monkeypatch.delattr(Curried, "_answer")
    assert gradient(x).tolist() == [2.0] * 3
    assert gradient(y).tolist() == [[2.0, 2.0]] * 2
    assert gradient(x[::1]).tolist() == [2.0] * 3
