"""Lists in kernels: made, grown, shared and nested, with derivatives to second order against mpmath's, which
runs the same Python."""

import resource

import mpmath
import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff


def appended(x, n):
    items = []
    for i in range(n):
        items.append(x * i)
    total = 0.0
    for item in items:
        total += item * item * x
    return total


def series(x, n):
    terms = [x]
    for i in range(n):
        terms.append(terms[-1] * x / (i + 1))
    return sum(terms) * terms[2]


def comprehension(x, n):
    return sum([a * a * x for a in [x, x + n, 3.0]])


def ordered(x, n):
    items = [x * n, x, x * x + 0.3]
    items[1] = items[0] * 2 * x
    return sorted(items)[1] * max(items) - min(items)


def stack(x, n):
    waiting, total = [(x, 1.0)], 0.0
    while waiting:
        a, depth = waiting.pop()
        if depth > n:
            total += a * x
        else:
            waiting.append((a * 0.5, depth + 1))
            waiting.append((a * a, depth + 1))
    return total


def nested(x, n):
    rows = [[x * i * j for j in range(n)] for i in range(n)]
    rows[1][1] = x**3
    total = 0.0
    for row in rows:
        for a in row:
            total += a * x
    return total + len(rows)


def methods(x, n):
    a = [x] * n
    b = a if n > 2 else [x * x, x]
    b[0] = x * 3.0
    a.extend([x, 2.0 * x * x])
    a.insert(1, x)
    a.reverse()
    c = a + b
    return a[0] * c[1] + c[-1] + sum(c[1:3]) + a.pop(0) * x


def carried_on(x, n):
    best = [0.0, 0.0]
    for i in range(n):
        current = [x * i, x * x]
        if current[0] > best[0]:
            best = current
    return best[0] * best[1]


def without_dependence(x, n):
    """The items are constants: an infinite slope elsewhere does not meet them."""
    grid = [1.0, 2.0]
    for i in range(n):
        grid.append(grid[-1] + i)
    return grid[-1] * x**2


def in_a_helper(x, n):
    def extended(items, x):
        items.append(x * x)
        return items

    items = [x]
    for _ in range(n):
        items = extended(items, x)
    return items[0] * items[-1] * len(items)


FUNCTIONS = [appended, series, comprehension, ordered, stack, nested, methods, carried_on, without_dependence,
             in_a_helper]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.few(
    function=[
        "appended",
        "stack",
        "nested",
        "carried_on",
        "without_dependence",
        "in_a_helper",
        "comprehension",
    ]
)
def test_value_slope_and_curvature(function):
    x, n = 1.3, 4
    assert fwddiff(function, engine="numba")(x, n) == pytest.approx(function(x, n), rel=1e-14)
    slope = fd.derivative(lambda t: function(t, n), x, backend="numba")
    curvature = fd.hessian(lambda v: function(v[0], n), np.array([x]), backend="numba")
    with mpmath.workdps(40):
        assert slope == pytest.approx(float(mpmath.diff(lambda t: function(t, n), x)), rel=1e-12)
        assert curvature == pytest.approx(float(mpmath.diff(lambda t: function(t, n), x, 2)), rel=1e-12)


@pytest.mark.parametrize("function", [appended, nested, carried_on])
@pytest.mark.every(2)
def test_broadcast_and_single_precision(function):
    x = np.linspace(0.5, 2, 6)
    g = fwddiff(function, engine="numba")
    assert g.broadcast(x, 4) == pytest.approx([function(t, 4) for t in x], rel=1e-14)
    single = g.broadcast(x.astype(np.float32), 4)
    assert single.dtype == np.float32
    assert single == pytest.approx([function(t, 4) for t in x], rel=1e-5)


def arrays_in_a_list(x, n):
    vectors = [np.full(2, x * i) for i in range(n)]
    vectors.append(np.ones(2) * x)
    total = 0.0
    for v in vectors:
        total += v[0] * v[1] * x
    return total


def test_list_of_arrays():
    n, x = 4, 1.5
    squares = sum(i * i for i in range(n)) + 1  # the function is squares x³
    assert fwddiff(arrays_in_a_list, engine="numba")(x, n) == pytest.approx(squares * x**3)
    assert fd.derivative(lambda t: arrays_in_a_list(t, n), x, backend="numba") == pytest.approx(
        3 * squares * x**2
    )
    hessian = fd.hessian(lambda v: arrays_in_a_list(v[0], n), np.array([x]), backend="numba")
    assert hessian == pytest.approx(6 * squares * x)


def test_list_of_elements_of_an_array():
    def f(v):
        kept = []
        for i in range(len(v)):
            if v[i] > 0:
                kept.append(v[i] * v[i])
        return sum(kept)

    v = np.array([1.0, -2.0, 3.0, 0.5])
    assert fd.gradient(f, v, backend="numba") == pytest.approx(np.where(v > 0, 2 * v, 0))
    assert fd.hessian(f, v, backend="numba") == pytest.approx(np.diag(np.where(v > 0, 2.0, 0)))


def test_index_error_is_the_users():
    with pytest.raises(IndexError):
        fwddiff(lambda x, n: [x, x * x][n], engine="numba")(1.0, 5)


def test_memory_is_given_back():
    """Lists that stay on the heap, in half a million evaluations."""
    g = fwddiff(nested, engine="numba")
    x = np.linspace(0.5, 2, 50_000)
    g.broadcast(x, 4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(10):
        g.broadcast(x, 4)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
