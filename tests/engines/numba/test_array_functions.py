"""NumPy on small arrays inside compiled functions: values against NumPy, derivatives against differences.

Compiling is what takes time: functions do several operations each, and with `chunk=1` the pullback shares
the types, and so the code, of the pushforward.
"""

import numba
import numpy as np
import pytest

import fwddiff as fd
from fwddiff import _capture, _tree, fwddiff, rules
from fwddiff._problem import Problem
from fwddiff._rule import Slot
from fwddiff.engines import numba as engine

RANDOM = np.random.default_rng(11)


def rule_of(f, *arguments, chunk=None):
    """The engine's rule of `f` for whole arguments like these; it serves all sizes of the arrays."""
    leaves, structure = _tree.flatten(arguments)
    leaves = [np.asarray(leaf) for leaf in leaves]
    slots = tuple(Slot(leaf.dtype, leaf.ndim, leaf.dtype.kind == "f") for leaf in leaves)
    return engine.rule(Problem(_capture.plan(f), structure, (), {}, slots, None, chunk=chunk))


def outputs_of(f, arguments):
    result = f(*arguments)
    return [np.asarray(y) for y in (result if isinstance(result, tuple) else (result,))]


def slopes(f, arguments, k):
    """Derivatives of the outputs by central differences: by output, then by element of argument k."""
    step, columns = 1e-6, [[] for _ in outputs_of(f, arguments)]
    for index in np.ndindex(np.shape(arguments[k])):
        moved = [[np.array(a, np.float64) if j == k else a for j, a in enumerate(arguments)] for _ in "ab"]
        moved[0][k][index] += step
        moved[1][k][index] -= step
        for column, up, down in zip(columns, *(outputs_of(f, m) for m in moved), strict=True):
            column.append((up - down) / (2 * step))
    return columns


class Checked:
    """Value, pushforward and pullback of one function, compiled once and checked at several arguments."""

    def __init__(self, f, *example, chunk=1):
        self.f, self.rule = f, rule_of(f, *example, chunk=chunk)
        self.active = tuple(k for k, slot in enumerate(self.rule.inputs) if slot.dtype.kind == "f")
        self.pushforward = self.rule.pushforward(self.active)
        self.pullback = self.rule.pullback(self.active)

    def __call__(self, *arguments, tolerance=1e-7):
        arrays = [np.asarray(a) for a in arguments]
        wanted = outputs_of(self.f, arguments)
        for found, y in zip(self.rule(arrays), wanted, strict=True):
            np.testing.assert_allclose(found, y, rtol=1e-12, atol=1e-13)
        jacobians = {k: slopes(self.f, arrays, k) for k in self.active}
        tangents = {k: RANDOM.normal(size=arrays[k].shape) for k in self.active}
        cotangents = [RANDOM.normal(size=y.shape) for y in wanted]
        for j, found in enumerate(self.pushforward([*arrays, *tangents.values()])):
            pushed = np.zeros(wanted[j].shape)
            for k in self.active:
                pushed += sum(t * d for t, d in zip(tangents[k].ravel(), jacobians[k][j], strict=True))
            np.testing.assert_allclose(found, pushed, rtol=tolerance, atol=tolerance)
        for k, found in zip(self.active, self.pullback([*arrays, *cotangents]), strict=True):
            pulled = sum(
                np.array([np.sum(c * d) for d in column])
                for c, column in zip(cotangents, jacobians[k], strict=True)
            )
            assert found.shape == arrays[k].shape
            np.testing.assert_allclose(found.ravel(), pulled, rtol=tolerance, atol=tolerance)


def numbers(*shape):
    """Numbers between 0.2 and 0.8, where the functions below are smooth."""
    return RANDOM.uniform(0.2, 0.8, shape)


UNARY = [
    "negative",
    "positive",
    "square",
    "reciprocal",
    "sign",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "absolute",
    "fabs",
    "sqrt",
    "cbrt",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "radians",
    "degrees",
    "deg2rad",
    "rad2deg",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "arcsinh",
    "arctanh",
    "sinh",
    "cosh",
    "tanh",
    "sinc",
]


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_every_unary_function(step):
    known = {f for row in rules.built_in() if len(row.arguments) == 1 for f in row.functions}
    elsewhere = {np.arccosh, np.fix}
    ufuncs = {f for f in known if isinstance(f, np.ufunc)} | elsewhere
    assert ufuncs | {np.sinc} == {getattr(np, name) for name in UNARY} | elsewhere
    terms = " + ".join(f"{1 + 0.1 * k:.1f} * np.{name}(x)" for k, name in enumerate(UNARY[::step]))
    namespace = {"np": np}
    exec(f"def every(x):\n    return {terms} + np.arccosh(x + 1.0) + x * np.fix(x + 3.0)", namespace)
    Checked(namespace["every"], numbers(3), chunk=None)(numbers(7), tolerance=1e-6)


def binary(x, m, s, n):
    """Arrays of one and two axes, a number, integers, constants, arrays made on the spot."""
    a = (x + m) * (m - s) / (x * 2.0 + 1.0) - s / x + n * x - (1 - m) // 3 + np.arange(x.size) * x
    b = x**m + m**2 + 2.0**x + s**x + x ** (-1) + m**0.5 + np.power(x, s) + (m + n) ** 3 + pow(x, 2)
    c = np.hypot(x, m) + np.arctan2(x, s) + np.logaddexp(m, 0.3) + np.logaddexp2(s, m) + np.copysign(x, -m)
    d = np.maximum(x, m) + np.minimum(m, 0.5) + np.fmax(0.4, x) * np.fmin(x, s) + np.heaviside(x - 0.5, s) * m
    e = np.remainder(m, 0.3) + (m + 1.0) % s + np.fmod(x, 0.25) * np.floor_divide(m, s) + np.ldexp(m, 2)
    f = np.add(x, 1) * np.subtract(m, x) / np.multiply(s, x) + np.divide(m, s) - np.float_power(x, 1.5)
    return a, b + c, d + e * f, abs(x - 0.5) + np.linspace(0.0, 1.0, x.size)


@pytest.mark.slow
def test_binary_functions_broadcast():
    check = Checked(binary, numbers(2), numbers(2, 2), 0.4, np.arange(2))
    for n in (0, 1, 7, 8, 9):
        check(numbers(n), numbers(2, n), 0.37, np.arange(n))
    check(numbers(4), numbers(3, 1), 0.61, np.arange(4))


def choices(x, y):
    middle = np.where((x > 0.4) & (y < 0.6), x * y, 2.0 * y)
    ends = np.where(x >= y, x, 0.0) + np.where(x != 0.5, 1.0, y) * np.where(np.isfinite(x), y, x)
    clipped = (
        np.clip(x, 0.3, 0.6) + np.clip(y, None, 0.5) + x.clip(y, 0.7) + np.clip(x, a_min=0.4, a_max=y[0])
    )
    count = np.sum(np.less(x, y)) + np.sum(np.isnan(x) | (y == 2.0))
    return middle, ends, clipped, np.sum(x[x > 0.4]) * count, x[::-1] - y


@pytest.mark.slow
def test_choices_and_comparisons():
    x, y = numbers(9), numbers(9)
    check = Checked(choices, x, y)
    check(x, y)
    check(numbers(8), numbers(8))


def reductions(x, m):
    normal = (x - np.mean(x)) / np.std(x)
    axes = m.sum(axis=0) * np.mean(m, axis=0) + np.prod(m, axis=-2)
    numbers = x.prod() + np.var(m) + x.var(ddof=1) + np.sum(x, axis=0) * np.linalg.norm(m)
    extremes = np.max(x) + m.min() + x[np.argmax(x)] + m.T.sum() + sum(x)
    return normal, axes, m.mean(axis=1), numbers, extremes, x.cumsum() * np.cumprod(x)


@pytest.mark.slow
def test_reductions():
    check = Checked(reductions, numbers(2), numbers(2, 2))
    for n in (2, 8, 9):
        check(numbers(n), numbers(3, n))


def test_reductions_of_nothing():
    def empty(x):
        return np.sum(x), np.prod(x), np.mean(x), np.cumsum(x), np.sum(x.reshape(0, 3), axis=0), np.dot(x, x)

    found = rule_of(empty, numbers(1))([np.zeros(0)])
    for value, wanted in zip(found, [0.0, 1.0, np.nan, np.zeros(0), np.zeros(3), 0.0], strict=True):
        np.testing.assert_array_equal(value, wanted)


TABLE = np.arange(6.0).reshape(2, 3) + 0.5


def products(x, m):
    vectors = np.dot(x, x) + np.inner(x, m[1])
    square = m @ m.T
    diagonals = np.trace(square) * np.diag(square) + np.diag(x)[0, 0]
    plain = np.ones((3, 2)) @ (m @ x)
    return vectors, x @ m.T, np.outer(x, np.arange(2)), square, diagonals, plain * np.dot(2.0, x)


def test_products():
    check = Checked(products, numbers(3), numbers(2, 3))
    check(numbers(3), TABLE)


def test_captured_table():
    table = TABLE.copy()

    def f(x):
        return table @ x

    y, pullback = fd.rrule(f, np.ones(3))
    np.testing.assert_array_equal(y, TABLE.sum(axis=1))
    np.testing.assert_array_equal(fd.unthunk(pullback(np.array([1.0, 10.0]))[0]), TABLE[0] + 10 * TABLE[1])


def constructed(x, s):
    made = np.array([x[0], 2.0 * s, 1]) + np.array((s, 1.0, 2)) * np.array([1.0, 2.0, 3.0])
    nested = np.array([[x[0], 1.0], [s, x[1] * s]]) * np.array(((s, 1), (2.0, x[0])))
    z = x.copy()
    z += x
    z *= 2.0
    z **= 2
    z[1:] -= z[:-1]
    w = z
    w /= s
    like = np.zeros_like(x) + np.ones_like(x) * s + np.full_like(x, s)
    like[0] = s
    like[1:] = x[1:]
    return made, nested, z, like, np.concatenate((x, w))


@pytest.mark.slow
def test_construction_and_in_place():
    check = Checked(constructed, numbers(3), 0.4)
    for n in (2, 7, 9):
        check(numbers(n), 0.53)


def test_second_derivatives():
    def f(x, a):
        return np.sum(np.exp(a * x) + x**3 * np.mean(x)) + np.dot(x, x) * a

    n, a = 5, 0.7
    x, direction = numbers(n), RANDOM.normal(size=n)
    pullback = rule_of(f, x, a).pullback((0, 1))
    found = pullback.pushforward((0,))([x, np.array(a), np.array(1.0), direction])
    hessian = np.diag(a * a * np.exp(a * x) + 6 * x * x.mean() + 2 * a)
    hessian += (3 * x[:, None] ** 2 + 3 * x**2) / n
    mixed = np.exp(a * x) * (1 + a * x) + 2 * x
    np.testing.assert_allclose(found[0], hessian @ direction, rtol=1e-12)
    np.testing.assert_allclose(found[1], mixed @ direction, rtol=1e-12)


def test_float32_stays():
    def f(x, s):
        y = 0.5 * x + 1.0 - np.where(x > 0.5, x, 0.0) ** 2 + np.clip(x, 0.1, 0.9) * s
        y *= 3
        return y, np.array([np.sum(y), np.mean(y) * 2.0, np.std(y), s, 1.0]), np.outer(x, y) @ x

    x, s = numbers(5).astype(np.float32), np.float32(0.3)
    rule = rule_of(f, x, s)
    wanted = outputs_of(f, (x, s))
    for found, y in zip(rule([x, s]), wanted, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, y, rtol=1e-5)
    cotangents = [np.ones(y.shape, np.float32) for y in wanted]
    slope_x, slope_s = rule.pullback((0, 1))([x, s, *cotangents])
    assert slope_x.dtype == slope_s.dtype == np.float32
    exact = [x.astype(np.float64), np.float64(s)]
    np.testing.assert_allclose(
        slope_x, sum(np.array([d.sum() for d in c]) for c in slopes(f, exact, 0)), rtol=1e-4
    )
    np.testing.assert_allclose(slope_s, sum(c[0].sum() for c in slopes(f, exact, 1)), rtol=1e-4)


def in_plain_array(x):
    z = np.zeros(x.size)
    z[0] = x[0]
    return z


def in_plain_slice(x):
    z = np.zeros(x.size)
    z[:] = x
    return z


def added_to_plain_array(x):
    z = np.zeros(x.size)
    z += x
    return z


def added_to_argument(x):
    x += 1.0
    return x


def runtime_order(x):
    return np.linalg.norm(x, len(x))


@pytest.mark.parametrize(
    ("f", "diagonal"),
    [(in_plain_array, [1, 0, 0]), (in_plain_slice, [1, 1, 1]), (added_to_plain_array, [1, 1, 1])],
)
def test_plain_arrays_get_room_for_partials(f, diagonal):
    jacobian = fd.jacobian(f, numbers(3), backend="numba")
    np.testing.assert_array_equal(jacobian, np.diag(diagonal))


@pytest.mark.parametrize(
    ("f", "advice"),
    [
        (added_to_argument, r"`\+=` writes to an argument.*x\.copy\(\)"),
        (runtime_order, r"engine='numpy'"),
    ],
)
def test_what_cannot_be_compiled_is_explained(f, advice):
    with pytest.raises(fd.CompileError, match=advice):
        fd.rrule(fwddiff(f, engine="numba"), numbers(3))


def test_copies_of_constants_have_room_for_derivatives():
    """x is not active, so its copies could not hold partials of s: the kernel is compiled again with room for
    them."""

    def scaled(x, s):
        z = x.copy()
        z *= s
        return z

    def filled(x, s):
        z = np.empty_like(x)
        for i in range(len(x)):
            z[i] = s * s
        return z

    x, s = numbers(3), 0.5
    for f, slope in [(scaled, x.sum()), (filled, 3 * 2 * s)]:
        rule = rule_of(f, x, s)
        arrays = [x, np.array(s)]
        np.testing.assert_allclose(rule.pullback((1,))([*arrays, np.ones(3)])[0], slope, rtol=1e-13)
        (tangent,) = rule.pushforward((1,))([*arrays, np.array(1.0)])
        np.testing.assert_allclose(tangent.sum(), slope, rtol=1e-13)


def test_shapes_that_do_not_fit():
    def f(m, x):
        return m @ x

    def g(x, y):
        return x + y

    def h(x, y):
        z = x.copy()
        z += y
        return z

    wrong = [
        (f, (numbers(2, 3), numbers(2))),
        (g, (numbers(2), numbers(3))),
        (h, (numbers(2), numbers(3))),
        (h, (numbers(1), numbers(3))),
    ]
    for function, arguments in wrong:
        with pytest.raises(ValueError, match=r"broadcast|as long as|in place|mismatch"):
            rule_of(function, *arguments)(list(arguments))


@pytest.mark.slow
def test_functions_outside_fwddiff_compile_as_before():
    @numba.njit
    def plain(x, m):
        z = np.zeros(x.size)
        z += x * 2 - np.where(x > 0.5, x, 1) ** 2
        z[1:] *= np.maximum(x[1:], 0.4)
        pair = np.array([x.sum(), m.mean()]) + np.array([1, 2])
        return (
            z,
            pair,
            m @ x,
            np.dot(x, x),
            np.clip(x, 0.3, 0.5),
            m.sum(axis=0),
            np.cumsum(x),
            x.var(),
            np.abs(x) > 0.5,
        )

    x, m = numbers(4), numbers(3, 4)
    for found, wanted in zip(plain(x, m), plain.py_func(x, m), strict=True):
        assert np.asarray(found).dtype == np.asarray(wanted).dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-13)


def test_second_derivatives_of_an_array_longer_than_a_chunk():
    """The derivative of a derivative has smaller chunks: two passes of the function, three of its
    pullback."""
    v, weights = numbers(13), RANDOM.normal(size=13)
    hessian = np.zeros((13, 13))
    hessian[0, 12] = hessian[12, 0] = 3 * v[12] ** 2
    hessian[6, 12] = hessian[12, 6] = 1.0
    hessian[12, 12] = 6 * v[0] * v[12]
    pullback = rule_of(lambda v: v[0] * v[12] ** 3 + v[6] * v[12], v).pullback((0,))
    (found,) = pullback.pullback((0,))([v, np.asarray(1.0), weights])
    np.testing.assert_allclose(found, hessian @ weights, rtol=1e-12, atol=1e-13)
