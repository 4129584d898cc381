"""Every transformation of TensorFlow on our operation and on the native formula: the same numbers, eager and
in graphs."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from fwddiff import fwddiff
from fwddiff.hosts import tensorflow as host
from support.symbolic_rule import symbolic_rule

Accumulator = tf.autodiff.ForwardAccumulator
in_graph = functools.partial(tf.function, autograph=False)


def formula(x, y):
    return math.sin(x) * x * y / 2 + math.exp(x * y)


def native(x, y):
    return tf.sin(x) * x * y / 2 + tf.exp(x * y)


def symbolic(mode):
    rule = symbolic_rule("x y", "sin(x)*x*y/2 + exp(x*y)", mode=mode)
    return lambda x, y: host.apply(rule, [x, y])[0]


def one_of_two(mode):
    """The second of two float outputs, with an integer one between them: other cotangents are missing."""
    rule = symbolic_rule("x y n:int", "cos(x*y)", "n**2", "sin(x)*x*y/2 + exp(x*y)", mode=mode)
    return lambda x, y: host.apply(rule, [x, y, 3])[2]


OPERATIONS = {
    "numba": fwddiff(formula).broadcast,
    "numba-store": fwddiff(formula, mode="store").broadcast,
    "symbolic": symbolic("recompute"),
    "symbolic-store": symbolic("store"),
    "second-output": one_of_two("auto"),
    "second-output-store": one_of_two("store"),
}


def gradient(f, *arguments):
    """The gradient of the sum of all outputs, by a tape."""
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        result = f(*arguments)
    return tape.gradient(result, arguments)


def iterated(order):
    def transformation(f, x, y):
        def lower(x, y):
            first, second = gradient(f, x, y) if order == 2 else iterated(order - 1)(f, x, y)
            return first**2, second * 3 + tf.reduce_sum(first)

        return gradient(lower, x, y)

    return transformation


def persistent(f, x, y):
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        result = f(x, y)
    return tape.gradient(result, x), tape.gradient(result, [x, y], output_gradients=result), result


def recorded_gradient(f, x, y):
    """A persistent tape that records its own gradient."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        result = f(x, y)
        first = tape.gradient(result, x)
    return first, tape.gradient(first, [x, y]), tape.gradient(result, y)


def jacobian(f, x, y, **options):
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        result = f(x, y)
    return tape.jacobian(result, [x, y], **options)


def batch_jacobian(f, x, y):
    with tf.GradientTape() as tape:
        tape.watch(x)
        result = f(x, y)
    return tape.batch_jacobian(result, x)


def hessian(f, x, y):
    return jacobian(lambda x, y: gradient(f, x, y)[0], x, y)


def tangent(f, x, y):
    with Accumulator([x, y], [tf.cos(x), tf.sin(y)]) as accumulator:
        result = f(x, y)
    return result, accumulator.jvp(result)


def tangent_of_one(f, x, y):
    with Accumulator(x, tf.cos(x)) as accumulator:
        result = f(x, y)
    return accumulator.jvp(result)


def tangent_of_tangent(f, x, y):
    with Accumulator(x, tf.cos(x)) as outer:
        with Accumulator([x, y], [tf.cos(x), tf.sin(y)]) as inner:
            result = f(x, y)
        first = inner.jvp(result)
    return outer.jvp(result), outer.jvp(first)


def tangent_of_gradient(f, x, y):
    with Accumulator(x, tf.cos(x)) as accumulator:
        found = gradient(f, x, y)
    return [accumulator.jvp(part) for part in found]


def gradient_of_tangent(f, x, y):
    return gradient(lambda x, y: tangent_of_one(f, x, y), x, y)


def vectorized(f, x, y):
    return tf.vectorized_map(lambda row: f(row, y), x)


def vectorized_twice(f, x, y):
    return tf.vectorized_map(lambda row: tf.vectorized_map(lambda one: f(row, one), y), x)


def vectorized_gradient(f, x, y):
    return tf.vectorized_map(lambda row: gradient(f, row, y), x)


def looped(f, x, y):
    """`tf.while_loop` with the function inside, applied to its own results."""
    step = functools.partial(_looped_step, f, y)
    return tf.while_loop(lambda k, total: k < 3, step, [tf.constant(0), x + 0 * y])[1]


def _looped_step(f, y, k, total):
    return k + 1, f(total, y) / 3


TRANSFORMATIONS = {
    "value": lambda f, x, y: f(x, y),
    "gradient": gradient,
    "gradient of a persistent tape": persistent,
    "gradient recorded by its own tape": recorded_gradient,
    "second order": iterated(2),
    "third order": iterated(3),
    "jacobian": jacobian,
    "jacobian, without pfor": functools.partial(jacobian, experimental_use_pfor=False),
    "jacobian, pfor and unconnected zeros": functools.partial(jacobian, unconnected_gradients="zero"),
    "batch_jacobian": batch_jacobian,
    "hessian": hessian,
    "gradient of a jacobian": lambda f, x, y: gradient(lambda x, y: jacobian(f, x, y)[0] ** 2, x, y),
    "ForwardAccumulator": tangent,
    "ForwardAccumulator of one argument": tangent_of_one,
    "ForwardAccumulator, nested": tangent_of_tangent,
    "ForwardAccumulator over a tape": tangent_of_gradient,
    "tape over a ForwardAccumulator": gradient_of_tangent,
    "ForwardAccumulator around tf.function": lambda f, x, y: tangent(in_graph(f), x, y),
    "ForwardAccumulator over vectorized_map": lambda f, x, y: tangent(functools.partial(vectorized, f), x, y),
    "vectorized_map": vectorized,
    "vectorized_map, nested": vectorized_twice,
    "vectorized_map of a gradient": vectorized_gradient,
    "vectorized_map of a ForwardAccumulator": lambda f, x, y: tf.vectorized_map(
        lambda row: tangent_of_one(f, row, y), x
    ),
    "gradient of vectorized_map": lambda f, x, y: gradient(functools.partial(vectorized, f), x, y),
    "gradient of vectorized_map, nested": lambda f, x, y: gradient(
        functools.partial(vectorized_twice, f), x, y
    ),
    "gradient of vectorized_map of a gradient": lambda f, x, y: gradient(
        functools.partial(vectorized_gradient, f), x, y
    ),
    "gradient through map_fn": lambda f, x, y: gradient(
        lambda x, y: tf.map_fn(lambda row: f(row, y), x), x, y
    ),
    "gradient through while_loop": lambda f, x, y: gradient(functools.partial(looped, f), x, y),
    "gradient through tf.function": lambda f, x, y: gradient(in_graph(f), x, y),
    "second order through tf.function": lambda f, x, y: iterated(2)(in_graph(f), x, y),
    "gradient of recompute_grad": lambda f, x, y: gradient(tf.recompute_grad(f), x, y),
    "gradient of a gathered result": lambda f, x, y: gradient(
        lambda x, y: tf.gather(f(x, y), [0, 2, 2]), x, y
    ),
    "tf.gradients": lambda f, x, y: in_graph(lambda x, y: tf.gradients(f(x, y), [x, y]))(x, y),
    "tf.hessians": lambda f, x, y: in_graph(lambda x, y: tf.hessians(f(x, y), x))(x, y),
}

# Kernels cost a compilation each: the engine meets the transformations that make different rules.
ENGINE = (
    "value",
    "gradient",
    "second order",
    "jacobian",
    "ForwardAccumulator",
    "vectorized_map of a gradient",
    "gradient through tf.function",
)
CELLS = [(t, o) for t in TRANSFORMATIONS for o in OPERATIONS if not o.startswith("numba") or t in ENGINE]


@pytest.fixture
def tensors():
    random = np.random.default_rng(7)
    return tf.constant(random.uniform(0.2, 1.2, (3, 1))), tf.constant(random.uniform(0.2, 1.2, 4))


@functools.cache
def expected(transformation, *arguments):
    values = [tf.constant(np.array(value).reshape(shape)) for value, shape in arguments]
    return tf.nest.flatten(TRANSFORMATIONS[transformation](native, *values))


def wanted(transformation, tensors):
    return expected(transformation, *[(tuple(t.numpy().ravel()), tuple(t.shape)) for t in tensors])


def compare(found, expected):
    found = tf.nest.flatten(found)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("transformation", "operation"), CELLS)
def test_eager(transformation, operation, tensors):
    compare(TRANSFORMATIONS[transformation](OPERATIONS[operation], *tensors), wanted(transformation, tensors))


@pytest.mark.parametrize(("transformation", "operation"), CELLS)
def test_in_a_graph(transformation, operation, tensors):
    run = tf.function(
        lambda x, y: TRANSFORMATIONS[transformation](OPERATIONS[operation], x, y), autograph=False
    )
    compare(run(*tensors), wanted(transformation, tensors))


@pytest.mark.parametrize("operation", ["symbolic", "symbolic-store", "second-output"])
def test_graphs_that_do_not_know_the_sizes(operation, tensors):
    spec = tf.TensorSpec([None, None], tf.float64)
    f = OPERATIONS[operation]
    run = tf.function(
        lambda x, y: (iterated(2)(f, x, y), tangent(f, x, y), jacobian(f, x, y)),
        autograph=False,
        input_signature=[spec, spec],
    )
    x, y = tensors[0], tensors[1][None]
    reference = iterated(2)(native, x, y), tangent(native, x, y), jacobian(native, x, y)
    compare(run(x, y), tf.nest.flatten(reference))
