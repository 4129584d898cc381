"""Calls of functions that stay what they are until all derivatives have been taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from fwddiff._native.internals import cgutils

_DOUBLE = ir.DoubleType()
PREFIX = "fwddiff."


def call_opaque(builder: Any, name: str, arguments: Sequence[Any], result: Any = _DOUBLE) -> Any:
    """A call of a function that only gives a value, however often, early or never it is called."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    # llvmlite checks the names of attributes, but not in this way.
    for attribute in ("readnone", "nounwind", "willreturn", "speculatable"):
        set.add(function.attributes, attribute)
    return builder.call(function, arguments)
