"""What the wrapper asks of the host."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from fwddiff import fwddiff
from fwddiff._errors import ArgumentError, HostError
from fwddiff.hosts import jax as host
from support.symbolic_rule import symbolic_rule


def test_owns_arrays_and_tracers_only():
    assert host.owns(jnp.ones(2))
    seen = []
    jax.jit(lambda x: seen.append(host.owns(x)) or x)(1.0)
    jax.grad(lambda x: seen.append(host.owns(x)) or x)(1.0)
    jax.vmap(lambda x: seen.append(host.owns(x)) or x)(np.ones(2))
    assert seen == [True] * 3
    assert not any(
        host.owns(x) for x in (np.ones(2), 1.0, 1, None, "x", jax.ShapeDtypeStruct((2,), np.float64))
    )


@pytest.mark.parametrize("name", ["float32", "float64", "int8", "int32", "int64", "uint8", "bool"])
def test_dtypes(name):
    assert host.dtype(jnp.ones(2, name)) == np.dtype(name)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "complex64", "complex128", "float8_e4m3fn", "int4"])
def test_dtypes_that_rules_do_not_have(name):
    with pytest.raises(HostError, match=f"dtype {name}"):
        host.dtype(jnp.ones(2, name))
    with pytest.raises((HostError, ArgumentError)):
        fwddiff(lambda x: x * x).broadcast(jnp.ones(2, name))


def test_random_keys_are_not_numbers():
    with pytest.raises(HostError, match="key<"):
        host.dtype(jax.random.key(0))


def test_default_dtypes():
    assert (host.integer_dtype(), host.float_dtype()) == (np.int64, np.float64)


def test_default_dtypes_of_32_bits(single_precision):
    assert (host.integer_dtype(), host.float_dtype()) == (np.int32, np.float32)
    value = fwddiff(lambda x: (x * 2.5, 3)).broadcast(jnp.ones(2))
    assert [y.dtype for y in value] == [jnp.float32, jnp.int32]


def test_constants_take_the_dtype_of_their_slot():
    rule = symbolic_rule("x y n:int", "x*y*n", dtype=np.float32)
    (value,) = host.apply(rule, [jnp.ones(2, jnp.float32), 2.5, 2])
    assert value.dtype == jnp.float32
    np.testing.assert_array_equal(value, [5.0, 5.0])


def test_integer_outputs_have_no_derivative():
    rule = symbolic_rule("x n:int", "x**2*n", "n + 1", mode="recompute")

    def f(x, n):
        value, integer = host.apply(rule, [x, n])
        return value * integer

    np.testing.assert_allclose(jax.grad(f)(3.0, jnp.asarray(2)), 36.0)
    _, tangent = jax.jvp(lambda x: host.apply(rule, [x, 2]), (3.0,), (1.0,))
    assert tangent[1].dtype == jax.dtypes.float0
    assert jax.grad(f, 1, allow_int=True)(3.0, jnp.asarray(2)).dtype == jax.dtypes.float0


def test_functions_with_integer_outputs_alone():
    rule = symbolic_rule("x", "floor(x)")
    assert float(jax.grad(lambda x: x * host.apply(rule, [x])[0])(2.5)) == 2.0


def test_inputs_declared_constant_have_no_derivative():
    rule = symbolic_rule("x", "x**2")
    rule.inputs = (dataclasses.replace(rule.inputs[0], differentiable=False),)
    assert float(jax.grad(lambda x: x + host.apply(rule, [x])[0])(2.5)) == 1.0


def test_a_function_that_is_not_known_to_be_linear_has_no_linear_transpose():
    double = fwddiff(lambda x: 2.0 * x)
    with pytest.raises(Exception, match="not known to be linear") as raised:
        jax.linear_transpose(double, 1.0)(1.0)
    assert type(raised.value).__name__ == "DerivativeError"


def test_eval_shape_runs_nothing():
    rule = symbolic_rule("x n:int", "x**2*n", "n + 1")
    shapes = jax.ShapeDtypeStruct((3, 1), jnp.float64), jax.ShapeDtypeStruct((4,), jnp.int64)
    found = jax.eval_shape(lambda x, n: host.apply(rule, [x, n]), *shapes)
    assert [(y.shape, y.dtype) for y in found] == [((3, 4), jnp.float64), ((3, 4), jnp.int64)]
    assert rule.evaluations == []


@pytest.mark.parametrize("mode", ["store", "recompute"])
def test_weak_types_do_not_matter(mode):
    g = fwddiff(lambda x, y: x * x * y, mode=mode)
    native = jax.value_and_grad(lambda x, y: x * x * y, (0, 1))(3.0, jnp.float64(2.0))
    found = jax.value_and_grad(g, (0, 1))(3.0, jnp.float64(2.0))
    assert [float(y) for y in jax.tree.leaves(found)] == [float(y) for y in jax.tree.leaves(native)]


def test_python_numbers_under_jit_leave_float32_alone():
    g = fwddiff(lambda x, y: x * x * y)
    assert jax.jit(g)(jnp.float32(3.0), 2.0).dtype == jnp.float32


def test_a_users_exception_from_compiled_code():
    @fwddiff
    def checked(x):
        if x < 0:
            raise ValueError("x must not be negative")
        return math.sqrt(x)

    with pytest.raises(ValueError, match="must not be negative"):
        checked.broadcast(jnp.array([1.0, -1.0]))
    with pytest.raises(jax.errors.JaxRuntimeError, match="ValueError: x must not be negative"):
        jax.block_until_ready(jax.jit(checked.broadcast)(jnp.array([1.0, -1.0])))


def test_weak_numbers_take_the_dtype_of_their_slot():
    rule = symbolic_rule("x y", "x*y", dtype=np.float32)
    value, gradient = jax.jit(jax.value_and_grad(lambda y: host.apply(rule, [jnp.float32(3.0), y])[0]))(2.0)
    assert host.weak(gradient)
    assert (value.dtype, float(value), float(gradient)) == (jnp.float32, 6.0, 3.0)


def test_detached_arrays_have_no_gradient():
    assert float(jax.grad(lambda x: host.detach(x) * x)(3.0)) == 3.0


def test_structs_of_arrays_between_two_calls():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Exponential:
        rate: float

    X, data = jnp.linspace(0.5, 2.0, 5), jnp.linspace(1.0, 3.0, 5)

    def loss(X, data):
        distribution = fwddiff(Exponential).broadcast(X)
        return -fwddiff(lambda d, x: np.log(d.rate) - d.rate * x).broadcast(distribution, data).sum()

    found = jax.jit(jax.grad(loss, (0, 1)))(X, data)
    np.testing.assert_allclose(found, [data - 1 / X, X], rtol=1e-12)


def test_a_captured_tracer_gets_its_gradient():
    def loss(scale, x):
        return fwddiff(lambda v: scale * v * v).broadcast(x).sum()

    x = jnp.linspace(0.5, 2.0, 5)
    found = jax.jit(jax.grad(loss, (0, 1)))(3.0, x)
    np.testing.assert_allclose(found[0], (x**2).sum())
    np.testing.assert_allclose(found[1], 6 * x)


@pytest.mark.parametrize(
    "name", ["broadcast", "sum", "whole", "jit", "grad", "jit of grad", "vmap", "second order"]
)
@pytest.mark.every(2)
def test_arrays_of_another_setting_become_what_jax_makes_of_them(name):
    """64 bits kept from before `jax_enable_x64` was switched off: values are rounded to 32."""
    if name == "second order" and jax.__version_info__ < (0, 7):
        pytest.skip("JAX 0.6 makes a program of mixed widths that its own verifier refuses")
    wave = fwddiff(lambda a, x: a * math.sin(x))
    a, x = jnp.asarray(2.0), jnp.linspace(0.1, 0.9, 3)
    jax.config.update("jax_enable_x64", False)
    x32 = np.linspace(0.1, 0.9, 3, dtype=np.float32)
    call, expected = {
        "broadcast": (wave.broadcast, 2 * np.sin(x32)),
        "sum": (wave.sum, 2 * np.sin(x32).sum()),
        "whole": (lambda a, x: fwddiff(lambda x: x * x)(x), x32 * x32),
        "jit": (jax.jit(wave.broadcast), 2 * np.sin(x32)),
        "grad": (jax.grad(wave.sum), np.sin(x32).sum()),
        "jit of grad": (jax.jit(jax.grad(wave.sum, 1)), 2 * np.cos(x32)),
        "vmap": (jax.vmap(jax.grad(wave, 1), (None, 0)), 2 * np.cos(x32)),
        "second order": (lambda a, x: jax.jacfwd(jax.grad(wave.sum, 1))(a, x), np.cos(x32)),
    }[name]
    np.testing.assert_allclose(call(a, x), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["broadcast", "sum", "grad", "vmap", "whole", "array"])
def test_symbolic_sizes_are_refused_in_our_words(name):
    wave, doubled = fwddiff(lambda x: math.sin(x)), fwddiff(lambda x: x * 2.0 + x[0])
    call = {
        "broadcast": wave.broadcast,
        "sum": wave.sum,
        "grad": jax.grad(wave.sum),
        "vmap": jax.vmap(wave),
        "whole": doubled,
        "array": jax.grad(fwddiff(lambda x: x[0] * x[1])),
    }[name]
    sizes = jax.ShapeDtypeStruct(export.symbolic_shape("2*n"), jnp.float64)
    with pytest.raises(HostError, match=r"symbolic shape \(2\*n\); .* export once per shape"):
        export.export(jax.jit(call))(sizes)
