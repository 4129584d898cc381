"""Elementwise functions of frameworks mean the same as in the framework: values and derivatives, at ordinary
points and at kinks. Compared in the engine that runs Python; a few of them in compiled code."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff, rules
from fwddiff.rules import _frameworks

POINTS = np.array([-3.5, -1.0, 0.0, 0.4, 1.0, 6.0])
INSIDE = np.array([-0.9, -0.3, 0.2, 0.7])
POSITIVE = np.array([0.2, 0.7, 1.3, 2.6])
OTHERS = np.array([0.5, 1.5, -2.0, 0.7, 3.0, 0.4])
# Where a function is not defined everywhere, or its derivative at 0 is not.
RANGES = {
    **dict.fromkeys(("asin", "arcsin", "acos", "arccos", "atanh", "arctanh"), INSIDE),
    **dict.fromkeys(
        ("log", "log2", "log10", "sqrt", "rsqrt", "lgamma", "gammaln", "digamma", "psi"), POSITIVE
    ),
    **dict.fromkeys(
        ("reciprocal", "cbrt", "pow", "power", "float_power", "xlogy", "hypot", "sinc"), POSITIVE
    ),
    **dict.fromkeys(
        ("fmod", "remainder", "mod", "floor_divide", "arctan2", "atan2", "div", "divide"), POSITIVE
    ),
    **dict.fromkeys(("acosh", "arccosh"), POSITIVE + 1),
    "log1p": POSITIVE,
    "logit": POSITIVE / 3,
}
WITHOUT = ("floor_divide", "heaviside")  # derivatives, in PyTorch
CHOICES = ("copysign",)  # JAX's slope at 0 is that of 0 < x
# Of arguments that are no floats, or may be left out; in `test_compiled_code_has_them_too`.
OTHER_ARGUMENTS = ("where", "clamp", "clip", "clamp_min", "clamp_max", "integer_pow", "lerp", "signbit")


def functions(module: str) -> list[str]:
    found = importlib.import_module(module)
    names = dict.fromkeys(name for name, _ in _frameworks.named(_frameworks._MODULES[module]))
    return [name for name in names if hasattr(found, name) and name not in OTHER_ARGUMENTS]


def arity(meaning) -> int:
    if isinstance(meaning, np.ufunc):
        return meaning.nin
    if getattr(meaning, "__module__", "") in ("_operator", "operator"):
        return 2
    parameters = inspect.signature(meaning).parameters.values()
    return sum(p.default is p.empty for p in parameters)


def problem(module: str, name: str):
    """What the function means; the function as a user writes it, and its arguments."""
    namespace = importlib.import_module(module)
    meaning, x = rules.elementwise(getattr(namespace, name)), RANGES.get(name, POINTS)
    listing = ", ".join(f"x{k}" for k in range(arity(meaning)))
    mine = eval(f"lambda {listing}: module.{name}({listing})", {"module": namespace})
    return meaning, mine, x, [OTHERS[: len(x)]] * (arity(meaning) - 1)


def compare(name, mine, x, others, value, first, second):
    g = fwddiff(mine, engine="numpy")
    np.testing.assert_allclose(g.broadcast(x, *others), value, rtol=1e-10, atol=1e-13, err_msg=name)
    if first is not None:
        np.testing.assert_allclose(fd.gradient(g.sum, x, *others), first, rtol=1e-9, atol=1e-12, err_msg=name)
    if second is not None:
        found, smooth = fd.hvp(g.sum, x, np.ones(len(x)), *others), x != 0
        np.testing.assert_allclose(found[smooth], second[smooth], rtol=1e-8, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("module", ["torch", "torch.special", "torch.nn.functional"])
def test_functions_of_pytorch(module):
    torch = pytest.importorskip("torch")
    for name in functions(module):
        meaning, mine, x, others = problem(module, name)
        leaf = torch.tensor(x, requires_grad=True)
        value = mine(leaf, *map(torch.tensor, others))
        first = second = None
        if value.requires_grad and name not in WITHOUT:
            (first,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
            if first.requires_grad and inspect.isfunction(meaning):  # rows are proven elsewhere
                (second,) = torch.autograd.grad(first.sum(), leaf)
            first = first.detach()
        compare(name, mine, x, others, value.detach(), first, second)


@pytest.mark.parametrize(
    "module",
    [
        "jax.numpy",
        "jax.nn",
        pytest.param("jax.lax", marks=pytest.mark.slow),  # mostly the same meanings
        "jax.scipy.special",
    ],
)
def test_functions_of_jax(module):
    jax = pytest.importorskip("jax")
    problems = {name: problem(module, name) for name in functions(module)}

    def derivatives(name, x, others):
        meaning, mine, *_ = problems[name]
        value = mine(x, *others)
        first = second = None
        if value.dtype.kind == "f" and name not in CHOICES:
            slope = jax.grad(lambda x: mine(x, *others).sum())
            first = slope(x)
            if inspect.isfunction(meaning) and "like" not in name:
                second = jax.jvp(slope, (x,), (np.ones(len(x)),))[1]
        return value, first, second

    with jax.enable_x64(True):
        # In one program: XLA would compile operation by operation.
        arguments = {name: at for name, (_, _, *at) in problems.items()}
        every = jax.jit(lambda at: {name: derivatives(name, *at[name]) for name in at})(arguments)
        for name, (_, mine, x, others) in problems.items():
            compare(name, mine, x, others, *every[name])


def test_compiled_code_has_them_too():
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    functional, jnp = torch.nn.functional, jax.numpy

    def by_torch(x, y):
        a = functional.softplus(x, beta=2.0) * torch.sigmoid(y) + torch.where(x > 0, torch.tanh(x), y)
        return a + torch.clamp(x, min=-0.5) * torch.pow(y, 2) + functional.gelu(x) + torch.special.expit(y)

    def by_methods(x, y):
        return (
            (x.exp() + 1).log() * y.sigmoid()
            + x.clamp(min=-0.5, max=0.5) * y.pow(2)
            + (x * y).sin().abs().sqrt()
        )

    x, y = POINTS + 0.05, OTHERS
    for f in (by_torch, by_methods):
        g = fwddiff(f, engine="numba")
        leaves = [torch.tensor(v, requires_grad=True) for v in (x, y)]
        value = f(*leaves)
        np.testing.assert_allclose(g.broadcast(x, y), value.detach(), rtol=1e-12)
        wanted = torch.autograd.grad(value.sum(), leaves)
        for found, right in zip(fd.gradient(g.sum, x, y, argnum=(0, 1)), wanted, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-10)
        assert torch.autograd.gradcheck(g.broadcast, leaves)

    def by_jax(x, y):
        return (
            jnp.exp(-x * x) * jax.nn.silu(y)
            + jnp.where(x > 0, x, 0.0) * jnp.clip(y, -1.0, 1.0)
            + jnp.arctan2(x, y)
        )

    g = fwddiff(by_jax, engine="numba")
    with jax.enable_x64(True):
        np.testing.assert_allclose(g.broadcast(x, y), by_jax(x, y), rtol=1e-12)
        wanted = jax.grad(lambda x: by_jax(x, y).sum())(x)
        np.testing.assert_allclose(fd.gradient(g.sum, x, y), wanted, rtol=1e-10)
        np.testing.assert_allclose(jax.jit(jax.grad(lambda x: g.sum(x, y)))(x), wanted, rtol=1e-10)
    assert g.broadcast(x.astype(np.float32), y.astype(np.float32)).dtype == np.float32


def test_names_that_are_imported_and_primitives_of_autograd():
    anp = pytest.importorskip("autograd.numpy")
    from torch import exp

    x = POINTS
    for engine in ("numba", "numpy"):
        g = fwddiff(lambda x: exp(x) * anp.sin(x), engine=engine)
        np.testing.assert_allclose(fd.gradient(g.sum, x), np.exp(x) * (np.sin(x) + np.cos(x)), rtol=1e-12)


def test_numbers_go_where_pytorch_takes_tensors_alone():
    torch = pytest.importorskip("torch")
    assert fwddiff(lambda x: torch.exp(x) * 2)(1.0) == pytest.approx(2 * np.e)


def test_what_is_no_function_of_numbers_is_named():
    torch = pytest.importorskip("torch")
    with pytest.raises(
        fd.CompileError, match=r"`torch.matmul` .* no function of numbers.*differentiate_with"
    ):
        fwddiff(lambda x: torch.matmul(x, x), engine="numba").broadcast(POINTS)
    with pytest.raises(fd.ArgumentError, match="differentiate_with"):
        fwddiff(lambda x: torch.matmul(x, x)).broadcast(POINTS)


def test_nothing_is_imported_to_find_out():
    code = (
        "import sys, numpy as np; from fwddiff import fwddiff; fwddiff(lambda x: np.exp(x)).sum(np.ones(2));"
        "print([m for m in ('torch', 'jax', 'autograd', 'tensorflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_methods_are_for_code_of_ours_alone():
    import numba

    fwddiff(lambda x: x.exp(), engine="numba").broadcast(POINTS)
    with pytest.raises(numba.TypingError, match="exp"):
        numba.njit(lambda x: x.exp())(1.0)
