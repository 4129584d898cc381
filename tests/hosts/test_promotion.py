"""Dtypes of results: those of the host's own operation, for every pair of floats and numbers beside them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fwddiff import fwddiff

FLOATS = ("float32", "float64")
g = fwddiff(lambda x, s: x * s, engine="numpy")

NUMBERS = {
    "2.0": 2.0,
    "2": 2,
    **{f"np.{n}(2)": getattr(np, n)(2) for n in FLOATS},
    **{f"np.array(2, {n})": np.array(2, n) for n in FLOATS},
}


def in_torch():
    torch = pytest.importorskip("torch")
    return lambda n, shape: torch.ones(shape, dtype=getattr(torch, n))


def in_jax():
    jnp = pytest.importorskip("jax").numpy
    return lambda n, shape: jnp.ones(shape, dtype=n)


def in_tensorflow():
    tf = pytest.importorskip("tensorflow")
    return lambda n, shape: tf.ones(shape, dtype=n)


def in_mlx():
    mx = pytest.importorskip("mlx.core")
    return lambda n, shape: mx.ones(shape, dtype=getattr(mx, n))


def in_pytensor():
    pt = pytest.importorskip("pytensor.tensor")
    return lambda n, shape: pt.tensor(dtype=n, shape=shape)


def in_numpy():
    return lambda n, shape: np.ones(shape, n)


HOSTS = [in_numpy, in_torch, in_jax, in_tensorflow, in_mlx, in_pytensor]
DTYPES = [*FLOATS, "int64", "int32"]


def dtype_of(array):
    return str(array.dtype).rpartition(".")[2]


@pytest.mark.filterwarnings("ignore:__array_wrap__", "ignore:Explicitly requested dtype")
@pytest.mark.parametrize("host", HOSTS)
def test_results_have_the_dtype_of_the_hosts_own_product(host):
    make = host()
    own = {f"{n}{list(shape)}": make(n, shape) for n in DTYPES for shape in ((3,), ())}
    wrong = []
    for (a, x), (b, s) in itertools.product(own.items(), [*own.items(), *NUMBERS.items()]):
        try:
            wanted = dtype_of(x * s)
        except Exception:  # TensorFlow refuses to mix dtypes
            continue
        # Integers are Python's: of the host's widest kind, and never reason to widen a float.
        floats = [name for name in (a, b) if "int" not in name and name != "2"]
        if floats and not (len(floats) == 1 and _widened_by_integers(wanted, floats[0])):
            found = dtype_of(g.broadcast(x, s))
            if found != wanted:
                wrong.append((a, b, wanted, found))
    assert not wrong


def _widened_by_integers(wanted, name):
    return "float" not in wanted or ("float" in name and wanted not in name)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
@pytest.mark.parametrize("x64", [pytest.param(False, marks=pytest.mark.slow), True])
def test_jax_with_and_without_64_bits(x64):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(x64) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64(x64):
        test_results_have_the_dtype_of_the_hosts_own_product(in_jax)


def test_autograd():
    core = pytest.importorskip("autograd.core")
    for n, s in itertools.product(FLOATS, NUMBERS.values()):
        for x in (np.ones(3, n), np.ones((), n)):
            wanted, found = (
                core.make_vjp(f, x)[1] for f in (lambda x, s=s: x * s, lambda x, s=s: g.broadcast(x, s))
            )
            assert found.dtype == wanted.dtype


# --- PyTorch ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repeated", [1, 3])
@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_gradients_of_numbers_that_give_way(engine, repeated):
    torch = pytest.importorskip("torch")
    h = fwddiff(lambda x, s: math.exp(x * s), engine=engine)
    x = torch.tensor([0.3, 0.7], requires_grad=True)
    s = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    for _ in range(repeated):  # the second call takes the shortcut
        y, own = h.broadcast(x, s), torch.exp(x * s)
        assert y.dtype == own.dtype
    found = torch.autograd.grad(y.sum(), (x, s), create_graph=True)
    wanted = torch.autograd.grad(own.sum(), (x, s), create_graph=True)
    for ours, theirs, leaf in zip(found, wanted, (x, s), strict=True):
        assert ours.dtype == leaf.dtype
        torch.testing.assert_close(ours, theirs)
    second = [torch.autograd.grad(d[1], s)[0] for d in (found, wanted)]
    assert second[0].dtype == torch.float64
    torch.testing.assert_close(*second)


def test_numbers_alone_do_not_give_way():
    torch = pytest.importorskip("torch")
    s, t = torch.tensor(2.0, dtype=torch.float64), torch.tensor(2.0)
    assert g.broadcast(s, t).dtype == g(s, t).dtype == torch.float64
    assert g(torch.ones(3), s).dtype == torch.float32
