"""Vector math in kernels: at most 4 ulp from the exact value over the whole range, special values as C has
them."""

import math

import mpmath
import numpy as np
import pytest

from fwddiff import fwddiff
from fwddiff.engines.numba.target import vector_math

# Function → (mpmath's own, points): the points cover the domain, tiny and huge values included.
_LINE = np.concatenate([-np.logspace(-300, 300, 61), np.logspace(-300, 300, 61), np.linspace(-40, 40, 161)])
_POSITIVE = np.concatenate([np.logspace(-300, 300, 121), np.linspace(0.01, 10, 100)])
_UNIT = np.concatenate([np.linspace(-1, 1, 101), np.logspace(-300, -1, 30)])
_MODERATE = np.linspace(-700, 700, 281)
CASES = {
    "exp": (mpmath.exp, _MODERATE),
    "expm1": (mpmath.expm1, np.concatenate([_MODERATE, np.logspace(-300, 0, 60), -np.logspace(-300, 0, 60)])),
    "log": (mpmath.log, _POSITIVE),
    "log2": (lambda x: mpmath.log(x, 2), _POSITIVE),
    "log10": (mpmath.log10, _POSITIVE),
    "log1p": (mpmath.log1p, np.concatenate([_POSITIVE, np.linspace(-0.99, 1, 100)])),
    "sin": (mpmath.sin, np.linspace(-1000, 1000, 401)),
    "cos": (mpmath.cos, np.linspace(-1000, 1000, 401)),
    "tan": (mpmath.tan, np.linspace(-100, 100, 201)),
    "asin": (mpmath.asin, _UNIT),
    "acos": (mpmath.acos, _UNIT),
    "atan": (mpmath.atan, _LINE),
    "sinh": (mpmath.sinh, _MODERATE),
    "cosh": (mpmath.cosh, _MODERATE),
    "tanh": (mpmath.tanh, np.concatenate([np.linspace(-30, 30, 121), np.logspace(-300, -1, 60)])),
    "asinh": (mpmath.asinh, _LINE),
    "acosh": (mpmath.acosh, 1 + np.logspace(-15, 200, 120)),
    "atanh": (mpmath.atanh, _UNIT[np.abs(_UNIT) < 1]),
    "erf": (mpmath.erf, np.linspace(-6, 6, 121)),
    "erfc": (mpmath.erfc, np.linspace(-6, 26, 121)),
}
LARGEST_ERROR = 4.0  # ulp, what libmvec promises

all_at_once = fwddiff(lambda x: tuple_of_all(x))


def tuple_of_all(x):
    return (
        math.exp(x), math.expm1(x), math.log(x), math.log2(x), math.log10(x), math.log1p(x), math.sin(x),
        math.cos(x), math.tan(x), math.asin(x), math.acos(x),
        math.atan(x), math.sinh(x), math.cosh(x), math.tanh(x),
        math.asinh(x), math.acosh(x), math.atanh(x), math.erf(x), math.erfc(x),
    )  # fmt: skip


def value(name, x):
    return all_at_once.broadcast(x)[list(CASES).index(name)]


def ulps(found, exact, dtype):
    spacing = np.spacing(np.abs(np.array([float(e) for e in exact], dtype)))
    differences = [float(abs(mpmath.mpf(float(f)) - e)) for f, e in zip(found, exact, strict=True)]
    return np.array(differences) / spacing


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_error_in_ulp(name, dtype):
    exact_function, points = CASES[name]
    with np.errstate(over="ignore"):
        points = points.astype(dtype)
    points = points[np.isfinite(points)]
    with mpmath.workdps(50), np.errstate(all="ignore"):
        exact = [exact_function(mpmath.mpf(float(x))) for x in points]
        inside = np.array([np.isfinite(dtype(e)) and abs(dtype(e)) >= np.finfo(dtype).tiny for e in exact])
        found = value(name, points)[inside]
        errors = ulps(found, [e for e, keep in zip(exact, inside, strict=True) if keep], dtype)
    assert inside.sum() > 20
    assert errors.max() <= LARGEST_ERROR, points[inside][errors.argmax()]


@pytest.mark.parametrize("name", CASES)
def test_special_values(name):
    """±0, ±inf, nan, and points outside the domain: as NumPy's scalar functions have them."""
    numpy_name = {
        "asin": "arcsin",
        "acos": "arccos",
        "atan": "arctan",
        "asinh": "arcsinh",
        "acosh": "arccosh",
    }
    reference = getattr(np, numpy_name.get(name, {"atanh": "arctanh"}.get(name, name)), None)
    points = np.array([0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 1e308, -1e308, 5e-324] * 4)
    with np.errstate(all="ignore"):
        wanted = reference(points) if reference else np.vectorize(getattr(math, name))(points)
    found = value(name, points)
    np.testing.assert_allclose(found, wanted, rtol=1e-15, atol=0)
    nonzero = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(found[nonzero]), np.signbit(wanted[nonzero]))


def test_it_can_be_switched_off(monkeypatch):
    monkeypatch.setenv(vector_math.VARIABLE, "off")
    vector_math.library.cache_clear()
    vector_math.variants.cache_clear()
    try:
        assert vector_math.library() is None
        assert vector_math.variants("exp", 1, 64) == ()
    finally:
        monkeypatch.undo()
        vector_math.library.cache_clear()
        vector_math.variants.cache_clear()
