"""Calls divided into tasks, which several threads take: same results, same errors, whatever the operands'
shapes."""

import math
import os
import threading
import time

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff._native.arrays import address

RANDOM = np.random.default_rng(0)


@fwddiff
def density(mu, sigma, x):
    z = (x - mu) / sigma
    return -0.5 * z * z - math.log(sigma)


@fwddiff
def root(c):
    """Newton with a stopping test: a function with a loop, so that few elements make a task."""
    x = c
    while abs(x * x - c) > 1e-12 * c:
        x = 0.5 * (x + c / x)
    return x


def launch_of(operation, *arrays, active=None):
    rule = operation.prepare(*arrays).rule
    if active is not None:
        rule = rule.partials(active)
    return rule.launcher((0, *[(np.shape(a), np.asarray(a).strides) for a in arrays]))


def run(launch, *arrays, threads):
    outputs = [np.full(shape, 77, dtype) for shape, dtype in launch.outputs]
    launch(*map(address, map(np.asarray, arrays)), *map(address, outputs), threads=threads)
    return outputs


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_elements(threads):
    x = RANDOM.random(100_003)
    mu, sigma = np.array(0.2), np.array(1.3)
    launch = launch_of(density.broadcast, mu, sigma, x, active=(0, 1))
    assert launch.tasks > 1
    value, d_mu, d_sigma = run(launch, mu, sigma, x, threads=threads)
    z = (x - 0.2) / 1.3
    np.testing.assert_allclose(value, -0.5 * z * z - math.log(1.3), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(d_mu, z / 1.3, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(d_sigma, (z * z - 1) / 1.3, rtol=1e-12, atol=1e-13)


def test_sums_do_not_depend_on_the_number_of_threads():
    x = RANDOM.random(1_000_001)
    launch = launch_of(density.sum, 0.2, 1.3, x, active=(0, 1))
    assert launch.tasks > 1
    arrays = np.array(0.2), np.array(1.3), x
    one, two, many = ([float(out) for out in run(launch, *arrays, threads=k)] for k in (1, 2, 7))
    assert one == two == many
    z = (x - 0.2) / 1.3
    assert one[0] == pytest.approx(math.fsum(-0.5 * z * z - math.log(1.3)), rel=1e-13)
    assert one[1] == pytest.approx(math.fsum(z / 1.3), rel=1e-13)


@pytest.mark.parametrize(
    "shapes",
    [
        ((300, 1), (1, 500)),  # one output shared by the tasks, the other in parts
        ((1, 500), (300, 1)),
        ((500,), (300, 500)),
        ((70, 1, 60), (50, 60)),
        ((300, 500), ()),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cotangents_of_broadcast_operands(shapes, dtype):
    product = fwddiff(lambda a, b: a * b + math.sin(a))
    a, b = (RANDOM.random(shape).astype(dtype) for shape in shapes)
    loop = np.broadcast_shapes(*shapes)
    cotangent = RANDOM.random(loop).astype(dtype)
    rule = product.broadcast.prepare(a, b).rule.pullback((0, 1))
    launch = rule.launcher((0, *[(x.shape, x.strides) for x in (a, b, cotangent)]))
    assert launch.tasks > 1
    expected = (cotangent * (b + np.cos(a)), cotangent * a * np.ones(loop))
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    for threads in (1, 3):
        for source, wide, out in zip(
            (a, b), expected, run(launch, a, b, cotangent, threads=threads), strict=True
        ):
            axes = tuple(range(wide.ndim - source.ndim))
            narrow = wide.astype(np.float64).sum(axes)
            kept = tuple(i for i, extent in enumerate(source.shape) if extent == 1)
            np.testing.assert_allclose(out, narrow.sum(kept, keepdims=True), rtol=tolerance)


def test_integer_sums():
    count = fwddiff(lambda x, k: k if x > 0.5 else 0)
    x, k = RANDOM.random(50_000), RANDOM.integers(0, 100, 50_000)
    launch = launch_of(count.sum, x, k)
    assert launch.tasks > 1
    assert run(launch, x, k, threads=3)[0] == k[x > 0.5].sum()


def test_small_calls_are_one_task():
    x = RANDOM.random(1000)
    assert launch_of(density.broadcast, 0.1, 1.0, x).tasks == 1


def test_exceptions_of_a_task_arrive():
    @fwddiff
    def strict(x):
        if x > 0.999_999:
            raise ValueError("too large")
        return math.sqrt(x)

    x = np.linspace(0, 0.5, 200_000)
    np.testing.assert_array_equal(strict.broadcast(x), np.sqrt(x))
    x[150_001] = 1.0
    with pytest.raises(ValueError, match="too large"):
        strict.broadcast(x)


def test_an_operand_with_negative_strides():
    x = RANDOM.random(200_000)[::-1]
    np.testing.assert_allclose(root.broadcast(x), np.sqrt(x), rtol=1e-11)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux shows them")
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_take_part_and_end(threads):
    slow = fwddiff(_slow)
    x = np.full(64, 2_000_000)
    launch = launch_of(slow.broadcast, x)
    before = set(os.listdir("/proc/self/task"))
    worker = threading.Thread(target=lambda: run(launch, x, threads=threads))
    worker.start()
    seen = set()
    while worker.is_alive():
        seen |= set(os.listdir("/proc/self/task"))
        time.sleep(0.002)
    worker.join()
    added = seen - before - {str(worker.native_id)}
    assert len(added) == threads - 1
    assert not added & set(os.listdir("/proc/self/task"))


def _slow(n):
    total = 0.0
    for k in range(n):
        total += math.sqrt(k + total)
    return total


def test_the_environment_sets_the_number_of_threads(monkeypatch):
    from fwddiff._native import tasks

    tasks.default_threads.cache_clear()
    monkeypatch.setenv("FWDDIFF_NUM_THREADS", "3")
    assert tasks.default_threads() == 3
    tasks.default_threads.cache_clear()
    monkeypatch.delenv("FWDDIFF_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert tasks.default_threads() == 2
    tasks.default_threads.cache_clear()


def test_threads_that_start_at_once_share_one_runner(monkeypatch):
    from fwddiff._native import tasks

    made, barrier = [], threading.Barrier(4)

    def make():
        time.sleep(0.05)
        made.append(object())
        return made[-1]

    def start():
        barrier.wait()
        assert tasks.runner() is made[0]

    monkeypatch.setattr(tasks, "_made", [])
    monkeypatch.setattr(tasks, "_make_runner", make)
    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_jax_divides_its_calls_too():
    jax = pytest.importorskip("jax")
    x = RANDOM.random(100_000)
    with jax.enable_x64(True):
        found = jax.jit(jax.grad(lambda x: root.broadcast(x).sum()))(x)
    np.testing.assert_allclose(found, 0.5 / np.sqrt(x), rtol=1e-8)  # partials of the loop's last step


def test_gradient_of_a_sum():
    x = RANDOM.random(300_000)
    _, pullback = fd.rrule(density.sum, 0.2, 1.3, x)
    z = (x - 0.2) / 1.3
    assert fd.unthunk(pullback(1.0)[0]) == pytest.approx(math.fsum(z / 1.3), rel=1e-12)
