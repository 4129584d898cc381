"""What a first use costs, in a process of its own: `python -m benchmarks.workloads.first_use WHO WHICH`.

Prints JSON: contestant → seconds, numbers computed, bytes. Everything is imported and has compiled another
function before a clock starts; fwddiff's kernels are not on disk, but for `from_disk`. Seconds are of the
processor, all threads together (from disk: of the clock on the wall, for what is read is waited for).
"""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workloads import compiled_functions as functions

SIZE = 7  # of the arrays: compiling is all that takes time
Told = dict[str, dict[str, Any]]


def tiny(x, y):
    return x * x + math.cos(y)


def timed(evaluate: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> tuple[float, Any]:
    gc.collect()  # what imports left
    begin = clock()
    result = evaluate()
    return clock() - begin, result


def numbers(value: Any, gradient: Sequence[Any]) -> list[float]:
    """Of arrays that hold one number `SIZE` times: the value at one of them, and its partials."""
    return [float(value) / SIZE, *(float(np.asarray(g).ravel()[0]) for g in gradient)]


def arrays(point: Sequence[float]) -> list[np.ndarray]:
    return [np.full(SIZE, x) for x in point]


# --- contestants --------------------------------------------------------------------------------------------


def numba(which: str) -> Told:
    import numba as library

    function, point = functions.get(which)
    library.njit(tiny)(1.0, 2.0)
    compiled = library.njit(functions.for_numba(which, function))
    seconds, value = timed(lambda: compiled(*point))
    return {"numba.njit": {"seconds": seconds, "numbers": [value]}}


def fwddiff(which: str) -> Told:
    """By operators of fwddiff's own: the gradient, then the product of the Hessian with a vector."""
    function, point = functions.get(which)
    gradient, product = _operators(tiny, (1.0, 2.0))
    gradient(), product()
    gradient, product = _operators(function, point)
    first, (value, slopes) = timed(gradient)
    second, _ = timed(product)
    told: Told = {
        "fwddiff": {"seconds": first, "numbers": numbers(value, slopes)},
        "fwddiff, second order": {"seconds": second},
    }
    return told | _per_100_lines(which, told)


def _operators(function: Callable[..., Any], point: Sequence[float]) -> tuple[Callable, Callable]:
    import fwddiff as fd

    summed, inputs, all_of_them = fd.fwddiff(function).sum, arrays(point), tuple(range(len(point)))
    ones = tuple(np.ones(SIZE) for _ in point)
    return (
        lambda: fd.value_and_gradient(summed, *inputs, argnum=all_of_them),
        lambda: fd.hvp(summed, inputs[0], ones, *inputs[1:], argnum=all_of_them),
    )


def _per_100_lines(which: str, told: Told) -> Told:
    count = which.removesuffix(" straight lines")
    if not count.isdigit():
        return {}
    return {f"{name}, per 100 lines": {"seconds": told[name]["seconds"] * 100 / int(count)} for name in told}


def pytorch(which: str) -> Told:
    """By PyTorch: backward, and backward through that by all inputs."""
    function, point = functions.get(which)
    gradient, second = _in_pytorch(tiny, (1.0, 2.0))
    gradient(), second()
    gradient, second = _in_pytorch(function, point)
    first_seconds, (value, slopes) = timed(gradient)
    second_seconds, _ = timed(second)
    return {
        "fwddiff in PyTorch": {
            "seconds": first_seconds,
            "numbers": numbers(value.detach(), [slope.detach() for slope in slopes]),
        },
        "fwddiff in PyTorch, second order": {"seconds": second_seconds},
    }


def _in_pytorch(function: Callable[..., Any], point: Sequence[float]) -> tuple[Callable, Callable]:
    import torch

    from fwddiff import fwddiff as wrap

    wrapped = wrap(function)
    inputs = [torch.tensor(array, requires_grad=True) for array in arrays(point)]
    slopes: list[Any] = []

    def gradient() -> tuple[Any, Sequence[Any]]:
        value = wrapped.broadcast(*inputs).sum()
        slopes[:] = torch.autograd.grad(value, inputs, create_graph=True)
        return value, slopes

    return gradient, lambda: torch.autograd.grad(torch.stack([s.sum() for s in slopes]).sum(), inputs)


def jax(which: str) -> Told:
    import jax as library
    from jax import numpy as jnp

    library.config.update("jax_enable_x64", True)

    def gradient(function: Callable[..., Any], point: Sequence[float]) -> Any:
        plain = functions.with_functions_of(function, jnp)
        summed = library.value_and_grad(lambda *x: plain(*x).sum(), tuple(range(len(point))))
        return library.block_until_ready(library.jit(summed)(*arrays(point)))

    function, point = functions.get(which)
    gradient(tiny, (1.0, 2.0))
    seconds, (value, slopes) = timed(lambda: gradient(function, point))
    return {"jax.jit": {"seconds": seconds, "numbers": numbers(value, slopes)}}


def torch_compile(which: str) -> Told:
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"
    import torch

    def gradient(function: Callable[..., Any], point: Sequence[float]) -> Any:
        compiled = torch.compile(functions.with_functions_of(function, torch))
        inputs = [torch.tensor(array, requires_grad=True) for array in arrays(point)]
        value = compiled(*inputs).sum()
        return value.detach(), torch.autograd.grad(value, inputs)

    function, point = functions.get(which)
    gradient(tiny, (1.0, 2.0))
    # Its C++ compiler runs in processes of their own.
    (seconds, children), (value, slopes) = _with_children(lambda: gradient(function, point))
    return {"torch.compile": {"seconds": seconds + children, "numbers": numbers(value, slopes)}}


def _with_children(evaluate: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    def children() -> float:
        times = os.times()
        return times.children_user + times.children_system

    before = children()
    seconds, result = timed(evaluate)
    return (seconds, children() - before), result


# --- from disk ----------------------------------------------------------------------------------------------


def from_disk(which: str) -> Told:
    """Processes that share a folder: the first fills it, the fastest of the others counts (waiting for a
    processor is in what a clock on the wall tells)."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"FWDDIFF_CACHE_DIR": folder}
        for _ in range(4):
            command = [sys.executable, "-m", "benchmarks.workloads.first_use", "recall", which]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    return min(found[1:], key=lambda told: told["fwddiff, from disk"]["seconds"])


def recall(which: str) -> Told:
    """With nothing but imports before: the folder of kernels is first looked at here."""
    import fwddiff as fd
    from fwddiff.engines import numba as engine  # noqa: F401

    function, point = functions.get(which)
    fd.value_and_gradient  # noqa: B018 - imports it
    gradient, _ = _operators(function, point)
    seconds, (value, slopes) = timed(gradient, time.perf_counter)
    return {"fwddiff, from disk": {"seconds": seconds, "numbers": numbers(value, slopes)}}


# --- memory -------------------------------------------------------------------------------------------------


def redefinitions(count: str) -> Told:
    """A function that is defined again and again, as in a notebook, each time with another number in it."""

    def use(k: int) -> None:
        gradient, _ = _operators(functions.defined(f"def again(x, y): return x * y + {k + 0.5}"), (1.0, 2.0))
        gradient()

    for k in range(20):
        use(-k - 1)
    before = _resident()
    seconds, _ = timed(lambda: [use(k) for k in range(int(count))])
    memory = (_resident() - before) / int(count)
    return {"fwddiff, a redefinition": {"seconds": seconds / int(count), "memory": memory}}


def _resident() -> int:
    gc.collect()
    text = Path("/proc/self/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


WHO = {f.__name__: f for f in (numba, fwddiff, pytorch, jax, torch_compile, from_disk, recall, redefinitions)}


def main(who: str, which: str) -> None:
    if who != "recall":
        os.environ["FWDDIFF_CACHE_DIR"] = "off"
    sys.stdout.write(json.dumps(WHO[who](which)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
