"""SciPy takes operators as they are: each client finds the known solution, with our derivative instead of its
differences."""

import math

import numpy as np
import pytest

import fwddiff as fd

optimize = pytest.importorskip("scipy.optimize")
integrate = pytest.importorskip("scipy.integrate")

START = np.array([-1.2, 1.0, 0.7, -0.4])


def valley(x, steep, shift):
    """Rosenbrock's function around `shift`: the minimum 0 at 1 + shift."""
    total = 0.0
    for i in range(len(x) - 1):
        a, b = x[i] - shift, x[i + 1] - shift
        total += steep * (b - a**2) ** 2 + (1.0 - a) ** 2
    return total


GRADIENT = {"jac": fd.gradient(valley)}
WITH_HESSIAN = GRADIENT | {"hess": fd.hessian(valley)}
WITH_PRODUCT = GRADIENT | {"hessp": fd.hvp(valley)}


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("BFGS", GRADIENT),
        ("CG", GRADIENT),
        ("L-BFGS-B", GRADIENT),
        ("TNC", GRADIENT),
        ("SLSQP", GRADIENT),
        ("Newton-CG", GRADIENT),
        ("Newton-CG", WITH_HESSIAN),
        ("Newton-CG", WITH_PRODUCT),
        ("trust-exact", WITH_HESSIAN),
        ("trust-ncg", WITH_PRODUCT),
        ("trust-krylov", WITH_PRODUCT),
        ("dogleg", WITH_HESSIAN),
        ("trust-constr", WITH_HESSIAN),
        ("trust-constr", WITH_PRODUCT),
    ],
)
def test_minimize(method, options):
    start = np.full(4, 1.45) if method == "dogleg" else START  # which wants a convex function
    found = optimize.minimize(valley, start, args=(10.0, 0.5), method=method, tol=1e-7, **options)
    np.testing.assert_allclose(found.x, 1.5 * np.ones(4), rtol=2e-3)


def test_minimize_with_value_and_gradient():
    found = optimize.minimize(fd.value_and_gradient(valley), START, args=(10.0, 0.5), jac=True, tol=1e-8)
    np.testing.assert_allclose(found.x, 1.5 * np.ones(4), rtol=1e-6)


def test_constraints_and_bounds():
    """The point of the unit circle with the largest product of coordinates, and a bound that binds."""

    def circle(x):
        return np.sum(x * x) - 1.0

    def minus_product(x):
        return -x[0] * x[1]

    constraint = {"type": "eq", "fun": circle, "jac": fd.gradient(circle)}
    start = np.array([0.9, 0.2])
    found = optimize.minimize(
        minus_product, start, jac=fd.gradient(minus_product), constraints=[constraint], method="SLSQP"
    )
    np.testing.assert_allclose(found.x, np.sqrt([0.5, 0.5]), rtol=1e-6)
    inside = optimize.NonlinearConstraint(circle, -1, 0, jac=fd.gradient(circle), hess=optimize.BFGS())
    found = optimize.minimize(
        minus_product, start, jac=fd.gradient(minus_product), hess=fd.hessian(minus_product),
        constraints=[inside], method="trust-constr",
    )  # fmt: skip
    np.testing.assert_allclose(found.x, np.sqrt([0.5, 0.5]), rtol=1e-4)


def test_scalar_functions():
    found = optimize.root_scalar(
        lambda x, c: math.cos(x) - c * x, args=(1.0,), x0=0.5, method="halley",
        fprime=fd.derivative(lambda x, c: math.cos(x) - c * x),
        fprime2=fd.derivative(fd.derivative(lambda x, c: math.cos(x) - c * x)),
    )  # fmt: skip
    assert found.root == pytest.approx(0.7390851332151607, rel=1e-14)
    both = fd.value_and_derivative(lambda x: x**3 - 2.0)
    assert optimize.root_scalar(both, x0=1.0, fprime=True).root == pytest.approx(2.0 ** (1 / 3), rel=1e-14)


def residuals(p, t, y):
    out = np.empty_like(y)
    for k in range(len(t)):
        out[k] = p[0] * math.exp(-p[1] * t[k]) + p[2] - y[k]
    return out


TIMES = np.linspace(0, 4, 30)
TRUTH = np.array([2.0, 0.7, 0.3])


def decay(t, a, b, c):
    return a * np.exp(-b * t) + c


@pytest.mark.parametrize("method", ["trf", "dogbox", "lm"])
def test_least_squares(method):
    y = decay(TIMES, *TRUTH)
    found = optimize.least_squares(
        residuals, np.ones(3), jac=fd.jacobian(residuals), args=(TIMES, y), method=method
    )
    np.testing.assert_allclose(found.x, TRUTH, rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"bounds": (0, 10)}, {"sigma": np.linspace(1, 2, 30)}])
def test_curve_fit(options):
    jacobian = fd.jacobian(decay, argnum=(1, 2, 3))
    y = decay(TIMES, *TRUTH)
    found, _ = optimize.curve_fit(
        decay, TIMES, y, p0=np.ones(3), jac=lambda t, *p: np.transpose(jacobian(t, *p)), **options
    )
    np.testing.assert_allclose(found, TRUTH, rtol=1e-6)


def chain(x, c):
    """Broyden's tridiagonal equations."""
    out = np.empty_like(x)
    for k in range(len(x)):
        left = x[k - 1] if k > 0 else 0.0
        right = x[k + 1] if k < len(x) - 1 else 0.0
        out[k] = (3.0 - 2.0 * x[k]) * x[k] - left - 2.0 * right + c
    return out


@pytest.mark.parametrize("method", ["hybr", "lm"])
def test_root(method):
    calls = []

    def counted(x, c):
        calls.append(1)
        return chain(x, c)

    start = -np.ones(10)
    found = optimize.root(counted, start, args=(1.0,), jac=fd.jacobian(chain), method=method)
    assert found.success
    np.testing.assert_allclose(chain(found.x, 1.0), 0, atol=1e-8)
    assert len(calls) <= found.nfev + 2  # it asks for the shape of the result; differences take ten calls
    both = optimize.root(fd.value_and_jacobian(chain), start, args=(1.0,), jac=True, method=method)
    np.testing.assert_allclose(both.x, found.x, rtol=1e-8)
    np.testing.assert_allclose(optimize.fsolve(chain, start, (1.0,), fprime=fd.jacobian(chain)), found.x)


def relaxation(t, y, rate):
    """Two linear equations with the rates 1 and `rate`, which are stiff together."""
    out = np.empty_like(y)
    out[0] = -y[0]
    out[1] = rate * (y[0] ** 2 - y[1])
    return out


@pytest.mark.parametrize("method", ["Radau", "BDF", "LSODA"])
def test_solve_ivp(method):
    """y1 = e^-t; y2 = c e^-rate t + rate / (rate - 2) e^-2t."""
    rate, end, start = 1e3, 1.5, np.array([1.0, 2.0])
    found = integrate.solve_ivp(
        relaxation, (0.0, end), start, method=method, args=(rate,), rtol=1e-8, atol=1e-10,
        jac=fd.jacobian(relaxation, argnum=1),
    )  # fmt: skip
    share = rate / (rate - 2)
    expected = [math.exp(-end), (2 - share) * math.exp(-rate * end) + share * math.exp(-2 * end)]
    np.testing.assert_allclose(found.y[:, -1], expected, rtol=1e-6)


def bratu(x, y, p):
    """y'' + p exp(y) = 0 as a system, at all points of a mesh."""
    out = np.empty_like(y)
    for k in range(y.shape[1]):
        out[0, k] = y[1, k]
        out[1, k] = -p[0] * math.exp(y[0, k])
    return out


def ends(ya, yb, p):
    """y = 0 at both ends, and the parameter is 1."""
    out = np.empty(3)
    out[0] = ya[0]
    out[1] = yb[0]
    out[2] = p[0] - 1.0
    return out


def test_solve_bvp():
    """y = -2 log(cosh((x - 1/2) θ / 2) / cosh(θ / 4)) with θ = √2 cosh(θ / 4)."""
    by_y, by_p = fd.pushforward(bratu, argnum=1), fd.pushforward(bratu, argnum=2)

    def jacobian(x, y, p):
        rows = [np.repeat([[1.0 * (j == k)] for j in range(2)], len(x), axis=1) for k in range(2)]
        found = np.stack([by_y(x, row, y, p) for row in rows], axis=1)
        return found, by_p(x, np.ones(1), y, p)[:, None]

    mesh = np.linspace(0, 1, 11)
    found = integrate.solve_bvp(
        bratu, ends, mesh, np.zeros((2, 11)), p=[0.9], tol=1e-8,
        fun_jac=jacobian, bc_jac=fd.jacobian(ends, argnum=(0, 1, 2)),
    )  # fmt: skip
    theta = optimize.brentq(lambda t: t - math.sqrt(2) * math.cosh(t / 4), 1.0, 2.0)
    exact = -2 * np.log(np.cosh((mesh - 0.5) * theta / 2) / math.cosh(theta / 4))
    assert found.success
    np.testing.assert_allclose(found.sol(mesh)[0], exact, atol=1e-7)


def test_a_loop_of_scipy_takes_the_quick_way():
    """After two calls there is no set-up work: nothing is planned or looked up any more."""
    from fwddiff._operators._calls import Curried

    slow, answer = [], Curried._answer
    gradient = fd.gradient(valley)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Curried, "_answer", lambda *given: slow.append(1) or answer(*given))
        found = optimize.minimize(valley, START, args=(10.0, 0.5), jac=gradient)
    assert found.njev > 10
    assert len(slow) == 2
