"""The functions of `scipy.stats` as plain functions of ours, with SciPy's arguments and defaults.

SCIPY["norm"]["logpdf"](x, loc=0.0, scale=1.0)      == Normal(loc, scale).logpdf(x)
SCIPY["binom"]["logpmf"](k, n, p, loc=0.0)          == Binomial(n, p).logpmf(k - loc)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from fwddiff import stats

# SciPy's name of each distribution with a name there.
NAMES: dict[str, type] = {
    "bernoulli": stats.Bernoulli,
    "beta": stats.Beta,
    "betabinom": stats.BetaBinomial,
    "binom": stats.Binomial,
    "cauchy": stats.Cauchy,
    "chi2": stats.ChiSquared,
    "expon": stats.Exponential,
    "fisk": stats.LogLogistic,
    "gamma": stats.Gamma,
    "genextreme": stats.GeneralizedExtremeValue,
    "genpareto": stats.GeneralizedPareto,
    "gumbel_r": stats.Gumbel,
    "invgamma": stats.InverseGamma,
    "laplace": stats.Laplace,
    "logistic": stats.Logistic,
    "lognorm": stats.LogNormal,
    "nbinom": stats.NegativeBinomial,
    "norm": stats.Normal,
    "pareto": stats.Pareto,
    "poisson": stats.Poisson,
    "skewnorm": stats.SkewNormal,
    "t": stats.StudentT,
    "truncnorm": stats.TruncatedNormal,
    "uniform": stats.Uniform,
    "vonmises": stats.VonMises,
    "weibull_min": stats.Weibull,
}
_OF_A_VALUE = {name: name for name in ("pdf", "logpdf", "pmf", "logpmf", "cdf", "logcdf", "sf", "logsf")}
_OF_A_PROBABILITY = {"ppf": "quantile", "isf": "isf"}


def _function(name: str, cls: type, theirs: str, ours: str) -> Callable:
    """`def norm_logpdf(x, loc=0.0, scale=1.0): return cls(loc, scale).logpdf(x)`, with a name's arguments."""
    fields = [field.name for field in dataclasses.fields(cls)]
    of_counts = "loc" not in fields
    first = "q" if theirs in _OF_A_PROBABILITY else "k" if of_counts else "x"
    parameters = [first, *(field for field in fields if field not in ("loc", "scale")), "loc=0.0"]
    parameters += [] if of_counts else ["scale=1.0"]
    shifted = of_counts and first == "k"
    value = f"cls({', '.join(fields)}).{ours}({first}{' - loc' if shifted else ''})"
    value += " + loc" if of_counts and first == "q" else ""
    space = {"cls": cls, "__name__": __name__}
    exec(f"def {name}_{theirs}({', '.join(parameters)}):\n    return {value}\n", space)
    return space[f"{name}_{theirs}"]


def _functions(name: str, cls: type) -> dict[str, Callable]:
    known = {theirs: ours for theirs, ours in (_OF_A_VALUE | _OF_A_PROBABILITY).items() if hasattr(cls, ours)}
    return {theirs: _function(name, cls, theirs, ours) for theirs, ours in known.items()}


SCIPY: dict[str, dict[str, Callable]] = {name: _functions(name, cls) for name, cls in NAMES.items()}
