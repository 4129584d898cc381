"""What is computed in eager calls, and how often: only what somebody wants."""

import numpy as np
import pytest
import tensorflow as tf

from fwddiff.hosts import tensorflow as host
from support.symbolic_rule import symbolic_rule

X, Y = tf.constant([0.5, 1.0], tf.float64), tf.constant([0.3, 0.7], tf.float64)


def apply(rule, *leaves):
    return host.apply(rule, list(leaves))[0]


def differentiated(rule, watched, *leaves, persistent=False):
    with tf.GradientTape(persistent=persistent) as tape:
        tape.watch(watched)
        result = apply(rule, *leaves)
    return tape, result


def test_values_alone():
    rule = symbolic_rule("x y", "sin(x*y)")
    apply(rule, X, Y)
    with tf.GradientTape() as tape:
        apply(rule, X, Y)
    with tf.GradientTape() as tape, tape.stop_recording():
        tape.watch(X)
        apply(rule, X, Y)
    assert rule.evaluations == ["f", "f", "f"]


def test_nothing_is_computed_before_it_is_asked_for():
    rule = symbolic_rule("x y", "sin(x*y)", mode="recompute")
    tape, result = differentiated(rule, [X, Y], X, Y)
    assert rule.evaluations == ["f"]
    tape.gradient(result, [X, Y])
    assert rule.evaluations == ["f", "pullback(f, 0, 1)"]


@pytest.mark.parametrize(("watched", "active"), [([X], "0"), ([Y], "1"), ([X, Y], "0, 1")])
def test_only_watched_arguments(watched, active):
    for mode, expected in [
        ("recompute", ["f", f"pullback(f, {active})"]),
        ("store", [f"partials(f, {active})"]),
    ]:
        rule = symbolic_rule("x y", "sin(x*y)", mode=mode)
        tape, result = differentiated(rule, watched, X, Y)
        tape.gradient(result, watched)
        assert rule.evaluations == expected


def test_one_argument_at_a_time():
    rule = symbolic_rule("x y", "sin(x*y)", passes="per_argument")
    tape, result = differentiated(rule, [X, Y], X, Y)
    tape.gradient(result, [X, Y])
    assert rule.evaluations == ["f", "pullback(f, 0)", "pullback(f, 1)"]


def test_stored_partials_serve_a_persistent_tape_twice():
    rule = symbolic_rule("x y", "sin(x*y)", mode="store")
    tape, result = differentiated(rule, [X], X, Y, persistent=True)
    first, second = tape.gradient(result, X), tape.gradient(result, X, output_gradients=result)
    slope = Y.numpy() * np.cos(X.numpy() * Y.numpy())
    np.testing.assert_allclose(first, slope)
    np.testing.assert_allclose(second, slope * np.sin(X.numpy() * Y.numpy()))
    assert rule.evaluations == ["partials(f, 0)"]


def test_a_sum_is_one_pass():
    rule = symbolic_rule("x y", "sin(x*y)", reduce="sum")
    tape, result = differentiated(rule, [X], X, Y)
    np.testing.assert_allclose(tape.gradient(result, X), Y.numpy() * np.cos(X.numpy() * Y.numpy()))
    assert rule.evaluations == ["partials(f, 0)"]


def test_stored_partials_of_shared_arguments_and_several_outputs():
    rule = symbolic_rule("x y", "sin(x*y)", "x**2", mode="store")
    shared = tf.constant(0.4, tf.float64)
    column = tf.constant([[0.1], [0.2], [0.3]], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([shared, column])
        first, second = host.apply(rule, [shared, column + 0 * X])
        result = 2.0 * first + second
    by_shared, by_column = tape.gradient(result, [shared, column])
    y = column.numpy() + 0 * X.numpy()
    np.testing.assert_allclose(by_shared, (2 * y * np.cos(0.4 * y) + 0.8).sum())
    np.testing.assert_allclose(by_column, (0.8 * np.cos(0.4 * y)).sum(1, keepdims=True))
    assert rule.evaluations == ["partials(f, 0, 1)"]


def test_stored_partials_are_summed_over_shared_axes():
    rule = symbolic_rule("x y", "x*y", mode="store")
    for around in (lambda f: f, tf.function):

        def run(x, y):
            tape, result = differentiated(rule, [x, y], x, y)
            return tape.gradient(result, [x, y], output_gradients=result)

        by_x, by_y = around(run)(X[:, None], Y)
        product = X.numpy()[:, None] * Y.numpy()
        np.testing.assert_allclose(by_x, (product * Y.numpy()).sum(1, keepdims=True))
        np.testing.assert_allclose(by_y, (product * X.numpy()[:, None]).sum(0))


@pytest.mark.parametrize(("primals", "active"), [([X], "0"), ([Y], "1"), ([X, Y], "0, 1")])
def test_only_moving_arguments(primals, active):
    for around in (lambda f: f, tf.function):
        rule = symbolic_rule("x y", "sin(x*y)")

        def run(*primals, rule=rule):
            x = primals[0] if active != "1" else X
            y = primals[-1] if active != "0" else Y
            with tf.autodiff.ForwardAccumulator(list(primals), list(primals)) as accumulator:
                result = apply(rule, x, y)
            return accumulator.jvp(result)

        around(run)(*primals)
        assert rule.evaluations[-1] == f"pushforward(f, {active})"
