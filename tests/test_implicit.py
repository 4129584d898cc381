"""Implicit functions: derivatives from conditions, whatever the solver, the host and the order.

Oracles: closed forms, dense linear algebra written out here, differences of the solver's own results.
"""

import copy
import dataclasses
import functools
import math
import pickle
import tracemalloc

import numpy as np
import pytest
from scipy.optimize import brentq, root

import fwddiff as fd
from fwddiff import fwddiff

RNG = np.random.default_rng(7)


@pytest.fixture
def double_precision():
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


in_python = functools.partial(fwddiff, engine="numpy")  # nothing to compile


def root_of(a):
    """√a by a solver that no dual number passes."""
    return brentq(lambda z: z * z - a, 0.0, 100.0, xtol=1e-15, rtol=1e-14)


def square_is(z, a):
    return z * z - a


def square_root(**options):
    return fd.implicit(root_of, square_is, **options)


def derivatives_of_root(a):
    return 0.5 * a**-0.5, -0.25 * a**-1.5, 0.375 * a**-2.5


# --- 200 unknowns -------------------------------------------------------------------------------------------

N = 200
MATRIX = 2 * np.eye(N) + 0.5 * RNG.normal(size=(N, N)) / math.sqrt(N)
A, T, WEIGHTS = RNG.normal(size=N), 1.3, RNG.normal(size=N)


def network(a, t):
    z = np.zeros(len(a))
    for _ in range(30):
        slopes = MATRIX + t * np.diag(1 - np.tanh(z) ** 2)
        step = np.linalg.solve(slopes, MATRIX @ z + t * np.tanh(z) - a)
        z = z - step
        if abs(step).max() < 1e-14:
            break
    return z


def balance(z, a, t):
    return MATRIX @ z + t * np.tanh(z) - a


def dense_derivative(a, t):
    """∂z/∂a and ∂z/∂t."""
    z = network(a, t)
    inverse = np.linalg.inv(MATRIX + t * np.diag(1 - np.tanh(z) ** 2))
    return inverse, -inverse @ np.tanh(z)


def dense_gradient(a, t):
    by_a, by_t = dense_derivative(a, t)
    return WEIGHTS @ by_a, WEIGHTS @ by_t


SOLVE = fd.implicit(network, balance)


def test_200_unknowns_in_torch():
    import torch

    a, t = torch.tensor(A, requires_grad=True), torch.tensor(T, dtype=torch.float64, requires_grad=True)
    y = SOLVE(a, t)
    first = torch.autograd.grad(y @ torch.tensor(WEIGHTS), (a, t), create_graph=True)
    for found, expected in zip(first, dense_gradient(A, T), strict=True):
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=1e-10)
    second = torch.autograd.grad(first[0] @ torch.tensor(WEIGHTS), (a, t))
    step = 1e-5
    ahead, back = (dense_gradient(A + s * step * WEIGHTS, T)[0] for s in (1, -1))
    np.testing.assert_allclose(second[0].numpy(), (ahead - back) / (2 * step), atol=1e-8)
    ahead, back = (dense_gradient(A, T + s * step)[0] @ WEIGHTS for s in (1, -1))
    np.testing.assert_allclose(float(second[1]), (ahead - back) / (2 * step), atol=1e-8)


def test_200_unknowns_in_jax(double_precision):
    import jax

    loss = lambda a, t: SOLVE(a, t) @ WEIGHTS  # noqa: E731
    by_a, by_t = dense_derivative(A, T)
    for gradient in (jax.grad(loss, (0, 1)), jax.jit(jax.grad(loss, (0, 1)))):
        for found, expected in zip(gradient(A, T), dense_gradient(A, T), strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(SOLVE))(A, T), by_a, rtol=0, atol=1e-10)
    np.testing.assert_allclose(jax.jit(jax.jacrev(SOLVE, 1))(A, T), by_t, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["gmres", "bicgstab", "lgmres"])
def test_200_unknowns_without_a_matrix(name):
    import torch

    solve = fd.implicit(network, balance, linear_solver=name)
    a, t = torch.tensor(A, requires_grad=True), torch.tensor(T, dtype=torch.float64, requires_grad=True)
    found = torch.autograd.grad(solve(a, t) @ torch.tensor(WEIGHTS), (a, t))
    for x, expected in zip(found, dense_gradient(A, T), strict=True):
        np.testing.assert_allclose(x.numpy(), expected, atol=1e-8)


def test_memory_does_not_depend_on_the_iterations():
    """Peak of what NumPy allocates, for value and gradient, of 20 and of 2000 iterations of 2000 numbers:
    were they kept, the second would need 32 MB."""
    import torch

    def peak(iterations):
        def settle(a):
            z = np.zeros_like(a)
            for _ in range(iterations):
                z = 0.5 * np.tanh(z) + a
            return z

        solve = fd.implicit(settle, lambda z, a: z - 0.5 * np.tanh(z) - a, linear_solver="gmres")
        a = torch.linspace(-1, 1, 2000, dtype=torch.float64, requires_grad=True)
        solve(a).sum().backward()  # compiles
        tracemalloc.start()
        solve(a).sum().backward()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(20), peak(2000)
    assert abs(many - few) < 1_000_000


# --- hosts and operators ------------------------------------------------------------------------------------


def test_operators_to_third_order():
    solve = square_root()
    first, second, third = derivatives_of_root(2.0)
    assert fd.derivative(solve, 2.0) == pytest.approx(first, rel=1e-12)
    assert fd.gradient(solve, 2.0) == pytest.approx(first, rel=1e-12)
    assert fd.hessian(solve, 2.0) == pytest.approx(second, rel=1e-12)
    twice = lambda x: fd.derivative(solve, x)  # noqa: E731
    thrice = lambda x: fd.derivative(twice, x)  # noqa: E731
    assert fd.derivative(thrice, 2.0) == pytest.approx(third, rel=1e-10)


def test_the_rule_layer():
    solve, x = square_root(), np.array([1.0, 4.0])
    y, pullback = fd.rrule(solve.broadcast, x)
    np.testing.assert_allclose(y, np.sqrt(x), rtol=1e-14)
    np.testing.assert_allclose(fd.unthunk(pullback(np.array([1.0, 2.0]))[0]), [0.5, 0.5], rtol=1e-12)
    assert fd.frule(solve, (4.0,), (2.0,)) == pytest.approx((2.0, 0.5), rel=1e-12)
    np.testing.assert_allclose(fd.unthunk(fd.rrule(solve.sum, x)[1](2.0)[0]), [1.0, 0.5], rtol=1e-12)


def test_torch():
    import torch

    solve = square_root()
    x = torch.tensor([1.0, 4.0, 9.0], dtype=torch.float64, requires_grad=True)
    for f in (solve.broadcast, solve.sum):
        assert torch.autograd.gradcheck(f, x, check_forward_ad=True, check_batched_grad=True)
        assert torch.autograd.gradgradcheck(f, x)
    first, second, _ = derivatives_of_root(x.detach())
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(solve))(x), first)
    torch.testing.assert_close(torch.func.vmap(torch.func.hessian(solve))(x), second)
    single = torch.tensor([1.0, 4.0], requires_grad=True)
    y = solve.broadcast(single)
    assert y.dtype == torch.autograd.grad(y.sum(), single)[0].dtype == torch.float32


def test_jax(double_precision):
    import jax

    solve, x = square_root(), np.array([1.0, 4.0, 9.0])
    first, second, _ = derivatives_of_root(x)
    for f in (jax.grad(solve), jax.jit(jax.grad(solve)), jax.jacfwd(solve)):
        np.testing.assert_allclose(jax.vmap(f)(x), first, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.hessian(solve)))(x), second, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.jacrev(solve.broadcast))(x), np.diag(first), rtol=1e-12)


def test_autograd():
    import autograd

    solve = square_root()
    first, second, _ = derivatives_of_root(2.0)
    assert autograd.grad(solve)(2.0) == pytest.approx(first, rel=1e-12)
    assert autograd.grad(autograd.grad(solve))(2.0) == pytest.approx(second, rel=1e-12)


def test_tensorflow():
    import tensorflow as tf

    solve, x = square_root(), tf.Variable([1.0, 4.0], dtype=tf.float64)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            y = tf.reduce_sum(solve.broadcast(x))
        first = inner.gradient(y, x)
        total = tf.reduce_sum(first)
    expected = derivatives_of_root(x.numpy())
    np.testing.assert_allclose(first, expected[0], rtol=1e-12)
    np.testing.assert_allclose(outer.gradient(total, x), expected[1], rtol=1e-12)


def test_pytensor():
    import pytensor
    import pytensor.tensor as pt

    solve, x = square_root(), pt.dvector("x")
    first = pytensor.grad(solve.broadcast(x).sum(), x)
    second = pytensor.grad(first.sum(), x)
    found = pytensor.function([x], [first, second], mode="FAST_COMPILE")(np.array([1.0, 4.0]))
    for value, expected in zip(found, derivatives_of_root(np.array([1.0, 4.0])), strict=False):
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_mlx():
    import mlx.core as mx

    solve = square_root()
    np.testing.assert_allclose(mx.grad(solve.sum)(mx.array([1.0, 4.0])), [0.5, 0.25], rtol=1e-5)


# --- what z, the arguments and the functions may be ---------------------------------------------------------


@dataclasses.dataclass
class State:
    level: float
    flows: np.ndarray


def steady(a, b):
    level = brentq(lambda x: x**3 + x - a, -10, 10, xtol=1e-15)
    return State(level, np.linalg.solve(np.array([[2.0, 1.0], [level, 3.0]]), b * level))


def imbalance(z, a, b):
    first = 2 * z.flows[0] + z.flows[1] - b[0] * z.level
    return State(
        z.level**3 + z.level - a, np.array([first, z.level * z.flows[0] + 3 * z.flows[1] - b[1] * z.level])
    )


@pytest.mark.parametrize("solver", ["dense", "gmres"])
def test_a_struct_as_solution(solver):
    import torch

    solve = fd.implicit(steady, in_python(imbalance), linear_solver=solver)
    a = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    b = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    parts = lambda a, b: (solve(a, b).level, solve(a, b).flows)  # noqa: E731
    assert isinstance(solve(2.0, np.array([1.0, 2.0])), State)
    assert torch.autograd.gradcheck(parts, (a, b))
    if solver == "dense":
        assert torch.autograd.gradgradcheck(parts, (a, b))


def test_core_axes_by_signature():
    import torch

    solve = fd.implicit(np.linalg.solve, (lambda z, a, b: a @ z - b))
    a = torch.tensor(np.stack([MATRIX[:2, :2], 2 * MATRIX[3:5, 3:5]]), requires_grad=True)
    b = torch.tensor(A[:2], requires_grad=True)
    f = functools.partial(solve.broadcast, signature="(n,n),(n)->(n)")
    torch.testing.assert_close(f(a, b), torch.linalg.solve(a, b.expand(2, 2)))
    assert torch.autograd.gradcheck(f, (a, b))
    assert torch.autograd.gradgradcheck(f, (a, b))


def test_what_comes_beside_the_solution():
    import torch

    solve = fd.implicit(lambda a: (math.sqrt(a), {"steps": 3, "start": a}), square_is, has_aux=True)
    assert solve(4.0) == (2.0, {"steps": 3, "start": 4.0})
    assert fd.derivative(lambda a: solve(a)[0] + solve(a)[1]["start"], 4.0) == 0.25
    y, aux = solve(torch.tensor(4.0, requires_grad=True))
    assert y.requires_grad
    assert not aux["start"].requires_grad
    with pytest.raises(fd.ArgumentError, match="pair"):
        fd.implicit(math.sqrt, square_is, has_aux=True)(4.0)
    with pytest.raises(fd.ArgumentError, match="summed"):
        solve.sum(np.ones(2))


def test_integers_and_results_of_scipy():
    assert fd.derivative(fd.implicit(lambda a: 2, square_is), 4.0) == 0.25
    solve = fd.implicit(lambda a: root(lambda z: z**3 - a, np.ones(2), tol=1e-13), lambda z, a: z**3 - a)
    found = fd.jacobian(solve, np.array([8.0, 27.0]))
    np.testing.assert_allclose(found, np.diag([1 / 12, 1 / 27]), rtol=1e-10)
    failing = fd.implicit(lambda a: root(lambda z: z * z + a, np.ones(2)), lambda z, a: z * z + a)
    with pytest.raises(fd.DerivativeError, match="did not converge"):
        failing(np.array([8.0, 27.0]))


def test_presets_keywords_methods_and_wrapped_conditions():
    preset = functools.partial
    by_position = fd.implicit(
        preset(lambda k, a: math.sqrt(k * a), 2.0), preset(lambda k, z, a: z * z - k * a, 2.0)
    )
    by_name = fd.implicit(lambda a: math.sqrt(2 * a), preset(lambda z, a, k: z * z - k * a, k=2.0))
    assert fd.derivative(by_position, 2.0) == fd.derivative(by_name, 2.0) == 0.5

    def by_tolerance(a, *, tolerance=1e-9):
        return brentq(lambda z: z * z - a, 0, 10, xtol=tolerance)

    solve = fd.implicit(by_tolerance, square_is)
    assert fd.derivative(lambda a: solve(a, tolerance=1e-14), 4.0) == pytest.approx(0.25)
    rule = fd.custom_rule(square_is, frule=lambda p, t: (square_is(*p), 2 * p[0] * t[0] - t[1]))
    for conditions in (fwddiff(square_is, engine="numpy"), rule):
        assert fd.derivative(fd.implicit(math.sqrt, conditions), 4.0) == 0.25


def test_what_the_conditions_capture_has_its_derivative(double_precision):
    import jax
    import torch

    weight = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    y = fd.implicit(lambda a: math.sqrt(2 * a), lambda z, a: z * z - weight * a)(2.0)
    assert torch.autograd.grad(y, weight)[0].item() == 0.5
    loss = lambda w: fd.implicit(lambda a: math.sqrt(2 * a), lambda z, a: z * z - a * w)(2.0)  # noqa: E731
    assert jax.grad(loss)(2.0) == jax.jit(jax.grad(loss))(2.0) == 0.5


def test_methods_of_a_module():
    """Both look at the same parameter: the solver at its value, the conditions for the derivative."""
    import torch

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

        def solve(self, a):
            return math.sqrt(self.weight.item() * a)

        def conditions(self, z, a):
            return z * z - self.weight * a

    layer = Layer()
    y = fd.implicit(layer.solve, layer.conditions)(torch.tensor(2.0, dtype=torch.float64))
    assert torch.autograd.grad(y, layer.weight)[0].item() == 0.5
    lost = fd.implicit(layer.solve, lambda z, a: z * z - 2.0 * a)
    with pytest.raises(fd.CaptureError, match="would be lost"):
        lost(2.0)


@pytest.mark.parametrize("kind", ["brentq", "newton"])
def test_variables_of_a_function_that_is_differentiated(kind):
    """The solver gets their values, the conditions their derivatives: z² = 3 t."""

    def outer(t):
        def newton(a):
            z = 1.0
            for _ in range(60):
                z = z - (z * z - a * t) / (2 * z)
            return z

        by_brentq = lambda a: brentq(lambda z: z * z - a * t, 0, 10, xtol=1e-15)  # noqa: E731
        return fd.implicit(by_brentq if kind == "brentq" else newton, lambda z, a: z * z - a * t)(3.0)

    assert fd.derivative(outer, 2.0) == pytest.approx(math.sqrt(3.0) * 0.5 / math.sqrt(2.0), rel=1e-10)
    second = fd.derivative(lambda t: fd.derivative(outer, t), 2.0)
    assert second == pytest.approx(-0.25 * math.sqrt(3.0) * 2.0**-1.5, rel=1e-10)
    lost = lambda t: fd.implicit(lambda a: math.sqrt(a * t), lambda z, a: z * z - a * 2.0)(3.0)  # noqa: E731
    with pytest.raises(fd.CaptureError, match="would be lost"):
        fd.derivative(lost, 2.0)


@pytest.mark.parametrize("engine", ["auto", "numpy"])
def test_inside_other_wrapped_functions(engine):
    import torch

    solve = square_root()
    g = fwddiff(lambda t, u: u * solve(t) * math.exp(u), engine=engine)
    expected = 0.5 * math.exp(0.5) * 0.5 / math.sqrt(2.0), 1.5 * math.exp(0.5) * math.sqrt(2.0)
    assert fd.gradient(g, 2.0, 0.5, argnum=(0, 1)) == pytest.approx(expected, rel=1e-12)
    t = torch.tensor([1.0, 4.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: g.broadcast(t, 0.5), t)
    total = fwddiff(lambda t: solve.sum(2.0 * t), engine=engine)
    np.testing.assert_allclose(fd.gradient(total, np.array([2.0, 8.0])), [0.5, 0.25], rtol=1e-12)
    with pytest.raises(fd.CompileError, match="solve"):
        fwddiff(lambda t: solve(t), engine="numba").broadcast(np.ones(2))


def test_the_solver_runs_once_in_one_evaluation():
    """Not once for each chunk of seeds; and again where a new call is made."""
    calls = []

    def count(a):
        calls.append(1)
        return np.sqrt(a)

    solve = fd.implicit(count, square_is)
    x = np.arange(1.0, 41.0)
    np.testing.assert_allclose(np.diag(fd.jacobian(lambda a: solve(a), x)), 0.5 / np.sqrt(x))
    assert len(calls) <= 2
    before = len(calls)
    assert solve(np.ones(3)) is not solve(np.ones(3))
    assert len(calls) == before + 2


def test_copies():
    solve = fd.implicit(steady, imbalance)
    b = np.array([1.0, 2.0])
    for again in (pickle.loads(pickle.dumps(solve)), copy.deepcopy(solve), fwddiff(solve)):
        np.testing.assert_array_equal(again(2.0, b).flows, solve(2.0, b).flows)
    assert repr(solve.broadcast) == "implicit(steady).broadcast"


# --- shapes for hosts that trace ----------------------------------------------------------------------------


def test_the_shape_of_z_under_jit(double_precision):
    """From the conditions, from `out_shape`, from an earlier call; a wrong guess is an error."""
    import jax

    by_scipy = lambda a, b: root(lambda z: a @ z - b, np.ones(2), tol=1e-12).x  # noqa: E731
    linear = fd.implicit(by_scipy, lambda z, a, b: a @ z - b)
    a, b = np.array([[2.0, 1.0], [0.5, 3.0]]), np.array([1.0, -1.0])
    expected = -np.outer(np.linalg.solve(a.T, np.ones(2)), np.linalg.solve(a, b))
    np.testing.assert_allclose(jax.jit(jax.grad(lambda a: linear(a, b).sum()))(a), expected, atol=1e-9)
    inside = fwddiff(lambda a: linear(a, b).sum())
    np.testing.assert_allclose(jax.jit(jax.grad(inside))(a), expected, atol=1e-9)

    def make(**options):
        return fd.implicit(lambda a: np.array([math.sqrt(a)]), square_is, **options)

    told, seen = make(out_shape=np.empty(1)), make()
    seen(1.0)
    for solve in (told, seen):
        assert jax.jit(jax.grad(lambda a, solve=solve: solve(a).sum()))(4.0) == 0.25
    with pytest.raises(Exception, match="Tell it: fd"):
        jax.block_until_ready(jax.jit(make())(4.0))
    with pytest.raises(fd.ShapeError, match="One call outside"):
        jax.jit(
            fd.implicit(
                lambda a: (float(a), brentq(lambda z: z - a, 0, 9)), lambda z, a: (z[0] - a, z[1] - a)
            )
        )(1.0)


# --- what is wrong ------------------------------------------------------------------------------------------


def test_singular_conditions_are_named(double_precision):
    import jax
    import torch

    def conditions(z, a):
        p, q = z["p"], z["q"]
        return {"p": p - a, "q": np.array([q[0] + q[1] - 2 * a, 2 * q[0] + 2 * q[1] - 4 * a])}

    solve = fd.implicit(lambda a: {"p": a, "q": np.array([a, a])}, conditions)
    message = r"rank 2 of 3. It leaves z\['q'\]\[0\], z\['q'\]\[1\] open"
    with pytest.raises(fd.DerivativeError, match=message):
        fd.derivative(lambda a: solve(a)["p"], 1.0)
    with pytest.raises(fd.DerivativeError, match=message):
        solve(torch.tensor(1.0, requires_grad=True))["p"].backward()
    with pytest.raises(fd.DerivativeError, match=message):
        jax.grad(lambda a: solve(a)["q"].sum())(1.0)


def test_no_derivative_where_both_sides_vanish():
    """z² = a² at a = 0: J and ∂conditions/∂a are both zero, and |a| has no derivative."""
    solve = fd.implicit(abs, lambda z, a: z * z - a * a)
    assert fd.derivative(solve, -2.0) == -1.0
    for differentiate in (fd.derivative, fd.gradient):
        with pytest.raises(fd.DerivativeError, match="rank 0 of 1"):
            differentiate(solve, 0.0)
    with pytest.raises(fd.DerivativeError, match="rank 0 of 1"):
        fd.gradient(solve.sum, np.array([1.0, 0.0]))


def test_elements_that_nobody_asks_for_may_be_singular_or_nan():
    import torch

    solve = fd.implicit(lambda a: math.sqrt(a) if a >= 0 else math.nan, square_is)
    x = torch.tensor([4.0, 0.0, -1.0], dtype=torch.float64, requires_grad=True)
    (solve.broadcast(x)[0] * 2).backward()
    assert x.grad.tolist() == [0.5, 0.0, 0.0]
    found = fd.gradient(solve.sum, np.array([4.0, -1.0]))
    assert found[0] == 0.25
    assert math.isnan(found[1])


def test_conditions_of_different_scales_are_not_singular():
    scales = np.array([1e-150, 1.0, 1e150])
    solve = fd.implicit(lambda a: a / scales, lambda z, a: scales * z - a, check=None)
    np.testing.assert_allclose(fd.jacobian(solve, np.ones(3)), np.diag(1 / scales), rtol=1e-14)


def test_solutions_that_do_not_fulfil_the_conditions():
    for linear_solver in ("dense", "gmres"):
        wrong = fd.implicit(lambda a: np.array([a, a]), lambda z, a: z * z - a, linear_solver=linear_solver)
        with pytest.raises(fd.DerivativeError, match="does not fulfil the conditions"):
            fd.jacobian(wrong, 4.0)
    scalar = fd.implicit(lambda a: a, square_is)
    with pytest.raises(fd.DerivativeError, match="largest residual is 12"):
        fd.gradient(scalar.sum, np.array([1.0, 4.0]))
    accepted = fd.implicit(lambda a: a, square_is, check=None)
    assert fd.derivative(accepted, 4.0) == 0.125
    rough = fd.implicit(lambda a: math.sqrt(a) * (1 + 1e-4), square_is)
    assert fd.derivative(rough, 4.0) == pytest.approx(0.25, rel=1e-3)


@pytest.mark.parametrize(
    ("residual", "error"),
    [
        (lambda z, a: z[0] - a, fd.ShapeError),
        (lambda z, a: np.array([z[0] - a, z[1] - a, 0 * a]), fd.ShapeError),
        (lambda z, a: (z - a, z), fd.StructureError),
        (lambda z, a: np.arange(2), fd.StructureError),
    ],
    ids=["number", "three for two", "tuple", "integers"],
)
def test_residuals_of_another_structure(residual, error):
    with pytest.raises(error, match="conditions"):
        fd.jacobian(fd.implicit(lambda a: np.array([a, a]), residual), 4.0)


def test_linear_solvers_of_the_users(double_precision):
    direct = lambda operator, b: np.linalg.solve(operator @ np.eye(len(b)), b)  # noqa: E731
    a, b = MATRIX[:4, :4], A[:4]
    make = functools.partial(fd.implicit, np.linalg.solve, lambda z, a, b: a @ z - b)
    found = fd.jacobian(make(linear_solver=direct), a, b, argnum=1)
    np.testing.assert_allclose(found, np.linalg.inv(a), rtol=1e-12)
    for broken in (lambda operator, b: b, lambda operator, b: (direct(operator, b), 3)):
        with pytest.raises(fd.DerivativeError, match="did not converge"):
            fd.jacobian(make(linear_solver=broken), a, b, argnum=1)
    with pytest.raises(fd.DerivativeError, match="cg did not converge"):  # not symmetric
        fd.jacobian(make(linear_solver="cg"), np.array([[0.0, 1.0], [-1.0, 0.0]]), np.ones(2), argnum=1)


def test_options_and_results_that_make_no_sense():
    with pytest.raises(fd.ArgumentError, match="'gmres'"):
        fd.implicit(math.sqrt, square_is, linear_solver="simplex")
    with pytest.raises(fd.ArgumentError, match="check=-1"):
        fd.implicit(math.sqrt, square_is, check=-1)
    with pytest.raises(fd.ArgumentError, match="as conditions"):
        fd.implicit(math.sqrt, 3)
    with pytest.raises(fd.ArgumentError, match="return floats"):
        fd.implicit(lambda a: None, square_is)(1.0)
    with pytest.raises(fd.CaptureError, match="random"):
        fd.derivative(fd.implicit(math.sqrt, lambda z, a: z * z - a + 0 * np.random.rand()), 1.0)


# --- conditions written for a framework ---------------------------------------------------------------------

FEEDBACK = np.random.default_rng(5).normal(size=(4, 4)) / 6


def equilibrium(b):
    z = np.zeros_like(b)
    for _ in range(200):
        z = np.tanh(FEEDBACK.astype(b.dtype) @ z + b)
    return z


def layer_in(backend, linear_solver="dense"):
    if backend == "jax":
        jnp = pytest.importorskip("jax.numpy")
        conditions = lambda z, b: z - jnp.tanh(jnp.asarray(FEEDBACK, z.dtype) @ z + b)  # noqa: E731
    else:
        torch = pytest.importorskip("torch")
        conditions = lambda z, b: z - torch.tanh(torch.tensor(FEEDBACK) @ z + b)  # noqa: E731
    return fd.implicit(equilibrium, conditions, backend=backend, linear_solver=linear_solver)


BIAS = np.array([0.3, -0.5, 1.1, 0.2])


def known_derivatives():
    """Of the fixed point, in closed form, and of the sum of its squares by differences of that."""

    def jacobian(b):
        slopes = np.diag(1 - equilibrium(b) ** 2)
        return np.linalg.solve(np.eye(4) - slopes @ FEEDBACK, slopes)

    gradient = lambda b: 2 * equilibrium(b) @ jacobian(b)  # noqa: E731
    steps = np.eye(4) * 1e-5
    return jacobian(BIAS), np.array([(gradient(BIAS + d) - gradient(BIAS - d)) / 2e-5 for d in steps])


@pytest.mark.parametrize("linear_solver", ["dense", "gmres"])
@pytest.mark.few(linear_solver=["dense"])
def test_conditions_written_for_jax_in_jax(linear_solver):
    jax = pytest.importorskip("jax")
    layer = layer_in("jax", linear_solver)
    jacobian, hessian = known_derivatives()
    with jax.enable_x64(True):
        for mode in (jax.jacfwd, jax.jacrev):
            np.testing.assert_allclose(jax.jit(mode(layer))(jax.numpy.asarray(BIAS)), jacobian, atol=1e-9)
        if linear_solver == "dense":
            total = lambda b: (layer(b) ** 2).sum()  # noqa: E731
            np.testing.assert_allclose(
                jax.jit(jax.hessian(total))(jax.numpy.asarray(BIAS)), hessian, atol=1e-7
            )


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_conditions_written_for_a_framework_elsewhere(backend):
    torch = pytest.importorskip("torch")
    layer = layer_in(backend)
    jacobian, hessian = known_derivatives()
    np.testing.assert_allclose(fd.jacobian(layer, BIAS), jacobian, atol=1e-12)
    np.testing.assert_allclose(fd.hessian(lambda b: np.sum(layer(b) ** 2), BIAS), hessian, atol=1e-7)
    np.testing.assert_allclose(torch.func.jacrev(layer)(torch.tensor(BIAS)), jacobian, atol=1e-12)


def test_what_conditions_of_a_framework_capture():
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")

    def root(a, b):
        conditions = lambda z, b: z**3 + a * z - b  # noqa: E731
        return fd.implicit(lambda b: np.cbrt(b - 0.0), conditions, backend="jax", check=None)(b)

    with jax.enable_x64(True):  # at a = 0 the solver is right, and dz/da = -z/(3 z**2)
        z = np.cbrt(3.0)
        for b in (3.0, jax.numpy.asarray(3.0)):
            np.testing.assert_allclose(jax.grad(root)(0.0, b), -1 / (3 * z), rtol=1e-12)
    weight = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    scaled = fd.implicit(lambda b: b / 2.0, lambda z, b: weight * z - b, backend="torch")
    with pytest.raises(fd.CaptureError, match="Pass it as an argument"):
        scaled(torch.tensor(BIAS, requires_grad=True))
    np.testing.assert_allclose(fd.jacobian(scaled, BIAS), np.eye(4) / 2)


def test_conditions_of_jax_that_have_no_derivative():
    jax = pytest.importorskip("jax")
    x = jax.numpy.ones(2)
    with jax.enable_x64(True):
        singular = fd.implicit(
            lambda p: np.zeros(2), lambda z, p: jax.numpy.stack([z.sum(), z.sum()]) * p, backend="jax"
        )
        assert np.isnan(jax.grad(lambda p: singular(p)[0])(x)).any()
        wrong = fd.implicit(lambda p: 0 * p, lambda z, p: z - p, backend="jax")
        assert np.isnan(jax.grad(lambda p: wrong(p)[0])(x)[0])
        with pytest.raises(fd.ArgumentError, match="use 'dense' or one of"):
            fd.implicit(lambda p: p, lambda z, p: z - p, backend="jax", linear_solver="qmr")(x)
    with pytest.raises(fd.ArgumentError, match="backend='flux' is unknown"):
        fd.implicit(equilibrium, lambda z, b: z - b, backend="flux")
    cube = fd.implicit(lambda a: np.cbrt(a), lambda z, a: z**3 - a, backend="jax")
    found = jax.grad(lambda a: cube.broadcast(a).sum())(jax.numpy.array([1.0, 8.0]))
    np.testing.assert_allclose(found, [1 / 3, 1 / 12], rtol=1e-5)


# --- options of the solver, and conditions of a framework ---------------------------------------------------


def halved(b, iterations=50):
    return b / 2.0 if iterations > 3 else math.nan


def test_a_solver_may_have_options_that_the_conditions_do_not_take():
    solve = fd.implicit(halved, lambda z, b: 2.0 * z - b)
    assert solve(3.0) == solve(3.0, 5) == solve(3.0, iterations=5) == 1.5
    assert math.isnan(solve(3.0, 2))
    assert fd.derivative(solve, 3.0) == fd.derivative(solve)(3.0) == 0.5
    assert fd.prepare(fd.derivative, solve, 3.0)(4.0) == 0.5
    assert fd.rrule(solve, 3.0)[0] == 1.5
    assert fd.derivative(lambda b: solve(b, iterations=9) * b, 3.0) == 3.0
    with pytest.raises(TypeError):
        solve(3.0, 5, 7)
    with pytest.raises(TypeError):
        solve(3.0, 5, iterations=7)


@pytest.mark.parametrize("backend", ["torch", "autograd"])
def test_conditions_of_a_framework_are_pulled_back_by_it(backend):
    torch = pytest.importorskip("torch")
    pytest.importorskip(backend)
    count = 0

    def conditions(z, a, b):
        nonlocal count
        count += 1
        return z**3 + (a * a).sum() - b

    solve = fd.implicit(lambda a, b: np.cbrt(b - np.sum(a * a)), conditions, backend=backend)
    a, b = np.linspace(0.0, 0.1, 100), np.array([1.0, 2.0])
    z = solve(a, b)
    expected = -2 * a * np.sum(1 / (3 * z**2))
    np.testing.assert_allclose(fd.gradient(lambda a: solve(a, b).sum(), a), expected, rtol=1e-12)
    count, given = 0, torch.tensor(a, requires_grad=True)
    solve(given, torch.tensor(b)).sum().backward()
    np.testing.assert_allclose(given.grad, expected, rtol=1e-12)
    assert count < 20, "one pass for each of 100 numbers"
