"""Derivatives of the engine without a compiler against closed forms, central differences and mpmath."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from fwddiff.engines import numpy as engine
from support.problems import problem_of


def rule_of(function, *arguments, **options):
    problem, arrays = problem_of(function, *arguments, **options)
    return engine.rule(problem), arrays


@dataclasses.dataclass(frozen=True)
class Gamma:
    shape: Any
    rate: Any

    def log_density(self, x):
        return self.shape * math.log(self.rate) + (self.shape - 1) * math.log(x) - self.rate * x - self.norm()

    def norm(self):
        return math.lgamma(self.shape)

    def scaled(self, factor):
        return Gamma(self.shape, self.rate / factor)


class Pair(NamedTuple):
    first: Any
    second: Any

    def product(self):
        return self.first * math.exp(self.second)


def kepler(mean, eccentricity):
    anomaly = mean
    for _ in range(50):
        step = (anomaly - eccentricity * math.sin(anomaly) - mean) / (1.0 - eccentricity * math.cos(anomaly))
        anomaly = anomaly - step
        if abs(step) < 1e-14:
            break
    return anomaly


def power_sum(x, pair, weights):
    """Σv² and Σv³ of all arguments, and an integer."""
    squares = x**2 + pair[0] ** 2 + pair[1] ** 2
    cubes = x**3 + pair[0] ** 3 + pair[1] ** 3
    for w in weights:
        squares += w**2
        cubes += w**3
    return squares, cubes, 42


def central(rule, arrays, position, direction, step=1e-6):
    moved = [array.astype(float) if k == position else array for k, array in enumerate(arrays)]
    up, down = list(moved), list(moved)
    up[position], down[position] = moved[position] + step * direction, moved[position] - step * direction
    return [(u - d) / (2 * step) for u, d in zip(rule(up), rule(down), strict=True)]


def test_kepler_by_newton_with_early_exit():
    rng = np.random.default_rng(1)
    mean, eccentricity = rng.uniform(0, 3, 20), rng.uniform(0, 0.7, 20)
    rule, arrays = rule_of(kepler, mean, eccentricity)
    (anomaly,) = rule(arrays)
    slope = 1 / (1 - eccentricity * np.cos(anomaly))
    bars = rule.pullback((0, 1))([*arrays, np.full(20, 2.0)])
    assert_allclose(bars[0], 2 * slope, rtol=1e-12)
    assert_allclose(bars[1], 2 * np.sin(anomaly) * slope, rtol=1e-12)


def test_second_derivative_of_kepler_by_mpmath():
    rule, arrays = rule_of(kepler, np.float64(0.8), np.float64(0.3))
    second = rule.pullback((0,)).pushforward((0,))
    (found,) = second([*arrays, np.float64(1.0), np.float64(1.0)])
    mp.mp.dps = 40

    def solved(mean):
        return mp.findroot(lambda anomaly: anomaly - mp.mpf(0.3) * mp.sin(anomaly) - mean, 1.0)

    assert_allclose(found, float(mp.diff(solved, mp.mpf(0.8), 2)), rtol=1e-12)


@pytest.mark.parametrize("third", ["pushforward", "pullback"])
@pytest.mark.parametrize("second", ["pushforward", "pullback"])
@pytest.mark.parametrize("first", ["pushforward", "pullback"])
def test_every_mixture_of_three_derivatives(first, second, third):
    rule, arrays = rule_of(lambda x: math.exp(2.0 * x) * x, np.float64(0.4))
    for kind in (first, second, third):
        rule = getattr(rule, kind)((0,))
        arrays = [*arrays, np.float64(1.0)]
    # d³/dx³ x e^(2x) = (8x + 12) e^(2x); all tangents and cotangents are one.
    assert_allclose(rule(arrays)[0], (8 * 0.4 + 12) * math.exp(0.8), rtol=1e-13)


def test_derivative_with_respect_to_a_cotangent_is_the_derivative():
    x = np.array([0.3, 1.1])
    rule, arrays = rule_of(lambda x: math.sin(x), x)
    (moved,) = rule.pullback((0,)).pushforward((1,))([*arrays, np.ones(2), np.array([5.0, 7.0])])
    assert_allclose(moved, np.cos(x) * [5.0, 7.0], rtol=1e-15)


def test_hessian_product_of_array_arguments():
    def energy(x, k):
        total = 0.0 * k
        for i in range(len(x) - 1):
            total = total + k * (x[i + 1] - x[i]) ** 4
        return total

    x, v = np.array([0.1, 0.5, 0.2, 0.9]), np.array([1.0, -2.0, 0.5, 3.0])
    rule, arrays = rule_of(energy, x, 1.5, whole=True)
    (found,) = rule.pullback((0,)).pushforward((0,))([*arrays, np.float64(1.0), v])
    difference, change = np.diff(x), np.diff(v)
    slopes = 12 * 1.5 * difference**2 * change
    expected = -np.append(slopes, 0) + np.append(0, slopes)
    assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 20])
@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_arrays_of_all_lengths_and_chunks(n, chunk):
    weights = np.random.default_rng(n).uniform(0.5, 2, n)
    rule, arrays = rule_of(power_sum, 2.0, (3.0, 4.0), weights, whole=True, chunk=chunk)
    values = rule(arrays)
    assert_allclose(values[0], 29 + np.sum(weights**2))
    assert values[2] == 42
    bars = rule.pullback((0, 1, 2, 3))([*arrays, np.float64(10.0), np.float64(100.0)])
    for bar, x in zip(bars, (2.0, 3.0, 4.0, weights), strict=True):
        assert_allclose(bar, 20 * np.asarray(x) + 300 * np.asarray(x) ** 2, rtol=1e-13)
    partials = rule.partials((1, 3))(arrays)
    assert_allclose(partials[3], 6.0)
    assert_allclose(partials[4], 2 * weights)
    assert_allclose(partials[6], 3 * weights**2)


@pytest.mark.parametrize("n", [1, 8, 9])
def test_array_results(n):
    def scaled_squares(x, k):
        y = np.empty_like(x)
        for i in range(len(x)):
            y[i] = k * x[i] ** 2
        return y

    x, c = np.arange(1.0, n + 1), np.linspace(-1, 2, n)
    rule, arrays = rule_of(scaled_squares, x, 3.0, whole=True)
    assert_allclose(rule(arrays)[0], 3 * x**2)
    assert not rule.storable
    x_bar, k_bar = rule.pullback((0, 1))([*arrays, c])
    assert_allclose(x_bar, 6 * x * c)
    assert_allclose(k_bar, np.sum(c * x**2))
    (moved,) = rule.pushforward((0, 1))([*arrays, c, np.float64(2.0)])
    assert_allclose(moved, 6 * x * c + 2 * x**2)
    again = rule.pullback((0, 1)).pullback((0, 2))
    x_bar, c_bar = again([*arrays, c, np.ones(n), np.float64(0.0)])
    assert_allclose(x_bar, 6 * c)
    assert_allclose(c_bar, 6 * x)


def test_matrix_argument():
    def quadratic(a, x):
        return x @ (a @ x)

    rng = np.random.default_rng(3)
    a, x = rng.normal(size=(3, 3)), rng.normal(size=3)
    rule, arrays = rule_of(quadratic, a, x, whole=True)
    a_bar, x_bar = rule.pullback((0, 1))([*arrays, np.float64(2.0)])
    assert_allclose(a_bar, 2 * np.outer(x, x), rtol=1e-13)
    assert_allclose(x_bar, 2 * (a + a.T) @ x, rtol=1e-13)


def test_methods_of_structs_and_structs_made_inside():
    def value(d, x):
        return d.scaled(2.0).log_density(x)

    def expected(shape, rate, x):
        return shape * np.log(rate / 2) + (shape - 1) * np.log(x) - rate / 2 * x

    shape, rate, x = np.array([2.0, 3.0]), np.array([1.0, 1.5]), np.array([0.7, 2.0])
    rule, arrays = rule_of(value, Gamma(shape, rate), x)
    norm = np.array([math.lgamma(s) for s in shape])
    assert_allclose(rule(arrays)[0], expected(shape, rate, x) - norm, rtol=1e-14)
    bars = rule.pullback((0, 1, 2))([*arrays, np.ones(2)])
    digamma = np.array([float(mp.digamma(s)) for s in shape])
    assert_allclose(bars[0], np.log(rate / 2) + np.log(x) - digamma, rtol=1e-12)
    assert_allclose(bars[1], shape / rate - x / 2, rtol=1e-13)
    assert_allclose(bars[2], (shape - 1) / x - rate / 2, rtol=1e-13)


def test_results_are_of_the_users_classes():
    rule, _ = rule_of(lambda d: {"d": d.scaled(3.0), "p": Pair(d.norm(), None)}, Gamma(2.0, 3.0))
    tree = rule.result_tree()
    result = tree.unflatten([1, 2, 3])
    assert result == {"d": Gamma(1, 2), "p": Pair(3, None)}
    assert type(result["d"]) is Gamma
    assert type(result["p"]) is Pair


def test_struct_tests_of_type_hold():
    def value(p):
        if not isinstance(p, Pair):
            return 0.0
        made = Pair(p.first, p.second)
        return made.product() if isinstance(made, Pair) else 0.0

    rule, arrays = rule_of(value, Pair(2.0, 0.5))
    assert_allclose(rule.pullback((0, 1))([*arrays, np.float64(1.0)]), [math.exp(0.5), 2 * math.exp(0.5)])


def test_functions_as_arguments():
    def simpson(g, a, b):
        return (b - a) / 6 * (g(a) + 4 * g((a + b) / 2) + g(b))

    rule, arrays = rule_of(simpson, lambda t: math.exp(t), 0.0, 1.0)
    bars = rule.pullback((0, 1))([*arrays, np.float64(1.0)])
    for position, bar in enumerate(bars):
        assert_allclose(bar, central(rule, arrays, position, 1.0)[0], rtol=1e-8)


def test_keyword_only_arguments_and_the_rest():
    def value(a, *rest, k=1.0):
        return a * k + sum(rest)

    # The wrapper's order: positional, keyword-only, then the rest.
    rule, arrays = rule_of(value, 2.0, 3.0, 5.0, 7.0)
    assert_allclose(rule(arrays)[0], 18.0)
    assert_allclose(rule.pullback((0, 1, 2, 3))([*arrays, np.float64(1.0)]), [3.0, 2.0, 1.0, 1.0])


def test_an_infinite_slope_leaves_the_other_inputs_alone():
    rule, arrays = rule_of(lambda x, y: math.sqrt(x) + y * y, np.array([0.0, 4.0]), np.array([3.0, 3.0]))
    x_bar, y_bar = rule.pullback((0, 1))([*arrays, np.ones(2)])
    assert_allclose(x_bar, [np.inf, 0.25])
    assert_allclose(y_bar, [6.0, 6.0])
    partials = rule.partials((0, 1))(arrays)
    assert_allclose(partials[2], [6.0, 6.0])


def test_a_constant_result_has_zero_derivatives():
    rule, arrays = rule_of(lambda x: x * x if x > 0 else 0.0, np.array([-1.0, 3.0]))
    assert_allclose(rule.pullback((0,))([*arrays, np.ones(2)])[0], [0.0, 6.0])
    assert_allclose(rule.pushforward((0,))([*arrays, np.ones(2)])[0], [0.0, 6.0])


def test_float32_stays_float32():
    def value(x):
        return 2.0 * x + math.exp(x) + float(x) + np.sin(x)

    x = np.array([0.5, 1.5], np.float32)
    rule, arrays = rule_of(value, x)
    assert rule.outputs[0].dtype == np.float32
    assert rule(arrays)[0].dtype == np.float32
    (bar,) = rule.pullback((0,))([*arrays, np.ones(2, np.float32)])
    assert bar.dtype == np.float32
    assert_allclose(bar, 3 + np.exp(x) + np.cos(x), rtol=1e-6)


def test_integers_and_bools_arrive_as_pythons_own():
    def value(x, n, flag):
        assert (type(n), type(flag)) == (int, bool)
        return x**n if flag else x

    rule, arrays = rule_of(value, 2.0, np.int64(3), np.bool_(True))
    assert rule(arrays)[0] == 8.0
    assert_allclose(rule.pullback((0,))([*arrays, np.float64(1.0)])[0], 12.0)
