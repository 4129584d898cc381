"""Rules that the user writes: `custom_rule` for whole functions, `scalar_rule` for the engines."""

import dataclasses
import enum
import functools
import math

import numpy as np
import pytest
from scipy.optimize import brentq

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


def root(a, low, high):
    return brentq(lambda x: x * x - a, low, high, xtol=1e-15, rtol=1e-14)


def root_rrule(a, low, high):
    y = root(a, low, high)
    return y, lambda ct: (ct / (2 * y), None, None)


ROOT = fd.custom_rule(root, rrule=root_rrule)
HALF_OVER_ROOT = fd.custom_rule(root, frule=lambda p, t: (root(*p), t[0] / (2 * root(*p))))


def derivatives_of_root(a):
    return 0.5 * a**-0.5, -0.25 * a**-1.5, 0.375 * a**-2.5


@pytest.mark.parametrize("rule", [ROOT, HALF_OVER_ROOT], ids=["rrule", "frule"])
def test_higher_derivatives_differentiate_the_rule(rule):
    """The solver takes no duals: in its rule, its name means the function with this rule."""
    torch = pytest.importorskip("torch")
    a = torch.tensor([2.0, 3.0], dtype=torch.float64, requires_grad=True)
    value = rule.broadcast(a, 0.0, 10.0)
    for expected in derivatives_of_root(a.detach()):
        (value,) = torch.autograd.grad(value.sum(), a, create_graph=True)
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)
    first, second, _ = derivatives_of_root(2.0)
    f = lambda v: rule(v[0], 0.0, 10.0) * v[1]  # noqa: E731
    found = fd.hessian(f, np.array([2.0, 3.0]))
    np.testing.assert_allclose(found, [[3 * second, first], [first, 0.0]], rtol=1e-10)
    nested = lambda z: fd.derivative(rule, z, 0.0, 10.0)  # noqa: E731
    np.testing.assert_allclose(fd.derivative(nested, 2.0), second, rtol=1e-10)


def test_a_rule_that_is_not_differentiable_itself():
    rule = fd.custom_rule(np.sinh, frule=lambda p, t: (np.sinh(p[0]), t[0] * complex(p[0]).real))
    assert fd.derivative(lambda x: rule(x), 2.0) == 2.0
    with pytest.raises(fd.DerivativeError, match="custom rule"):
        fd.hessian(lambda x: rule(x), 2.0)


class Kind(enum.Enum):
    LINEAR = 1
    CUBIC = 2


@dataclasses.dataclass
class Law:
    kind: Kind
    weight: float


def law(x, given):
    return given.weight * (x if given.kind is Kind.LINEAR else x**3)


def law_rrule(x, given):
    slope = 1.0 if given.kind is Kind.LINEAR else 3 * x * x
    bar = lambda ct: (ct * given.weight * slope, Law(None, ct * law(x, given) / given.weight))  # noqa: E731
    return law(x, given), bar


@pytest.mark.parametrize(("kind", "expected"), [(Kind.LINEAR, (2.0, 3.0)), (Kind.CUBIC, (54.0, 27.0))])
def test_rules_take_enums_and_structs_with_them(kind, expected):
    rule = fd.custom_rule(law, rrule=law_rrule)
    x_bar, law_bar = (fd.unthunk(t) for t in fd.rrule(rule, 3.0, Law(kind, 2.0))[1](1.0))
    assert (x_bar, law_bar.weight) == expected
    assert fd.derivative(lambda x: rule(x, Law(kind, 2.0)), 3.0) == expected[0]
    assert fd.derivative(lambda x, given: rule(x, given), 3.0, Law(kind, 2.0)) == expected[0]


def test_rules_capture_arrays_of_numpy_only():
    table, number = np.array([1.0, 2.0]), np.array(3.0)
    slope = lambda x: (number * x * table.sum(), lambda ct: (ct * number * table.sum(),))  # noqa: E731
    rule = fd.custom_rule(lambda x: number * x * table.sum(), rrule=slope)
    assert fd.unthunk(fd.rrule(rule.broadcast, np.ones(3))[1](np.ones(3))[0]).tolist() == [9.0] * 3
    assert fd.derivative(lambda x: rule(x) * number, 1.0) == 27.0
    torch = pytest.importorskip("torch")
    weight = torch.tensor(2.0, requires_grad=True)
    rule = fd.custom_rule(lambda x: x, rrule=lambda x: (x, lambda ct: (ct * weight,)))
    for call in (rule.broadcast, fwddiff(lambda x: rule(x)).broadcast):
        with pytest.raises(fd.CaptureError, match="Pass the array as an argument"):
            call(torch.ones(2))


class Scaled:
    def __init__(self, k):
        self.k = k

    call = fd.custom_rule(
        lambda self, x: self.k * x,
        rrule=lambda self, x: (self.k * x, lambda ct: (None, 100 * self.k * ct)),
    )


def test_rules_of_methods_and_presets():
    scaled, preset = Scaled(2.0), functools.partial(lambda a, x: a * x, 2.0)
    rule = fd.custom_rule(preset, rrule=lambda a, x: (a * x, lambda ct: (None, 100 * a * ct)))
    for f in (scaled.call, rule, lambda x: scaled.call(x), lambda x: rule(x)):
        assert fd.derivative(f, 3.0) == 200.0


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
