"""The functions that every host and every engine is tested with: one list, each entry with an oracle of its
own.

A case is a plain Python function of numbers and structs, arguments for `broadcast` (struct of arrays), and
the gradient of the sum of all outputs with respect to every float argument leaf: in closed form where there
is one, by central differences of the plain Python function otherwise (`central`). No oracle calls fwddiff.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optree


@dataclasses.dataclass(frozen=True)
class Exponential:
    theta: Any


@dataclasses.dataclass(frozen=True)
class Weibull:
    shape: Any
    scale: Any

    def log_hazard(self, t):
        return math.log(self.shape / self.scale) + (self.shape - 1) * math.log(t / self.scale)

    def log_survival(self, t):
        return -((t / self.scale) ** self.shape)

    def faster(self, factor):
        return Weibull(self.shape, self.scale / factor)


class Point(NamedTuple):
    x: Any
    y: Any


for _cls in (Exponential, Weibull):
    _names = tuple(field.name for field in dataclasses.fields(_cls))
    optree.register_pytree_node(
        _cls,
        lambda instance, names=_names: (tuple(getattr(instance, name) for name in names), None, names),
        lambda _, values, cls=_cls: cls(*values),
        namespace="catalogue",
    )


class Case(NamedTuple):
    name: str
    function: Callable
    arguments: tuple
    gradient: Callable | None = (
        None  # *arguments → tuple of gradients of the float leaves; None: central differences
    )
    exercises: str = ""


_random = np.random.default_rng(7)
_positive = _random.uniform(0.6, 2.0, 6)
_others = _random.uniform(0.3, 3.0, 6)
_signed = _random.uniform(-2.0, 2.0, (3, 1))
_row = _random.uniform(-1.5, 1.5, 4)


def log_density(model, x):
    return -math.log(model.theta) - x / model.theta


def kepler(mean, eccentricity):
    """Eccentric anomaly by Newton's iteration, which stops when the data say so."""
    anomaly = mean
    for _ in range(50):
        step = (anomaly - eccentricity * math.sin(anomaly) - mean) / (1 - eccentricity * math.cos(anomaly))
        anomaly = anomaly - step
        if abs(step) < 1e-13:
            break
    return anomaly


def _kepler_gradient(mean, eccentricity):
    anomaly = mean + eccentricity * np.sin(mean)
    for _ in range(100):
        anomaly = mean + eccentricity * np.sin(anomaly)  # fixed point: another algorithm
    slope = 1 / (1 - eccentricity * np.cos(anomaly))
    return slope, np.sin(anomaly) * slope


def huber(x, width):
    if abs(x) <= width:
        return 0.5 * x * x
    return width * (abs(x) - 0.5 * width)


def early_return(x):
    if x < 0:
        return 0.0
    total = 0
    for k in range(1, 6):
        total += x**k / k
    return total


def while_loop(x, start):
    """Square root of x by Newton's method from `start`: the derivative does not depend on the start."""
    root = start
    while abs(root * root - x) > 1e-12 * x:
        root = 0.5 * (root + x / root)
    return root


def helper_functions(x, y):
    return _squared(x) * _shifted(y) + (lambda t: t * t * t)(y)


def _squared(t):
    return t * t


def _shifted(t, shift=1.5):
    return _squared(t) + shift


def several_outputs(x, y):
    return math.sin(x) * y, (x * y, 7), Point(x + y, math.exp(-y))


def survival(model, t, event):
    value = model.log_survival(t)
    if event:
        value += model.log_hazard(t)
    return value


def struct_methods(model, t):
    return model.faster(2.0).log_survival(t)


def named_tuple(point, scale):
    moved = Point(point.x * scale, point.y + scale)
    return moved.x * moved.y


def integers_and_none(x, n, nothing, flag):
    if nothing is None and flag:
        return x**n + n
    return x * n


def keywords(x, *, power=2.0, shift=0.0):
    return (x + shift) ** power


def special_functions(x, y):
    return math.erf(x) + math.lgamma(y) + math.hypot(x, y) + math.atan2(x, y) + math.log1p(y) + math.expm1(x)


def numpy_scalars(x, y):
    return (
        np.exp(-x) * np.sqrt(y) + np.maximum(x, y) + np.where(x > 1.0, x, y) + np.arctan(x * y) + np.cbrt(y)
    )


def builtins(x, y):
    return max(x, y, 0.5) + min(x * y, 2.0) + abs(x - y) + pow(x, 2) + float(x) * int(3.7) + round(2.4)


def nested_tuples(pair, scale):
    (a, (b, c)) = pair
    return a * b + c * scale


def mapping(parameters, x):
    return parameters["slope"] * x + parameters["offset"]


def _exponential_gradient(model, x):
    theta = np.broadcast_to(model.theta, np.broadcast_shapes(np.shape(model.theta), np.shape(x)))
    return _reduced(x / theta**2 - 1 / theta, model.theta), _reduced(-1 / theta + 0 * x, x)


def _reduced(gradient, like):
    """Sum over the axes along which `like` was broadcast."""
    gradient = np.asarray(gradient)
    shape = np.shape(like)
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    axes = tuple(k for k, extent in enumerate(shape) if extent == 1)
    return gradient.sum(axis=axes, keepdims=True) if axes else gradient


CASES = [
    Case(
        "log_density",
        log_density,
        (Exponential(_positive), _others),
        _exponential_gradient,
        "struct of arrays",
    ),
    Case(
        "shared_scalar",
        log_density,
        (Exponential(1.3), _others),
        _exponential_gradient,
        "scalar beside arrays",
    ),
    Case(
        "size_one_axes",
        log_density,
        (Exponential(_positive[:, None]), _others[None, :3]),
        _exponential_gradient,
        "axes of size 1",
    ),
    Case("kepler", kepler, (_positive, _others / 4), _kepler_gradient, "loop with early exit"),
    Case("huber", huber, (_signed, np.array([0.7, 1.1])), None, "branches with two returns"),
    Case("early_return", early_return, (_signed,), None, "bare number in one branch, integer accumulator"),
    Case(
        "while_loop",
        while_loop,
        (_positive, 1.0),
        lambda x, start: (0.5 / np.sqrt(x), np.zeros_like(start)),
        "while",
    ),
    Case("helper_functions", helper_functions, (_positive, _others), None, "helpers, defaults, lambda"),
    Case("several_outputs", several_outputs, (_signed, _row), None, "nested outputs, an integer among them"),
    Case(
        "survival",
        survival,
        (Weibull(_positive, 1.7), _others, np.arange(6) % 2 == 0),
        None,
        "methods, bool array",
    ),
    Case("struct_methods", struct_methods, (Weibull(_positive, _others), 0.8), None, "structs made inside"),
    Case("named_tuple", named_tuple, (Point(_positive, _others), 1.5), None, "NamedTuple"),
    Case(
        "integers_and_none", integers_and_none, (_positive, np.arange(6), None, True), None, "int, None, bool"
    ),
    Case("keywords", keywords, (_positive,), None, "keyword-only arguments"),
    Case("special_functions", special_functions, (_positive, _others), None, "erf, lgamma, …"),
    Case("numpy_scalars", numpy_scalars, (_positive, _others), None, "NumPy calls on scalars"),
    Case("builtins", builtins, (_positive, _others), None, "min, max, abs, pow, float, int, round"),
    Case("nested_tuples", nested_tuples, ((_positive, (_others, 2.0)), _positive), None, "tuples in tuples"),
    Case("mapping", mapping, ({"slope": _positive, "offset": 0.5}, _others), None, "dict with string keys"),
]


def flatten(tree: Any) -> tuple[list, Any]:
    return optree.tree_flatten(tree, namespace="catalogue")


def is_float(leaf: Any) -> bool:
    return np.asarray(leaf).dtype.kind == "f"


def float_leaves(tree: Any) -> list[np.ndarray]:
    return [np.asarray(leaf, float) for leaf in flatten(tree)[0] if is_float(leaf)]


def with_floats(arguments: tuple, values: list) -> tuple:
    """The arguments with their float leaves replaced."""
    leaves, spec = flatten(arguments)
    fresh = iter(values)
    return optree.tree_unflatten(spec, [next(fresh) if is_float(leaf) else leaf for leaf in leaves])


def elementwise_total(function: Callable, arguments: tuple) -> float:
    """Sum of all float outputs over all broadcast elements, by a loop of plain Python calls."""
    leaves, spec = flatten(arguments)
    total = 0.0
    for values in np.broadcast(*leaves):
        scalars = [value.item() if hasattr(value, "item") else value for value in values]
        result = function(*optree.tree_unflatten(spec, scalars))
        total += sum(leaf for leaf in flatten(result)[0] if isinstance(leaf, float))
    return total


def central_differences(function: Callable, arguments: tuple, step: float = 1e-6) -> list[np.ndarray]:
    """Gradient of `elementwise_total`, element by element."""
    values = float_leaves(arguments)
    gradients = []
    for k, value in enumerate(values):
        gradient = np.zeros(value.shape)
        for index in np.ndindex(*value.shape):
            ends = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * step
                ends.append(
                    elementwise_total(
                        function, with_floats(arguments, [*values[:k], moved, *values[k + 1 :]])
                    )
                )
            gradient[index] = (ends[0] - ends[1]) / (2 * step)
        gradients.append(gradient)
    return gradients


def expected_gradient(case: Case) -> list[np.ndarray]:
    if case.gradient is not None:
        return [np.asarray(g) for g in case.gradient(*case.arguments)]
    return central_differences(case.function, case.arguments)


def tolerance(case: Case) -> float:
    return 1e-9 if case.gradient is not None else 2e-7
