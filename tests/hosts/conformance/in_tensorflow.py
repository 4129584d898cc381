"""What TensorFlow's users do with an operation: each transformation takes a function of tensors and gives
tensors."""

from __future__ import annotations

import types

import numpy as np
import tensorflow as tf

NAMESPACE = types.SimpleNamespace(
    sin=tf.sin,
    cos=tf.cos,
    exp=tf.exp,
    log=tf.math.log,
    tanh=tf.tanh,
    where=tf.where,
    sum=tf.reduce_sum,
    length=lambda array: array.shape[0] or 3,
)


def arrays(points):
    return [tf.constant(point) for point in points]


def evenly(low, high, x):
    """Numbers of the shape and dtype of `x`, inside `tf.function`, too."""
    numbers = np.linspace(low, high, x.shape.num_elements(), dtype=x.dtype.as_numpy_dtype)
    return tf.constant(numbers.reshape(x.shape))


def weighted(f):
    def scalar(*xs):
        out = f(*xs)
        return tf.reduce_sum(out * evenly(0.5, 1.5, out))

    return scalar


def tangents(xs):
    return [evenly(-1.0, 1.0, x) for x in xs]


def gradients(f, xs, **options):
    with tf.GradientTape(**options) as tape:
        tape.watch(xs)
        total = tf.reduce_sum(f(*xs))
    return tape.gradient(total, xs)


def of_variables(f, xs):
    variables = [tf.Variable(x) for x in xs]
    with tf.GradientTape() as tape:
        total = weighted(f)(*variables)
    return tape.gradient(total, variables)


def second_order(f, xs):
    with tf.GradientTape() as outer:
        outer.watch(xs)
        with tf.GradientTape() as inner:
            inner.watch(xs)
            total = tf.reduce_sum(f(*xs))
        first = inner.gradient(total, xs)
        again = sum(tf.reduce_sum(g * t) for g, t in zip(first, tangents(xs), strict=True))
    return outer.gradient(again, xs)


def jacobians(f, xs):
    with tf.GradientTape() as tape:
        tape.watch(xs)
        out = f(*xs)
    return tape.jacobian(out, xs, experimental_use_pfor=True)


def forward(f, xs):
    with tf.autodiff.ForwardAccumulator(xs, tangents(xs)) as accumulator:
        out = f(*xs)
    return [out, accumulator.jvp(out)]


def batches(xs):
    return tuple(tf.stack([x, x * 1.1, x * 0.9]) for x in xs)


def mapped(f, xs):
    return tf.vectorized_map(lambda pair: f(*pair), batches(xs))


def hessians(f, xs):
    with tf.GradientTape() as outer:
        outer.watch(xs[0])
        with tf.GradientTape() as inner:
            inner.watch(xs[0])
            total = weighted(f)(*xs)
        first = inner.gradient(total, xs[0])
    return outer.jacobian(first, xs[0], unconnected_gradients=tf.UnconnectedGradients.ZERO)


def forward_over_reverse(f, xs):
    with tf.autodiff.ForwardAccumulator(xs, tangents(xs)) as accumulator:
        found = gradients(weighted(f), xs)
    return [*found, *map(accumulator.jvp, found)]


def gradient_of_one(f, xs):
    with tf.GradientTape() as tape:
        tape.watch(xs[1])
        total = weighted(f)(*xs)
    return tape.gradient(total, xs[1])


def unknown_sizes(f, xs):
    signature = [tf.TensorSpec([None] * x.shape.ndims, x.dtype) for x in xs]
    return tf.function(lambda *ys: gradients(f, list(ys)), input_signature=signature)(*xs)


def in_while_loop(f, xs):
    def total(*ys):
        start = tf.constant(0), tf.zeros((), ys[0].dtype)
        step = lambda k, s: (k + 1, s + tf.reduce_sum(f(ys[0] * (1 + s / 10), ys[1])))  # noqa: E731
        return tf.while_loop(lambda k, _: k < 3, step, start)[1]

    return tf.function(lambda *ys: gradients(total, list(ys)))(*xs)


def in_cond(f, xs):
    def chosen(*ys):
        return tf.cond(tf.reduce_sum(ys[0]) > 0, lambda: weighted(f)(*ys), lambda: tf.reduce_sum(ys[1]))

    return tf.function(lambda *ys: gradients(chosen, list(ys)))(*xs)


def of_each_row(f, xs):
    stacked = tuple(tf.stack([x, x * 1.1, x * 0.9]) for x in xs)
    return gradients(
        lambda *ys: tf.map_fn(lambda pair: f(*pair), ys, fn_output_signature=xs[0].dtype), stacked
    )


def gradients_of_each_row(f, xs):
    return tf.vectorized_map(lambda pair: gradients(f, list(pair)), batches(xs))


def inside_custom_gradient(f, xs):
    @tf.custom_gradient
    def doubled(*ys):
        return f(*ys), lambda cotangent: [2 * found for found in pullback(f, ys, cotangent)]

    return gradients(weighted(doubled), xs)


def pullback(f, xs, cotangent):
    with tf.GradientTape() as tape:
        tape.watch(xs)
        out = f(*xs)
    return tape.gradient(out, xs, output_gradients=cotangent)


TRANSFORMATIONS = {
    "value": lambda f, xs: f(*xs),
    "tf.function": lambda f, xs: tf.function(f)(*xs),
    "GradientTape": gradients,
    "GradientTape, persistent": lambda f, xs: gradients(f, xs, persistent=True),
    "GradientTape inside tf.function": lambda f, xs: tf.function(lambda *ys: gradients(f, list(ys)))(*xs),
    "GradientTape around tf.function": lambda f, xs: gradients(tf.function(f), xs),
    "variables": of_variables,
    "second order": second_order,
    "second order inside tf.function": lambda f, xs: tf.function(lambda *ys: second_order(f, list(ys)))(*xs),
    "jacobian": jacobians,
    "ForwardAccumulator": forward,
    "vectorized_map": mapped,
    "hessian": hessians,
    "forward over reverse": forward_over_reverse,
    "GradientTape, second argument": gradient_of_one,
    "tf.function, unknown sizes": unknown_sizes,
    "tf.while_loop": in_while_loop,
    "tf.cond": in_cond,
    "map_fn": of_each_row,
    "vectorized_map of gradients": gradients_of_each_row,
    "recompute_grad": lambda f, xs: gradients(tf.recompute_grad(f), xs),
    "custom_gradient around it": inside_custom_gradient,
    "xla": lambda f, xs: tf.function(f, jit_compile=True)(*xs),
}

# Every kind of argument in long runs only.
DEAR = ("second order", "second order inside tf.function", "hessian", "forward over reverse")
