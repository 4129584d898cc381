"""`fd.testing.check_pullback`: what it accepts, what it finds, what it says."""

from __future__ import annotations

import importlib.util
import io
import math
from typing import NamedTuple

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff.testing import PullbackError, check_pullback

ENGINES = ["numba", "numpy"]
HOSTS = [
    name
    for name in ("torch", "jax", "autograd", "tensorflow", "pytensor", "mlx")
    if importlib.util.find_spec(name)
]


class Model(NamedTuple):
    rate: object
    shift: object


def density(model, x, n=2):
    return math.log(model.rate) * n - (x - model.shift) * model.rate


def solve(start, target, tolerance=1e-9):
    """Square root by Newton's method; takes no step where `start` is the solution."""
    root = start
    step = (root * root - target) / (2 * root)
    while abs(step) > tolerance:
        root = root - step
        step = (root * root - target) / (2 * root)
    return root


def solve_settled(start, target):
    root = start
    step = (root * root - target) / (2 * root)
    while fd.magnitude(step) > 1e-9:
        root = root - step
        step = (root * root - target) / (2 * root)
    return root


X = np.array([0.3, 0.9, 1.4])


def test_everything_installed_takes_part():
    report = check_pullback(fwddiff(density).broadcast, Model(X, 0.2), np.float64(1.3), n=3)
    assert report.backends == [*ENGINES, *HOSTS]
    assert [entry.leaf for entry in report.entries[:3]] == ["model.rate", "model.shift", "x"]
    assert max(entry.error for entry in report.entries) < 1e-8
    assert {entry.kind for entry in report.entries if entry.backend in HOSTS} == {"pullback", "pushforward"}
    assert "comparisons agree" in str(report)


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (fwddiff(density).sum, (Model(X, 0.2), X)),
        (density, (Model(0.7, 0.2), 1.3)),
        (lambda x: np.sum(x * x), (X,)),
        (fwddiff(lambda x, y: (x * y, math.sin(y), 3)).broadcast, (X[:, None], X)),
        (fwddiff(density).broadcast, (Model(X.astype(np.float32), np.float32(0.2)), X.astype(np.float32))),
        (fwddiff(lambda x, y: x * y, wrt="y").broadcast, (X, X)),
        (fwddiff(lambda x: x * x).broadcast, (np.linspace(0.1, 1.0, 40),)),
    ],
    ids=["sum", "plain", "array", "outputs", "float32", "wrt", "long"],
)
def test_right_functions_pass(f, args):
    assert check_pullback(f, *args, backends=ENGINES).ok


def wrong(factor):
    def rrule(x, y):
        return x * y, lambda ct: (ct * y, factor * ct * x)

    return fd.custom_rule(lambda x, y: x * y, rrule=rrule)


def test_a_wrong_rule_is_named():
    assert check_pullback(wrong(1.0).broadcast, X, 2.0).backends == ["rule", *HOSTS]
    with pytest.raises(PullbackError) as caught:
        check_pullback(wrong(1.5).broadcast, X, 2.0)
    assert {(entry.leaf, entry.kind) for entry in caught.value.report.failures} == {("y", "pullback")}
    text = str(caught.value)
    assert "pullback of y" in text
    assert "off by" in text
    expected = 1.5 * caught.value.report.failures[0].error / 0.5
    assert f"{expected:.6g}"[:6] in text


def test_an_oracle_instead_of_differences():
    right = lambda x, y: (np.full(3, y), np.sum(x))  # noqa: E731
    assert check_pullback(wrong(1.0).broadcast, X, 2.0, oracle=right).ok
    with pytest.raises(PullbackError, match="pullback of x"):
        check_pullback(wrong(1.0).broadcast, X, 2.0, oracle=lambda x, y: (x, np.sum(x)))


def test_a_loop_that_stops_early_is_explained():
    with pytest.raises(PullbackError, match=r"has a loop: it probably stopped .* `fwddiff.magnitude"):
        check_pullback(solve, math.sqrt(2.0), 2.0, backends=ENGINES)
    assert check_pullback(solve_settled, math.sqrt(2.0), 2.0, backends=ENGINES).ok


def test_a_kink_is_explained():
    with pytest.raises(PullbackError, match="kink or a jump"):
        check_pullback(lambda x: x if x >= 1.0 else 3.0 * x - 2.0, 1.0, backends=["numpy"])


def test_noise_is_explained():
    with pytest.raises(PullbackError, match="do not settle"):
        check_pullback(lambda x: x + 1e-3 * (math.sin(1e9 * x) - x * 1e-3), 1.0, backends=["numpy"])


def test_given_cotangents():
    report = check_pullback(fwddiff(lambda x: (x, x * x)), 0.5, cotangents=[0.0, 2.0], backends=["numpy"])
    assert report.ok
    with pytest.raises(fd.ArgumentError, match="1 cotangents for 2 float outputs"):
        check_pullback(fwddiff(lambda x: (x, x * x)), 0.5, cotangents=[0.0], backends=["numpy"])


def test_nothing_to_check_is_an_error():
    with pytest.raises(fd.ArgumentError, match="holds a float"):
        check_pullback(density, Model(1, 2), 3)
    with pytest.raises(fd.ArgumentError, match="'mxnet' is not there"):
        check_pullback(density, Model(1.0, 2.0), 3.0, backends=["mxnet"])


def test_reports_print_as_tables():
    from rich.console import Console

    console = Console(width=120, record=True, file=io.StringIO())
    console.print(check_pullback(density, Model(0.7, 0.2), 1.3, backends=["numpy"]))
    assert "model.shift" in console.export_text()
