"""Functions whose derivative the user writes: one rule, every host (`custom_rule`), or every engine
(`scalar_rule`)."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

from fwddiff import rules
from fwddiff._capture import UserRule
from fwddiff._errors import ArgumentError
from fwddiff._wrapper import FwdDiff


def custom_rule(
    f: Callable,
    *,
    rrule: Callable | None = None,
    frule: Callable | None = None,
    wrt: Any = None,
    out_shape: Any = None,
) -> FwdDiff:
    """Give `f` a derivative of your own; the result works in every host, and in `fd.rrule` and `fd.frule`.

    Args:
        f: Any Python function of numbers, NumPy arrays and structs of them. It is called, never compiled.
        rrule: `rrule(*args) → (y, pullback)`, `pullback(cotangent of y) → one cotangent per argument`;
            thunks, and `None` for an argument without derivative, are fine.
        frule: `frule(primals, tangents) → (y, dy)`.
        wrt: Names or positions of the arguments to differentiate.
        out_shape: What a result looks like, as in `fwddiff`: for hosts that trace.

    Returns:
        A callable like that of `fwddiff`, with `broadcast` and `sum`. One of `rrule` and `frule` is enough
        for both modes: `frule` is then called once per input, `rrule` once per output. The rule holds inside
        other functions too, which run as Python. Higher derivatives differentiate the rule's own code, in
        which `f` means `f` with this rule; a rule that is not made of differentiable operations raises
        DerivativeError. What `f` and the rule capture is constant: arrays of a framework are refused.
    """
    if rrule is None and frule is None:
        raise ArgumentError("custom_rule needs rrule=, frule= or both.")
    rule = UserRule(f, rrule, frule)
    return FwdDiff(f, "auto", wrt, "recompute", "single", None, out_shape, rule)


def _check_is_function(function: Any) -> None:
    """Rules belong to functions. A method is called with an object, which has no partial."""
    name = getattr(function, "__name__", None)
    if name is None:
        raise ArgumentError(f"scalar_rule needs a function, not a {type(function).__name__}: use def.")
    if not name.isidentifier():
        raise ArgumentError(f"scalar_rule needs a function with a name, not {name!r}: use def.")
    first = next(iter(inspect.signature(function).parameters), None)
    if isinstance(function, types.MethodType) or first in ("self", "cls"):
        raise ArgumentError(
            f"scalar_rule of the method {function.__qualname__} would be ignored: a rule belongs to a "
            "function of numbers. Write a function, give it the rule, and call it in the method."
        )


def scalar_rule(function: Callable, *partials: str, value: str | None = None) -> Callable:
    """Teach the engines a scalar function: one partial per argument, as text.

    Args:
        function: A Python function of numbers. A compiling engine compiles it (or `value`) for the value.
        partials: Expressions in the function's argument names, `y` (its value), integers, `pi`,
            `where(condition, a, b)` and the functions of the rules table, this one included:
            `scalar_rule(sigmoid, "y * (1 - y)")`.
        value: Scalar code of the same language for the value, instead of calling `function`.

    Returns:
        `function`, so that this can stand below its definition. The rule holds wherever it is called from
        now on, also in functions that were called before; what `jax.jit` or `torch.compile` has traced
        already keeps what held then.

    Raises:
        ArgumentError: an expression is not of the language, or the number of partials is not that of the
            arguments.
    """
    _check_is_function(function)
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) for parameter in parameters):
        raise ArgumentError(
            f"scalar_rule needs a function with so many arguments, and {function.__name__} takes *args or "
            "**keywords: give it named ones."
        )
    names = [parameter.name for parameter in parameters]
    rules.add_rule(function, f"{function.__name__}({', '.join(names)})", partials, value)
    return function
