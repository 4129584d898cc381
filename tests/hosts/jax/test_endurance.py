"""Many calls, many levels, other processes, and arrays that do not belong in a call."""

import math
import multiprocessing
import os
import resource
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fwddiff import HostError, fwddiff

X = np.linspace(0.1, 0.9, 4)


def wave(x, y):
    return math.sin(x) * y


def native(x, y):
    return jnp.sin(x) * y


@pytest.mark.parametrize("mode", ["store", "recompute"])
@pytest.mark.few(mode=["recompute"])
def test_eight_levels_of_vmap(mode):
    def nested(f, levels=8):
        for level in range(levels):
            f = jax.vmap(f, (level % 3, None) if level % 2 else (None, 0), level % 2)
        return f

    x = np.linspace(0.1, 0.9, 16).reshape(2, 2, 2, 2, 1)
    y = np.linspace(0.5, 1.5, 16).reshape(2, 2, 2, 2)
    found, expected = (
        nested(jax.grad(lambda x, y, f=f: f(x, y).sum(), (0, 1)))(x, y)
        for f in (fwddiff(wave, mode=mode).broadcast, native)
    )
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_two_threads_of_backward_passes():
    function = fwddiff(wave)
    pulled = jax.jit(lambda x, y, ct: jax.vjp(function.broadcast, x, y)[1](ct))
    wrong = []

    def run(scale):
        ct = scale * np.ones(4)
        for _ in range(1000):
            x_bar, y_bar = pulled(X, 2.0, ct)
            if not (np.allclose(x_bar, 2 * scale * np.cos(X)) and np.isclose(y_bar, scale * np.sin(X).sum())):
                wrong.append(scale)

    threads = [threading.Thread(target=run, args=(scale,)) for scale in (1.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def _resident() -> int:
    if os.path.exists("/proc/self/statm"):
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_memory_does_not_grow_with_calls():
    slope = jax.jit(jax.grad(fwddiff(wave).sum, (0, 1)))
    x, y = jnp.asarray(X), jnp.asarray(2.0)
    for _ in range(10_000):
        slope(x, y)
    before = _resident()
    for _ in range(60_000):
        slope(x, y)
    assert _resident() - before < 8 * 2**20


@pytest.mark.slow
def test_memory_does_not_grow_with_eager_calls():
    function = fwddiff(wave).broadcast
    x, y = jnp.asarray(X), jnp.asarray(2.0)
    for _ in range(200):
        jax.vjp(function, x, y)[1](x)
    before = _resident()
    for _ in range(800):
        jax.vjp(function, x, y)[1](x)
    assert _resident() - before < 8 * 2**20


def _in_worker(x):
    jax.config.update("jax_enable_x64", True)
    return np.asarray(jax.jit(jax.grad(lambda x: fwddiff(wave).broadcast(x, 2.0).sum()))(x))


def test_a_spawned_worker():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_allclose(pool.map(_in_worker, [X])[0], 2 * np.cos(X))


def test_a_tracer_that_leaked_is_an_error():
    leaked = []
    jax.jit(lambda x: leaked.append(x) or x)(1.0)
    with pytest.raises(jax.errors.UnexpectedTracerError):
        fwddiff(wave)(leaked[0], 2.0)


def test_a_captured_tracer_that_leaked_is_an_error():
    kept = []

    @jax.jit
    def f(scale):
        kept.append(fwddiff(lambda x: scale * x))
        return kept[0](2.0)

    assert float(f(3.0)) == 6.0
    with pytest.raises(jax.errors.UnexpectedTracerError):
        kept[0](jnp.asarray(2.0))


def test_arrays_of_two_frameworks():
    torch = pytest.importorskip("torch")
    with pytest.raises(HostError, match=r"of jax .*of torch|of torch .*of jax"):
        fwddiff(wave).broadcast(jnp.ones(2), torch.ones(2))


@pytest.mark.parametrize("enabled", [True, False])
def test_dtypes_follow_x64(enabled):
    jax.config.update("jax_enable_x64", enabled)
    function = fwddiff(wave).broadcast
    for x, y in [(X, 2.0), (X.astype(np.float32), 2.0), (X.astype(np.float32), X), (2.0, 3.0), (X, 3)]:
        x, y = (
            jnp.asarray(x) if isinstance(x, np.ndarray) else x,
            jnp.asarray(y) if isinstance(y, float) else y,
        )
        found, expected = (
            jax.value_and_grad(lambda x, f=f, y=y: f(x, y).sum())(x) for f in (function, native)
        )
        for a, b in zip(found, expected, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_allclose(a, b, rtol=1e-6)
