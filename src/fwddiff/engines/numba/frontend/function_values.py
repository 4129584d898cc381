"""Functions defined inside as values: what they refer to, and the compiled form of their code.

A lambda that is handed to a helper, put into a tuple or returned is a struct of the values it refers to, of a
type that says which code it is. So the helper is compiled for that function, as for the type of any other
argument, and a call of it is a direct call, which LLVM can put in its place.
"""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import inspect
from collections.abc import Sequence
from types import CodeType
from typing import Any, NamedTuple

from fwddiff._errors import CompileError
from fwddiff._native.internals import cgutils, errors, impl_ret_borrowed, ir, signature
from numba import types
from numba.extending import intrinsic, models, register_model

# A function that hands on a new function which holds its own would need a type for each depth.
_DEEPEST = 8


class Form(NamedTuple):
    """The compiled form of a function, the user's parameters, and which of these have defaults."""

    dispatcher: Any
    parameters: tuple[str, ...]
    defaults: tuple[str, ...]


class FunctionValueType(types.Callable):
    """Numba type of a function defined inside, for the types of what it refers to.

    `parts`: types of the values that come first among the parameters of the compiled form, and then of those
    that its `defaults` have.
    """

    def __init__(self, code: CodeType, form: Form, parts: Sequence[types.Type]):
        self.code, self.parts = code, tuple(parts)
        self.dispatcher, self.parameters, self.defaults = form
        self.depth = 1 + max((getattr(part, "depth", 0) for part in parts), default=0)
        kinds = ", ".join(map(str, parts))
        super().__init__(f"function {code.co_name}#{id(self.dispatcher)}({kinds})")

    @property
    def inner(self) -> types.Type:
        return types.Dispatcher(self.dispatcher)

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        given = self._bound(args, dict(kws))
        found = context.resolve_function_type(self.inner, self._types(given), {})
        if found is None:
            return None
        own = found.args[len(self.parts) - len(self.defaults) :]
        kinds = [kind for name, kind in zip(self.parameters, own, strict=True) if name in given]
        pysig = inspect.Signature([_parameter(name) for name in self.parameters if name in given])
        return signature(found.return_type, *kinds, recvr=self).replace(pysig=pysig)

    def get_call_signatures(self) -> Any:
        return (), True

    def get_impl_key(self, sig: Any) -> Any:
        return type(self)

    def can_convert_to(self, typingctx: Any, other: Any) -> Any:
        return None

    def _bound(self, args: Sequence[Any], kws: dict[str, Any]) -> dict[str, Any]:
        """Arguments by the names of parameters, as Python binds them."""
        code, names = self.code, self.parameters
        bound = dict(zip(names, args, strict=False)) | kws
        twice = len(bound) < len(args) + len(kws)
        missing = set(names) - set(bound) - set(self.defaults)
        if (
            twice
            or missing
            or not set(bound) <= set(names)
            or set(kws) & set(code.co_varnames[: code.co_posonlyargcount])
        ):
            raise errors.TypingError(f"{code.co_name}() is called with other arguments than it takes")
        return bound

    def _types(self, given: dict[str, Any]) -> tuple[types.Type, ...]:
        """Of all arguments of the compiled form."""
        count = len(self.parts) - len(self.defaults)
        defaults = dict(zip(self.defaults, self.parts[count:], strict=True))
        return (*self.parts[:count], *[(defaults | given)[name] for name in self.parameters])

    def emitted(self, context: Any, sig: Any) -> Any:
        """What Numba calls to write a call of a value of this type."""
        names = list(sig.pysig.parameters)
        kinds = self._types(dict(zip(names, sig.args, strict=True)))
        found = context.typing_context.resolve_function_type(self.inner, kinds, {})
        function = context.get_function(self.inner, found)
        context.add_linking_libs(getattr(function, "libs", ()))
        count = len(self.parts) - len(self.defaults)

        def call(builder: Any, args: Any, loc: Any = None) -> Any:
            parts = [builder.extract_value(args[0], k) for k in range(len(self.parts))]
            named = dict(zip(self.defaults, parts[count:], strict=True)) | dict(
                zip(names, args[1:], strict=True)
            )
            values = [*parts[:count], *[named[name] for name in self.parameters]]
            passed = [
                context.cast(builder, value, kind, wanted)
                for value, kind, wanted in zip(values, kinds, found.args, strict=True)
            ]
            return function(builder, passed)

        return call


def _parameter(name: str) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@register_model(FunctionValueType)
class _Model(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [(f"part_{k}", part) for k, part in enumerate(kind.parts)])


def made(scope: Any, loc: Any, code: CodeType, form: Form, values: Sequence[Any]) -> tuple[Any, dict]:
    """The expression for a function value of what these variables hold, and what it needs: variables with
    their expressions."""
    make, packed = scope.redefine("$make_value", loc), scope.redefine("$values", loc)
    before = {
        make: ir.Global("make", _maker(code, form), loc),
        packed: ir.Expr.build_tuple(list(values), loc),
    }
    return ir.Expr.call(make, [packed], (), loc), before


def _maker(code: CodeType, form: Form):
    """Intrinsic `tuple of values → function value`."""

    @intrinsic
    def make(typing_context, values):
        kind = FunctionValueType(code, form, tuple(map(_kept, values.types)))
        if kind.depth > _DEEPEST:
            raise CompileError(
                f"`{code.co_name}` refers to a function that refers to a function, and so on, deeper with "
                "each call: compiled code has no type for that. Use engine='numpy'."
            )

        def codegen(context, builder, signature, arguments):
            made = cgutils.create_struct_proxy(kind)(context, builder)
            given = zip(values.types, kind.parts, cgutils.unpack_tuple(builder, arguments[0]), strict=True)
            for k, (source, wanted, value) in enumerate(given):
                setattr(made, f"part_{k}", context.cast(builder, value, source, wanted))
            return impl_ret_borrowed(context, builder, kind, made._getvalue())

        return kind(values), codegen

    return make


def _kept(kind: types.Type) -> types.Type:
    return kind if isinstance(kind, types.StringLiteral) else types.unliteral(kind)
