"""A JAX whose internals have changed: right values and derivatives by its public functions."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fwddiff import fwddiff
from fwddiff.hosts.jax import public, ways
from fwddiff.hosts.jax.operation import Operation
from fwddiff.hosts.jax.rehearsal import Polynomial, failure
from hosts.jax.processes import run
from support.symbolic_rule import symbolic_rule

A, X = 1.3, np.linspace(0.1, 1.0, 4)


@pytest.fixture
def by_public_functions(monkeypatch):
    monkeypatch.setattr(ways, "chosen", lambda: public.call)


def wave(a, x):
    return a * math.sin(a * x)


def wave_in_jax(a, x):
    return a * jnp.sin(a * x)


def same(found, expected):
    jax.tree.map(lambda f, e: np.testing.assert_allclose(f, e, rtol=1e-10, atol=1e-12), found, expected)


PROGRAMS = {
    "value": lambda f: f,
    "grad": lambda f: jax.grad(lambda a, x: f(a, x).sum(), (0, 1)),
    "tangent": lambda f: lambda a, x: jax.jvp(lambda a: f(a, x), (a,), (a,))[1],
    "vmap": lambda f: jax.vmap(jax.grad(f), (None, 0)),
    "vmap of vmap": lambda f: lambda a, x: jax.vmap(jax.vmap(jax.grad(f, 1), (None, 0)), (0, None))(x, x),
    "hessian": lambda f: jax.hessian(lambda a, x: f(a, x).sum(), (0, 1)),
    "forward over reverse": lambda f: jax.jacfwd(jax.jacrev(f, (0, 1)), (0, 1)),
    "linearize": lambda f: lambda a, x: jax.linearize(lambda x: f(a, x), x)[1](x),
    "scan": lambda f: jax.grad(lambda a, x: jax.lax.scan(lambda c, v: (c + f(a, v), v), 0.0, x)[0]),
}


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.few(jitted=[True], name=["value", "grad", "vmap", "linearize", "scan"])
def test_public_functions_of_an_elementwise_call(name, jitted, by_public_functions):
    program, expected = PROGRAMS[name](fwddiff(wave).broadcast), PROGRAMS[name](wave_in_jax)
    same((jax.jit(program) if jitted else program)(A, X), expected(A, X))


@pytest.mark.slow
def test_public_functions_of_sums_and_cotangents_of_broadcast_arguments(by_public_functions):
    total = fwddiff(wave).sum
    in_jax = lambda a, x: wave_in_jax(a, x).sum()  # noqa: E731
    a, x = jnp.asarray([[0.3], [0.7]]), jnp.asarray(X)
    same(jax.grad(total, (0, 1))(a, x), jax.grad(in_jax, (0, 1))(a, x))
    same(jax.hessian(total, (0, 1))(a, x), jax.hessian(in_jax, (0, 1))(a, x))
    same(jax.vmap(jax.grad(total), (0, None))(a, x), jax.vmap(jax.grad(in_jax), (0, None))(a, x))


@pytest.mark.parametrize(
    "derivative",
    [
        jax.jacrev,
        pytest.param(jax.jacfwd, marks=pytest.mark.slow),
        pytest.param(lambda f: jax.jacfwd(jax.jacrev(f)), marks=pytest.mark.slow),
    ],
    ids=["jacrev", "jacfwd", "second"],
)
def test_public_functions_of_arrays(derivative, by_public_functions):
    pair = fwddiff(lambda x, k: np.array([x[0] * x[1] * k, x[0] ** 2, math.sin(x[1])]))
    in_jax = lambda x, k: jnp.array([x[0] * x[1] * k, x[0] ** 2, jnp.sin(x[1])])  # noqa: E731
    x = jnp.asarray(X[:2])
    same(derivative(pair)(x, 3), derivative(in_jax)(x, 3))
    rows = jnp.asarray(X.reshape(2, 2))
    same(jax.vmap(jax.jacrev(pair), (0, None))(rows, 3), jax.vmap(jax.jacrev(in_jax), (0, None))(rows, 3))


def test_public_functions_of_integers_and_several_results(by_public_functions):
    rule = symbolic_rule("x n:int", "x**2*n", "n + 1", "sin(x)")
    x = jnp.asarray(X)

    def total(x, n):
        square, integer, sine = public.call(Operation(rule), [x, n])
        assert integer.dtype == np.int64
        return (square * integer + sine).sum()

    same(jax.grad(total)(x, jnp.asarray(2)), 12 * X + np.cos(X))
    assert jax.grad(total, 1, allow_int=True)(x, jnp.asarray(2)).dtype == jax.dtypes.float0


def test_the_users_exception_by_public_functions(by_public_functions):
    def failing(x):
        if x > 0.5:
            raise ValueError("x is too large")
        return x

    with pytest.raises(ValueError, match="x is too large"):
        fwddiff(failing).broadcast(jnp.asarray(X))
    with pytest.raises(jax.errors.JaxRuntimeError, match="x is too large"):
        jax.block_until_ready(jax.jit(fwddiff(failing).broadcast)(X))


def test_the_rehearsal_notices_what_is_wrong(monkeypatch):
    ways.chosen()  # registers the primitive's rules
    assert failure() == ""
    right = Polynomial._derive

    def swapped(self, kind, active):
        rule = right(self, kind, active)
        rule.terms = [[(-factor, e) for factor, e in own] for own in rule.terms]
        return rule

    monkeypatch.setattr(Polynomial, "_derive", swapped)
    assert failure() == "the jitted gradient of a polynomial is wrong"


CHANGES = {
    "without Primitive": ("import jax.extend.core as core; del core.Primitive", "public"),
    "without a table": ("from jax.interpreters import ad; del ad.primitive_transposes", "public"),
    "without registering": ("from jax.interpreters import mlir; del mlir.register_lowering", "public"),
    "rules of dead code turned round": (
        """
jax.__version__ = "0.99.0"
from jax.interpreters import partial_eval
from jax._src.interpreters import partial_eval as inner
class Turned(dict):
    def get(self, key, default=None):
        rule = super().get(key, default)
        return (lambda *arguments: rule(*arguments[::-1])) if key.name == "fwddiff" else rule
inner.dce_rules = partial_eval.dce_rules = Turned(inner.dce_rules)
""",
        "public",
    ),
    "without what it can do without": (
        "from jax.interpreters import partial_eval; del partial_eval.dce_rules",
        "primitive",
    ),
    "unknown": ("jax.__version__ = '0.99.0'", "primitive"),
}

SCRIPT = """
import jax, warnings, sys
import numpy as np
{change}
from fwddiff.hosts import jax as host
from fwddiff.hosts.jax import public, ways
from support.symbolic_rule import symbolic_rule
jax.config.update("jax_enable_x64", True)
rule = symbolic_rule("x y", "sin(x)*y")
f = lambda x, y: host.apply(rule, [x, y])[0]
total = lambda x, y: f(x, y).sum()
x, y = np.linspace(0.1, 0.9, 3), np.linspace(1.0, 2.0, 3)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    x_bar, y_bar = jax.jit(jax.grad(total, (0, 1)))(x, y)
np.testing.assert_allclose(x_bar, np.cos(x) * y, rtol=1e-13)
np.testing.assert_allclose(y_bar, np.sin(x), rtol=1e-13)
np.testing.assert_allclose(jax.grad(total)(x, y), np.cos(x) * y, rtol=1e-13)
np.testing.assert_allclose(f(jax.numpy.asarray(x), y), np.sin(x) * y, rtol=1e-13)
np.testing.assert_allclose(jax.vmap(jax.grad(f), (0, None))(x, 2.0), 2 * np.cos(x), rtol=1e-13)
np.testing.assert_allclose(jax.hessian(total)(x, y), np.diag(-np.sin(x) * y), rtol=1e-13, atol=1e-15)
print("public" if ways.chosen() is public.call else "primitive", len(told))
"""


_ALIKE = (
    "without a table",
    "without registering",
    "without what it can do without",
    "without Primitive",
    "rules of dead code turned round",
)  # as others are


@pytest.mark.parametrize(
    "change", [pytest.param(name, marks=pytest.mark.slow if name in _ALIKE else ()) for name in CHANGES]
)
def test_a_jax_of_other_internals(change):
    code, expected = CHANGES[change]
    way, warned = run(SCRIPT.format(change=code)).split()
    assert way == expected
    assert (warned != "0") == (way == "public" or "0.99" in code)
