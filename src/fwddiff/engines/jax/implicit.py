"""Solutions of conditions that are written for JAX, as operations of JAX: traceable, differentiated by it to
any order, with all that the conditions capture.

`jax.lax.custom_root` is the implicit function theorem; its solver is what is known already. A program cannot
raise, so where `fd.implicit` raises elsewhere (a singular J, an iteration that does not converge, a z that
does not fulfil the conditions) the derivative is nan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from fwddiff._errors import ArgumentError
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import lu_factor, lu_solve
from jax.scipy.sparse.linalg import bicgstab, cg, gmres

_ITERATIVE = {"gmres": gmres, "bicgstab": bicgstab, "cg": cg}
_Linear = Callable[[Any], Any]


def solution(conditions: Callable, z: Any, args: Sequence[Any], named: dict[str, Any], options: Any) -> Any:
    """`z`, which a solver has found, as a function of what the conditions take and capture."""
    if not options.is_dense and options.linear_solver not in _ITERATIVE:
        raise ArgumentError(
            f"linear_solver={options.linear_solver!r} with conditions written for JAX, on arrays of JAX: use "
            f"'dense' or one of {', '.join(map(repr, _ITERATIVE))}."
        )
    found = jax.lax.stop_gradient(z)
    residual = lambda z: conditions(z, *args, **named)  # noqa: E731
    solve = _dense if options.is_dense else _by_iteration(_ITERATIVE[options.linear_solver])

    def tangent_solve(products: _Linear, side: Any) -> Any:
        flat, back = ravel_pytree(side)
        along = lambda v: ravel_pytree(products(back(v)))[0]  # noqa: E731
        return back(solve(along, flat) * _unless_far(along, solve, residual, found, options.check))

    return jax.lax.custom_root(residual, found, lambda _, start: start, tangent_solve)


def vectorized(conditions: Callable, z: Any, args: Sequence[Any], signature: str | None, options: Any) -> Any:
    """The same, element by element."""
    one = lambda z, *args: solution(conditions, z, args, {}, options)  # noqa: E731
    return jnp.vectorize(one, signature=signature)(z, *args)


def _dense(products: _Linear, side: jax.Array) -> jax.Array:
    """Rows and columns are scaled first, as elsewhere; pivots that vanish beside the largest are zero."""
    matrix = jax.jacfwd(products)(jnp.zeros_like(side))
    magnitudes = abs(jax.lax.stop_gradient(matrix))
    rows = _reciprocal(magnitudes.max(1, initial=0.0))
    columns = _reciprocal((magnitudes * rows[:, None]).max(0, initial=0.0))
    factors, pivots = lu_factor(rows[:, None] * matrix * columns)
    diagonal = abs(jax.lax.stop_gradient(jnp.diag(factors)))
    least = jnp.finfo(side.dtype).eps * diagonal.max(initial=0.0)
    is_singular = diagonal.min(initial=jnp.inf) <= least
    return _nan_if(is_singular, columns * lu_solve((factors, pivots), rows * side))


def _by_iteration(method: Callable) -> Callable[[_Linear, jax.Array], jax.Array]:
    def checked(products: _Linear, side: jax.Array) -> jax.Array:
        tolerance = max(1e-10, 10 * float(jnp.finfo(side.dtype).eps))
        x, _ = method(products, side, tol=tolerance)
        rest = jnp.linalg.norm(products(x) - side)
        return _nan_if(rest > 100 * tolerance * jnp.linalg.norm(side), x)

    # The check is not linear in the right-hand side, so it is not to be transposed: a system of its own is.
    return lambda products, side: jax.lax.custom_linear_solve(products, side, checked, checked)


def _unless_far(products: _Linear, solve: Callable, residual: Callable, z: Any, check: float | None) -> Any:
    """1, or nan where one step of Newton's method from z would move it too far."""
    if check is None:
        return 1.0
    step = solve(products, ravel_pytree(residual(z))[0])
    size = jnp.maximum(1.0, abs(ravel_pytree(z)[0]).max(initial=0.0))
    is_far = jax.lax.stop_gradient(abs(step).max(initial=0.0) > check * size)
    return jnp.where(is_far, jnp.nan, 1.0).astype(step.dtype)


def _nan_if(wrong: Any, x: jax.Array) -> jax.Array:
    return x * jnp.where(wrong, jnp.nan, 1.0).astype(x.dtype)


def _reciprocal(sizes: jax.Array) -> jax.Array:
    return 1.0 / jnp.where(sizes > 0, sizes, 1.0)
