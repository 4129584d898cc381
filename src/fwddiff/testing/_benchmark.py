"""Gradients with fwddiff and with each host's own operations, timed in turns."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from fwddiff import _tree
from fwddiff._errors import ArgumentError
from fwddiff.testing._report import rich_table, text_table
from fwddiff.testing._scenarios import Scenario, scenarios


class Comparison(NamedTuple):
    """Median seconds of one gradient of the sum of all outputs, for arrays of `n` elements."""

    scenario: str
    host: str
    n: int
    with_fwddiff: float
    own: float

    @property
    def ratio(self) -> float:
        """Time with fwddiff by time without: below one, fwddiff is faster."""
        return self.with_fwddiff / self.own


_COLUMNS = ["scenario", "host", "n", "fwddiff µs", "host's own µs", "ratio"]


@dataclass(frozen=True)
class Timings:
    """Comparisons, which print themselves as a table."""

    comparisons: tuple[Comparison, ...]

    def _rows(self) -> list[list[str]]:
        return [
            [
                c.scenario,
                c.host,
                f"{c.n:,}",
                f"{c.with_fwddiff * 1e6:,.1f}",
                f"{c.own * 1e6:,.1f}",
                f"{c.ratio:.2f}",
            ]
            for c in self.comparisons
        ]

    def __str__(self) -> str:
        return text_table("One gradient, medians", _COLUMNS, self._rows())

    def __rich__(self) -> Any:
        return rich_table("One gradient, medians", _COLUMNS, self._rows(), numbers=2)


def benchmark(
    given: Sequence[Scenario] | None = None,
    hosts: Sequence[str] | None = None,
    sizes: Sequence[int] = (1_000, 100_000),
    seconds: float = 0.5,
) -> Timings:
    """Time the gradient of every scenario that has a `formula`, in every installed host.

    Args:
        given: Scenarios with arguments of their own; by default the built-in ones, for each of `sizes`.
        hosts: Names of hosts ("torch", "jax", "autograd").
        seconds: About how long each comparison may take, compilation aside.

    Raises:
        ArgumentError: the two gradients of a comparison differ, or a host is not installed.
    """
    chosen = [s for n in sizes for s in scenarios(n)] if given is None else list(given)
    names = [name for name in _GRADIENTS if find_spec(name)] if hosts is None else list(hosts)
    for name in names:
        if name not in _GRADIENTS or not find_spec(name):
            raise ArgumentError(f"host {name!r} is not there: choose among {', '.join(_GRADIENTS)}.")
    timed = [s for s in chosen if s.formula is not None]
    return Timings(tuple(_compare(s, name, seconds) for s in timed for name in names))


def _compare(scenario: Scenario, host: str, seconds: float) -> Comparison:
    operation, formula = scenario.operation_of(), scenario.formula
    gradient_of = _GRADIENTS[host]
    leaves = [np.asarray(leaf, float) for leaf in _tree.flatten(scenario.arguments)[0]]
    ours = gradient_of(lambda xp, *leaves: operation(*leaves), leaves)
    own = gradient_of(formula, leaves)
    for a, b in zip(ours(), own(), strict=True):
        if not np.allclose(np.asarray(a), np.asarray(b), rtol=1e-6, atol=1e-8):
            raise ArgumentError(f"{scenario.name}: the gradients with and without fwddiff differ in {host}.")
    n = max(leaf.size for leaf in leaves)
    return Comparison(scenario.name, host, n, *median_times([ours, own], seconds))


def median_times(calls: Sequence[Callable[[], object]], seconds: float, rounds: int = 11) -> list[float]:
    """Median seconds per call. The calls take turns: a slow moment of the machine falls on all of them."""
    repeats = [max(1, round(seconds / rounds / len(calls) / _seconds(call, 1))) for call in calls]
    samples: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, repeat, sample in zip(calls, repeats, samples, strict=True):
            sample.append(_seconds(call, repeat) / repeat)
    return [statistics.median(sample) for sample in samples]


def _seconds(call: Callable[[], object], repeat: int) -> float:
    start = time.perf_counter()
    for _ in range(repeat):
        call()
    return time.perf_counter() - start


# --- the gradient of a sum, as a user of each host writes it ------------------------------------------------


def _torch_gradient(function: Callable, values: Sequence[np.ndarray]) -> Callable[[], Sequence[Any]]:
    torch = importlib.import_module("torch")
    leaves = [torch.tensor(value, requires_grad=True) for value in values]
    return lambda: torch.autograd.grad(function(torch, *leaves).sum(), leaves)


def _jax_gradient(function: Callable, values: Sequence[np.ndarray]) -> Callable[[], Sequence[Any]]:
    """Under `jit`; in double precision, which is switched on for the whole process as JAX has it."""
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    leaves = [jax.numpy.asarray(value) for value in values]
    total = lambda leaves: jax.numpy.sum(function(jax.numpy, *leaves))  # noqa: E731
    gradient = jax.jit(jax.grad(total))
    return lambda: jax.block_until_ready(gradient(leaves))


def _autograd_gradient(function: Callable, values: Sequence[np.ndarray]) -> Callable[[], Sequence[Any]]:
    autograd, anp = importlib.import_module("autograd"), importlib.import_module("autograd.numpy")
    total = lambda *leaves: anp.sum(function(anp, *leaves))  # noqa: E731
    gradient = autograd.grad(total, tuple(range(len(values))))
    return lambda: gradient(*values)


_GRADIENTS: dict[str, Callable] = {
    "torch": _torch_gradient,
    "jax": _jax_gradient,
    "autograd": _autograd_gradient,
}
