"""Captured values are inputs with derivatives, wherever they are, and the user's objects stay as they are."""

from __future__ import annotations

import math
import types
from math import exp
from math import log as ln

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fwddiff.engines import numpy as engine
from support.problems import problem_of

SCALE = 1.7
CONFIG = types.ModuleType("config")
CONFIG.rate = 0.9
LEVELS = {"a": np.array(2.0), "b": np.array(3.0)}


def scaled(x):
    return math.exp(x) * SCALE


def even(n, x):
    return x if n == 0 else odd(n - 1, x) * SCALE


def odd(n, x):
    return x + SCALE if n == 0 else even(n - 1, x) * x


class Slotted:
    __slots__ = ("rate",)

    def __init__(self, rate):
        self.rate = rate

    def value(self, x):
        return self.rate * x


class Model:
    offset = 0.3

    def __init__(self, rate):
        self.rate, self.calls = rate, 0

    @property
    def doubled(self):
        return 2 * self.rate

    def helper(self, x):
        return math.sin(x) * self.rate

    def value(self, x):
        return self.helper(x) + self.offset + self.doubled * x

    def __call__(self, x):
        return x * self.rate**2


class Lazy:
    """Finds its parameters as `torch.nn.Module` does."""

    def __init__(self, **parameters):
        self._parameters = parameters

    def __getattr__(self, name):
        try:
            return self._parameters[name]
        except KeyError:
            raise AttributeError(name) from None

    def value(self, x):
        return self.weight * x + self.bias


def gradients(function, *arguments):
    """Value, and derivatives with respect to all inputs: arguments, then captured values by name."""
    problem, arrays = problem_of(function, *arguments)
    rule = engine.rule(problem)
    active = [k for k, slot in enumerate(rule.inputs) if slot.differentiable]
    bars = rule.pullback(active)([*arrays, np.float64(1.0)])
    names = [f"argument {k}" for k in range(problem.arguments.num_leaves)]
    for capture, spec in zip(problem.plan.captures, problem.captured, strict=True):
        names += [f"{capture.name}{'' if spec.is_leaf() else k}" for k in range(spec.num_leaves)]
    named = {}
    for k, bar in zip(active, bars, strict=True):
        named[names[k]] = named.get(names[k], 0.0) + bar
    return rule(arrays)[0], named


def test_cells_of_nested_functions():
    weight = 2.5

    def helper(t):
        return t * weight

    def value(x):
        return helper(x) * weight

    y, bars = gradients(value, 3.0)
    assert_allclose(y, 3 * 2.5**2)
    assert_allclose(bars["argument 0"], 2.5**2)
    assert_allclose(bars["weight"], 2 * 3 * 2.5)
    assert weight == 2.5


def test_globals_of_helpers():
    y, bars = gradients(lambda x: scaled(x) + SCALE, 0.4)
    assert_allclose(y, math.exp(0.4) * 1.7 + 1.7)
    assert_allclose(bars["SCALE"], math.exp(0.4) + 1)
    assert SCALE == 1.7


def test_names_imported_from_math():
    y, bars = gradients(lambda x: exp(x) + ln(x) + math.floor(x) + math.pi, 2.5)
    assert_allclose(y, math.exp(2.5) + math.log(2.5) + 2 + math.pi)
    assert_allclose(bars["argument 0"], math.exp(2.5) + 1 / 2.5)


def test_attributes_of_modules():
    y, bars = gradients(lambda x: CONFIG.rate * x, 3.0)
    assert_allclose([y, bars["CONFIG.rate"]], [2.7, 3.0])
    assert CONFIG.rate == 0.9


def test_containers():
    _, bars = gradients(lambda x: LEVELS["a"] * x + LEVELS["b"] * x**2, 3.0)
    assert_allclose([bars["LEVELS0"], bars["LEVELS1"]], [3.0, 9.0])


def test_self_with_helpers_properties_and_class_attributes():
    model = Model(0.7)
    y, bars = gradients(model.value, 2.0)
    assert_allclose(y, math.sin(2) * 0.7 + 0.3 + 1.4 * 2)
    assert_allclose(bars["argument 0"], math.cos(2) * 0.7 + 1.4)
    assert_allclose(bars["self.rate"], math.sin(2))
    assert_allclose(bars["self.doubled"], 2.0)
    assert_allclose(bars["self.offset"], 1.0)
    assert vars(model) == {"rate": 0.7, "calls": 0}


def test_methods_of_captured_objects():
    model = Model(0.7)
    _, bars = gradients(lambda x: model.value(x) + model.rate, 2.0)
    assert_allclose(bars["model.rate"] + bars["self.rate"], math.sin(2) + 1)
    assert model.rate == 0.7


def test_callable_objects():
    model = Model(0.7)
    for function in (model, lambda x: model(x)):
        y, bars = gradients(function, 2.0)
        assert_allclose(y, 2 * 0.49)
        assert_allclose(bars["self.rate"], 2 * 2 * 0.7)


def test_slots():
    _, bars = gradients(Slotted(1.5).value, 2.0)
    assert_allclose([bars["argument 0"], bars["self.rate"]], [1.5, 2.0])


def test_attributes_found_by_getattr():
    lazy = Lazy(weight=np.array(1.5), bias=np.array(0.2))
    _, bars = gradients(lazy.value, 2.0)
    assert_allclose([bars["self.weight"], bars["self.bias"]], [2.0, 1.0])
    assert set(vars(lazy)) == {"_parameters"}


def test_recursion():
    def power(x, n):
        return SCALE if n == 0 else x * power(x, n - 1)

    problem, arrays = problem_of(power, 2.0, 5)
    bars = engine.rule(problem).pullback((0, 2))([*arrays, np.float64(1.0)])
    assert_allclose(bars, [5 * 1.7 * 2**4, 2**5])


def test_mutual_recursion():
    # even(3) = odd(2) s, odd(2) = even(1) x, even(1) = odd(0) s, odd(0) = x + s
    problem, arrays = problem_of(even, 3, 2.0)
    bars = engine.rule(problem).pullback((1, 2))([*arrays, np.float64(1.0)])
    x, s = 2.0, 1.7
    assert_allclose(bars, [s * s * (2 * x + s), 2 * s * x * (x + s) + s * s * x])


def test_functions_defined_inside():
    weights = np.array([0.5, 1.5])

    def value(x):
        return sum(w * SCALE * x for w in weights) + (lambda t: t * SCALE)(x)

    problem, arrays = problem_of(value, 2.0)
    named = dict(zip([c.name for c in problem.plan.captures], range(1, 9), strict=False))
    bars = engine.rule(problem).pullback((0, named["weights"], named["SCALE"]))([*arrays, np.float64(1.0)])
    assert_allclose(bars[0], 3 * 1.7)
    assert_allclose(bars[1], [3.4, 3.4])
    assert_allclose(bars[2], 6.0)


def test_tables_and_elements_in_a_broadcast():
    table, element = np.array([1.0, 2.0, 4.0]), np.array([0.5, 1.5])
    problem, arrays = problem_of(lambda x, n: table[n] * x + element, np.array([3.0, 5.0]), np.array([2, 0]))
    rule = engine.rule(problem)
    assert_allclose(rule(arrays)[0], [12.5, 6.5])
    captured = {c.name: k for k, c in enumerate(problem.plan.captures, 2)}
    bars = rule.pullback((0, captured["table"], captured["element"]))([*arrays, np.ones(2)])
    assert_allclose(bars[0], [4.0, 1.0])
    assert_allclose(bars[1], [5.0, 0.0, 3.0])
    assert_allclose(bars[2], [1.0, 1.0])


def test_values_are_those_of_the_call():
    box = types.SimpleNamespace(rate=2.0)
    problem, arrays = problem_of(lambda x: box.rate * x, 3.0)
    rule = engine.rule(problem)
    assert_allclose(rule([arrays[0], np.array(5.0)])[0], 15.0)
    assert box.rate == 2.0


def test_conversions_keep_derivatives_and_dtypes_stay_dtypes():
    def buffer():
        return np.zeros(1, dtype=np.float64)

    def value(x):
        return float(x) * np.float64(x) + buffer()[0]

    _, bars = gradients(value, 3.0)
    assert_allclose(bars["argument 0"], 6.0)


def test_wrapped_functions_inside():
    from fwddiff import fwddiff

    inner = fwddiff(scaled)
    _, bars = gradients(lambda x: inner(x) * x, 0.4)
    assert_allclose(bars["argument 0"], math.exp(0.4) * 1.7 * 1.4)
    assert_allclose(bars["SCALE"], math.exp(0.4) * 0.4)


@pytest.mark.parametrize("order", [1, 2])
def test_captured_values_in_nested_derivatives(order):
    weight = 1.3
    problem, arrays = problem_of(lambda x: math.sin(weight * x), 0.5)
    rule = engine.rule(problem)
    for _ in range(order):
        rule = rule.pullback((1,))
        arrays = [*arrays, np.float64(1.0)]
    expected = 0.5 * math.cos(0.65) if order == 1 else -0.25 * math.sin(0.65)
    assert_allclose(rule(arrays)[0], expected, rtol=1e-14)
