"""Every recorded function that names an oracle: values, gradients and Hessians against mpmath."""

import math

import numpy as np
import pytest
import scipy.special
from scipy.special import ellipkinc

import fwddiff as fd
from fwddiff import fwddiff, special
from fwddiff._record import RECORDS
from fwddiff.rules import meant_by, recorded
from special.oracle import caller, check, points

WITH_ORACLE = [name for name, record in RECORDS.items() if record.oracle]
FAMILIES = ("_bessel", "_hypergeometric", "_integrals")
HERE = [n for n in WITH_ORACLE if RECORDS[n].function.__module__.rpartition(".")[2] in FAMILIES]
HOSTILE = (0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-300, -1e-300, 1e300, -2.5, 30.0)


def test_what_has_an_oracle_has_a_domain():
    """`test_pages` asks for a row of measurements for every record."""
    for name in WITH_ORACLE:
        assert set(RECORDS[name].domain) == set(RECORDS[name].arguments), name


@pytest.mark.parametrize("name", HERE)
@pytest.mark.every(2)
def test_derivatives_to_second_order(name):
    check(name, points(RECORDS[name], 3, seed=1))


@pytest.mark.parametrize("name", ["j1", "kve", "iv", "hyp1f1", "ellipe", "lambertw0", "fresnels", "expn"])
@pytest.mark.every(2)
def test_the_python_engine_agrees(name):
    check(name, points(RECORDS[name], 1, seed=2), backend="numpy")


# SciPy's hyp0f1 divides by zero at some of these points, and only prints that.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", [n for n in HERE if RECORDS[n].scipy_value])
def test_values_are_scipys_whatever_is_asked(name):
    """Also where slopes are not known: a value does not depend on which derivative was asked for."""
    record = RECORDS[name]
    grid = [
        [int(x) for x in (0, 1, 2, 30)] if k in record.whole else HOSTILE
        for k in range(len(record.arguments))
    ]
    columns = [np.ravel(c) for c in np.meshgrid(*[np.array(g) for g in grid])]
    columns = [c[:: 1 + len(c) // 300] for c in columns]
    base, _, place = record.scipy_value.rstrip("]").partition("[")
    expected = getattr(scipy.special, base)(*columns)
    expected = expected[int(place)] if place else expected
    wrapped = fwddiff(caller(record), engine="numba")
    y, _ = fd.rrule(wrapped.broadcast, *columns)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(wrapped.broadcast(*columns), expected)


@pytest.mark.parametrize("name", WITH_ORACLE)
def test_nothing_raises(name):
    record = RECORDS[name]
    grid = [(0, 1, 2) if k in record.whole else HOSTILE for k in range(len(record.arguments))]
    rows = np.stack([np.ravel(c) for c in np.meshgrid(*grid, indexing="ij")], axis=1).astype(float)
    for row in rows[:: 1 + len(rows) // 100]:
        point = [int(x) if k in record.whole else float(x) for k, x in enumerate(row)]
        assert isinstance(record.function(*point), float), point
        assert isinstance(record.code(*point), float), point


MIXED = [n for n, record in RECORDS.items() if record.domain and None in record.slopes and any(record.slopes)]


@pytest.mark.parametrize("name", [n for n in MIXED if n != "multigammaln"])
def test_slopes_as_texts_are_those_of_the_code(name):
    """Where an argument is asked for alone its text may serve, with the others the code's own derivative.

    With this seed no value underflows.
    """
    record = RECORDS[name]
    moving = tuple(k for k in range(len(record.arguments)) if k not in record.whole)
    (point,) = points(record, 1, seed=20)
    together = fd.gradient(caller(record), *point, argnum=moving, backend="numpy")
    for k, expected in zip(moving, together, strict=True):
        alone = fd.gradient(caller(record), *point, argnum=k, backend="numpy")
        np.testing.assert_allclose(alone, expected, 1e-9, 1e-290, err_msg=record.arguments[k])


def test_names_of_scipy_mean_ours():
    assert meant_by(scipy.special.jv) is special.jv
    assert recorded(special.jv).record is RECORDS["jv"]
    assert meant_by(np.exp) is None
    assert meant_by(scipy.special) is None


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_arrays_element_by_element(backend):
    def f(x):
        return np.sum(scipy.special.kv(x, 1.5) * scipy.special.gammaln(x) + scipy.special.airy(x[0])[1])

    x = np.array([0.7, 1.9, 2.6])
    y, gradient = fd.value_and_gradient(f, x, backend=backend)
    assert y == pytest.approx(f(x), rel=1e-13)
    step = 1e-6 * np.eye(3)
    np.testing.assert_allclose(gradient, [(f(x + e) - f(x - e)) / 2e-6 for e in step], rtol=1e-7)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_in_functions_that_call_themselves(backend):
    def f(n, x):
        return special.ellipk(x) if n == 0 else f(n - 1, x) * special.lambertw0(x)

    expected = fd.derivative(lambda x: special.ellipk(x) * special.lambertw0(x) ** 2, 0.3)
    assert fd.derivative(lambda x: f(2, x), 0.3, backend=backend) == pytest.approx(expected, rel=1e-12)


def test_single_precision_is_computed_in_double():
    wrapped = fwddiff(lambda v, x: scipy.special.kv(v, x))
    v, x = np.float32([0.3, 2.0]), np.float32([1.0, 3.0])
    y, pullback = fd.rrule(wrapped.broadcast, v, x)
    v_bar, x_bar = map(fd.unthunk, pullback(np.ones_like(y)))
    assert y.dtype == v_bar.dtype == x_bar.dtype == np.float32
    called = caller(RECORDS["kv"])
    exact = [fd.gradient(called, float(a), float(b), argnum=(0, 1)) for a, b in zip(v, x, strict=True)]
    np.testing.assert_allclose(np.stack([v_bar, x_bar], 1), exact, rtol=1e-6)


def test_what_is_not_there_names_what_is_close():
    with pytest.raises(fd.DerivativeError, match=r"scipy\.special\.ellipkinc has no derivative.*ellipk"):
        fd.derivative(lambda x: scipy.special.ellipkinc(x, 0.3), 1.0, backend="numpy")


@pytest.mark.parametrize("function", [lambda x: scipy.special.ellipkinc(x, 0.3), lambda x: ellipkinc(x, 0.3)])
def test_what_has_no_kernel_names_what_is_close(function):
    with pytest.raises(fd.CompileError, match=r"`scipy\.special\.ellipkinc` has no compiled form.*ellipk"):
        fd.derivative(fd.fwddiff(function, engine="numba"), 1.0)


def test_parts_of_iterations_are_no_names_of_the_package():
    hidden = {name for name in RECORDS if name.endswith(("_start", "_rate"))}
    assert "betaincinv_start" in hidden
    assert not hidden & {*dir(special), *special.__all__}
    assert set(special.__all__) <= set(dir(special))
