"""Every transformation of JAX, on fwddiff functions and on the same functions written with jax.numpy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from fwddiff import fwddiff
from fwddiff.hosts import jax as host
from support.symbolic_rule import symbolic_rule


def wave(x, y):
    return math.sin(x) * x * y + math.exp(x * y)


def native_wave(x, y):
    return jnp.sin(x) * x * y + jnp.exp(x * y)


X = np.linspace(0.1, 0.9, 4)
Y = np.array(1.3)
U, V = np.linspace(1.0, 2.0, 4), np.array(0.7)
ROWS = np.linspace(0.2, 1.1, 12).reshape(3, 4)
CUBE = np.linspace(0.2, 1.1, 36).reshape(2, 3, 6)


def total(f):
    return lambda x, y: f(x, y).sum()


def loop_of(f):
    def step(carry, x):
        return f(carry, x), carry

    return lambda x, y: lax.scan(step, y, x)[0]


def branch(f):
    return lambda x, y: lax.cond(x.sum() > 0, lambda: f(x, y).sum(), lambda: f(y, x).sum() * 0)


def squared_after(f):
    @jax.custom_vjp
    def h(x, y):
        return f(x, y) ** 2

    def forward(x, y):
        value, pull = jax.vjp(f, x, y)
        return value**2, (value, pull)

    h.defvjp(forward, lambda kept, ct: kept[1](2 * kept[0] * ct))
    return h


TRANSFORMATIONS = {
    "value": lambda f: f(jnp.asarray(X), jnp.asarray(Y)),
    "jit": lambda f: jax.jit(f)(X, Y),
    "grad": lambda f: jax.grad(total(f), (0, 1))(X, Y),
    "grad of x": lambda f: jax.grad(total(f))(X, Y),
    "grad of y": lambda f: jax.grad(total(f), 1)(X, Y),
    "jit(grad)": lambda f: jax.jit(jax.grad(total(f), (0, 1)))(X, Y),
    "grad(jit)": lambda f: jax.grad(jax.jit(total(f)), (0, 1))(X, Y),
    "value_and_grad": lambda f: jax.value_and_grad(total(f), (0, 1))(X, Y),
    "vjp": lambda f: jax.vjp(f, X, Y)[1](U),
    "jvp": lambda f: jax.jvp(f, (X, Y), (U, V)),
    "jvp of x": lambda f: jax.jvp(lambda x: f(x, Y), (X,), (U,)),
    "linearize": lambda f: jax.linearize(f, X, Y)[1](U, V),
    "linear_transpose": lambda f: jax.linear_transpose(jax.linearize(f, X, Y)[1], X, Y)(U),
    "linear_transpose of x": lambda f: jax.linear_transpose(
        lambda t: jax.jvp(lambda x: f(x, Y), (X,), (t,))[1], X
    )(U),
    "transpose twice": lambda f: jax.linear_transpose(lambda c: jax.vjp(f, X, Y)[1](c), U)((U, V)),
    "jacfwd": lambda f: jax.jacfwd(f, (0, 1))(X, Y),
    "jacrev": lambda f: jax.jacrev(f, (0, 1))(X, Y),
    "hessian": lambda f: jax.hessian(total(f), (0, 1))(X, Y),
    "jit(hessian)": lambda f: jax.jit(jax.hessian(total(f), (0, 1)))(X, Y),
    "jacfwd(jacfwd)": lambda f: jax.jacfwd(jax.jacfwd(total(f), (0, 1)), (0, 1))(X, Y),
    "jacrev(jacrev)": lambda f: jax.jacrev(jax.jacrev(total(f), (0, 1)), (0, 1))(X, Y),
    "jacrev(jacfwd)": lambda f: jax.jacrev(jax.jacfwd(total(f), (0, 1)), (0, 1))(X, Y),
    "grad of squared gradient": lambda f: jax.grad(
        lambda x, y: (jax.grad(total(f))(x, y) ** 2).sum(), (0, 1)
    )(X, Y),
    "gradient of a nonlinear loss": lambda f: jax.hessian(lambda x, y: (f(x, y) ** 3).sum(), (0, 1))(X, Y),
    "third order": lambda f: jax.jacfwd(jax.jacrev(jax.grad(total(f)), 1), 1)(X, Y),
    "grad(grad(grad))": lambda f: jax.grad(jax.grad(jax.grad(f, 1), 0), 1)(X[0], Y),
    "hessian vector product": lambda f: jax.jvp(jax.grad(total(f)), (X, Y), (U, V)),
    "vmap": lambda f: jax.vmap(f)(ROWS, X[:3]),
    "vmap of one": lambda f: jax.vmap(f, (0, None))(ROWS, Y),
    "vmap of the other": lambda f: jax.vmap(f, (None, 0))(X, U),
    "vmap of last axis": lambda f: jax.vmap(f, (1, 0), 1)(ROWS, X),
    "vmap of both": lambda f: jax.vmap(jax.vmap(f, (0, None)), (None, 0))(X, U),
    "vmap with axes of different rank": lambda f: jax.vmap(f, (0, None))(ROWS[:, None], ROWS),
    "vmap(grad)": lambda f: jax.vmap(jax.grad(total(f), (0, 1)))(ROWS, X[:3]),
    "vmap(grad) of one": lambda f: jax.vmap(jax.grad(total(f), (0, 1)), (0, None))(ROWS, Y),
    "grad(vmap)": lambda f: jax.grad(lambda x, y: jax.vmap(f, (0, None))(x, y).sum(), (0, 1))(ROWS, Y),
    "grad(vmap) over rows": lambda f: jax.grad(
        lambda x, y: (jax.vmap(f, (0, None))(x[:, None], y) * ROWS[:, None]).sum(), (0, 1)
    )(ROWS, ROWS),
    "vmap of the last of three axes": lambda f: jax.vmap(f, (2, None))(CUBE, Y),
    "jacfwd(vmap) of different ranks": lambda f: jax.jacfwd(lambda x: jax.vmap(f, (0, None))(x, ROWS))(ROWS),
    "grad(vmap) of different ranks": lambda f: jax.grad(
        lambda x, y: (jax.vmap(f, (0, None))(x, y) * CUBE.reshape(3, 3, 4)).sum(), (0, 1)
    )(ROWS, ROWS),
    "vmap(hessian)": lambda f: jax.vmap(jax.hessian(total(f), (0, 1)), (0, None))(ROWS, Y),
    "hessian(vmap)": lambda f: jax.hessian(lambda y: jax.vmap(f, (0, None))(ROWS, y).sum())(Y),
    "transposed batch of tangents": lambda f: jax.grad(
        lambda t: (jax.vmap(lambda x: jax.jvp(f, (x, Y), (t, V))[1])(ROWS) * ROWS).sum()
    )(U),
    "vmap of tangents": lambda f: jax.vmap(lambda t: jax.jvp(f, (X, Y), (t, V))[1])(ROWS),
    "vmap of cotangents": lambda f: jax.vmap(jax.vjp(f, X, Y)[1])(ROWS),
    "scan": lambda f: jax.grad(loop_of(f), (0, 1))(X * 0.1, Y * 0.1),
    "hessian(scan)": lambda f: jax.hessian(loop_of(f), 1)(X * 0.1, Y * 0.1),
    "vmap(grad(scan))": lambda f: jax.vmap(jax.grad(loop_of(f)), (0, None))(ROWS * 0.1, Y * 0.1),
    "while_loop": lambda f: lax.while_loop(
        lambda s: s[0] < 3, lambda s: (s[0] + 1, f(s[1], Y * 0.1)), (0, X)
    )[1],
    "jvp(while_loop)": lambda f: jax.jvp(
        lambda x: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, f(s[1], Y * 0.1)), (0, x))[1],
        (X,),
        (U,),
    ),
    "fori_loop": lambda f: jax.grad(lambda x: lax.fori_loop(0, 2, lambda i, s: f(s, 0.1), x).sum())(X),
    "cond": lambda f: jax.grad(branch(f), (0, 1))(X, Y),
    "vmap(cond)": lambda f: jax.vmap(jax.grad(branch(f), (0, 1)), (0, None))(ROWS - 0.5, Y),
    "checkpoint": lambda f: jax.grad(jax.checkpoint(total(f)), (0, 1))(X, Y),
    "hessian(checkpoint)": lambda f: jax.hessian(jax.checkpoint(total(f)), 0)(X, Y),
    "custom_vjp around": lambda f: jax.grad(total(squared_after(f)), (0, 1))(X, Y),
    "map": lambda f: lax.map(lambda x: f(x, Y), ROWS),
    "stop_gradient": lambda f: jax.grad(lambda x, y: f(x, lax.stop_gradient(y)).sum(), (0, 1))(X, Y),
    "donated": lambda f: jax.jit(f, donate_argnums=0)(jnp.array(X), Y),
}


def called_back(**options):
    """Python by `pure_callback`, from a rule that shares nothing with the engines."""
    rule = symbolic_rule("x y", "sin(x)*x*y + exp(x*y)", **options)
    return lambda x, y: host.apply(rule, [x, y])[0]


def assert_equals_native(function, name, native=native_wave):
    found, expected = TRANSFORMATIONS[name](function), TRANSFORMATIONS[name](native)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


@pytest.fixture(scope="module", params=["store", "recompute"])
def function(request):
    return called_back(mode=request.param)


@pytest.fixture(scope="module")
def compiled():
    """Machine code by the FFI."""
    return fwddiff(wave).broadcast


CALLED_BACK = [
    "value",
    "jit",
    "grad(jit)",
    "jvp",
    "linearize",
    "linear_transpose of x",
    "jacrev",
    "jit(hessian)",
    "grad(grad(grad))",
    "vmap of last axis",
    "vmap(grad) of one",
    "grad(vmap) of different ranks",
    "hessian(vmap)",
    "vmap of cotangents",
    "scan",
    "vmap(grad(scan))",
    "while_loop",
    "jvp(while_loop)",
    "cond",
    "checkpoint",
    "custom_vjp around",
    "stop_gradient",
    "donated",
]


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
@pytest.mark.few(name=CALLED_BACK)
def test_transformation_equals_that_of_the_native_function(function, name):
    assert_equals_native(function, name)


COMPILED = [
    "value",
    "jit",
    "grad(jit)",
    "vjp",
    "jvp",
    "jacrev",
    "jit(hessian)",
    "third order",
    "vmap of last axis",
]
COMPILED += [
    "vmap(grad) of one",
    "grad(vmap)",
    "vmap of cotangents",
    "scan",
    "while_loop",
    "cond",
    "checkpoint",
    "map",
]


@pytest.mark.parametrize("name", [*COMPILED, "linearize", "stop_gradient", "donated"])
@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
@pytest.mark.every(2)
def test_compiled_function_equals_the_native_function(compiled, name):
    assert_equals_native(compiled, name)


@pytest.mark.parametrize(
    "name", ["jit", "jit(grad)", "jacfwd", "vmap(grad) of one", "hessian(vmap)", "grad(vmap)"]
)
def test_one_pass_per_argument(name):
    assert_equals_native(called_back(mode="recompute", passes="per_argument"), name)


def native_total(x, y):
    return native_wave(x, y).sum()


@pytest.mark.parametrize(
    "name", ["grad", "hessian", "grad(vmap)", "vmap(grad) of one", "jvp", "jacrev(jacrev)"]
)
@pytest.mark.parametrize("mode", ["store", "recompute"])
@pytest.mark.every(2)
def test_total_equals_the_sum_of_the_native_function(mode, name):
    assert_equals_native(called_back(mode=mode, reduce="sum"), name, native_total)


def test_compiled_total():
    summed = fwddiff(wave).sum
    found, expected = (jax.jit(jax.value_and_grad(f, (0, 1)))(X, Y) for f in (summed, native_total))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11), found, expected)
    found, expected = (jax.vmap(jax.vjp(f, X, Y)[1])(U) for f in (summed, native_total))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11), found, expected)


def test_newton_loop_whose_length_depends_on_the_data():
    @fwddiff
    def kepler(mean, eccentricity):
        angle = mean
        while True:
            step = (angle - eccentricity * math.sin(angle) - mean) / (1 - eccentricity * math.cos(angle))
            angle -= step
            if abs(step) < 1e-14:
                return angle

    def native(mean, eccentricity):
        def step(state):
            angle, _ = state
            step = (angle - eccentricity * jnp.sin(angle) - mean) / (1 - eccentricity * jnp.cos(angle))
            return angle - step, step

        return lax.while_loop(lambda state: abs(state[1]) > 1e-14, step, (mean, 1.0))[0]

    mean, eccentricity = 1.0, 0.3
    np.testing.assert_allclose(kepler(jnp.array(mean), eccentricity), native(mean, eccentricity), rtol=1e-14)
    with pytest.raises(ValueError, match="while_loop"):
        jax.jit(jax.grad(native))(mean, eccentricity)
    angle = float(native(mean, eccentricity))
    slope = 1 / (1 - eccentricity * math.cos(angle))
    found = jax.jit(jax.grad(kepler, (0, 1)))(mean, eccentricity)
    np.testing.assert_allclose(found, [slope, math.sin(angle) * slope], rtol=1e-12)
    second = jax.jit(jax.hessian(kepler))(mean, eccentricity)
    np.testing.assert_allclose(second, -eccentricity * math.sin(angle) * slope**3, rtol=1e-11)
