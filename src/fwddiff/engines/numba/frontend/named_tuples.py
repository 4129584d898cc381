"""NamedTuples in kernels: their defaults, methods and properties, and how two of them meet.

NamedTuples meet field by field, as tuples do: at the end of a branch, around a loop, in `return`. Numba's
own have no common type unless all their fields are alike: `Pair(1, 0.5)` and `Pair(0.5, 1)` differ.
"""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

import functools
import inspect
from typing import Any

from fwddiff._native.internals import AbstractTemplate, AttributeTemplate, cgutils, cpu_target, infer_getattr
from fwddiff.engines.numba.frontend import structs
from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.inner import compiled, is_ours
from fwddiff.engines.numba.frontend.options import INLINED
from numba import types
from numba.extending import lower_builtin, lower_cast, lower_getattr


def _are_alike(a, b) -> bool:
    return isinstance(b, types.BaseNamedTuple) and a.instance_class is b.instance_class and is_ours()


def _unify(self, context, other):
    if not _are_alike(self, other):
        return None
    fields = [context.unify_pairs(a, b) for a, b in zip(self, other, strict=True)]
    return None if None in fields else types.BaseTuple.from_types(fields, self.instance_class)


def _can_convert_to(self, context, other):
    if not _are_alike(self, other):
        return None
    kinds = [context.can_convert(a, b) for a, b in zip(self, other, strict=True)]
    return None if None in kinds else max(kinds)


@lower_cast(types.BaseNamedTuple, types.BaseNamedTuple)
def _cast(context, builder, source, target, value):
    items = cgutils.unpack_tuple(builder, value, len(source))
    fields = [context.cast(builder, item, a, b) for item, a, b in zip(items, source, target, strict=True)]
    return context.make_tuple(builder, target, fields)


@lower_cast(types.BaseNamedTuple, types.UniTuple)
def _to_plain(context, builder, source, target, value):
    items = cgutils.unpack_tuple(builder, value, len(source))
    cast = [context.cast(builder, item, a, target.dtype) for item, a in zip(items, source, strict=True)]
    return context.make_tuple(builder, target, cast)


# --- methods and properties ---------------------------------------------------------------------------------


@infer_getattr
class _Members(AttributeTemplate):
    key = types.BaseNamedTuple

    def generic_resolve(self, kind, attribute):
        member = inspect.getattr_static(kind.instance_class, attribute, None)
        if not is_ours() or attribute.startswith("_") or attribute in kind.fields:
            return None
        if inspect.isfunction(member) or isinstance(member, staticmethod | classmethod):
            return types.BoundFunction(_method_of(kind.instance_class, attribute), kind)
        if isinstance(member, property):
            _lower_property(attribute)
            return _property_call(self.context, kind, attribute)[1].return_type
        return None


@functools.cache
def _method_of(cls: type, name: str) -> type[AbstractTemplate]:
    """Numba's template of one method, which calls its compiled form."""
    takes_self = inspect.isfunction(inspect.getattr_static(cls, name))
    compiled = types.Dispatcher(structs.method_dispatcher(getattr(cls, name)))

    class Method(AbstractTemplate):
        key = (cls, name)

        def generic(self, args, kws):
            given = (self.this, *args) if takes_self else args
            found = self.context.resolve_function_type(compiled, given, kws)
            if found is None or takes_self:
                return found and found.as_method()
            return found.replace(recvr=self.this)

    @lower_builtin(Method.key, types.BaseNamedTuple, types.VarArg(types.Any))
    def call(context, builder, sig, args):
        own = sig if takes_self else sig.replace(args=sig.args[1:])
        function = context.get_function(compiled, own)
        context.add_linking_libs(getattr(function, "libs", ()))
        return function(builder, args if takes_self else args[1:])

    cpu_target.target_context.refresh()
    return Method


def _property_call(typing_context, kind, attribute):
    """Numba's type of the compiled getter, and the signature of its call."""
    getter = inspect.getattr_static(kind.instance_class, attribute).fget
    compiled = types.Dispatcher(structs.method_dispatcher(getter))
    return compiled, typing_context.resolve_function_type(compiled, (kind,), {})


@functools.cache
def _lower_property(attribute: str) -> None:
    @lower_getattr(types.BaseNamedTuple, attribute)
    def get(context, builder, kind, value):
        if attribute in kind.fields:  # of another class
            return builder.extract_value(value, kind.fields.index(attribute))
        compiled, signature = _property_call(context.typing_context, kind, attribute)
        function = context.get_function(compiled, signature)
        context.add_linking_libs(getattr(function, "libs", ()))
        return function(builder, (value,))

    cpu_target.target_context.refresh()


# --- construction -------------------------------------------------------------------------------------------


@functools.cache
def constructor(cls: type[Any]) -> Any:
    """The compiled form of the class: Numba's own leaves defaults out, and makes a shorter tuple."""
    defaults = {f"default_{k}": v for k, v in cls._field_defaults.items()}
    namespace: dict[str, object] = {"cls": cls, **defaults}
    parameters = [f"{n}=default_{n}" if n in cls._field_defaults else n for n in cls._fields]
    text = f"def constructor({', '.join(parameters)}):\n    return cls({', '.join(cls._fields)})\n"
    function: Any = compile_function("constructor", text, namespace)
    function.__fwddiff_class__ = cls
    return compiled(function, **INLINED)


def from_fields(cls: type[Any]) -> Any:
    """`tuple of all fields → cls`, compiled."""
    listing = ", ".join(f"values[{k}]" for k in range(len(cls._fields)))
    text = f"def from_fields(values):\n    return cls({listing})\n"
    return compiled(compile_function("from_fields", text, {"cls": cls}), **INLINED)


def register() -> None:
    """Give Numba's NamedTuples the two questions that it asks when types meet."""
    types.BaseNamedTuple.unify = _unify
    types.BaseNamedTuple.can_convert_to = _can_convert_to
