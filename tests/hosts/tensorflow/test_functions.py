"""A dozen functions beside TensorFlow's own implementations: value, gradient and second derivative, eager and
in graphs, as broadcasts, sums and calls of whole arrays."""

import math

import numpy as np
import pytest
import tensorflow as tf

import catalogue
from catalogue import Exponential, Point, Weibull
from fwddiff import fwddiff

_random = np.random.default_rng(3)
A = _random.uniform(0.6, 1.8, 5)
B = _random.uniform(0.3, 2.5, 5)
SIGNED = _random.uniform(-2.0, 2.0, (4, 1))
ROW = _random.uniform(-1.5, 1.5, 5)


def native_log_density(model, x):
    return -tf.math.log(model.theta) - x / model.theta


def native_kepler(mean, eccentricity):
    anomaly = mean
    for _ in range(30):
        step = anomaly - eccentricity * tf.sin(anomaly) - mean
        anomaly = anomaly - step / (1 - eccentricity * tf.cos(anomaly))
    return anomaly


def native_huber(x, width):
    return tf.where(tf.abs(x) <= width, 0.5 * x * x, width * (tf.abs(x) - 0.5 * width))


def native_early_return(x):
    return tf.where(x < 0, 0.0 * x, sum(x**k / k for k in range(1, 6)))


def native_helpers(x, y):
    return x * x * (y * y + 1.5) + y**3


def native_several(x, y):
    return tf.sin(x) * y, (x * y, None), Point(x + y, tf.exp(-y) + 0 * x)


def native_survival(model, t, event):
    value = -((t / model.scale) ** model.shape)
    hazard = tf.math.log(model.shape / model.scale) + (model.shape - 1) * tf.math.log(t / model.scale)
    return value + tf.where(event, hazard, 0.0)


def native_named_tuple(point, scale):
    return point.x * scale * (point.y + scale)


def native_integers(x, n, nothing, flag):
    assert nothing is None
    assert flag
    return x ** tf.cast(n, x.dtype) + tf.cast(n, x.dtype)


def native_special(x, y):
    hypotenuse = tf.sqrt(x * x + y * y)
    angle = tf.atan2(x, y)
    return tf.math.erf(x) + tf.math.lgamma(y) + hypotenuse + angle + tf.math.log1p(y) + tf.math.expm1(x)


def native_numpy_scalars(x, y):
    kinks = tf.maximum(x, y) + tf.where(x > 1.0, x, y)
    return tf.exp(-x) * tf.sqrt(y) + kinks + tf.atan(x * y) + y ** (1 / 3)


def native_builtins(x, y):
    largest = tf.maximum(tf.maximum(x, y), 0.5)
    return largest + tf.minimum(x * y, 2.0) + tf.abs(x - y) + x**2 + x * 3 + 2


def native_nested(pair, scale):
    a, (b, c) = pair
    return a * b + c * scale


def native_mapping(parameters, x):
    return parameters["slope"] * x + parameters["offset"]


def keywords(x, *, power=2.0, shift=0.0):
    return (x + shift) ** power


FUNCTIONS = {
    "log_density": (catalogue.log_density, native_log_density, (Exponential(A), B)),
    "shared scalar": (catalogue.log_density, native_log_density, (Exponential(1.3), B)),
    "axes of size 1": (catalogue.log_density, native_log_density, (Exponential(A[:, None]), B[None, :3])),
    "kepler": (catalogue.kepler, native_kepler, (A, B / 4)),
    "huber": (catalogue.huber, native_huber, (SIGNED, np.array([0.7, 1.1]))),
    "early_return": (catalogue.early_return, native_early_return, (SIGNED,)),
    "helpers": (catalogue.helper_functions, native_helpers, (A, B)),
    "several outputs": (catalogue.several_outputs, native_several, (SIGNED, ROW)),
    "survival": (catalogue.survival, native_survival, (Weibull(A, 1.7), B, np.arange(5) % 2 == 0)),
    "named tuple": (catalogue.named_tuple, native_named_tuple, (Point(A, B), 1.5)),
    "integers and None": (catalogue.integers_and_none, native_integers, (A, np.arange(5), None, True)),
    "special functions": (catalogue.special_functions, native_special, (A, B)),
    "numpy scalars": (catalogue.numpy_scalars, native_numpy_scalars, (A, B)),
    "builtins": (catalogue.builtins, native_builtins, (A, B)),
    "nested tuples": (catalogue.nested_tuples, native_nested, ((A, (B, 2.0)), A)),
    "mapping": (catalogue.mapping, native_mapping, ({"slope": A, "offset": 0.5}, B)),
    "keywords": (keywords, lambda x: x**2, (A,)),
}
# Kernels of second order take seconds to compile.
SECOND = ("log_density", "axes of size 1", "huber", "several outputs", "named tuple", "mapping")
SUMS = ("shared scalar", "survival", "several outputs")
SINGLE = ("shared scalar", "several outputs", "integers and None")
WRAPPED = {name: fwddiff(function) for name, (function, _, _) in FUNCTIONS.items()}


def float_results(result):
    return [leaf for leaf in tf.nest.flatten(catalogue.flatten(result)[0]) if is_float(leaf)]


def is_float(leaf):
    return isinstance(leaf, tf.Tensor) and leaf.dtype.is_floating


def derivatives(call, arguments, dtype, second=True):
    """Float results, the gradient of their sum, and the gradient of a square of that."""
    values = [tf.constant(value, dtype) for value in catalogue.float_leaves(arguments)]

    def run(*values):
        with tf.GradientTape() as outer:
            outer.watch(values)
            with tf.GradientTape() as inner:
                inner.watch(values)
                results = float_results(call(*catalogue.with_floats(arguments, list(values))))
            first = inner.gradient(results, values, unconnected_gradients="zero")
            square = [part * part for part in first]
        return results, first, outer.gradient(square, values, unconnected_gradients="zero") if second else []

    return run, values


def check(ours, native, arguments, dtype, graph, second=True):
    run, values = derivatives(ours, arguments, dtype, second)
    if graph:
        run = tf.function(run, autograph=False)
    reference, _ = derivatives(native, arguments, dtype, second)
    tolerance = 1e-9 if dtype == "float64" else 2e-4
    for found, expected in zip(
        tf.nest.flatten(run(*values)), tf.nest.flatten(reference(*values)), strict=True
    ):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_broadcast(name, graph):
    _, native, arguments = FUNCTIONS[name]
    check(WRAPPED[name].broadcast, native, arguments, "float64", graph, name in SECOND)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("name", SINGLE)
def test_single_precision(name, graph):
    _, native, arguments = FUNCTIONS[name]
    arguments = catalogue.with_floats(
        arguments, [v.astype("float32") for v in catalogue.float_leaves(arguments)]
    )
    check(WRAPPED[name].broadcast, native, arguments, "float32", graph, second=False)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("name", SUMS)
def test_sum(name, graph):
    _, native, arguments = FUNCTIONS[name]

    def summed(*arguments):
        return [tf.reduce_sum(result) for result in float_results(native(*arguments))]

    check(WRAPPED[name].sum, summed, arguments, "float64", graph, name == "shared scalar")


def quadratic(matrix, vector):
    total = 0.0
    for i in range(vector.shape[0]):
        for j in range(vector.shape[0]):
            total += vector[i] * matrix[i, j] * vector[j]
    return math.exp(-total / 10)


def scaled(weights, x):
    result = np.empty_like(x)
    for i in range(x.size):
        result[i] = weights[0] * math.sin(x[i]) + weights[1] * x[i]
    return result


WHOLE = {
    "quadratic": (quadratic, lambda m, v: tf.exp(-tf.tensordot(v, tf.linalg.matvec(m, v), 1) / 10)),
    "scaled": (scaled, lambda w, x: w[0] * tf.sin(x) + w[1] * x),
}
WRAPPED |= {name: fwddiff(function) for name, (function, _) in WHOLE.items()}
WHOLE_ARGUMENTS = {"quadratic": (np.outer(A, B), A), "scaled": (B[:2], A)}


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("name", WHOLE)
def test_whole_arrays(name, graph):
    _, native = WHOLE[name]
    check(WRAPPED[name], native, WHOLE_ARGUMENTS[name], "float64", graph, name == "scaled")


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_core_axes(graph):
    wrapped = WRAPPED["scaled"].broadcast
    arguments = np.stack([B[:2], B[1:3]]), A
    check(
        lambda w, x: wrapped(w, x, signature="(k),(n)->(n)"),
        lambda w, x: w[:, :1] * tf.sin(x) + w[:, 1:] * x,
        arguments,
        "float64",
        graph,
        second=False,
    )


def test_graphs_that_do_not_know_core_axes():
    spec = tf.TensorSpec([None], tf.float64)
    wrapped = tf.function(WRAPPED["scaled"], autograph=False, input_signature=[spec, spec])
    check(wrapped, WHOLE["scaled"][1], WHOLE_ARGUMENTS["scaled"], "float64", graph=False, second=False)
