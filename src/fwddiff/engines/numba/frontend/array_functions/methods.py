"""Methods of arrays that Numba's own methods do not serve: `x.sum()` is `np.sum(x)`."""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fwddiff._native.internals import AbstractTemplate, AttributeTemplate, infer_getattr
from fwddiff.engines.numba.frontend.array_functions.arguments import is_smooth_array
from numba import types
from numba.extending import lower_builtin

_METHODS = {
    name: getattr(np, name)
    for name in ("sum", "prod", "mean", "max", "min", "var", "std", "cumsum", "cumprod")
}
_METHODS |= {"dot": np.dot, "clip": np.clip, "trace": np.trace}


def _template(name: str, function):
    """Typing of one method: the function's signature with the array as its receiver."""

    class DualArrayMethod(AbstractTemplate):
        key = ("fwddiff", name)
        prefer_literal = True

        def generic(self, args, kws):
            signature = self.context.resolve_function_type(function, (self.this, *args), kws)
            return None if signature is None else signature.as_method()

    return DualArrayMethod


class FloatArrayMethods(AttributeTemplate):
    """Looked up before Numba's methods of arrays, and only for arrays of floats."""

    key = types.Array
    metadata: ClassVar = {"target": "cpu"}

    def generic_resolve(self, array, name):
        if name not in _TEMPLATES or not is_smooth_array(array):
            return None
        return types.BoundFunction(_TEMPLATES[name], array)


def _register_lowering(name: str, function) -> None:
    @lower_builtin(("fwddiff", name), types.Array, types.VarArg(types.Any))
    def call(context, builder, signature, arguments):
        kind = context.typing_context.resolve_value_type(function)
        resolved = context.typing_context.resolve_function_type(kind, signature.args, {})
        implementation = context.get_function(kind, resolved)
        context.add_linking_libs(getattr(implementation, "libs", ()))
        return implementation(builder, arguments)


_TEMPLATES = {name: _template(name, function) for name, function in _METHODS.items()}


def register() -> None:
    """Register everything of this file."""
    infer_getattr(FloatArrayMethods)
    for name, function in _METHODS.items():
        _register_lowering(name, function)
