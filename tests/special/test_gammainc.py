"""Incomplete gamma functions and their inverses against mpmath, in both arguments, to second order."""

import math

import mpmath
import numpy as np
import pytest

import fwddiff as fd
from fwddiff import special
from special.exact_partials import check, exact, ours

mp = mpmath.mp


def lower(a, x):
    """P by its power series: no code shared, and all digits of small values."""
    term = total = mpmath.mpf(1)
    k = 1
    while abs(term) > mpmath.eps * mpmath.mpf(10) ** -5:
        term = term * x / (a + k)
        total += term
        k += 1
    return mpmath.exp(a * mpmath.log(x) - x - mpmath.loggamma(a + 1)) * total


def upper(a, x):
    """Q as the complement, with as many digits more as are lost."""
    with mpmath.workdps(mp.dps + 20 + int(max(0.0, float((x - a - a * mpmath.log(x / a)) / 2.3)))):
        return 1 - lower(a, x)


# In both tails, and on both sides of where one method takes over from another.
LOWER = [
    (1e-2, 1e-3), (1e-2, 0.9), (0.3, 1e-150), (0.99, 1.99), (1.0, 0.3), (1.0, 2.49), (2.5, 4.8), (7.0, 1e-9),
    (11.99, 5.0), (11.99, 12.5), (12.0, 5.99), (12.0, 6.01), (12.0, 14.0), (40.0, 41.0), (300.0, 100.0),
    (1e3, 900.0),
]  # fmt: skip
UPPER = [
    (1e-2, 1e-3), (1e-2, 1.99), (1e-2, 2.01), (1e-2, 300.0), (0.5, 2.01), (0.99, 1.99), (1.0, 2.51),
    (1.5, 40.0),
    (11.99, 17.3), (11.99, 23.0), (11.99, 300.0), (12.0, 23.99), (12.0, 24.01), (12.5, 12.5), (300.0, 450.0),
    (300.0, 700.0),
]  # fmt: skip


def p_of(a, x):
    return special.gammainc(a, x)


def q_of(a, x):
    return special.gammaincc(a, x)


def log_p_of(a, x):
    return special.log_gammainc(a, x)


def log_q_of(a, x):
    return special.log_gammaincc(a, x)


def test_a_point_of_each_method():
    """All points: `make test-all`."""
    check(p_of, lower, [(1e-2, 0.9), (2.5, 4.8), (12.0, 6.01)], "numba", 3e-13, 1e-10)
    check(q_of, upper, [(1e-2, 1.99), (11.99, 23.0), (12.0, 23.99)], "numba", 3e-13, 1e-10)


@pytest.mark.slow
def test_both_tails():
    check(p_of, lower, [*LOWER, (1e5, 99e3)], "numpy", 3e-13, 1e-10)
    check(q_of, upper, UPPER, "numpy", 3e-13, 1e-10)


@pytest.mark.slow
def test_the_larger_one_has_the_derivatives_of_the_smaller():
    for points, small, large, reference in ((LOWER[:8], p_of, q_of, lower), (UPPER[:8], q_of, p_of, upper)):
        for point in points:
            expected = exact(reference, point)
            found = ours(large, point, "numpy")
            np.testing.assert_allclose(found[0], 1.0 - expected[0], 1e-13, 1e-15)
            np.testing.assert_allclose(found[1:], -expected[1:], 1e-10, err_msg=f"{small.__name__} {point}")


@pytest.mark.slow
def test_logarithms():
    check(
        log_p_of, lambda a, x: mpmath.log(lower(a, x)), [*LOWER, (50.0, 1e-30), (3e3, 10.0)], "numba", 3e-13
    )
    check(log_q_of, lambda a, x: mpmath.log(upper(a, x)), [*UPPER, (0.5, 2e3), (60.0, 2e3)], "numpy", 1e-12)


@pytest.mark.parametrize("point", [(2.0, 3.0), (0.2, 0.7), (40.0, 35.0), (3.0, 20.0)])
@pytest.mark.few(point=[(0.2, 0.7), (40.0, 35.0)])
def test_the_engine_that_runs_python(point):
    for function in (p_of, q_of, log_p_of, log_q_of):
        np.testing.assert_allclose(ours(function, point, "numpy"), ours(function, point, "numba"), 1e-11)


def test_at_the_ends():
    assert special.gammainc(2.0, 0.0) == 0.0
    assert special.gammainc(2.0, math.inf) == 1.0
    assert math.isnan(special.gammainc(-1.0, 1.0))
    assert fd.hessian(lambda x: special.gammainc(2.0, x), 0.0, backend="numpy") == 1.0
    assert fd.hessian(lambda x: special.gammainc(3.0, x), 0.0, backend="numpy") == 0.0


HOSTILE = [0.0, -0.0, math.inf, -math.inf, math.nan, -1.5, 1e-300, 5e-324, 1e300, 1.7e308, 0.5, 3.0, 30.0]


@pytest.mark.parametrize("name", ["gammainc", "gammaincc", "gammaincinv", "gammainccinv"])
def test_hostile_arguments_have_scipys_values(name):
    scipy_special = pytest.importorskip("scipy.special")
    function = getattr(special, name)
    for a in HOSTILE:
        for x in HOSTILE:
            # SciPy: nan where both are huge, and for inverses at the ends of a: not asked for here.
            if (
                max(a, x) > 1e299
                or 0.0 < a < 1e-299
                or (name.endswith("inv") and (not 1e-10 < a < 1e10 or x == 5e-324))
            ):
                function(a, x)
                continue
            expected = float(getattr(scipy_special, name)(a, x))
            np.testing.assert_allclose(function(a, x), expected, 1e-12, 1e-300, err_msg=f"{name}({a}, {x})")


PROBABILITIES = [1e-250, 1e-12, 0.7]


def _inverse_partials(a, x, tail):
    """First and second partials of the root by those of P or Q (implicit function theorem)."""
    _, fa, fx, faa, fax, fxx = exact(tail, (a, x))
    xa, xp = -fa / fx, 1 / fx
    return [
        xa, xp, -(faa + 2 * fax * xa + fxx * xa * xa) / fx, -(fax + fxx * xa) * xp / fx, -fxx * xp * xp / fx,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "tail"), [("gammaincinv", lower), ("gammainccinv", upper)])
def test_inverses(name, tail):
    function = getattr(special, name)

    def inverse(a, p):
        return function(a, p)

    for a in (0.05, 1.0, 12.0):
        for p in PROBABILITIES:
            found = ours(inverse, (a, p), "numpy")
            if found[0] < 1e-250:
                continue
            np.testing.assert_allclose(float(tail(mpmath.mpf(a), mpmath.mpf(found[0]))), p, 2e-12)
            assert np.all(np.isfinite(found[:3]))
            with np.errstate(over="ignore", invalid="ignore"):
                expected = _inverse_partials(a, found[0], tail)
            np.testing.assert_allclose(found[1:3], expected[:2], 1e-9, err_msg=f"{name}{(a, p)}")
            if p > 1e-60 and found[0] > 1e-100:  # else the reference's doubles overflow
                # Newton's step leaves an error relative to the slope over p, which these may be far below.
                least = 1e-13 * abs(found[2]) / p
                np.testing.assert_allclose(found[3:], expected[2:], 1e-7, least, err_msg=f"{name}{(a, p)}")


@pytest.mark.slow
def test_gradcheck_of_pytorch():
    torch = pytest.importorskip("torch")
    a = torch.tensor([0.3, 1.2, 5.0, 20.0], dtype=torch.float64, requires_grad=True)
    x = torch.tensor([0.5, 1.0, 9.0, 18.0], dtype=torch.float64, requires_grad=True)
    p = torch.tensor([0.2, 0.6, 0.9, 0.3], dtype=torch.float64, requires_grad=True)
    for function, second in ((p_of, x), (special_inverse, p)):
        f = fd.fwddiff(function).broadcast
        assert torch.autograd.gradcheck(f, (a, second))
        assert torch.autograd.gradgradcheck(f, (a, second))


def special_inverse(a, p):
    return special.gammaincinv(a, p)


def test_names_of_distributions():
    scipy_special = pytest.importorskip("scipy.special")
    for name, arguments in {
        "chdtr": (3.0, 2.0), "chdtrc": (3.0, 2.0), "chdtri": (3.0, 0.2), "pdtr": (4.7, 3.0),
        "pdtrc": (4.7, 3.0), "gdtr": (2.0, 3.0, 1.4), "gdtrc": (2.0, 3.0, 1.4),
    }.items():  # fmt: skip
        found = getattr(special, name)(*arguments)
        np.testing.assert_allclose(found, getattr(scipy_special, name)(*arguments), 1e-13, err_msg=name)
    slope = fd.gradient(lambda k, m: scipy_special.pdtr(k, m), 4.7, 3.0, argnum=(0, 1), backend="numpy")
    np.testing.assert_allclose(slope, (0.0, -math.exp(-3.0) * 3.0**4 / 24.0), 1e-13)
