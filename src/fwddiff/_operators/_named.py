"""Arguments of the function that are given to an operator by name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fwddiff._errors import ArgumentError
from fwddiff._function import Target
from fwddiff._operators._forms import LATER, Form
from fwddiff._wrapper import FwdDiff, Operation


def with_named(form: Form, f: Callable, args: tuple, named: dict[str, Any]) -> tuple[Callable, tuple]:
    """The function and its positional arguments: those that were given by name in their places.

    Keyword-only ones, and those behind one that keeps its default, become presets of the function. So do all
    of a function without a point, as in `functools.partial`.
    """
    if not named:
        return f, args
    target, named = _target(f), dict(named)
    _refuse_unknown(form, target, named)
    is_later = bool(args) and args[0] is LATER
    if not is_later or not named.keys().isdisjoint(target.positional_names(0)[:1]):
        args = _placed(form, target, args, named)
    return (_preset(f, named) if named else f), args


def _placed(form: Form, target: Target, args: tuple, named: dict[str, Any]) -> tuple:
    """Arguments in the operator's order; what is placed goes from `named`."""
    between = args[1:2] if form.takes else ()
    if form.takes and not between:
        raise ArgumentError(
            f"{form.name} with arguments by name needs its {form.takes} too, after x: (f, x, {form.takes})."
        )
    own = [*(x for x in args[:1] if x is not LATER), *args[1 + len(between) :]]
    _refuse_twice(form, target, len(own), named)
    for name in target.positional_names(len(own)):
        if name not in named:
            break
        own.append(named.pop(name))
    return (*own[:1], *between, *own[1:])


def _target(f: Callable) -> Target:
    if isinstance(f, Operation):
        return f.wrapped.target
    return f.target if isinstance(f, FwdDiff) else Target(f)


def _preset(f: Callable, named: dict[str, Any]) -> Callable:
    if isinstance(f, Operation):
        raise ArgumentError(
            f"{f.wrapped.target.name}.{f.kind} takes {', '.join(named)} by position: its operations have no "
            "keyword arguments."
        )
    return functools.partial(f, **named)


def _refuse_unknown(form: Form, target: Target, named: dict[str, Any]) -> None:
    if "sparsity" in named and "sparsity" not in target.names:
        raise ArgumentError(
            f"{form.name} takes no sparsity=: hessian, jacobian and their value_and_ forms do."
        )
    unknown = [] if target.takes_keywords else [name for name in named if name not in target.names]
    if unknown:
        takes = ", ".join(target.names) or "none"
        raise ArgumentError(
            f"{form.name} takes no keyword {', '.join(unknown)}, and {target.name} has no argument of that "
            f"name: it takes {takes}."
        )


def _refuse_twice(form: Form, target: Target, count: int, named: dict[str, Any]) -> None:
    before = target.names[: len(target.preset_args) + count]
    twice = [name for name in named if name in before]
    if twice:
        raise ArgumentError(
            f"{form.name} of {target.name} got {', '.join(twice)} twice, by position and by name."
        )
