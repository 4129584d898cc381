"""The negative log-likelihood and its gradient in each host: with fwddiff, and in the host's own operations.

A host's function takes the data and returns two functions of a NumPy vector (β…, log ρ), each of which
returns the value and the gradient as NumPy: what SciPy's optimisers ask for. With fwddiff the scalar function
`loglik` is used as it stands; without it, its `if` becomes a `where`, and both sides are computed for all.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from fwddiff import fwddiff
from fwddiff.demo.survival import Survival, loglik

ValueAndGradient = Callable[[np.ndarray], tuple[float, np.ndarray]]


class Pair(NamedTuple):
    with_fwddiff: ValueAndGradient
    without: ValueAndGradient


def torch_pair(data: Survival) -> Pair:
    import torch

    covariates, time, event = (torch.from_numpy(array) for array in data)
    total = fwddiff(loglik).sum

    def with_fwddiff(beta, log_shape):
        return -total(covariates @ beta, log_shape, time, event)

    def without(beta, log_shape):
        log_cumulative_hazard = torch.exp(log_shape) * (torch.log(time) - covariates @ beta)
        log_hazard = torch.where(event, log_shape - torch.log(time) + log_cumulative_hazard, 0.0)
        return torch.sum(torch.exp(log_cumulative_hazard) - log_hazard)

    def value_and_gradient(loss) -> ValueAndGradient:
        def call(parameters):
            leaf = torch.tensor(parameters, requires_grad=True)
            value = loss(leaf[:-1], leaf[-1])
            (gradient,) = torch.autograd.grad(value, leaf)
            return value.item(), gradient.numpy()

        return call

    return Pair(value_and_gradient(with_fwddiff), value_and_gradient(without))


def jax_pair(data: Survival) -> Pair:
    """Both are compiled by `jax.jit`. Switches double precision on, for the whole process as JAX has it."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    arrays = tuple(jnp.asarray(array) for array in data)
    total = fwddiff(loglik).sum

    def with_fwddiff(parameters, covariates, time, event):
        return -total(covariates @ parameters[:-1], parameters[-1], time, event)

    def without(parameters, covariates, time, event):
        log_shape = parameters[-1]
        log_cumulative_hazard = jnp.exp(log_shape) * (jnp.log(time) - covariates @ parameters[:-1])
        log_hazard = jnp.where(event, log_shape - jnp.log(time) + log_cumulative_hazard, 0.0)
        return jnp.sum(jnp.exp(log_cumulative_hazard) - log_hazard)

    def value_and_gradient(loss) -> ValueAndGradient:
        compiled = jax.jit(jax.value_and_grad(loss))

        def call(parameters):
            value, gradient = compiled(parameters, *arrays)
            return float(value), np.asarray(gradient)

        return call

    return Pair(value_and_gradient(with_fwddiff), value_and_gradient(without))


def autograd_pair(data: Survival) -> Pair:
    # autograd makes its functions while it is imported, out of sight of type checkers.
    autograd: Any = import_module("autograd")
    anp: Any = import_module("autograd.numpy")
    covariates, time, event = data
    total = fwddiff(loglik).sum

    def with_fwddiff(parameters):
        return -total(anp.dot(covariates, parameters[:-1]), parameters[-1], time, event)

    def without(parameters):
        log_shape = parameters[-1]
        log_cumulative_hazard = anp.exp(log_shape) * (anp.log(time) - anp.dot(covariates, parameters[:-1]))
        log_hazard = anp.where(event, log_shape - anp.log(time) + log_cumulative_hazard, 0.0)
        return anp.sum(anp.exp(log_cumulative_hazard) - log_hazard)

    def value_and_gradient(loss) -> ValueAndGradient:
        both = autograd.value_and_grad(loss)

        def call(parameters):
            value, gradient = both(parameters)
            return float(value), gradient

        return call

    return Pair(value_and_gradient(with_fwddiff), value_and_gradient(without))


class DemoHost(NamedTuple):
    module: str
    title: str
    pair: Callable[[Survival], Pair]


HOSTS = (
    DemoHost("torch", "PyTorch", torch_pair),
    DemoHost("jax", "JAX (jit)", jax_pair),
    DemoHost("autograd", "HIPS autograd", autograd_pair),
)
