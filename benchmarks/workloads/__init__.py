"""The workloads, by letter. A module has `cases(quick)`, which yields the cases at its sizes."""

from __future__ import annotations

import importlib
from types import ModuleType

WORKLOADS = {
    "a": "exponential",
    "b": "hm_lstm",
    "c": "arity",
    "d": "kepler",
    "e": "normal",
    "f": "lotka_volterra",
    "g": "vectors",
    "h": "recurrent",
    "i": "whole_program",
    "j": "compilation",
    "k": "prepared",
    "l": "scipy_clients",
    "p": "densities",
    "s": "sparse",
}


def load(letter: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.workloads.{WORKLOADS[letter]}")
