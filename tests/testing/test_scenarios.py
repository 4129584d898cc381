"""Scenarios × backends, and the benchmark of them."""

from __future__ import annotations

import importlib.util
import io

import numpy as np
import pytest

import fwddiff as fd
from fwddiff.testing import Results, Scenario, backends, benchmark, check, scenarios

HOSTS = [
    name
    for name in ("torch", "jax", "autograd", "tensorflow", "pytensor", "mlx")
    if importlib.util.find_spec(name)
]


@pytest.mark.slow
def test_engines_agree_on_all_scenarios():
    results = check(backends=["numba", "numpy"])
    assert results.ok, str(results)
    assert len(results.cells) == 2 * len(scenarios())


def test_hosts_agree():
    chosen = [s for s in scenarios() if s.name in ("exponential log-density", "integers and None")]
    results = check(chosen)
    assert results.ok, str(results)
    assert results.backends == ("numba", "numpy", *HOSTS)
    assert len(results.cells) == len(chosen) * len(results.backends)


@pytest.mark.parametrize("scenario", scenarios(4), ids=lambda s: s.name)
def test_formula_is_the_function(scenario):
    """What hosts are compared with computes the same."""
    if scenario.formula is not None:
        value = scenario.operation_of(fd.fwddiff(scenario.function, engine="numpy"))(*scenario.arguments)
        np.testing.assert_allclose(
            np.sum(scenario.formula(np, *scenario.arguments)), np.sum(value), rtol=1e-12
        )


def test_what_differs_is_shown_and_not_raised():
    bad = Scenario("doubled", lambda x: x * x, (np.array([1.5, 0.5]),), lambda x: (4 * x,))
    results = check([bad], ["numpy"])
    assert results.failures == [("doubled", "numpy")]
    assert "doubled, numpy: " in str(results)
    assert "6" in str(results)


def test_errors_are_cells_too():
    broken = Scenario("opens a file", lambda x: open("nowhere") and x, (np.array([1.0]),))  # noqa: SIM115
    results = check([broken], ["numba"])
    assert isinstance(results, Results)
    assert isinstance(results.cells["opens a file", "numba"], FileNotFoundError)


def test_results_print_as_tables():
    Console = pytest.importorskip("rich.console").Console
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(check(scenarios()[:1], ["numpy"]))
    assert "exponential log-density" in console.export_text()


# Formulas are written for these; `benchmark` times no others.
TIMED = [host for host in HOSTS if host in ("torch", "jax", "autograd")]


@pytest.mark.skipif(not TIMED, reason="no host that is timed is installed")
def test_benchmark_compares_hosts():
    timings = benchmark(scenarios(8)[:2], TIMED[:1], seconds=0.01)
    assert [(c.scenario, c.host, c.n) for c in timings.comparisons] == [
        ("exponential log-density", TIMED[0], 8),
        ("Huber loss", TIMED[0], 8),
    ]
    assert all(c.ratio > 0 for c in timings.comparisons)
    assert "ratio" in str(timings)


def test_unknown_names_are_errors():
    with pytest.raises(fd.ArgumentError, match="'mxnet' is not there"):
        backends(["mxnet"])
    with pytest.raises(fd.ArgumentError, match="'mxnet' is not there"):
        benchmark(hosts=["mxnet"])


def test_a_formula_that_differs_is_not_timed():
    off = Scenario("off", lambda x: x * x, (np.ones(3),), formula=lambda xp, x: x * x * x)
    if TIMED:
        with pytest.raises(fd.ArgumentError, match="differ"):
            benchmark([off], TIMED[:1], seconds=0.01)
