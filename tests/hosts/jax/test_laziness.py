"""Only what is asked for is computed: counted inside the machine code and in the recorded program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fwddiff.hosts import jax as host
from fwddiff.hosts.jax.derivatives import transpose
from fwddiff.hosts.jax.internals import ad
from fwddiff.hosts.jax.operation import Operation
from support.compiled_rule import compiled_rule
from support.symbolic_rule import symbolic_rule

X = np.linspace(0.1, 0.9, 4)


def counted(mode, **options):
    rule = compiled_rule("x y", "sin(x)*y", mode=mode, **options)
    return rule, lambda x, y: host.apply(rule, [x, y])[0].sum()


def recorded(function, *arguments):
    """Names of the rules in the compiled program, in order."""
    rule_names = []

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "fwddiff":
                rule_names.append(repr(equation.params["operation"]))
            for inner in equation.params.values():
                if hasattr(inner, "jaxpr"):
                    walk(inner.jaxpr)

    walk(jax.make_jaxpr(function)(*arguments).jaxpr)
    return rule_names


def test_value_alone_runs_the_value_kernel():
    rule, f = counted("store")
    jax.jit(f)(X, X)
    assert rule.calls == {"f": 1}
    assert rule.evaluations == []


def test_store_runs_one_kernel_for_value_and_gradient():
    rule, f = counted("store")
    jax.jit(jax.value_and_grad(f, (0, 1)))(X, X)
    assert rule.calls == {"partials(f, 0, 1)": 1}


def test_recompute_runs_value_and_pullback():
    rule, f = counted("recompute")
    jax.jit(jax.value_and_grad(f, (0, 1)))(X, X)
    assert rule.calls == {"f": 1, "pullback(f, 0, 1)": 1}


@pytest.mark.parametrize(("mode", "expected"), [("store", "partials(f, 1)"), ("recompute", "pullback(f, 1)")])
def test_inputs_without_tangents_are_not_active(mode, expected):
    rule, f = counted(mode)
    jax.jit(jax.grad(f, 1))(X, X)
    assert rule.calls == {expected: 1}


@pytest.mark.parametrize(("mode", "expected"), [("store", "partials(f, 0)"), ("recompute", "pullback(f, 0)")])
def test_cotangents_that_are_thrown_away_are_not_computed(mode, expected):
    rule, f = counted(mode)
    found = jax.jit(lambda x, y: jax.grad(f, (0, 1))(x, y)[0])(X, X)
    assert rule.calls == {expected: 1}
    np.testing.assert_allclose(found, np.cos(X) * X)


def test_partials_nobody_reads_leave_the_value():
    rule, f = counted("store")
    found = jax.jit(lambda x, y: jax.value_and_grad(f, (0, 1))(x, y)[0])(X, X)
    assert rule.calls == {"f": 1}
    np.testing.assert_allclose(found, (np.sin(X) * X).sum())


def test_partials_of_several_outputs_shrink_to_the_inputs_that_are_read():
    rule = compiled_rule("x y z", "x*y*z", "x + y*z**2", "z*x", mode="store")

    def f(x, y, z):
        a, b, c = host.apply(rule, [x, y, z])
        return (a + 2 * b + 3 * c).sum()

    def last(x, y, z):
        return host.apply(rule, [x, y, z])[2].sum()

    np.testing.assert_allclose(jax.jit(jax.grad(last, (0, 2)))(X, X + 1, X + 2), [X + 2, X])
    for counter in rule.counters.values():
        counter[0] = 0
    found = jax.jit(lambda *x: jax.grad(f, (0, 1, 2))(*x)[1:])(X, X + 1, X + 2)
    assert rule.calls == {"partials(f, 1, 2)": 1}
    y, z = X + 1, X + 2
    np.testing.assert_allclose(found, [X * z + 2 * z**2, X * y + 4 * y * z + 3 * X])


def test_one_pass_per_argument():
    rule, f = counted("recompute", passes="per_argument")
    jax.jit(jax.grad(f, (0, 1)))(X, X)
    assert rule.calls == {"pullback(f, 0)": 1, "pullback(f, 1)": 1}


def test_a_linear_call_is_differentiated_by_itself():
    _, f = counted("recompute")
    recorded_names = recorded(lambda t: jax.jvp(lambda s: jax.jvp(f, (X, X), (s, s))[1], (t,), (t,)), X)
    assert set(recorded_names) == {"f", "pushforward(f, 0, 1)"}


def test_symbolic_zero_cotangents_stay_out_of_the_transposed_pullback():
    rule = symbolic_rule("x y", "sin(x)*y", mode="recompute")
    operation = Operation(rule).derive("pullback", (0, 1))
    aval = jax.typeof(jnp.asarray(X))
    zero, unknown = ad.Zero(aval), ad.UndefinedPrimal(aval)
    found = transpose([zero, X], X, X, unknown, operation=operation, batch_ndim=0)
    np.testing.assert_allclose(found[2], np.sin(X) * X)
    assert rule.evaluations == ["pushforward(f, 1)"]


def test_checkpoint_recomputes_what_it_did_not_keep():
    rule, f = counted("store")
    jax.jit(jax.value_and_grad(jax.checkpoint(lambda x, y: jnp.sin(f(x, y))), (0, 1)))(X, X)
    assert rule.calls == {"f": 1, "partials(f, 0, 1)": 1}
