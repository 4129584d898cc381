"""What PyTensor's graphs consist of: one pass for value and derivatives, nothing that nobody uses, and no
Python inside the Numba linker."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.tensor.elemwise import Elemwise

from fwddiff import HostError, fwddiff

from .comparison import compiled, operations, random


def ours(function):
    return [name for name in operations(function) if "fwddiff" in name.lower()]


f = fwddiff(lambda x, y, z: math.sin(x) * y + math.exp(z))
variables = [pt.dvector("x"), pt.dvector("y"), pt.dscalar("z")]


@pytest.mark.parametrize("kind", ["broadcast", "sum"])
def test_value_and_gradient_are_one_pass(kind):
    total = getattr(f, kind)(*variables).sum()
    call = compiled(variables, [total, *pytensor.grad(total, variables)], "unfused")
    assert len(ours(call)) == 1


@pytest.mark.parametrize("kind", ["broadcast", "sum"])
@pytest.mark.parametrize("mode", ["auto", "recompute"])
def test_derivatives_that_nobody_uses_are_not_computed(kind, mode):
    g = fwddiff(lambda x, y, z: math.sin(x) * y + math.exp(z), mode=mode)
    loss = (getattr(g, kind)(*variables) ** 2).sum()
    for wanted in ([variables[1]], [variables[0], variables[2]]):
        call = compiled(variables, pytensor.grad(loss, wanted), "unfused")
        nodes = [node for node in call.maker.fgraph.toposort() if "fwddiff" in str(node.op).lower()]
        derived = [getattr(node.op, "scalar_op", node.op).derivation for node in nodes]
        actives = [d.active for d in derived if d.kind in ("pullback", "partials")]
        assert actives == [tuple(variables.index(v) for v in wanted)]


def test_equal_calls_merge():
    x, y, z = variables
    call = compiled(variables, f.broadcast(x, y, z) + f.broadcast(x, y, z), "unfused")
    assert len(ours(call)) == 1
    other = fwddiff(lambda x, y, z: math.sin(x) * y + math.exp(z))
    call = compiled(variables, f.broadcast(x, y, z) + other.broadcast(x, y, z), "unfused")
    assert len(ours(call)) == 2


def test_broadcasts_are_elemwise_and_sums_are_not():
    assert isinstance(f.broadcast(*variables).owner.op, Elemwise)
    assert not isinstance(f.sum(*variables).owner.op, Elemwise)


def test_loops_are_fused_where_numba_is_the_default():
    x, y, z = variables
    with pytensor.config.change_flags(mode="NUMBA"):
        call = compiled(variables, pt.tanh(f.broadcast(x * 2.0, y, z)) + 1.0, "numba")
    assert [name for name in operations(call) if "Composite" in name]
    assert len(operations(call)) <= 3
    values = [random(4), random(4, seed=1), np.array(0.3)]
    expected = np.tanh(np.sin(2 * values[0]) * values[1] + np.exp(0.3)) + 1.0
    np.testing.assert_allclose(call(*values), expected)


@pytest.mark.parametrize("kind", ["broadcast", "sum"])
def test_numba_does_not_call_python(kind, monkeypatch):
    """After the first call of a shape, the rule is not evaluated from Python."""
    g = fwddiff(lambda x, y, z: math.sin(x) * y + math.exp(z))
    total = getattr(g, kind)(*variables).sum()
    call = compiled(variables, [total, *pytensor.grad(total, variables)], "unfused")
    values = [random(4), random(4, seed=1), np.array(0.3)]
    first = call(*values)
    rules = [
        getattr(node.op, "scalar_op", node.op).derivation.rule
        for node in call.maker.fgraph.toposort()
        if "fwddiff" in str(node.op).lower()
    ]
    assert rules

    def refuse(*arguments, **options):
        raise AssertionError("evaluated from Python")

    for rule in rules:
        monkeypatch.setattr(type(rule), "__call__", refuse)
        monkeypatch.setattr(type(rule), "native", refuse)
    for mine, theirs in zip(call(*values), first, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_kernels_of_many_shapes_and_layouts():
    x, y, z = pt.dmatrix("x"), pt.dmatrix("y"), pt.dscalar("z")
    call = compiled([x, y, z], pytensor.grad(f.sum(x, y, z), [x, y, z]), "numba")
    for rows, columns in ((2, 3), (3, 2), (2, 3), (1, 1), (0, 4), (40, 30)):
        a, b = random(columns, rows).T, random(2 * rows, 2 * columns)[::2, ::2]
        found = call(a, b, 0.3)
        expected = [np.cos(a) * b, np.sin(a), rows * columns * math.exp(0.3)]
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12)


@pytest.mark.parametrize("mode", ["numba", "python"])
def test_shapes_are_inferred_without_evaluation(mode):
    x, y, z = variables
    gradients = pytensor.grad((f.sum(x, y, z) ** 2), variables)
    call = compiled(variables, [f.broadcast(x, y, z).shape, *(g.shape for g in gradients)], mode)
    assert not ours(call)
    assert [tuple(s) for s in call(random(4), random(4), 0.1)] == [(4,), (4,), (4,), ()]


def test_a_million_results_do_not_stay():
    import resource

    x = pt.dvector("x")
    g = fwddiff(lambda x: math.sin(x) * x)
    call = compiled([x], [g.sum(x), pytensor.grad(g.sum(x), x)], "numba")
    values = random(100_000)
    for _ in range(20):
        call(values)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(300):
        call(values)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


@pytest.mark.parametrize("kind", ["broadcast", "sum"])
def test_copies_share_the_rule_and_pickles_are_refused(kind):
    call = compiled(variables, getattr(f, kind)(*variables), "python")
    values = [random(4), random(4, seed=1), np.array(0.3)]
    again = copy.deepcopy(call)
    np.testing.assert_array_equal(again(*values), call(*values))
    with pytest.raises(HostError, match="cannot be pickled"):
        pickle.dumps(call)
