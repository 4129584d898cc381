"""What measuring the accuracy of all functions found; references by mpmath as in docs/accuracy.md."""

import mpmath
import numpy as np
import pytest

from fwddiff._record import RECORDS
from special import accuracy

POINTS = {
    "rgamma": [(60.5,), (108.101,), (169.9,)],  # a product of slopes whose factors over- and underflow
    "kl_div": [(2.6e-99, 1.7e-86), (1.0, 1.9)],  # log1p near -1
    "gamma_density": [(1e4, 3e3), (5.0, 1e-9)],
    "log_gammaincc": [(0.5, 1e-20), (0.9, 1e-9), (0.3, 0.7)],  # near log 1
}


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.every(2)
def test_points_that_had_lost_digits(name):
    subject = accuracy.of(RECORDS[name])
    found = accuracy._ours(subject, [np.array(column) for column in zip(*POINTS[name], strict=True)])
    for k, point in enumerate(POINTS[name]):
        value, slopes = accuracy._reference(subject, point, float(found["value"][k]))
        for key, exact in zip(("value", *subject.moving), (value, *slopes), strict=True):
            assert float(abs(found[key][k] - exact)) <= 2e-12 * float(abs(exact)), (name, point, key)


def test_references_are_those_of_closed_forms():
    """Of an inverse: the quantile of an exponential distribution, -log(q), is that of Gamma(1)."""
    subject = accuracy.of(RECORDS["gammainccinv"])
    value, slopes = accuracy._reference(subject, (1.0, 0.25), 1.3862943)
    assert mpmath.almosteq(value, -mpmath.log(0.25), 1e-30)
    assert mpmath.almosteq(slopes[1], -4, 1e-25)


@pytest.mark.parametrize("name", ["erf", "betainc", "xlogy"])
def test_errors_are_seen(name):
    """A value or slope that is off in the tenth digit is measured as that."""
    subject = next(each for each in accuracy.subjects() if each.name == name)
    points = list(accuracy._drawn(subject, 3))
    found = accuracy._ours(subject, [np.array(column) for column in zip(*points, strict=True)])
    exact = [accuracy._reference(subject, point, 0.0) for point in points]
    kept = [k for k, reference in enumerate(exact) if reference is not None]
    wrong = {key: column * (1 + 1e-10) for key, column in found.items()}
    errors = accuracy._errors(subject, wrong, kept, [exact[k] for k in kept]).largest()
    assert errors["value"] == pytest.approx(1e-10, rel=1e-2)
    assert all(error == pytest.approx(1e-10, rel=1e-2) for error in errors["slopes"].values())
