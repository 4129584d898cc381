"""What graphs hold: one op per call, batched by one op, pruned where unused, of known shapes; and
errors where a graph cannot hold us."""

import contextlib
import logging

import numpy as np
import pytest
import tensorflow as tf

from fwddiff import ArgumentError, HostError, fwddiff
from fwddiff.hosts import tensorflow as host
from support.symbolic_rule import symbolic_rule

OP = "PyFuncStateless"
X = tf.constant([0.5, 1.0, 2.0], tf.float64)
ROWS = tf.constant(np.arange(1.0, 7.0).reshape(3, 2))


def rule_of(**options):
    return symbolic_rule("x y", "sin(x*y)", **options)


def ops_in(graph):
    """Types of all ops in a graph and in the functions that it calls."""
    definition = graph.as_graph_def()
    return [
        node.op
        for nodes in (definition.node, *[function.node_def for function in definition.library.function])
        for node in nodes
    ]


def gradient(function, *arguments):
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        result = function(*arguments)
    return tape.gradient(result, arguments)


# --- vectorisation ------------------------------------------------------------------------------------------


def vectorized(rule):
    return tf.vectorized_map(lambda row: host.apply(rule, [row, X[0]])[0], ROWS, fallback_to_while_loop=False)


def test_vectorized_map_calls_once():
    rule = rule_of()
    np.testing.assert_allclose(vectorized(rule), np.sin(0.5 * ROWS.numpy()))
    assert rule.evaluations == ["f"]


def test_vectorized_gradients_call_once():
    rule = rule_of()

    def one(row):
        return gradient(lambda row: host.apply(rule, [row, X[0]])[0], row)

    (found,) = tf.vectorized_map(one, ROWS, fallback_to_while_loop=False)
    np.testing.assert_allclose(found, 0.5 * np.cos(0.5 * ROWS.numpy()))
    assert rule.evaluations == ["pullback(f, 0)"]


def test_a_jacobian_calls_once():
    rule = rule_of()
    with tf.GradientTape() as tape:
        tape.watch(X)
        result = host.apply(rule, [X, 2.0])[0]
    np.testing.assert_allclose(tape.jacobian(result, X), np.diag(2 * np.cos(2 * X.numpy())))
    assert rule.evaluations == ["f", "pullback(f, 0)"]


def test_nothing_falls_back_to_a_loop(caplog):
    with caplog.at_level(logging.WARNING, "tensorflow"):
        tf.vectorized_map(
            lambda row: tf.vectorized_map(lambda one: host.apply(rule_of(), [one, row])[0], X), ROWS
        )
    assert "while_loop" not in caplog.text


def test_an_unbatched_call_inside_vectorized_map_is_differentiated():
    """pfor copies such ops by their definition; TensorFlow then knows them as ops without a derivative."""
    variable, rule = tf.Variable(X), rule_of()

    def total(rows):
        return tf.vectorized_map(lambda row: tf.reduce_sum(host.apply(rule, [variable, 2.0])[0]) * row, rows)

    expected = ROWS.numpy().sum() * 2 * np.cos(2 * X.numpy())
    for around in (lambda f: f, tf.function):

        def run():
            with tf.GradientTape() as tape:
                result = total(ROWS)
            return tape.gradient(result, variable)

        np.testing.assert_allclose(around(run)(), expected)
    with tf.GradientTape() as tape:
        result = tf.function(total)(ROWS)
    np.testing.assert_allclose(tape.gradient(result, variable), expected)


# --- one op per call ----------------------------------------------------------------------------------------


def test_a_call_is_one_op():
    function = tf.function(lambda x: host.apply(rule_of(), [x, 2.0])[0]).get_concrete_function(X)
    assert ops_in(function.graph).count(OP) == 1


@pytest.mark.parametrize(
    ("mode", "evaluated"), [("recompute", "pullback(f, 0)"), ("store", "partials(f, 0)")]
)
def test_store_or_recompute(mode, evaluated):
    rule = rule_of(mode=mode)
    run = tf.function(lambda x: gradient(lambda x: host.apply(rule, [x, 2.0])[0], x)[0], autograph=False)
    np.testing.assert_allclose(run(X), 2 * np.cos(2 * X.numpy()))
    assert rule.evaluations == [evaluated]


def test_what_is_not_used_is_not_run():
    rule = rule_of(passes="per_argument")

    @tf.function(autograph=False)
    def run(x, y):
        return gradient(lambda x, y: host.apply(rule, [x, y])[0], x, y)[1]

    run(X, X)
    assert rule.evaluations == ["pullback(f, 1)"]


def test_only_watched_arguments_are_differentiated():
    for around in (lambda f: f, tf.function):
        rule = rule_of()
        around(lambda x, y, rule=rule: gradient(lambda x: host.apply(rule, [x, y])[0], x))(X, X + 1.0)
        assert rule.evaluations[-1] == "pullback(f, 0)"


def test_traces_share_their_callback():
    rule = rule_of()
    run = tf.function(lambda x: host.apply(rule, [x, 2.0])[0], autograph=False)
    tokens = set()
    for size in (3, 4, 5):
        graph = run.get_concrete_function(tf.ones(size, tf.float64)).graph
        tokens |= {op.get_attr("token") for op in graph.get_operations() if op.type == OP}
    assert len(tokens) == 1


def test_static_shapes():
    spec = [tf.TensorSpec([None, 3], tf.float64), tf.TensorSpec([2, 1], tf.float64)]
    wrapped = fwddiff(lambda x, y: (x * y, 7))
    product, count = tf.function(wrapped.broadcast, input_signature=spec).get_concrete_function().outputs
    assert product.shape.as_list() == [2, 3]
    assert count.shape.as_list() == [2, 3]
    assert count.dtype == tf.int64
    (total, _) = tf.function(wrapped.sum, input_signature=spec).get_concrete_function().outputs
    assert total.shape.as_list() == []


def test_unknown_sizes_stay_unknown():
    spec = [tf.TensorSpec([None, 3], tf.float64), tf.TensorSpec([None, 1], tf.float64)]
    run = tf.function(lambda x, y: host.apply(rule_of(), [x, y])[0], input_signature=spec)
    assert run.get_concrete_function().outputs[0].shape.as_list() == [None, 3]


# --- AutoGraph, control flow, data sets ---------------------------------------------------------------------


def test_autograph_leaves_our_code_alone(caplog):
    wrapped = fwddiff(lambda x: x * x if x > 1.0 else x)

    @tf.function
    def run(x):
        total = tf.zeros([], tf.float64)
        for k in tf.range(3):
            if k > 0:
                total += wrapped.sum(x * tf.cast(k, tf.float64)) + tf.reduce_sum(wrapped.broadcast(x))
        return total

    with caplog.at_level(logging.WARNING):
        found = run(X)
    assert "AutoGraph" not in caplog.text
    values = X.numpy()

    def total(x):
        return np.where(x > 1.0, x * x, x).sum()

    np.testing.assert_allclose(found, total(values) + total(2 * values) + 2 * total(values))


@pytest.mark.parametrize("wrap", [fwddiff, fwddiff(engine="numpy")])
def test_functions_that_autograph_has_rewritten(wrap):
    @tf.function
    def run(x):
        return wrap(lambda x: x * x).broadcast(x)

    with pytest.raises(ArgumentError, match="because it is defined inside"):
        run(X)


def test_cond():
    rule = rule_of()

    @tf.function
    def run(x, flag):
        return tf.cond(flag, lambda: host.apply(rule, [x, 2.0])[0], lambda: x * x)

    for flag, slope in [(True, 2 * np.cos(2 * X.numpy())), (False, 2 * X.numpy())]:
        (found,) = gradient(lambda x, flag=flag: run(x, tf.constant(flag)), X)
        np.testing.assert_allclose(found, slope)


def test_data_sets():
    rule = rule_of()
    data = tf.data.Dataset.from_tensor_slices(X).map(lambda x: host.apply(rule, [x, 2.0])[0])
    np.testing.assert_allclose(list(data.batch(2).unbatch()), np.sin(2 * X.numpy()))


def test_functions_run_eagerly():
    rule = rule_of()
    tf.config.run_functions_eagerly(True)
    try:
        (found,) = gradient(tf.function(lambda x: host.apply(rule, [x, 2.0])[0]), X)
    finally:
        tf.config.run_functions_eagerly(False)
    np.testing.assert_allclose(found, 2 * np.cos(2 * X.numpy()))


def test_graphs_of_tensorflow_1():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float64, [None])
        result = host.apply(rule_of(), [x, 2.0])[0]
        (slope,) = tf.compat.v1.gradients(result, [x])
        found = session.run(slope, {x: X.numpy()})
    np.testing.assert_allclose(found, 2 * np.cos(2 * X.numpy()))


# --- what a graph cannot hold -------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [False, True])
def test_xla_is_refused(inner):
    def called(x):
        return host.apply(rule_of(), [x, 2.0])[0]

    compiled = tf.function(tf.function(called) if inner else called, jit_compile=True)
    with pytest.raises(HostError, match="jit_compile=False"):
        compiled(X)


def test_xla_around_a_gradient_is_refused():
    with pytest.raises(HostError, match="jit_compile=False"):
        tf.function(lambda x: gradient(lambda x: host.apply(rule_of(), [x, 2.0])[0], x), jit_compile=True)(X)


def test_a_saved_model_is_refused(tmp_path):
    module = tf.Module()
    module.run = tf.function(
        lambda x: host.apply(rule_of(), [x, 2.0])[0], input_signature=[tf.TensorSpec([3], tf.float64)]
    )
    with pytest.raises(ValueError, match="SavedModel") as caught, contextlib.redirect_stderr(None):
        tf.saved_model.save(module, str(tmp_path))
    assert isinstance(caught.value.__cause__, HostError)
    assert "cannot hold a function that runs in this Python process" in str(caught.value.__cause__)


@pytest.mark.parametrize("size", [None, 3])
def test_sizes_that_only_values_tell(size):
    g = fwddiff(lambda x: x[x > 0.0] * 2.0, engine="numba")

    @tf.function(input_signature=[tf.TensorSpec((size,), tf.float64)])
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = g(x)
            total = tf.reduce_sum(y * y)
        return y, tape.gradient(total, x), tf.shape(y)

    y, slope, shape = run(tf.constant([1.0, -2.0, 3.0], tf.float64))
    np.testing.assert_array_equal(y, [2.0, 6.0])
    np.testing.assert_array_equal(slope, [8.0, 0.0, 24.0])
    assert shape.numpy().tolist() == [2]
