"""`fd.explain`: countable facts of a call."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

N = 1000
X, Y = np.linspace(0.1, 2.0, N), np.linspace(1.0, 3.0, N)


class Model(NamedTuple):
    theta: object


def density(model, x):
    return -math.log(model.theta) - x / model.theta


def newton(x):
    y = x
    for _ in range(20):
        y = 0.5 * (y + x / y)
    return y


def test_of_a_broadcast():
    found = fd.explain(fwddiff(density).broadcast, Model(X), 1.3)
    assert (found.host, found.engine, found.kind, found.loop) == (None, "numba", "pullback", (N,))
    assert [(leaf.name, leaf.shape, leaf.differentiated) for leaf in found.inputs] == [
        ("model.theta", (N,), True),
        ("x", (), True),
    ]
    assert [(leaf.name, leaf.shape) for leaf in found.outputs] == [("result", (N,))]
    assert (found.stored, found.bytes_kept) == (False, 0)
    assert (found.passes, found.partials, found.chunks) == (1, 2, 1)
    assert "cheap to run again" in found.reason
    assert found.threads == found.tasks == 1


def test_of_a_sum():
    """Partials of a sum are as large as the inputs: N and one."""
    found = fd.explain(fwddiff(density).sum, Model(X.astype(np.float32)), np.float32(1.3))
    assert (found.kind, found.stored, found.bytes_kept) == ("partials", True, 4 * N + 4)
    assert {leaf.dtype for leaf in (*found.inputs, *found.outputs)} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("function", "arguments", "options", "stored", "kept", "words"),
    [
        (newton, (X,), {}, True, 8 * N, "dear to run twice"),
        (lambda x, y: newton(x) * y, (X, 2.0), {}, False, 0, "broadcast"),
        (newton, (X,), {"mode": "recompute"}, False, 0, "mode='recompute'"),
        (lambda x, y: x * y, (X, Y), {"mode": "store"}, True, 16 * N, "mode='store'"),
    ],
    ids=["loop", "broadcast", "recompute", "store"],
)
def test_store_or_recompute(function, arguments, options, stored, kept, words):
    found = fd.explain(fwddiff(function, **options).broadcast, *arguments)
    assert (found.stored, found.bytes_kept) == (stored, kept)
    assert words in found.reason


def test_passes_and_chunks():
    product = fwddiff(lambda x, y: x * y, passes="per_argument", mode="recompute")
    assert (fd.explain(product.broadcast, X, Y).passes, fd.explain(product.broadcast, X, Y).partials) == (
        2,
        1,
    )
    whole = fd.explain(fwddiff(lambda x: np.sum(x * x), chunk=4, mode="recompute"), X[:10])
    assert (whole.partials, whole.chunks) == (10, 3)


def test_integers_and_wrt_are_not_differentiated():
    found = fd.explain(fwddiff(lambda x, n, y: x * n * y, wrt="x").broadcast, X, 3, Y)
    assert [leaf.differentiated for leaf in found.inputs] == [True, False, False]
    value = fd.explain(fwddiff(lambda n: n * 2).broadcast, np.arange(3))
    assert (value.kind, value.passes, value.bytes_kept) == ("value", 0, 0)


def test_the_inner_loop_is_vectorised():
    arithmetic = fd.explain(fwddiff(lambda x, y: x * y + x / y).broadcast, X, Y)
    assert arithmetic.vectorised
    logarithm = fd.explain(fwddiff(lambda x: math.log(x)).broadcast, X)
    from fwddiff.engines.numba.target import vector_math

    # The pullback of log needs no log; its value does.
    assert logarithm.vector_functions == ()
    both = fd.explain(fwddiff(lambda x: math.exp(x)).broadcast, X)
    assert any("exp" in name for name in both.vector_functions) == vector_math.available("exp", 64)


def test_a_loop_that_data_end_is_vectorised_whatever_it_calls():
    def halved(x):
        while x > 1.0:
            x = x / 3.0 + 0.001 * x * x
        return x

    def halved_by_gamma(x):
        while x > 1.0:
            x = x / 3.0 + 0.001 * math.lgamma(x)
        return x

    from fwddiff.engines.numba.target import vector_math

    found = fd.explain(fwddiff(halved).broadcast, X)
    assert found.vectorised is (vector_math.library() is not None)
    assert fd.explain(fwddiff(halved_by_gamma).broadcast, X).vectorised is found.vectorised


def test_of_other_engines():
    found = fd.explain(fwddiff(newton, engine="numpy").broadcast, X)
    assert (found.engine, found.tasks, found.vectorised) == ("numpy", None, None)
    rule = fd.custom_rule(lambda x: x * x, rrule=lambda x: (x * x, lambda ct: (2 * x * ct,)))
    assert fd.explain(rule.broadcast, X).engine == "custom rule"


@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="PyTorch is not installed")
def test_of_tensors():
    import torch

    x, y = torch.tensor(X, requires_grad=True), torch.tensor(Y)
    found = fd.explain(fwddiff(lambda x, y: x * y).broadcast, x, y)
    assert found.host == "torch"
    assert [leaf.differentiated for leaf in found.inputs] == [True, False]
    assert fd.explain(fwddiff(lambda x: x * 2).broadcast, y).kind == "value"


def test_prints_itself():
    found = fd.explain(fwddiff(density).broadcast, Model(X), 1.3)
    lines = str(found).splitlines()
    assert lines[0] == "density.broadcast"
    assert "  input      model.theta: float64, 1000, differentiated" in lines
    assert any(line.startswith("  vectorised") for line in lines)
    assert found.__rich__().row_count == len(found.rows())


# --- in a host: what it says is what the host does ---------------------------------------------------


def costly(x):
    return math.exp(math.sin(math.exp(math.cos(x)))) + math.log(1 + math.exp(x)) * math.atan(x)


def cheap(x):
    return x * x + 1.0


def partials_in_torch(operation, x):
    """Whether partials are among what the node keeps, besides its input, and their bytes."""
    torch = pytest.importorskip("torch")
    leaf = torch.tensor(x, requires_grad=True)
    kept = operation(leaf).grad_fn.saved_tensors[1:]
    return fd.explain(operation, leaf), sum(tensor.nbytes for tensor in kept)


def partials_in_jax(operation, x):
    """The same by the program that JAX makes: what a call of kind "partials" gives beyond the value."""
    jax = pytest.importorskip("jax")

    def of_program(program):
        for equation in program.eqns:
            for inner in equation.params.values():
                if hasattr(inner, "jaxpr"):
                    yield from of_program(inner.jaxpr)
            called = equation.params.get("operation")
            if called is not None and called.kind == "partials":
                yield from (variable.aval for variable in equation.outvars[1:])

    leaf = jax.numpy.asarray(x, np.float32)
    program = jax.make_jaxpr(jax.grad(lambda v: operation(v).sum()))(leaf)
    return fd.explain(operation, leaf), sum(a.size * a.dtype.itemsize for a in of_program(program.jaxpr))


CASES = [
    *itertools.product((cheap, costly, newton), ("broadcast", "sum"), ("auto",), (1, 4096, 4097, 20_000)),
    *itertools.product((cheap,), ("broadcast", "sum"), ("store", "recompute"), (100,)),
]


@pytest.mark.parametrize("host", [partials_in_torch, partials_in_jax])
@pytest.mark.parametrize(("function", "kind", "mode", "n"), CASES)
@pytest.mark.every(3)
def test_of_a_host(host, function, kind, mode, n):
    operation = getattr(fwddiff(function, mode=mode), kind)
    found, kept = host(operation, np.linspace(0.1, 2.0, n))
    assert (found.stored, found.bytes_kept) == (kept > 0, kept)
    assert found.kind == ("partials" if kept else "pullback")


def _by_reduce(x):
    return functools.reduce(lambda a, b: a * b, (x, x + 1.0), 1.0)


def test_why_there_is_no_kernel():
    found = fd.explain(fwddiff(_by_reduce), 2.0)
    assert found.engine == "numpy"
    assert "`_by_reduce` cannot be compiled" in str(found.not_compiled)
    assert f"no kernel  {found.not_compiled}" in str(found)
    found = fd.explain(fwddiff(_by_reduce, engine="numpy"), 2.0)  # as asked
    assert found.not_compiled is None
    assert "no kernel" not in str(found)
    assert fd.explain(fwddiff(lambda x: x * x), 2.0).not_compiled is None
