"""Functions that loop, on several elements side by side: the same numbers as element by element.

The oracle is the engine `numpy`, which runs the Python function on one element after another and shares no
code with kernels.
"""

import math

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff.engines.numba import pipeline
from fwddiff.engines.numba.schedule import NO_CHECKS
from fwddiff.engines.numba.target import vector_math


def newton(x, e):
    anomaly, step = x, 1.0
    while abs(step) > 1e-12:
        step = (anomaly - e * math.sin(anomaly) - x) / (1 - e * math.cos(anomaly))
        anomaly -= step
    return anomaly


def counted(x, y):
    total = 0.0
    for k in range(50):
        total += math.exp(-k * x * x) * y
    return total, total * x


def long(x, y):
    total, k = 0.0, 0
    while k < 30 * abs(x):
        k += 1
        total = total * 0.5 + x / (k + y * y)
    return total


def leaves_in_two_ways(x, y):
    for k in range(200):
        x = x * 0.9 + 0.01 * y
        if x < 0.2:
            return x * k
        if x > 5 + y:
            x = x - 1
            break
    return x + y


def nested(x, y):
    total = 0.0
    a = abs(x)
    while a > 0.3:
        b = y
        while abs(b) > a:
            b = b * 0.5
            total += b * x
        a = a * 0.7
        if total > 4:
            break
    return total + a


def loop_in_a_branch(x, y):
    """Lanes that do not enter must not wait for a loop that would never end for them."""
    if x > 0:
        for _ in range(3):
            z = x
            while z < 10:
                z = z * (1 + x)
            y = y + math.log(z)
    return y * x


def never_ends_elsewhere(x, y):
    for _ in range(4):
        if x > 0:
            z = x
            while z < 10:
                z = z + x
            y = y * 0.5 + z
    return y


def uses_the_counter(x, y):
    k = 0
    while x * k < 3 and k < 50:
        k += 1
        if k % 3 == 0:
            continue
        y = y + x
    return y * k


def several_results(x, y):
    k, z = 0, abs(x) + 1
    while z < 20:
        z = z * 1.3
        k += 1
    return z * y, k, -y


def structured(x, y):
    state = (x, y)
    for _ in range(45):
        a, b = state
        state = (a + 0.05 * b, b - 0.05 * math.sin(a))
        if a > 1:
            state = (a - 1, b)
    return state


FUNCTIONS = [
    newton,
    counted,
    long,
    leaves_in_two_ways,
    nested,
    loop_in_a_branch,
    never_ends_elsewhere,
    uses_the_counter,
    several_results,
    structured,
]


def pulled_back(f, engine, arrays):
    values, pullback = fd.rrule(fwddiff(f, engine=engine).broadcast, *arrays)
    outs = values if isinstance(values, tuple) else (values,)
    cotangents = [
        np.cos(np.arange(o.size, dtype=o.dtype)).reshape(o.shape) if o.dtype.kind == "f" else None
        for o in outs
    ]
    found = map(fd.unthunk, pullback(tuple(cotangents) if isinstance(values, tuple) else cotangents[0]))
    return [*outs, *found]


def check(f, arrays, tolerance=1e-12):
    for found, expected in zip(pulled_back(f, "numba", arrays), pulled_back(f, "numpy", arrays), strict=True):
        if expected is None:
            assert found is None
            continue
        assert np.asarray(found).dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(found, expected, tolerance, tolerance)


def lanes_of(f, *arrays, kind="", active=(0, 1)):
    """Lanes of the kernel of f, or of its derived rule."""
    call = fwddiff(f).broadcast.prepare(*arrays)
    rule = getattr(call.rule, kind)(active) if kind else call.rule
    varying = [True] * len(arrays) + [False] * (len(rule.inputs) - len(arrays))
    whole, _ = pipeline._inlined(pipeline.core_text(rule.code, "core"), rule.code)
    assert whole is not None
    return pipeline._side_by_side(whole, rule.code, varying)[0]


def data(n, seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(0.1, 2.5, n) * random.choice([-1, 1], n), random.uniform(0.05, 0.9, n)


@pytest.mark.parametrize("f", FUNCTIONS)
@pytest.mark.few(
    f=[
        "newton",
        "leaves_in_two_ways",
        "nested",
        "loop_in_a_branch",
        "never_ends_elsewhere",
        "uses_the_counter",
        "several_results",
        "structured",
    ]
)
def test_as_element_by_element(f):
    x, y = data(83)
    if f is newton:
        x = abs(x)
    assert lanes_of(f, x, y) is not None
    assert lanes_of(f, x, y, kind="partials") is not None
    check(f, (x, y))


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 15, 16, 17, 33])
def test_any_length(n):
    check(newton, [abs(a) for a in data(n)])


def test_operands_that_are_strided_or_shared():
    x, y = (abs(a) for a in data(120))
    check(newton, (x[::3], y[:40]))
    check(newton, (x, y[0]))
    check(newton, (x[:40].reshape(4, 10).T, y[:4]))
    check(newton, (x[:3].reshape(3, 1), y[:50]))


def test_float32():
    x, y = (abs(a).astype(np.float32) for a in data(77))

    def stepped(x, y):
        total, k = 0.0, 0
        while k < 5 + 10 * x:
            total, k = total * 0.75 + math.sin(x + k) * y, k + 1
        return total

    assert lanes_of(stepped, x, y) is not None
    check(stepped, (x, y), 2e-5)


def test_sums():
    x, y = data(1001)
    value, pullback = fd.rrule(fwddiff(uses_the_counter).sum, x, y[0])
    by_x, by_y = map(fd.unthunk, pullback(1.0))
    each, pullback = fd.rrule(fwddiff(uses_the_counter, engine="numpy").broadcast, x, y[0])
    expected_x, expected_y = map(fd.unthunk, pullback(np.ones(1001)))
    np.testing.assert_allclose(value, math.fsum(each), 1e-12)
    np.testing.assert_allclose(by_x, expected_x, 1e-12)
    np.testing.assert_allclose(by_y, expected_y, 1e-12)


def test_second_derivatives():
    arrays = [abs(a) for a in data(21)]
    found, expected = (
        fwddiff(newton, engine=engine)
        .broadcast.prepare(*arrays)
        .rule.partials((0, 1))
        .partials((0, 1))(arrays)
        for engine in ("numba", "numpy")
    )
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f, e, 1e-9, 1e-9)


def test_an_element_that_raises():
    def checked(x, y):
        k = 0
        while x < 10:
            x = x * 2
            k += 1
            if k > 8:
                raise ValueError("too many steps")
        return x * y

    x, y = data(40)
    x = abs(x) + 0.1
    check(checked, (x, y))
    x[17] = 1e-6
    with pytest.raises(ValueError, match="too many steps"):
        fwddiff(checked).broadcast(x, y)
    x[17] = np.nan
    assert np.isnan(fwddiff(checked).broadcast(x, y)[17])


def raises_in_two_places(x, y):
    s = x
    for _ in range(4):
        if s < -50:
            raise ValueError("low")
        while s < 1.0:
            s += 0.3 * math.exp(s * 0.1)
    if s > 90:
        raise ValueError("high")
    return s * y


def raises_in_nested_loops(x, y):
    s, k = x, 0
    while s < 30.0:
        k += 1
        for j in range(3):
            if s > 200.0:
                raise OverflowError("inner")
            s = s + abs(y) * j + 0.1
            if s < -100.0:
                raise ValueError("low")
        if k > 4000:
            raise RuntimeError("too many")
    if s > 1e6:
        raise ZeroDivisionError("high")
    return s * y


@pytest.mark.parametrize("f", [raises_in_two_places, raises_in_nested_loops])
def test_several_places_that_raise(f):
    """LLVM chooses among the descriptions of the exceptions, which are no numbers."""
    x, y = data(43)
    assert lanes_of(f, x, y) is not None
    check(f, (x, y))
    x[30] = 1e7
    with pytest.raises((ValueError, ZeroDivisionError), match="high"):
        fwddiff(f).broadcast(x, y)


def test_nan_and_infinity_stay_in_their_lanes():
    x, y = data(24)
    x[3], x[4], y[5], x[6] = np.nan, np.inf, np.nan, -np.inf
    check(leaves_in_two_ways, (x, y))
    check(nested, (np.where(np.isinf(x), 1.0, x), y))


def test_what_has_no_vector_version_goes_side_by_side_all_the_same():
    def without_vector_version(x, y):
        while x < 5:
            x = x + math.lgamma(2 + y * y) + 1
        return x

    x, y = data(30)
    assert lanes_of(without_vector_version, x, y) is not None
    check(without_vector_version, (x, y))


def test_integer_division_by_zero_raises_only_where_it_happens():
    def divided(x, k):
        n = 0
        while n < 3:
            n += 1
            if k != 0:
                x = x + 12 // k
        return x

    x, k = data(19)[0], np.arange(19) % 3
    check(divided, (x, k))


def test_without_vector_math_too(monkeypatch):
    monkeypatch.setattr("fwddiff.engines.numba.target.vector_math.library", lambda: None)
    x, y = data(5)
    assert lanes_of(long, x, y) is not None
    monkeypatch.setattr("fwddiff.engines.numba.target.cpu.vector_bits", lambda: 0)
    assert lanes_of(long, x, y) is None


def test_many_branches_on_a_shared_value():
    """LLVM's loop vectoriser did not end on these."""

    def branching(x, s):
        for k in (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6):
            s = clipped(s, k)
        return x * s

    def clipped(s, k):
        if s < k:
            s = s + 0.3 * np.maximum(-k, s + 0.5) / (k + np.maximum(-k, s + 0.7) * np.maximum(-k, s + 0.7))
        return s

    check(branching, (data(9)[0], np.float64(0.3)))


def test_many_branches_that_cannot_be_side_by_side():
    def branching(x, s):
        for k in (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6):
            if s < k:
                s = s + 0.3 * np.maximum(-k, s + 0.5) / (k + np.maximum(-k, s + 0.7))
        return x * s + math.lgamma(x + 3)

    check(branching, (data(9)[0], np.float64(0.3)))


# --- functions without a vector version ---------------------------------------------------------------------


def continued(a, x):
    """By a loop, with functions that glibc has one element at a time."""
    total, term = 0.0, math.exp(a * math.log(x) - x - math.lgamma(a + 1.0))
    n = 1.0
    while abs(term) > 1e-17 * abs(total):
        total = total + term
        term = term * x / (a + n)
        n = n + 1.0
    return total + math.gamma(0.5 + x)


@pytest.mark.skipif(vector_math.library() is None, reason="no vector functions, no lanes")
def test_calls_are_made_lane_by_lane():
    a, x = np.linspace(0.3, 4.0, 37), np.linspace(0.2, 3.0, 37)
    g = fwddiff(continued)
    rule = g.broadcast.prepare(a, x).rule.pullback((0, 1))
    text = pipeline.module_text(rule.code, rule.inputs, rule.outputs, "ccccc", NO_CHECKS, True)
    assert "@lanes(" in text
    assert "@fwddiff_special_digamma(double %" in text  # the slope of lgamma
    found = [fd.rrule(fwddiff(continued, engine=e).broadcast, a, x) for e in ("numba", "numpy")]
    np.testing.assert_allclose(found[0][0], found[1][0], 1e-13)
    for compiled, python in zip(*[pullback(np.ones(37)) for _, pullback in found], strict=True):
        np.testing.assert_allclose(fd.unthunk(compiled), fd.unthunk(python), 1e-12)
