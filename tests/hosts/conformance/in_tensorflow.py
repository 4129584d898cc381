"""What TensorFlow's users do with an operation: each transformation takes a function of tensors and gives
tensors."""

from __future__ import annotations

import types

import tensorflow as tf

NAMESPACE = types.SimpleNamespace(
    sin=tf.sin, cos=tf.cos, exp=tf.exp, log=tf.math.log, tanh=tf.tanh, where=tf.where
)


def arrays(points):
    return [tf.constant(point) for point in points]


def weighted(f):
    def scalar(*xs):
        out = f(*xs)
        weights = tf.cast(tf.reshape(tf.linspace(0.5, 1.5, max(int(tf.size(out)), 1)), out.shape), out.dtype)
        return tf.reduce_sum(out * weights)

    return scalar


def tangents(xs):
    return [
        tf.cast(tf.reshape(tf.linspace(-1.0, 1.0, max(int(tf.size(x)), 1)), x.shape), x.dtype) for x in xs
    ]


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


def mapped(f, xs):
    stacked = [tf.stack([x, x * 1.1, x * 0.9]) for x in xs]
    return tf.vectorized_map(lambda pair: f(*pair), tuple(stacked))


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
}

# Every kind of argument in long runs only.
DEAR = ("second order inside tf.function",)
