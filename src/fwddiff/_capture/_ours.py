"""Whether a function calls fwddiff itself: then it runs as Python, and the inner derivative is
differentiated."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from fwddiff._buffers import get_tmp
from fwddiff._capture._bytecode import nested_codes, uses
from fwddiff._capture._function import Function, attributes
from fwddiff._capture._values import is_foreign, is_operation
from fwddiff._each import each
from fwddiff._magnitude import magnitude

_PACKAGE = __name__.partition(".")[0]
_COMPILED = (magnitude, get_tmp, each)

# A plan is made anew when a name in the code leads elsewhere.
_answers: weakref.WeakKeyDictionary[Function, bool] = weakref.WeakKeyDictionary()


def refers_to_us(plan: Function) -> bool:
    """Whether code that the plan reaches names an operator, `rrule`, `frule`, or `g.broadcast` or `g.sum`."""
    if plan not in _answers:
        _answers[plan] = any(_is_ours(value) for node in plan.nodes() for value in _mentioned(node))
    return _answers[plan]


def _mentioned(node: Function) -> Iterator[Any]:
    """What the names in the code of a function, and of those defined inside, lead to."""
    code = node.function.__code__
    for part in (code, *nested_codes(code)):
        for use in uses(part):
            yield node.lookup(attributes(use.path))


def _is_ours(value: Any) -> bool:
    if is_operation(value):
        return True
    if not isinstance(value, FunctionType) or not is_foreign(value.__module__):
        return False
    return (value.__module__ or "").partition(".")[0] == _PACKAGE and value not in _COMPILED
