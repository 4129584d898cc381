"""Rules that the user writes: `custom_rule` for whole functions, `scalar_rule` for the engines."""

import math

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff.rules import TABLE


def solve(matrix, right):
    return np.linalg.solve(matrix, right)


def solve_rrule(matrix, right):
    solution = solve(matrix, right)

    def pullback(cotangent):
        right_bar = np.linalg.solve(np.asarray(matrix).T, cotangent)
        return fd.Thunk(lambda: -np.outer(right_bar, solution)), right_bar

    return solution, pullback


def solve_frule(primals, tangents):
    solution = solve(*primals)
    return solution, np.linalg.solve(primals[0], tangents[1] - tangents[0] @ solution)


MATRIX = np.array([[3.0, 1.0], [0.5, 2.0]])
RIGHT = np.array([1.0, -2.0])


def test_custom_rule_on_arrays():
    g = fd.custom_rule(solve, rrule=solve_rrule, frule=solve_frule)
    _, pullback = fd.rrule(g, MATRIX, RIGHT)
    cotangent, tangents = np.array([0.3, -0.7]), (np.array([[0.1, 0.2], [-0.4, 0.3]]), np.array([1.0, 2.0]))
    bars = [fd.unthunk(t) for t in pullback(cotangent)]
    _, dy = fd.frule(g, (MATRIX, RIGHT), tangents)
    step = 1e-6
    moved = [solve(MATRIX + s * step * tangents[0], RIGHT + s * step * tangents[1]) for s in (1, -1)]
    np.testing.assert_allclose(dy, (moved[0] - moved[1]) / (2 * step), rtol=1e-8)
    np.testing.assert_allclose(
        sum(np.sum(b * t) for b, t in zip(bars, tangents, strict=True)), cotangent @ dy
    )


def test_custom_rule_in_broadcast_and_sum():
    """A rule that is wrong on purpose shows that the rule is used, not the function."""
    g = fd.custom_rule(lambda x: x * x, rrule=lambda x: (x * x, lambda ct: (100 * ct,)))
    x = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(g.broadcast(x), x * x)
    assert g.sum(x) == 14.0
    np.testing.assert_array_equal(fd.unthunk(fd.rrule(g.sum, x)[1](2.0)[0]), np.full((1, 3), 200.0))


def test_custom_rule_needs_one_of_the_two():
    with pytest.raises(fd.ArgumentError, match="rrule="):
        fd.custom_rule(lambda x: x)


@pytest.mark.parametrize(
    "rule",
    [
        {"rrule": lambda a, b: (a * b, lambda ct: (100 * ct * b, ct * a))},
        {"frule": lambda p, t: (p[0] * p[1], 100 * t[0] * p[1] + p[0] * t[1])},
    ],
    ids=["rrule", "frule"],
)
def test_one_of_the_two_gives_both_modes(rule):
    """On numbers and on arrays; the factor 100 shows that the rule is used."""
    g = fd.custom_rule(lambda a, b: a * b, **rule)
    assert [fd.unthunk(t) for t in fd.rrule(g, 2.0, 3.0)[1](1.0)] == [300.0, 2.0]
    assert fd.frule(g, (2.0, 3.0), (1.0, 10.0)) == (6.0, 320.0)
    a, b, ct = np.array([2.0, 5.0]), np.array([3.0, 4.0]), np.array([1.0, 10.0])
    bars = [fd.unthunk(t) for t in fd.rrule(g, a, b)[1](ct)]
    np.testing.assert_allclose(bars, [100 * ct * b, ct * a])
    np.testing.assert_allclose(fd.frule(g, (a, b), (ct, None))[1], 100 * ct * b)


def test_custom_rule_with_a_cotangent_too_few():
    g = fd.custom_rule(lambda x, y: x * y, rrule=lambda x, y: (x * y, lambda ct: (ct * y,)))
    with pytest.raises(fd.StructureError, match="1 cotangents for 2 arguments"):
        fd.unthunk(fd.rrule(g, 1.0, 2.0)[1](1.0)[0])


@pytest.fixture
def scalar_rules():
    """Rules added by a test do not outlive it."""
    before = dict(TABLE)
    yield
    TABLE.clear()
    TABLE.update(before)


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_scalar_rule(engine, scalar_rules):
    def logistic(x):
        return 1 / (1 + math.exp(-x))

    logistic.__name__ = f"logistic_{engine}"
    fd.scalar_rule(logistic, "y * (1 - y)")
    g = fwddiff(lambda x, w: w * logistic(x), engine=engine).broadcast
    x = np.linspace(-3, 3, 5)
    y, pullback = fd.rrule(g, x, 2.0)
    s = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(y, 2 * s, rtol=1e-14)
    np.testing.assert_allclose(fd.unthunk(pullback(np.ones(5))[0]), 2 * s * (1 - s), rtol=1e-14)


def test_scalar_rule_is_used_instead_of_the_code(scalar_rules):
    """A partial that is wrong on purpose arrives, so the rule is what counts."""

    def halved(x):
        return x / 2

    fd.scalar_rule(halved, "7")
    assert fd.unthunk(fd.rrule(fwddiff(lambda x: 3 * halved(x)), 1.0)[1](1.0)[0]) == 21.0


def test_scalar_rule_checks_its_expressions():
    with pytest.raises(fd.ArgumentError, match="2 arguments but 1 partials"):
        fd.scalar_rule(solve, "1")
    with pytest.raises(fd.ArgumentError, match="use def"):
        fd.scalar_rule(lambda a: a, "1")
