"""The model: a Weibull survival regression with censored cases, and the data it is fitted to.

Each person's time to arrest is Weibull with scale λ = exp(x·β) and shape ρ. Who had not been arrested when
the study ended is censored: the data say only that the arrest came later, if at all. These are the parameters
of lifelines' `WeibullAFTFitter`, whose documentation is the source of the formula.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


def loglik(log_scale, log_shape, time, event):
    """Log-likelihood of one person: log density where the event was seen, else log survival function."""
    log_cumulative_hazard = math.exp(log_shape) * (math.log(time) - log_scale)
    survival = -math.exp(log_cumulative_hazard)
    if event:
        return log_shape - math.log(time) + log_cumulative_hazard + survival
    return survival


class Survival(NamedTuple):
    """n persons: covariates with a last column of ones (n, k), time (n,) float64, event (n,) bool."""

    covariates: np.ndarray
    time: np.ndarray
    event: np.ndarray

    def repeat(self, times: int) -> Survival:
        """The same persons, each of them `times` times: a longer problem with the same solution."""
        return Survival(*(np.repeat(array, times, axis=0) for array in self))


def rossi() -> tuple[Survival, list[str]]:
    """432 persons released from prison and followed for a year (Rossi et al. 1980), as lifelines ships them.

    Returns the data and the names of the covariates, "Intercept" last.
    """
    from lifelines.datasets import load_rossi

    table = load_rossi()
    names = [name for name in table.columns if name not in ("week", "arrest")]
    covariates = np.column_stack([*(table[name].to_numpy(float) for name in names), np.ones(len(table))])
    data = Survival(covariates, table["week"].to_numpy(float), table["arrest"].to_numpy() == 1)
    return data, [*names, "Intercept"]


class Scaling(NamedTuple):
    """Mean and deviation of each covariate but the column of ones: the optimiser sees standardised ones."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, data: Survival) -> Scaling:
        columns = data.covariates[:, :-1]
        return cls(columns.mean(axis=0), columns.std(axis=0))

    def apply(self, data: Survival) -> Survival:
        covariates = data.covariates.copy()
        covariates[:, :-1] = (covariates[:, :-1] - self.mean) / self.deviation
        return data._replace(covariates=covariates)

    def undo(self, parameters: np.ndarray) -> np.ndarray:
        """Parameters (β…, intercept, log ρ) of standardised covariates → those of the original ones."""
        unscaled = parameters.copy()
        unscaled[:-2] /= self.deviation
        unscaled[-2] -= self.mean @ unscaled[:-2]
        return unscaled
