"""Whether code asks which object a value is: `is`, `==` of a class without its own, `in`, keys, `id`.

The engine that runs Python gives the code copies of objects whose attributes are inputs. A copy is another
object, so such a question would have another answer, and the function another branch.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from fwddiff._capture._bytecode import identities, nested_codes, uses
from fwddiff._capture._function import Function
from fwddiff._capture._names import look_up, unbound
from fwddiff._capture._stack import Path, Use, parameters
from fwddiff._capture._values import is_foreign

_OF_THE_OBJECT = ("is", "id")  # whatever the class says


def asked_which(plan: Function, objects: dict[int, Any]) -> tuple[Function, Path, str] | None:
    """The first question about one of these objects (by `id`): who asks, for what, and how."""
    for node in plan.nodes():
        for code in (node.function.__code__, *nested_codes(node.function.__code__)):
            for path, how in _questions(node, code):
                value = node.lookup(path)
                if id(value) in objects and decides(value, how):
                    return node, path, how
    return None


def _questions(node: Function, code: CodeType) -> Iterator[tuple[Path, str]]:
    yield from identities(code)
    for use in uses(code):
        if use.how == "argument":
            yield from ((use.path, how) for how in _asked_by_callees(node, use))


def _asked_by_callees(node: Function, use: Use) -> Iterator[str]:
    """How functions that take the value ask for its identity, under the name that it has there."""
    assert use.argument is not None
    for path in use.argument.callees:
        instance, inner = unbound(look_up(node.function, node.bound, *path))
        if isinstance(inner, FunctionType) and not is_foreign(inner.__module__):
            names, place = parameters(inner.__code__), use.argument.place
            name = place if isinstance(place, str) else _at(names, place + (instance is not None))
            yield from (how for asked, how in _with_inner(inner.__code__) if asked == (name, ()))


def asked_of_parameters(node: Function) -> dict[str, str]:
    """Parameters of the function that its code asks about, and how."""
    names = set(parameters(node.function.__code__)) - {node.self_name}
    asked = _with_inner(node.function.__code__)
    return {root: how for (root, steps), how in asked if root in names and not steps}


def _with_inner(code: CodeType) -> Iterator[tuple[Path, str]]:
    """Questions of the code, and of functions and comprehensions in it, which see its variables."""
    for inner in (code, *nested_codes(code)):
        yield from identities(inner)


def _at(names: tuple[str, ...], place: int) -> str | None:
    return names[place] if place < len(names) else None


def decides(value: Any, how: str) -> bool:
    """Whether the answer hangs on which object it is; a class of the user's may say what is equal."""
    if how in _OF_THE_OBJECT:
        return True
    return not isinstance(value, type) and type(value).__eq__ is object.__eq__
