"""(k) Gradients of functions of few numbers, as an optimiser asks for them: what a call costs beside the
kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import fwddiff as fd
from benchmarks.harness.case import Case, Contestant, Run
from benchmarks.harness.kernels import kernel
from benchmarks.workloads import in_hosts, vectors
from fwddiff import fwddiff

Arguments = Sequence[Any]


def likelihood(a, b, log_s, x, y):
    """Minus the log-likelihood of a line with noise of Laplace's smoothed kind."""
    total, s = 0.0, math.exp(log_s)
    for k in range(len(x)):
        z = (y[k] - a - b * x[k]) / s
        total += math.sqrt(1.0 + z * z) + log_s
    return total


def likelihood_of_arrays(a, b, log_s, x, y, numpy):
    z = (y - a - b * x) / numpy.exp(log_s)
    return numpy.sum(numpy.sqrt(1.0 + z * z) + log_s)


def cases(quick: bool) -> Iterator[Case]:
    random = np.random.default_rng(0)
    for n in (10, 100):
        x = random.uniform(-1, 1, n)
        for name in ("Rosenbrock", "Ackley"):
            loop, of_arrays, _ = vectors.FUNCTIONS[name]
            yield _case(name, n, loop, of_arrays, (x,), 1)
        data = 0.3, -0.2, 0.1, x, 0.4 - 0.3 * x + 0.1 * random.normal(size=n)
        yield _case("likelihood", n, likelihood, likelihood_of_arrays, data, 3)


def _case(name: str, n: int, loop: Callable, of_arrays: Callable, arguments: Arguments, count: int) -> Case:
    """By the first `count` arguments."""
    note = "Data are NumPy's arrays and numbers for fwddiff and autograd, JAX's own for JAX."
    contestants = [
        Contestant("fwddiff prepared", lambda: _prepared(loop, arguments, count)),
        Contestant("fwddiff curried", lambda: _curried(loop, arguments, count)),
        Contestant("fwddiff direct", lambda: _direct(loop, arguments, count)),
        Contestant("kernel", lambda: _kernel(loop, arguments, count)),
        Contestant("jax.jit", lambda: _in_jax(of_arrays, arguments, count)),
        Contestant("autograd", lambda: _in_autograd(of_arrays, arguments, count)),
        Contestant(
            "approx_fprime", lambda: _differences(of_arrays, arguments, count), computes="differences"
        ),
    ]
    return Case("k", name, f"n = {n}", contestants, note=note)


def _chosen(count: int) -> Any:
    return 0 if count == 1 else tuple(range(count))


def _prepared(f: Callable, arguments: Arguments, count: int) -> Run:
    prepared = fd.prepare(fd.gradient, f, *arguments, argnum=_chosen(count))
    return lambda: prepared(*arguments)


def _curried(f: Callable, arguments: Arguments, count: int) -> Run:
    gradient = fd.gradient(f, argnum=_chosen(count))
    return lambda: gradient(*arguments)


def _direct(f: Callable, arguments: Arguments, count: int) -> Run:
    chosen = _chosen(count)
    return lambda: fd.gradient(f, *arguments, argnum=chosen)


def _kernel(f: Callable, arguments: Arguments, count: int) -> Run:
    arrays = [np.asarray(argument) for argument in arguments]
    return kernel(fwddiff(f).whole, arrays, "pullback", range(count), [np.ones(())])


def _in_jax(f: Callable, arguments: Arguments, count: int) -> Run:
    from jax import numpy

    return in_hosts.in_jax(lambda *given: f(*given, numpy), arguments[:count], constants=arguments[count:])


def _in_autograd(f: Callable, arguments: Arguments, count: int) -> Run:
    from autograd import numpy

    constants = arguments[count:]
    return in_hosts.in_autograd(lambda *given: f(*given, numpy), arguments[:count], constants=constants)


def _differences(f: Callable, arguments: Arguments, count: int) -> Run:
    from scipy.optimize import approx_fprime

    constants = arguments[count:]
    if count == 1:
        return lambda: approx_fprime(arguments[0], lambda x: f(x, *constants, np))
    point = np.array(arguments[:count])
    return lambda: approx_fprime(point, lambda p: f(*p, *constants, np))
