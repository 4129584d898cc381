"""Bessel functions: values of SciPy, slopes by recurrences in the order (DLMF 10.6, 10.29)."""

from fwddiff._record import from_scipy, record


@record("-j1(x)", scipy="j0", scipy_value="j0", domain={"x": (-50, 50)}, oracle="besselj(0, x)")
def j0(x):
    """J₀(x)."""
    return from_scipy("j0", x)


@record(
    "where(x == 0, 1 / 2, j0(x) - y / x)",
    scipy="j1",
    scipy_value="j1",
    domain={"x": (-50, 50)},
    oracle="besselj(1, x)",
)
def j1(x):
    """J₁(x)."""
    return from_scipy("j1", x)


@record(None, None, scipy="hyp0f1", domain={"b": (0.1, 5), "x": (-5, 5)}, oracle="hyp0f1(b, x)")
def testing_body(b, x):
    total = 1.0
    term = 1.0
    for k in range(1, 200):
        term = term * x / (b + k - 1.0) / k
        total = total + term
        if abs(term) < 1e-17 * abs(total):
            break
    return total
