"""The special functions in plain Python against mpmath, near poles and at all magnitudes; compiled too."""

from __future__ import annotations

import math
import random

import mpmath as mp
import numba
import numpy as np
import pytest

from fwddiff import _special
from rules import oracles

POLES = [-k + d for k in (0, 1, 2, 7, 40, 1000) for d in (1e-3, -1e-3, 1e-9, 0.5, -0.25)]


def arguments() -> list[float]:
    generator = random.Random(5)
    spread = [generator.uniform(-30, 30) for _ in range(60)]
    powers = [10 ** generator.uniform(-300, 300) for _ in range(20)]
    negative = [-(10 ** generator.uniform(-100, 3)) for _ in range(20)]
    return [*spread, *powers, *negative, *POLES, 1.4616321449683622, 7.999, 8.0, 12.0, 1e6, -13.5]


def check(function, exact, slope, largest: float, points: list[float]) -> None:
    """Errors in units of eps (|f| + |x f'|); overflow only where the true value does."""
    for x in points:
        with mp.workdps(60):
            expected, bound = exact(mp.mpf(x)), abs(exact(mp.mpf(x))) + abs(x * slope(mp.mpf(x)))
        computed = function(x)
        if abs(expected) > np.finfo(float).max:
            assert computed == math.copysign(math.inf, expected), x
        else:
            assert abs(computed - expected) <= max(largest * oracles.EPSILON * bound, 5e-324), (x, computed)


def test_digamma():
    check(_special.digamma, mp.digamma, lambda x: mp.polygamma(1, x), 6, arguments())


@pytest.mark.parametrize("order", range(9))
@pytest.mark.few(order=[0, 1, 2, 5])
def test_polygamma(order):
    exact, slope = (lambda x: mp.polygamma(order, x)), (lambda x: mp.polygamma(order + 1, x))
    check(lambda x: _special.polygamma(order, x), exact, slope, 8, arguments())


def test_polygamma_far_left_by_reflection():
    """mpmath needs hours at -1e9; DLMF 5.15.6 with cot' and the right half does not."""
    for x in (-1e6 - 0.25, -123456789.4, -1e9 + 0.125):
        with mp.workdps(60):
            z = mp.mpf(x)
            expected = float(mp.pi**2 / mp.sin(mp.pi * z) ** 2 - mp.polygamma(1, 1 - z))
        assert _special.polygamma(1, x) == pytest.approx(expected, rel=4e-15)


def test_sinc():
    with mp.workdps(60):
        check(_special.sinc, mp.sincpi, lambda x: 0, 2, [x for x in arguments() if 1e-100 < abs(x) < 1e12])


@pytest.mark.parametrize("order", range(7))
def test_spherical_jn(order):
    def exact(x):
        return oracles.VALUES["spherical_jn"](order, x)

    def slope(x):
        return oracles.VALUES["spherical_jn"](order + 1, x) - order / x * exact(x)

    points = [x for x in arguments() if 1e-20 < abs(x) < 1e3]
    check(lambda x: _special.spherical_jn(order, x), exact, slope, 4, points)


def test_ieee_remainder_is_that_of_math():
    generator = random.Random(6)
    for _ in range(300):
        a, b = generator.uniform(-50, 50), generator.choice((1.0, -3.0, 0.1, generator.uniform(-5, 5)))
        a = round(a) + 0.5 if generator.random() < 0.3 else a
        assert _special.ieee_remainder(a, b) == math.remainder(a, b), (a, b)
    assert _special.ieee_remainder(5.0, -math.inf) == 5.0
    assert math.copysign(1, _special.ieee_remainder(-4.0, 2.0)) == -1


SPECIALS = [
    ("digamma", (0.0,), -math.inf),
    ("digamma", (-0.0,), math.inf),
    ("digamma", (-3.0,), math.nan),
    ("digamma", (math.inf,), math.inf),
    ("digamma", (-math.inf,), math.nan),
    ("digamma", (math.nan,), math.nan),
    ("digamma", (-1e300,), math.nan),
    ("digamma", (1e300,), math.log(1e300)),
    ("digamma", (5e-324,), -math.inf),
    ("polygamma", (1, 0.0), math.inf),
    ("polygamma", (2, 0.0), -math.inf),
    ("polygamma", (2, -0.0), math.inf),
    ("polygamma", (1, -3.0), math.inf),
    ("polygamma", (2, -3.0), math.nan),
    ("polygamma", (1, math.inf), 0.0),
    ("polygamma", (0, math.inf), math.inf),
    ("polygamma", (1, -math.inf), math.nan),
    ("polygamma", (1, math.nan), math.nan),
    ("polygamma", (0.5, 2.0), math.nan),
    ("polygamma", (-1, 2.0), math.nan),
    ("polygamma", (3, 1e-300), math.inf),
    ("polygamma", (1, 1e300), 1e-300),
    ("polygamma", (4, 1e300), 0.0),
    ("sinc", (0.0,), 1.0),
    ("sinc", (5e-324,), 1.0),
    ("sinc", (3.0,), 0.0),
    ("sinc", (1e300,), 0.0),
    ("sinc", (math.inf,), math.nan),
    ("sinc", (math.nan,), math.nan),
    ("spherical_jn", (0, 0.0), 1.0),
    ("spherical_jn", (3, 0.0), 0.0),
    ("spherical_jn", (2, math.inf), 0.0),
    ("spherical_jn", (1, math.nan), math.nan),
    ("spherical_jn", (-1, 2.0), math.nan),
    ("spherical_jn", (0.5, 2.0), math.nan),
    ("heaviside", (0.0, 0.5), 0.5),
    ("heaviside", (-1.0, 0.5), 0.0),
    ("heaviside", (math.nan, 0.5), math.nan),
    ("ieee_remainder", (1.0, 0.0), math.nan),
    ("ieee_remainder", (math.inf, 2.0), math.nan),
    ("ieee_remainder", (math.nan, 2.0), math.nan),
]


@pytest.mark.parametrize(("name", "at", "expected"), SPECIALS)
def test_specials(name, at, expected):
    np.testing.assert_allclose(getattr(_special, name)(*at), expected, rtol=1e-15)


@pytest.mark.parametrize(
    "name", ["digamma", "polygamma", "sinc", "spherical_jn", "ieee_remainder", "heaviside"]
)
@pytest.mark.every(2)
def test_compiles_unchanged(name):
    """float64, float32 and int; the same numbers as in Python, at specials too."""
    function = getattr(_special, name)
    compiled = numba.njit(function)
    leading = {"digamma": (), "sinc": (), "polygamma": (2,), "spherical_jn": (2,)}.get(name, (1.5,))
    for x in (0.3, -2.7, 40.0, math.inf, math.nan, np.float32(1.5), np.float32(-0.25), 3, -3):
        np.testing.assert_allclose(compiled(*leading, x), function(*leading, float(x)), rtol=1e-14)
