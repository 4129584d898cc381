"""What a function returns is never learnt by running it on invented arguments.

The functions here raise, loop for ever or take another branch for any numbers but those of the call.
"""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import brentq

import fwddiff as fd
from fwddiff import fwddiff

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

ENGINES = ("numba", "numpy")


@pytest.fixture(autouse=True)
def doubles():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


# --- functions that check their arguments -------------------------------------------------------------------


def kelvin(t):
    out = np.empty_like(t)
    for i in range(len(t)):
        if t[i] < 100.0:
            raise ValueError("temperature too low")
        out[i] = t[i] ** 2
    return out


def ordered(t):
    if not (t[0] > 140.0 and t[1] > t[0]):
        raise ValueError("not in order")
    out = np.zeros_like(t)
    out[0], out[1] = t[0] * t[1], t[1] ** 2
    return out


def until_large(t):
    """Endless for arguments below 1."""
    y = t * 1.0
    while y[0] < 1e6:
        y = y * t
    return y


T = np.array([150.0, 160.0])


def slopes(f, t):
    """Central differences of the sum of the results."""
    h = 1e-4
    steps = h * np.eye(len(t))
    return np.array([(np.sum(f(t + s)) - np.sum(f(t - s))) / (2 * h) for s in steps])


def with_torch(g):
    t = torch.tensor(T, requires_grad=True)
    return torch.autograd.grad(g(t).sum(), t)[0].numpy()


def with_torch_func(g):
    stack = torch.tensor(T).expand(3, 2)
    return torch.func.vmap(torch.func.grad(lambda t: g(t).sum()))(stack)[1].numpy()


def with_torch_compile(g):
    torch._dynamo.reset()
    return with_torch(torch.compile(lambda t: g(t), backend="aot_eager"))


def with_jax(g):
    return jax.grad(lambda t: g(t).sum())(jnp.array(T))


def with_jit(g):
    return jax.jit(jax.grad(lambda t: g(t).sum()))(jnp.array(T))


def with_vmap(g):
    return jax.vmap(jax.grad(lambda t: g(t).sum()))(jnp.array([T, T]))[1]


def with_autograd(g):
    autograd = pytest.importorskip("autograd")
    return autograd.grad(lambda t: autograd.numpy.sum(g(t)))(T)


def with_rrule(g):
    y, back = fd.rrule(g, T)
    return fd.unthunk(back(np.ones_like(y))[0])


HOSTS = (
    with_torch, with_torch_func, with_torch_compile, with_jax, with_jit, with_vmap, with_autograd, with_rrule,
)  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("function", [kelvin, ordered, until_large])
@pytest.mark.few(function=["ordered"], engine=["numpy"])
def test_functions_see_the_numbers_of_the_call_alone(function, engine):
    want = slopes(function, T)
    for gradient in HOSTS:
        # A fresh wrapper each: one host's call tells another nothing.
        fresh = type(function)(function.__code__, function.__globals__)
        assert_allclose(gradient(fwddiff(fresh, engine=engine)), want, rtol=1e-6, err_msg=gradient.__name__)


@pytest.mark.parametrize("engine", ENGINES)
def test_their_exceptions_are_those_of_the_call(engine):
    with pytest.raises(ValueError, match="too low"):
        fd.rrule(fwddiff(kelvin, engine=engine), np.array([150.0, 20.0]))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.few(engine=["numpy"])
def test_loops_that_end_for_some_integers_alone(engine):
    """`n` is even; an invented 1 would never reach 0."""
    code = f"""
        import numpy as np, jax, torch, fwddiff as fd
        from fwddiff import fwddiff
        jax.config.update("jax_enable_x64", True)
        def steps(t, n):
            y = t * 1.0
            while n != 0: y, n = y * t, n - 2
            return y
        g = fwddiff(steps, engine="{engine}")
        print(fd.jacobian(steps, np.array([2.0, 3.0]), 4, backend="{engine}").diagonal().tolist())
        t = torch.tensor([2.0, 3.0], dtype=torch.float64, requires_grad=True)
        print(torch.autograd.grad(g(t, 4).sum(), t)[0].tolist())
        h = fwddiff(lambda t, n: steps(t, n), engine="{engine}")
        print(jax.jit(jax.grad(lambda t, n: h(t, n).sum()))(jax.numpy.array([2.0, 3.0]), 4).tolist())
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert run.stdout.split("\n")[:3] == ["[12.0, 27.0]"] * 3, run.stderr[-500:]


# --- functions that cannot be outlined ----------------------------------------------------------------------


def root(a, lo, hi):
    return brentq(lambda x: x * x - a, lo, hi)


def root_rule(**options):
    # `def` each time: functions are wrapped once.
    def value(a, lo, hi):
        return root(a, lo, hi)

    return fd.custom_rule(
        value,
        rrule=lambda a, lo, hi: (root(a, lo, hi), lambda ct: (ct / (2 * root(a, lo, hi)), None, None)),
        frule=lambda p, t: (root(*p), t[0] / (2 * root(*p))),
        **options,
    )


A = np.array([2.0, 3.0])
ROOT_SLOPES = 0.5 / np.sqrt(A)


def test_a_solver_runs_on_the_values_of_the_call():
    a = torch.tensor(A, requires_grad=True)
    assert_allclose(torch.autograd.grad(root_rule().broadcast(a, 0.0, 10.0).sum(), a)[0], ROOT_SLOPES)
    g = root_rule()
    assert_allclose(jax.grad(lambda a: g.broadcast(a, 0.0, 10.0).sum())(jnp.array(A)), ROOT_SLOPES)
    autograd = pytest.importorskip("autograd")
    g = root_rule()
    found = autograd.grad(lambda a: autograd.numpy.sum(g.broadcast(a, 0.0, 10.0)))(A)
    assert_allclose(found, ROOT_SLOPES)


def test_a_call_runs_the_function_once():
    calls = []

    def value(a):
        calls.append(a)
        return brentq(lambda x: x * x - a, 0.0, 10.0)

    g = fd.custom_rule(value, rrule=lambda a: (None, lambda ct: (ct / (2 * math.sqrt(a)),)))
    a = torch.tensor(A, requires_grad=True)
    g.broadcast(a).sum().backward()
    assert calls == A.tolist()


def test_a_host_that_traces_asks_for_out_shape():
    with pytest.raises(fd.ShapeError, match="out_shape") as error:
        jax.jit(lambda a: root_rule().broadcast(a, 0.0, 10.0))(jnp.array(A))
    assert len(str(error.value).splitlines()) < 12
    g = root_rule(out_shape=0.0)
    gradient = jax.jit(jax.grad(lambda a: g.broadcast(a, 0.0, 10.0).sum()))(jnp.array(A))
    assert_allclose(gradient, ROOT_SLOPES)


def positive(x):
    return x[x > 0.0] * 2.0


@pytest.mark.parametrize("engine", ENGINES)
def test_sizes_that_depend_on_values(engine):
    x = np.array([1.0, -2.0, 3.0])
    g = fwddiff(lambda x: positive(x), engine=engine)
    y, back = fd.rrule(g, x)
    assert_allclose(y, [2.0, 6.0])
    assert_allclose(fd.unthunk(back(np.ones(2))[0]), [2.0, 0.0, 2.0])
    untold = fwddiff(lambda x: positive(x), engine=engine)
    with pytest.raises(fd.ShapeError, match=r"mask.*out_shape"):
        jax.jit(untold)(jnp.array(x))
    told = fwddiff(lambda x: positive(x), engine=engine, out_shape=np.empty(2))
    assert_allclose(jax.jit(jax.grad(lambda x: told(x).sum()))(jnp.array(x)), [2.0, 0.0, 2.0])
    with pytest.raises(Exception, match=r"out_shape|shape"):
        jax.block_until_ready(jax.jit(lambda x: told(x))(jnp.array([1.0, 1.0, 1.0])))


def test_out_shape_as_a_function_of_the_arguments():
    def every(x, k):
        return x[x > -1e9][::k]

    g = fwddiff(every, out_shape=lambda x, k: np.empty(-(-len(x) // k)))
    for k in (1, 2, 3):
        found = jax.jit(jax.grad(lambda x, k=k: g(x, k).sum()))(jnp.arange(5.0))
        assert_allclose(found, [float(i % k == 0) for i in range(5)])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_wrong_out_shape_is_found(engine):
    g = fwddiff(lambda x: x * 2.0, engine=engine, out_shape=np.empty(4))
    with pytest.raises(fd.FwdDiffError, match="shape"):
        fd.rrule(g, np.ones(3))


# --- outlines -----------------------------------------------------------------------------------------------


def library_of_arrays(x):
    y = np.concatenate([np.sort(x)[::-1], np.cumsum(x)[:2], np.stack([x[0], 1.0])])
    z = np.linalg.solve(np.outer(x, x) + np.eye(len(x)), x)
    return {"count": len(y), "joined": y, "table": np.outer(x, z)[:, 1:], "total": float(z.sum())}


def loops_and_lists(x):
    rows = []
    for i in range(len(x)):
        value = x[i]
        for _ in range(100):
            if abs(value) < 0.5:
                break
            value = value / 2.0
        rows.append([value, math.floor(value) * 1.0, max(value, 0.1)])
    return np.array(rows), len(rows), None


def never_ending_unless_asked(x):
    total = 0.0
    while True:
        total += x[0]
        if total > 3.0:
            break
    return np.full(3, total) * np.where(x > 0, x, 0.0).sum()


@pytest.mark.parametrize("function", [library_of_arrays, loops_and_lists, never_ending_unless_asked])
def test_an_outline_has_the_structure_and_the_shapes_of_the_result(function):
    from fwddiff import _tree

    x = np.array([1.0, 0.5, 2.0, 3.0])
    operation = fwddiff(function, engine="numpy").whole
    shapes = jax.eval_shape(operation, jnp.array(x))
    want, tree = _tree.flatten(function(x))
    found, found_tree = _tree.flatten(shapes)
    assert found_tree == tree
    assert [leaf.shape for leaf in found] == list(map(np.shape, want))


def test_an_outline_prints_nothing(capsys):
    def value(x):
        print("seen", x)  # noqa: T201
        return x * 2.0

    jax.eval_shape(fwddiff(value, engine="numpy"), jnp.ones(3))
    assert capsys.readouterr().out == ""
