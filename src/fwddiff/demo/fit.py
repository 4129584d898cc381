"""Fitting and timing: SciPy's L-BFGS-B on a value-and-gradient, lifelines' own fit, and medians of times."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import minimize

from fwddiff.demo.hosts import ValueAndGradient
from fwddiff.demo.survival import Scaling


def fit(value_and_gradient: ValueAndGradient, scaling: Scaling) -> tuple[np.ndarray, float]:
    """Minimise from zero until the gradient vanishes.

    Returns the parameters (β…, log ρ) in the covariates' own units, and the value there. Raises
    `RuntimeError` where the optimiser stops anywhere else.
    """
    start = np.zeros(len(scaling.mean) + 2)
    # A first scale near the data's own: from exp(0) = 1 week the first step would have to be very long.
    start[-2] = 4.0
    options = {"ftol": 1e-15, "gtol": 1e-7, "maxiter": 500}
    result = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
    steepest = float(np.max(np.abs(result.jac)))
    if not steepest < 1e-3:
        raise RuntimeError(f"L-BFGS-B stopped with a gradient of {steepest:.2g}: {result.message}")
    return scaling.undo(result.x), float(result.fun)


def lifelines_fit(names: Sequence[str]) -> np.ndarray:
    """The parameters (β…, log ρ) that lifelines' `WeibullAFTFitter` finds for the same data, as in `names`.

    Its own tolerance stops at the fourth digit, so it is asked for more.
    """
    from lifelines import WeibullAFTFitter
    from lifelines.datasets import load_rossi

    options = {"ftol": 1e-14, "maxiter": 500}
    parameters = WeibullAFTFitter().fit(load_rossi(), "week", "arrest", fit_options=options).params_
    return np.array([*(parameters["lambda_", name] for name in names), parameters["rho_", "Intercept"]])


def median_times(
    calls: Sequence[Callable[[], object]], rounds: int = 25, round_seconds: float = 0.02
) -> list[float]:
    """Median seconds per call. The calls take turns: a slow moment of the machine falls on all of them."""
    repeats = [_repeats(call, round_seconds) for call in calls]
    samples: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, repeat, sample in zip(calls, repeats, samples, strict=True):
            sample.append(_seconds(call, repeat) / repeat)
    return [statistics.median(sample) for sample in samples]


def _repeats(call: Callable[[], object], round_seconds: float) -> int:
    """How many calls make one round; the first call, which compiles, is not counted."""
    call()
    return max(1, round(round_seconds / _seconds(call, 1)))


def _seconds(call: Callable[[], object], repeat: int) -> float:
    start = time.perf_counter()
    for _ in range(repeat):
        call()
    return time.perf_counter() - start
