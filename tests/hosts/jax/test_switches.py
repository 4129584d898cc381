"""JAX's debugging switches: calls compute what they compute without them, or give JAX's own error."""

import contextlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fwddiff import fwddiff
from fwddiff.hosts.jax import primitive

SWITCHES = {
    "disable_jit": jax.disable_jit,
    "debug_nans": lambda: jax.debug_nans(True),
    "debug_infs": lambda: jax.debug_infs(True),
    "checking_leaks": jax.checking_leaks,
    "rank_promotion": lambda: jax.numpy_rank_promotion("raise"),
    "dtype_promotion": lambda: jax.numpy_dtype_promotion("strict"),
}
X, A = np.linspace(0.1, 0.9, 3), 0.3


@fwddiff
def growth(a, x):
    return x * math.exp(a * x)


@fwddiff
def logarithm(x):
    return math.log(x) if x > 0.0 else (-math.inf if x == 0.0 else math.nan)


@fwddiff
def root(x):
    return math.sqrt(x)


CALLS = {
    "value": (lambda a, x: growth.broadcast(a, x), lambda e: X * e),
    "jit": (jax.jit(growth.broadcast), lambda e: X * e),
    "grad": (jax.grad(growth.sum), lambda e: (X**2 * e).sum()),
    "jit of grad": (jax.jit(jax.grad(growth.sum)), lambda e: (X**2 * e).sum()),
    "vmap of grad": (jax.vmap(jax.grad(growth), (None, 0)), lambda e: X**2 * e),
    "hessian": (jax.hessian(growth.sum), lambda e: (X**3 * e).sum()),
    "scan": (lambda a, x: jax.lax.scan(lambda c, v: (c + growth(a, v), v), 0.0, x)[0], lambda e: X @ e),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("switch", ["disable_jit", "debug_nans", "debug_infs", "all"])
@pytest.mark.every(3)
def test_values_and_derivatives_are_those_without_switches(call, switch):
    f, expected = CALLS[call]
    with contextlib.ExitStack() as stack:
        for name in SWITCHES if switch == "all" else [switch]:
            stack.enter_context(SWITCHES[name]())
        found = f(jnp.asarray(A), jnp.asarray(X))
    np.testing.assert_allclose(found, expected(np.exp(A * X)), rtol=1e-13)


OPERATIONS = {
    "value": (lambda: logarithm.broadcast, "logarithm"),
    "jit": (lambda: jax.jit(logarithm.broadcast), "logarithm"),
    "vmap": (lambda: jax.vmap(logarithm), "logarithm"),
}
# The slope of a square root is infinite at 0, and nowhere nan that its value is not.
SLOPES = {
    "grad": (lambda: jax.grad(root.sum), "pullback of root"),
    "jit of grad": (lambda: jax.jit(jax.grad(root.sum)), "pullback of root"),
    "vmap of grad": (lambda: jax.vmap(jax.grad(root)), "pullback of root"),
}
INVALID = [
    *((name, kind) for name in OPERATIONS for kind in ("nan", "inf")),
    *((name, "inf") for name in SLOPES),
]


@pytest.mark.parametrize("jitted", [True, False])
@pytest.mark.parametrize(("name", "kind"), INVALID)
def test_invalid_values_are_jaxs_own_error(name, kind, jitted):
    """Which names the operation that made them, as it does for operations of JAX."""
    make, source = (OPERATIONS | SLOPES)[name]
    x = jnp.asarray([1.0, -1.0] if kind == "nan" else [1.0, 0.0])
    switch = jax.debug_nans if kind == "nan" else jax.debug_infs
    disabled = contextlib.nullcontext() if jitted else jax.disable_jit()
    message = rf"\({kind}\) encountered in {source}"
    with switch(True), disabled, pytest.raises(FloatingPointError, match=message):
        jax.block_until_ready(make()(x))
    jax.block_until_ready(make()(x))  # without the switch it is a value like others


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_invalid_values_in_a_jax_that_looks_at_no_mark(kind, monkeypatch):
    """Then JAX runs the jitted function as it is, to find the operation: endlessly, if it called itself."""
    monkeypatch.setattr(primitive, "runs_as_one", lambda function, name: None)
    primitive.compiled.cache_clear()
    x = jnp.asarray(-1.0 if kind == "nan" else 0.0)
    switch = jax.debug_nans if kind == "nan" else jax.debug_infs
    with switch(True), pytest.raises(FloatingPointError, match=rf"\({kind}\) encountered in logarithm"):
        logarithm(x)
    primitive.compiled.cache_clear()
