"""What PyTorch and JAX have of the recorded functions, with values and slopes at columns of numbers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Columns = Sequence[np.ndarray]
Numbers = dict[Any, np.ndarray]
Peer = Callable[[Columns, Sequence[int]], Numbers | None]

# Where their name is another, or another module's.
IN_TORCH = {
    **{f"{kind}{n}": f"special.bessel_{kind}{n}" for kind in "jy" for n in "01"},
    **{f"k{n}": f"special.modified_bessel_k{n}" for n in "01"},
    "airyai": "special.airy_ai",
    "hurwitz_zeta": "special.zeta",
    "loggamma": "special.gammaln",
    "log_expit": "nn.functional.logsigmoid",
    "softplus": "nn.functional.softplus",
}
IN_JAX = {
    "hurwitz_zeta": "scipy.special.zeta",
    "loggamma": "scipy.special.gammaln",
    "log_expit": "nn.log_sigmoid",
    "softplus": "nn.softplus",
    "sine_integral": "scipy.special.sici 0",
    "cosine_integral": "scipy.special.sici 1",
    "fresnels": "scipy.special.fresnel 0",
    "fresnelc": "scipy.special.fresnel 1",
}


def of(name: str) -> dict[str, Peer]:
    """By "torch" and "jax": those that have a function of this meaning."""
    found: dict[str, Peer] = {}
    if (theirs := _found("torch", IN_TORCH.get(name, f"special.{name}"))) is not None:
        found["torch"] = lambda columns, moving: _by_torch(theirs, columns, moving)
    if (also := _found("jax", IN_JAX.get(name, f"scipy.special.{name}"))) is not None:
        found["jax"] = lambda columns, moving: _by_jax(also, columns, moving)
    return found


def _found(package: str, path: str) -> Callable | None:
    path, _, result = path.partition(" ")
    *modules, name = path.split(".")
    try:
        function = getattr(importlib.import_module(".".join([package, *modules])), name, None)
    except ImportError:
        return None
    return (lambda *a: function(*a)[int(result)]) if function and result else function


def _by_torch(function: Callable, columns: Columns, moving: Sequence[int]) -> Numbers | None:
    """Slopes that raise are left out."""
    import torch

    given = [
        torch.tensor(column, requires_grad=k in moving) if k in moving else torch.tensor(column)
        for k, column in enumerate(columns)
    ]
    try:
        value = function(*given)
    except (RuntimeError, TypeError):  # an argument that has to be one number for all
        return None
    found: Numbers = {"value": value.detach().numpy()}
    for k in moving:
        try:
            (slope,) = torch.autograd.grad(value.sum(), [given[k]], retain_graph=True)
            found[k] = slope.numpy()
        except RuntimeError:
            continue
    return found


def _by_jax(function: Callable, columns: Columns, moving: Sequence[int]) -> Numbers | None:
    import jax

    jax.config.update("jax_enable_x64", True)
    try:
        found: Numbers = {"value": np.asarray(function(*columns))}
    except (TypeError, ValueError, NotImplementedError):
        return None
    for k in moving:
        try:
            slope = jax.grad(lambda *given: function(*given).sum(), k)(*columns)
        except (TypeError, ValueError, NotImplementedError):
            continue
        found[k] = np.asarray(slope)
    return found
