"""Kernels along strided operands: broadcasting, layouts, dtypes, reductions, and what the compiled loop
contains."""

import math

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff.engines.numba.target import vector_math


def logistic_loss(x, w):
    return math.log1p(math.exp(-w * x)) + x * w * w


def reference(x, w):
    return np.log1p(np.exp(-w * x)) + x * w * w


def reference_gradient(x, w):
    slope = -1 / (1 + np.exp(w * x))
    return w * slope + w * w, x * slope + 2 * x * w


G = fwddiff(logistic_loss)
RANDOM = np.random.default_rng(5)


def unbroadcast(gradient, shape):
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    axes = tuple(k for k, extent in enumerate(shape) if extent == 1 and gradient.shape[k] != 1)
    return gradient.sum(axis=axes, keepdims=True)


def check(x, w):
    y, pullback = fd.rrule(G.broadcast, x, w)
    x, w = np.asarray(x), np.asarray(w)
    wanted = reference(x, w)
    assert np.shape(y) == wanted.shape
    np.testing.assert_allclose(y, wanted, rtol=1e-13)
    cotangent = RANDOM.normal(size=wanted.shape)
    for thunk, slope, argument in zip(pullback(cotangent), reference_gradient(x, w), (x, w), strict=True):
        found = fd.unthunk(thunk)
        assert np.shape(found) == argument.shape
        full = np.broadcast_to(cotangent * slope, wanted.shape)
        np.testing.assert_allclose(found, unbroadcast(full, argument.shape), rtol=1e-11, atol=1e-13)


SHAPES = [
    ((), ()),
    ((5,), ()),
    ((), (5,)),
    ((5,), (5,)),
    ((5,), (1,)),
    ((4, 1), (1, 3)),
    ((4, 3), (3,)),
    ((4, 3), (4, 1)),
    ((2, 3, 4), (3, 1)),
    ((2, 1, 4), (2, 3, 1)),
    ((0,), (1,)),
    ((3, 0), (3, 1)),
    ((1000,), (1,)),
    ((300, 2), (2,)),
]


@pytest.mark.parametrize(("x_shape", "w_shape"), SHAPES, ids=str)
def test_broadcasting(x_shape, w_shape):
    check(RANDOM.uniform(0.5, 2, x_shape), RANDOM.uniform(0.5, 2, w_shape))


LAYOUTS = {
    "transposed": lambda a: a.T,
    "every second": lambda a: a[::2],
    "reversed": lambda a: a[::-1, ::-1],
    "columns": lambda a: a[:, 1:3],
    "one column": lambda a: a[:, 1],
    "fortran": np.asfortranarray,
    "expanded": lambda a: np.broadcast_to(a[0], (7, 5)),
    "big-endian": lambda a: a.astype(">f8"),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(np.float64),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    x = LAYOUTS[layout](RANDOM.uniform(0.5, 2, (6, 5)))
    x.flags.writeable = False
    check(x, RANDOM.uniform(0.5, 2, x.shape))
    check(x, 1.5)


def test_arguments_are_not_written_to():
    x, w = RANDOM.uniform(0.5, 2, 9), RANDOM.uniform(0.5, 2, 9)
    before = x.copy(), w.copy()
    check(x, w)
    np.testing.assert_array_equal((x, w), before)


def test_transposed_operands_are_one_inner_loop():
    """The axes of a transposed array are sorted by stride and fused: one loop over all elements."""
    x = RANDOM.uniform(0.5, 2, (6, 5)).T
    np.testing.assert_allclose(G.sum(x, x), reference(x, x).sum(), rtol=1e-13)
    (launch,) = G.sum.prepare(x, x).rule._launchers.values()
    outer, inner = launch._table[launch._undivided :][:2]
    assert (outer, inner) == (1, 30)


# --- sums ---------------------------------------------------------------------------------------------------


def test_sum_of_ten_million_terms_keeps_twelve_digits():
    """Terms of alternating size, whose naive sum loses digits; the oracle adds without rounding."""
    terms = np.tile([1.0, 1e-8, 3.3, 1e5 + 0.1], 2_500_000)
    g = fwddiff(lambda x, c: x * c)
    total, pullback = fd.rrule(g.sum, terms, 1.0)
    exact = math.fsum(terms)
    assert abs(total - exact) <= 1e-12 * exact
    assert abs(fd.unthunk(pullback(1.0)[1]) - exact) <= 1e-12 * exact


def test_sums_of_blocks_are_compensated():
    """A huge block and its negative cancel, and what was added between them is still there (within one
    task)."""
    terms = np.ones(10_048)
    terms[:256], terms[-256:] = 0, 0
    terms[0], terms[-1] = 1e20, -1e20
    assert len(terms) % 256 == 64, "the last block is not a whole one"
    terms[-64 - 256 : -64] = 0
    assert fwddiff(lambda x: x).sum(terms) == math.fsum(terms)


def test_sum_of_float32_is_accumulated_in_float64():
    terms = np.full(1_000_000, 0.1, np.float32)
    total = fwddiff(lambda x: x).sum(terms)
    assert total.dtype == np.float32
    assert abs(total - 1_000_000 * float(np.float32(0.1))) < 0.05


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_sums_pass_infinities_and_nans_on(value):
    terms = np.ones(1000)
    terms[700] = value
    np.testing.assert_equal(fwddiff(lambda x: x).sum(terms), value)


def test_sum_of_integers_counts():
    count, total = fwddiff(lambda x: (1 if x > 0 else 0, x)).sum(np.array([1.0, -2.0, 3.0]))
    assert (count, total) == (2, 2.0)
    assert count.dtype == np.int64


# --- dtypes -------------------------------------------------------------------------------------------------


def mixed(x, n):
    total = 0.0
    for k in range(n):
        total += 0.1 * x**k / (k + 1)
    return total * math.sqrt(2.0) if total > 0.05 else total


@pytest.mark.parametrize("n", [3, np.arange(1, 6)], ids=["scalar", "array"])
def test_float32_stays_float32(n):
    x = np.linspace(0.5, 2, 5, dtype=np.float32)
    y, pullback = fd.rrule(fwddiff(mixed).broadcast, x, n)
    x_bar = fd.unthunk(pullback(np.ones(5, np.float32))[0])
    assert y.dtype == x_bar.dtype == np.float32
    np.testing.assert_allclose(y, fwddiff(mixed).broadcast(x.astype(np.float64), n), rtol=1e-6)


def test_float32_with_float64_arrays_and_with_python_numbers():
    x = np.ones(3, np.float32)
    g = fwddiff(lambda a, b: a * b)
    assert g.broadcast(x, 2.0).dtype == np.float32
    assert g.broadcast(x, 2).dtype == np.float32
    assert g.broadcast(x, np.ones(3)).dtype == np.float64
    assert g.broadcast(x, np.float64(2.0)).dtype == np.float64
    _, pullback = fd.rrule(g.broadcast, x, np.ones(3))
    assert [fd.unthunk(t).dtype for t in pullback(np.ones(3))] == [np.float32, np.float64]


def test_numpy_scalar_types_convert():
    g = fwddiff(lambda x: np.float64(x) * 2 + np.float32(1.5))
    assert g.broadcast(np.ones(2, np.float32)).dtype == np.float64


def test_bool_and_integer_outputs():
    positive, rounded = fwddiff(lambda x: (x > 0, round(x))).broadcast(np.array([-1.6, 2.4]))
    assert (positive.dtype, rounded.dtype) == (bool, np.int64)
    assert positive.tolist() == [False, True]
    assert rounded.tolist() == [-2, 2]


# --- structural zeros ---------------------------------------------------------------------------------------


def test_an_input_that_does_not_matter_cannot_poison_a_derivative():
    """d(x y)/dy at x = inf is inf, d(x y)/dx = y: a zero partial is never multiplied by the infinity."""
    _, pullback = fd.rrule(lambda x, y, z: x * y + z, math.inf, 2.0, 3.0)
    assert [fd.unthunk(t) for t in pullback(1.0)] == [2.0, math.inf, 1.0]


def test_second_order_recursion():
    """Pushforward of pullback and pullback of pullback agree with the closed form of x**3 * y."""
    rule = fwddiff(lambda x, y: x**3 * y).whole.prepare(2.0, 5.0).rule
    pullback = rule.pullback((0, 1))
    arrays = [np.array(2.0), np.array(5.0), np.array(1.0)]
    tangents = pullback.pushforward((0, 1))([*arrays, np.array(1.0), np.array(10.0)])
    np.testing.assert_allclose(tangents, [60.0 + 120.0, 12.0])
    twice = pullback.pullback((0, 1, 2))([*arrays, np.array(1.0), np.array(10.0)])
    np.testing.assert_allclose(twice, [60.0 + 120.0, 12.0, 60.0 + 80.0])
    third = pullback.pushforward((0,)).pushforward((0,))([*arrays, np.array(1.0), np.array(1.0)])
    np.testing.assert_allclose(third, [6 * 5.0, 6 * 2.0])


# --- what is compiled ---------------------------------------------------------------------------------------


def assembly(rule) -> str:
    return "".join(kernel.assembly() for kernel in rule._kernels.values())


@pytest.mark.skipif(vector_math.library() is None, reason="no vector math library on this machine")
@pytest.mark.parametrize("name", ["exp", "log", "sin", "sinh", "expm1", "log1p", "erf", "atan"])
def test_the_loop_calls_vector_functions(name):
    function = getattr(math, name)
    x = np.linspace(0.1, 0.9, 100)
    rule = fwddiff(lambda x: function(x) * x).broadcast.prepare(x).rule
    rule([x])
    gradient = rule.pullback((0,))
    gradient([x, x])
    assert f"v_{name}" in assembly(rule), "the value"
    assert "_ZGV" in assembly(gradient), "the gradient"


@pytest.mark.skipif(vector_math.library() is None, reason="no vector math library on this machine")
def test_powers_are_vectorised():
    x = np.linspace(0.1, 0.9, 100)
    rule = fwddiff(lambda x, y: x**y).broadcast.prepare(x, x).rule
    rule([x, x])
    assert "vv_pow" in assembly(rule)


def test_one_kernel_serves_all_shapes():
    g = fwddiff(lambda x: x * x)
    for shape in ((3,), (4, 5), (2, 3, 4), (1, 7)):
        g.broadcast(np.ones(shape))
    (kernels,) = {tuple(g.broadcast.prepare(np.ones(3)).rule._kernels)}
    assert kernels == ("cc",)


# --- powers and rounding ------------------------------------------------------------------------------------

POINTS = np.array([-2.0, -0.5, 0.0, 0.5, 3.0])


@pytest.mark.parametrize("exponent", [-3, -1, 0, 1, 2, 7, 20])
@pytest.mark.parametrize("literal", [True, False], ids=["literal", "argument"])
def test_integer_powers(exponent, literal):
    """Value and slope at negative, zero and positive points, for exponents known to the compiler or not."""
    power = eval(f"lambda x, n: x ** {exponent}") if literal else (lambda x, n: x**n)
    y, pullback = fd.rrule(fwddiff(power).broadcast, POINTS, exponent)
    slope = fd.unthunk(pullback(np.ones(5))[0])
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(y, POINTS**exponent, rtol=1e-14)
        wanted = exponent * POINTS ** (exponent - 1) if exponent else np.zeros(5)
    np.testing.assert_allclose(slope, wanted, rtol=1e-13)


def test_second_derivative_of_a_runtime_power():
    rule = fwddiff(lambda x, n: x**n).whole.prepare(2.0, 5).rule
    second = rule.pushforward((0,)).pushforward((0,))
    arrays = [np.array(2.0), np.array(5), np.array(1.0), np.array(1.0)]
    np.testing.assert_allclose(second(arrays)[0], 20 * 2.0**3)


def test_divmod_and_rounding():
    def f(x):
        whole, rest = divmod(x, 0.7)
        return whole * x + rest + round(x, 1) * x

    y, pullback = fd.rrule(fwddiff(f).broadcast, POINTS)
    np.testing.assert_allclose(y, [f(x) for x in POINTS.tolist()], rtol=1e-13, atol=1e-15)
    wanted = [divmod(x, 0.7)[0] + 1 + round(x, 1) for x in POINTS.tolist()]
    np.testing.assert_allclose(fd.unthunk(pullback(np.ones(5))[0]), wanted, rtol=1e-13)


def test_helpers_print(capsys):
    def helper(x, k):
        print("turn", k, x > 0)  # noqa: T201 - what the test is about
        return x * x

    def f(x):
        total = 0.0
        for k in range(2):
            total += helper(x, k)
        print("done")  # noqa: T201 - as above
        return total

    assert fwddiff(f).broadcast(np.array([3.0])).tolist() == [18.0]
    assert capsys.readouterr().out.split("done\n")[-2:] == ["turn 0 True\nturn 1 True\n", ""]


def test_exceptions_with_values_raised_in_helpers():
    def helper(x, k):
        if x > 1:
            raise IndexError("too large", k, x > 2)
        return x * k

    g = fwddiff(lambda x, k: helper(x, k) + helper(x / 2, k))
    k = np.array([5, 7])
    assert g.broadcast(np.array([0.5, 0.25]), k).tolist() == [3.75, 2.625]
    with pytest.raises(IndexError) as raised:
        g.broadcast(np.array([0.5, 3.0]), k)
    assert raised.value.args == ("too large", 7, True)
