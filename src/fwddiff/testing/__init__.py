"""Checks and benchmarks of pullbacks: one function, or scenarios × engines and hosts.

In the spirit of DifferentiationInterfaceTest.jl (Dalle and Hill, arXiv 2505.05542).

    check_pullback   pullback and pushforward of one function against differences or a given gradient
    Scenario         a function with arguments, an expected gradient and a name; `scenarios()`: built-in ones
    check            scenarios × backends, as a table
    run              scenarios × operators (`fd.gradient`, …) × backends: engines, frameworks, your own
    catalogue        the scenarios of `run`
    Differentiator   a backend of `run` of your own; `differentiators()`: those that are here
    benchmark        gradients with fwddiff and with each host's own operations, taking turns, as a table
"""

from fwddiff.testing._backends import Backend, backends
from fwddiff.testing._benchmark import Comparison, Timings, benchmark
from fwddiff.testing._catalogue import catalogue
from fwddiff.testing._cell import Cell
from fwddiff.testing._check import PullbackError, check_pullback
from fwddiff.testing._differentiators import Differentiator, differentiators
from fwddiff.testing._matrix import run
from fwddiff.testing._outcomes import Outcomes
from fwddiff.testing._report import Entry, Report
from fwddiff.testing._run import Results, check
from fwddiff.testing._scenarios import Scenario, scenarios

__all__ = [
    "Backend",
    "Cell",
    "Comparison",
    "Differentiator",
    "Entry",
    "Outcomes",
    "PullbackError",
    "Report",
    "Results",
    "Scenario",
    "Timings",
    "backends",
    "benchmark",
    "catalogue",
    "check",
    "check_pullback",
    "differentiators",
    "run",
    "scenarios",
]
