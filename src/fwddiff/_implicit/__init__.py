"""Implicit functions: derivatives from the conditions that a solution fulfils, by whatever solver.

_function   what users call: the solver and the conditions as operations of a host
_rules      the implicit function theorem, as rules made of rules
_linear     linear systems: dense or matrix-free, checks, what is singular
_program    rules made of rules
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fwddiff._errors import ArgumentError
from fwddiff._implicit._function import Implicit


def implicit(
    solver: Callable,
    conditions: Callable,
    *,
    linear_solver: str | Callable = "dense",
    has_aux: bool = False,
    check: float | None = 1e-2,
    out_shape: Any = None,
    backend: str = "auto",
) -> Implicit:
    """A function given by a solver and the conditions that the solution fulfils.

    `z = solver(*args)` is differentiated as what it is: the z for which `conditions(z, *args)` is zero. With
    J = ∂conditions/∂z, its derivative is −J⁻¹ ∂conditions/∂args (implicit function theorem), to any order,
    forward and reverse. The solver is never differentiated, and not run again for a derivative.

    Args:
        solver: Any Python function; it gets numbers and NumPy arrays, whatever the host. It returns z: a
            float, an array, or a struct of them (SciPy's `OptimizeResult` stands for its `x`).
        conditions: `conditions(z, *args) → residual` of the structure of z, one number for each of z's. A
            function as `fwddiff` takes it, compiled where that is possible; what it captures has its
            derivative too. Keyword arguments go to the solver, and to the conditions if they have that name.
        linear_solver: "dense" (LU of the matrix J), an iterative solver of `scipy.sparse.linalg` by name
            ("gmres", "bicgstab", "cg", "minres", …), or a function `(operator, b) → x` or `(x, info)`;
            `operator` is a `LinearOperator` of products with J (or its transpose), made by the pushforward
            and pullback of the conditions.
        has_aux: The solver returns `(z, aux)`, and so does the result; `aux` has no derivative.
        check: The largest step of Newton's method, relative to z where its numbers are above 1, that the
            conditions may ask for at what the solver returned. `None` checks nothing.
        backend: What differentiates the conditions: an engine, or the framework that they are written for
            ("jax", "torch", "autograd"), as in `fd.differentiate_with`. On arrays of JAX, conditions written
            for JAX are differentiated there, with all that they capture; where this would raise
            `DerivativeError`, such a derivative is nan.
        out_shape: What z (with `has_aux`: the pair) looks like, as in `fwddiff`: for hosts that trace.

    Returns:
        A callable like that of `fwddiff`, with `broadcast` and `sum`.

    Raises:
        DerivativeError: (when differentiated) the conditions are singular at the solution, z does not fulfil
            them (`check`), or an iterative solver does not converge.
        StructureError, ShapeError: the residual does not mirror z.
        CaptureError: the solver captures an array of a framework: pass it as an argument.
    """
    for name, function in (("solver", solver), ("conditions", conditions)):
        if not callable(function):
            raise ArgumentError(f"implicit needs a function as {name}, not {type(function).__name__}.")
    return Implicit(solver, conditions, linear_solver, has_aux, check, out_shape, backend)


__all__ = ["Implicit", "implicit"]
