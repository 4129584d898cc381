"""Arguments that a wrapped function does not differentiate (`wrt`): their values, without any partials."""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import functools
from collections.abc import Callable

from fwddiff._native.internals import cpu_target
from fwddiff.engines.numba.frontend import structs
from fwddiff.engines.numba.frontend.arrays import empty_like_of, flat, frozen
from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.options import overload
from numba import types


def constant(x):
    """The same nested value without partials."""
    raise NotImplementedError


@functools.cache
def constant_rest(wanted: frozenset[int]) -> Callable:
    """`*rest` with the elements whose numbers are not among `wanted` made constants."""

    def rest(x):
        raise NotImplementedError

    overload(rest)(lambda x: _node(x, [k not in wanted for k in range(len(x))]))
    cpu_target.typing_context.refresh()  # the function that takes the arguments is half compiled already
    return rest


@overload(constant)
def _constant(x):
    if isinstance(x, types.Array) and isinstance(x.dtype, types.Float):
        return _array(x)
    if structs.is_node(x) and not isinstance(x, types.NoneType):
        return _node(x, [True] * len(structs.children(x)))
    return lambda x: x


def _array(kind):
    """A copy, in memory that nothing makes active."""
    empty = empty_like_of(kind.dtype)

    def implementation(x):
        out = empty(x)
        source, target = flat(x), flat(out)
        for e in range(source.size):
            target[e] = constant(source[e])
        return frozen(out)

    return implementation


def _node(kind, chosen):
    """A tuple or struct built anew, with `constant` of the chosen children."""
    namespace: dict[str, object] = {"constant": constant}
    parts = [
        f"constant({path})" if is_chosen else path
        for (_, path), is_chosen in zip(structs.children(kind, "x"), chosen, strict=True)
    ]
    listing = "".join(f"{part}, " for part in parts)
    text = f"({listing})"
    if isinstance(kind, structs.StructType):
        names = kind.names
        namespace["make"] = (
            structs.dict_constructor(names)
            if kind.is_dict
            else structs.plain_constructor(kind.cls, kind.beside)
        )
        text = f"make(({listing}))"
    elif isinstance(kind, types.BaseNamedTuple):
        namespace["make"] = kind.instance_class
        text = f"make({listing})"
    return compile_function("constant_node", f"def constant_node(x):\n    return {text}\n", namespace)
