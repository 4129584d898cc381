"""Structs of other libraries: dataclasses that JAX knows as pytrees."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fwddiff import fwddiff
from fwddiff._errors import ArgumentError

equinox = pytest.importorskip("equinox")
struct = pytest.importorskip("flax.struct")


class Module(equinox.Module):
    slope: jax.Array
    offset: jax.Array

    def value(self, x):
        return self.slope * jnp.sin(x) + self.offset**2


@struct.dataclass
class Dataclass:
    slope: jax.Array
    offset: jax.Array


@struct.dataclass
class Named:
    slope: jax.Array
    offset: jax.Array
    name: str = struct.field(pytree_node=False, default="line")


class Nested(equinox.Module):
    inner: Module
    weight: jax.Array


X = np.linspace(0.1, 1.0, 4)
KINDS = [Module, Dataclass, Named]
TRANSFORMATIONS = {
    "value": lambda f, line: f(line, X),
    "jit(value_and_grad)": lambda f, line: jax.jit(jax.value_and_grad(lambda m: (f(m, X) ** 2).sum()))(line),
    "jvp": lambda f, line: jax.jvp(lambda m: f(m, X), (line,), (line,)),
    "hessian": lambda f, line: jax.hessian(lambda m: (f(m, X) ** 2).sum())(line),
    "vmap": lambda f, line: jax.vmap(lambda s: f(type(line)(s, line.offset), X))(X),
    "one field": lambda f, line: jax.grad(lambda s: f(type(line)(s, 3.0), X).sum())(2.0),
}


def compiled(line, x):
    return line.slope * math.sin(x) + line.offset**2


def native(line, x):
    return line.slope * jnp.sin(x) + line.offset**2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_modules_and_dataclasses_as_arguments(kind, name):
    line = kind(jnp.float64(2.0), jnp.float64(3.0))
    found = TRANSFORMATIONS[name](fwddiff(compiled).broadcast, line)
    expected = TRANSFORMATIONS[name](native, line)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), found, expected)


def test_modules_of_modules_and_filtered_gradients():
    model = Nested(Module(jnp.float64(2.0), jnp.float64(3.0)), jnp.float64(0.5))
    f = fwddiff(lambda m, x: m.weight * (m.inner.slope * x - m.inner.offset))
    gradient = equinox.filter_jit(equinox.filter_grad(lambda m: f.sum(m, X)))(model)
    np.testing.assert_allclose(gradient.inner.slope, 0.5 * X.sum())
    np.testing.assert_allclose(gradient.inner.offset, -0.5 * 4)
    np.testing.assert_allclose(gradient.weight, (2 * X - 3).sum())


@pytest.mark.parametrize("kind", [Module, Dataclass])
def test_results(kind):
    def slope(s):
        return fwddiff(lambda a, b: kind(a * b, a)).broadcast(s, X).slope

    assert type(fwddiff(lambda a, b: kind(a * b, a)).broadcast(2.0, jnp.asarray(X))) is kind
    np.testing.assert_allclose(jax.jacfwd(slope)(2.0), X)


@pytest.mark.parametrize("kind", KINDS)
def test_captured_modules_get_their_gradients(kind):
    def loss(line):
        return fwddiff(lambda x: line.slope * math.sin(x) + line.offset**2).broadcast(X).sum()

    line = kind(jnp.float64(2.0), jnp.float64(3.0))
    found = jax.jit(jax.grad(loss))(line)
    np.testing.assert_allclose(found.slope, np.sin(X).sum())
    np.testing.assert_allclose(found.offset, 2 * 3.0 * 4)


def test_pytrees_without_fields_are_refused():
    @jax.tree_util.register_pytree_node_class
    class Pair:
        def __init__(self, a, b):
            self.a, self.b = a, b

        def tree_flatten(self):
            return (self.a, self.b), None

        @classmethod
        def tree_unflatten(cls, _, children):
            return cls(*children)

    with pytest.raises(ArgumentError, match="type Pair"):
        fwddiff(lambda p, x: p.a * x + p.b).broadcast(Pair(jnp.float64(2.0), jnp.float64(1.0)), X)
