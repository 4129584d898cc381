"""Distributions for functions that fwddiff differentiates: frozen dataclasses of parameters, with methods.

    import fwddiff as fd
    from fwddiff.stats import StudentT

    logpdf = fd.fwddiff(lambda df, mu, sigma, x: StudentT(df, mu, sigma).logpdf(x))
    logpdf.broadcast(df, mu, sigma, x)                 # arrays of any host
    density = fd.fwddiff(lambda d, x: d.logpdf(x))
    density.broadcast(StudentT(df, mu, sigma), x)      # a struct of arrays

Names, parameters, their order and supports are those of `scipy.stats`, whose functions (`norm.logpdf`, …)
mean these inside such functions. See `fwddiff.stats._base` for what methods there are.
"""

from fwddiff.stats._base import Distribution
from fwddiff.stats._circular import VonMises
from fwddiff.stats._combined import Censored, Truncated, ZeroInflated
from fwddiff.stats._counts import Bernoulli, BetaBinomial, Binomial, NegativeBinomial, Poisson
from fwddiff.stats._extremes import GeneralizedExtremeValue, GeneralizedPareto
from fwddiff.stats._gamma import Beta, ChiSquared, Gamma, InverseGamma, StudentT
from fwddiff.stats._half_line import Exponential, LogLogistic, LogNormal, Pareto, Uniform, Weibull
from fwddiff.stats._mixture import Mixture
from fwddiff.stats._normal import TruncatedNormal
from fwddiff.stats._real import Cauchy, Gumbel, Laplace, Logistic, Normal
from fwddiff.stats._skew import SkewNormal

__all__ = [
    "Bernoulli",
    "Beta",
    "BetaBinomial",
    "Binomial",
    "Cauchy",
    "Censored",
    "ChiSquared",
    "Distribution",
    "Exponential",
    "Gamma",
    "GeneralizedExtremeValue",
    "GeneralizedPareto",
    "Gumbel",
    "InverseGamma",
    "Laplace",
    "LogLogistic",
    "LogNormal",
    "Logistic",
    "Mixture",
    "NegativeBinomial",
    "Normal",
    "Pareto",
    "Poisson",
    "SkewNormal",
    "StudentT",
    "Truncated",
    "TruncatedNormal",
    "Uniform",
    "VonMises",
    "Weibull",
    "ZeroInflated",
]
