"""Structs in kernels: dataclasses, dicts with string keys, and how results come apart into leaves.

A dataclass becomes a Numba type of its own per class and field types; it is constructed, read, passed,
returned, and its methods are compiled when first used. Nothing is boxed: a struct lives in registers.
"""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import dataclasses
import functools
import inspect
import operator
from collections.abc import Callable

from fwddiff import _capture
from fwddiff._beside import Beside, is_recomputed, refusal
from fwddiff._classes import init_only, own_construction
from fwddiff._errors import CompileError
from fwddiff._native.internals import (
    AbstractTemplate,
    AttributeTemplate,
    cgutils,
    cpu_target,
    impl_ret_borrowed,
    infer,
    lower_getattr_generic,
)
from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.inner import means
from fwddiff.engines.numba.frontend.options import overload
from numba import types
from numba.extending import (
    infer_getattr,
    intrinsic,
    lower_builtin,
    lower_cast,
    models,
    overload_attribute,
    overload_method,
    register_model,
)


class StructType(types.Type):
    """Numba type of a dataclass instance with fields of these types and, `beside` them, what is known."""

    def __init__(
        self, cls: type, names: tuple[str, ...], fields: tuple[types.Type, ...], beside: Beside | None
    ):
        self.cls, self.names, self.fields, self.beside = cls, names, fields, beside
        self.is_dict = cls is dict
        self.keys_of_dict = names if self.is_dict else None
        listing = ", ".join(f"{name}: {field}" for name, field in zip(names, fields, strict=True))
        name = f"{cls.__module__}.{cls.__qualname__}#{id(cls)}.{_version(cls)}"
        super().__init__(name=f"{name}({listing}){'' if beside is None else beside}")

    def unify(self, context, other):
        """Two branches may return structs whose fields unify."""
        if not self.is_like(other):
            return None
        fields = tuple(context.unify_pairs(a, b) for a, b in zip(self.fields, other.fields, strict=True))
        return None if None in fields else struct_type(self.cls, self.names, fields, self.beside)

    def is_like(self, other) -> bool:
        is_struct = isinstance(other, StructType)
        return is_struct and (other.cls, other.names, other.beside) == (self.cls, self.names, self.beside)

    def can_convert_to(self, context, other):
        if not self.is_like(other):
            return None
        kinds = [context.can_convert(a, b) for a, b in zip(self.fields, other.fields, strict=True)]
        return None if None in kinds else max(kinds)

    def emitted(self, context, sig):
        """What Numba calls to write a call of an instance: its class's `__call__`."""
        method = context.typing_context.resolve_getattr(self, "__call__")
        return context.get_function(method, sig)


class _StructModel(models.StructModel):
    def __init__(self, manager, struct):
        super().__init__(manager, struct, list(zip(struct.names, struct.fields, strict=True)))


def _numba_class(cls: type) -> type[StructType]:
    """Class of the Numba types of a dataclass: one each, because Numba finds methods by this class and the
    name; another once the class's methods, or what they name, have changed."""
    return _numba_class_of(cls, _version(cls))


@functools.cache
def _numba_class_of(cls: type, version: int) -> type[StructType]:
    numba_class = type(f"{cls.__name__}Type", (StructType,), {})
    register_model(numba_class)(_StructModel)
    return numba_class


def struct_type(
    cls: type, names: tuple[str, ...], fields: tuple[types.Type, ...], beside: Beside | None = None
) -> StructType:
    """Numba type of an instance of `cls` with fields of these types. Raises `CompileError` where an
    attribute of the instance hides a method."""
    if beside is not None:
        for name in (*beside.carried, *beside.lost):
            if callable(getattr(cls, name, None)) or hasattr(getattr(cls, name, None), "__get__"):
                raise CompileError(refusal(cls, name))
    return _numba_class(cls)(cls, names, fields, beside)


@infer_getattr
class _Fields(AttributeTemplate):
    key = StructType

    def generic_resolve(self, struct, attribute):
        if attribute in struct.names:
            return struct.fields[struct.names.index(attribute)]
        if struct.beside is None:
            return None
        if attribute in struct.beside.lost or attribute == "__dict__":
            raise CompileError(refusal(struct.cls, attribute))
        if attribute in struct.beside.carried:
            return _type_of_carried(struct.cls, attribute, struct.beside.carried[attribute])
        return None


def _type_of_carried(cls: type, name: str, value: object) -> types.Type:
    """Text and numbers are part of the type, so questions about them are answered once."""
    if value is None:
        return types.none
    if isinstance(value, bool):
        return types.boolean
    if type(value) in (int, str):
        return types.literal(value)
    raise CompileError(
        f"`{name}` of {cls.__qualname__} is a {type(value).__name__}, which kernels do not have."
    )


@lower_getattr_generic(StructType)
def _get_field(context, builder, struct, value, attribute):
    if attribute not in struct.names:
        held = struct.beside.carried[attribute]
        kind = _type_of_carried(struct.cls, attribute, held)
        return context.get_constant_generic(builder, types.unliteral(kind), held)
    position = struct.names.index(attribute)
    found = builder.extract_value(value, position)
    return impl_ret_borrowed(context, builder, struct.fields[position], found)


@lower_cast(StructType, StructType)
def _cast_struct(context, builder, source, target, value):
    proxy = cgutils.create_struct_proxy(target)(context, builder)
    for k, (name, kind) in enumerate(zip(source.names, source.fields, strict=True)):
        setattr(proxy, name, context.cast(builder, builder.extract_value(value, k), kind, target.fields[k]))
    return impl_ret_borrowed(context, builder, target, proxy._getvalue())


def refuse_own_construction(cls: type) -> None:
    """Raises `CompileError` where a class that is called does more than to fill its fields."""
    own = own_construction(cls)
    if own is not None:
        raise CompileError(
            f"{cls.__qualname__} has {own}, which a kernel would not run. Make instances by a function "
            "instead, or use engine='numpy'."
        )


# Whether a class is what it was when it was registered, and how many times it has been.
_registered: dict[type, tuple[Callable[[], bool] | None, int]] = {}


def _version(cls: type) -> int:
    return _registered[cls][1] if cls in _registered else 0


def register(cls: type) -> None:
    """Teach Numba this dataclass: its constructor, its properties and its methods."""
    current, version = _registered.get(cls, (None, 0))
    if version and (current is None or current()):
        return
    _registered[cls] = _capture.guard_parts([cls], means().owned), version + 1
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        if _is_method(member) and _is_called_by_name(name):
            _register_method(cls, name, member)
        elif isinstance(member, staticmethod | classmethod) and not name.startswith("__"):
            _register_method(cls, name, getattr(cls, name), takes_self=False)
        elif isinstance(member, property) and member.fget is not None:
            _register_property(cls, name, member.fget)
        elif is_recomputed(cls, member):
            _register_property(cls, name, member.func)
    refresh()


def _is_method(member: object) -> bool:
    """Whether this is a function, wrapped or not, that instances have as a method."""
    return inspect.isfunction(member) or hasattr(type(member), "__fwddiff_meaning__")


def methods(cls: type) -> list[Callable]:
    """What `register` makes methods of."""
    found = [(name, inspect.getattr_static(cls, name)) for name in dir(cls)]
    return [member for name, member in found if _is_method(member) and _is_called_by_name(name)]


def _is_called_by_name(name: str) -> bool:
    return not name.startswith("__") or name == "__call__"


def constructor(cls: type) -> Callable:
    """What kernels call instead of the class. Numba keeps what a function has once been compiled to, so it is
    another function once the class has changed."""
    register(cls)
    return _constructor(cls, _version(cls))


def class_made(function: object) -> object:
    """The class that this is a constructor of; what is none, as it is."""
    return getattr(getattr(function, "py_func", function), "__fwddiff_class__", function)


@functools.cache
def _constructor(cls: type, version: int) -> Callable:
    def construct():
        raise NotImplementedError

    construct.__fwddiff_class__ = cls

    construct.__name__ = construct.__qualname__ = cls.__name__
    _register_constructor(cls, construct)
    refresh()
    return construct


def refresh() -> None:
    """A function may be half compiled already when its class is met."""
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def _register_constructor(cls: type, stand_in: Callable) -> None:
    fields = dataclasses.fields(cls)
    names = tuple(field.name for field in fields)
    namespace: dict[str, object] = {"build": _constructor_of(cls, names)}
    parameters = []
    for field in fields:
        default = field.default
        if default is dataclasses.MISSING:
            parameters.append(field.name)
        else:
            namespace[f"default_{field.name}"] = default
            parameters.append(f"{field.name}=default_{field.name}")
    parameters += [f"{name}=None" for name in init_only(cls)]  # for checks, which kernels leave out
    values = "".join(f"{name}, " for name in names)
    text = f"def implementation({', '.join(parameters)}):\n    return build(({values}))\n"
    implementation = compile_function("implementation", text, namespace)
    typer = compile_function(
        "typer",
        f"def typer({', '.join(parameters)}):\n    return implementation\n",
        namespace | {"implementation": implementation},
    )
    overload(stand_in)(typer)


def method_dispatcher(member):
    """The compiled form of a method, which may not capture data."""
    now = means()
    plan = _capture.plan(member, now.owned)
    if plan.captures:
        raise CompileError(
            f"method {member.__qualname__} captures `{plan.captures[0].name}`; methods of structs cannot "
            "capture values. "
            "Make it a field or an argument."
        )
    return now.compile_plan(plan)


def _register_method(cls: type, name: str, member, takes_self: bool = True) -> None:
    if not hasattr(member, "__code__"):
        return  # of a class of Python's own
    parameters = list(inspect.signature(member).parameters.values())
    own = parameters[1:] if takes_self else parameters
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.KEYWORD_ONLY) for p in own):
        return
    defaults = {f"default_{p.name}": p.default for p in own if p.default is not p.empty}
    declared = [
        "struct",
        *(f"{p.name}=default_{p.name}" if p.default is not p.empty else p.name for p in own),
    ]
    passed = ["struct"] * takes_self + [p.name for p in own]
    text = f"def typer({', '.join(declared)}):\n    return make() if struct.cls is cls else None\n"
    body = f"def method({', '.join(declared)}):\n    return compiled({', '.join(passed)})\n"

    def make():
        return compile_function("method", body, defaults | {"compiled": method_dispatcher(member)})

    typer = compile_function("typer", text, defaults | {"make": make, "cls": cls})
    overload_method(_numba_class(cls), name)(typer)


def _register_property(cls: type, name: str, getter) -> None:
    def typer(struct):
        if struct.cls is not cls:
            return None
        compiled = method_dispatcher(getter)
        return lambda struct: compiled(struct)

    overload_attribute(_numba_class(cls), name)(typer)


# --- operators ----------------------------------------------------------------------------------------------

_UNARY = {operator.neg: "__neg__", operator.pos: "__pos__", abs: "__abs__", len: "__len__", bool: "__bool__"}
_BINARY = {
    getattr(operator, name.strip("_")): (f"__{name.strip('_')}__", f"__r{name.strip('_')}__")
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
} | {
    operator.getitem: ("__getitem__", ""),
    **{getattr(operator, name): (f"__{name}__", "") for name in ("eq", "ne", "lt", "le", "gt", "ge")},
}


def _written_method(kind, name: str):
    """The compiled form of an operator that the user wrote for this class."""
    member = getattr(kind.cls, name, None) if isinstance(kind, StructType) and not kind.is_dict else None
    written = inspect.isfunction(member) and not member.__code__.co_filename.startswith("<")
    return method_dispatcher(member) if written else None


def _register_unary(function, name: str) -> None:
    def typer(a):
        compiled = _written_method(a, name)
        return None if compiled is None else lambda a: compiled(a)

    overload(function)(typer)


def _register_binary(function, name: str, reflected: str) -> None:
    def typer(a, b):
        compiled = _written_method(a, name)
        if compiled is not None:
            return lambda a, b: compiled(a, b)
        mirrored = _written_method(b, reflected) if reflected else None
        return None if mirrored is None else lambda a, b: mirrored(b, a)

    overload(function)(typer)
    in_place = getattr(operator, f"i{name.strip('_')}", None) if reflected else None
    if in_place is not None:
        overload(in_place)(typer)


def register_operators() -> None:
    """Teach Numba the operators of all dataclasses."""
    for function, name in _UNARY.items():
        _register_unary(function, name)
    for function, (name, reflected) in _BINARY.items():
        _register_binary(function, name, reflected)


# --- dicts: read with constant string keys ------------------------------------------------------------------


def dict_constructor(keys: tuple[str, ...]):
    """Intrinsic `values tuple → struct that is read like a dict`."""
    construct = _constructor_of(dict, keys)
    construct.keys_of_dict = keys
    return construct


def class_of_dicts() -> type[StructType]:
    """Class of the Numba types of all dicts."""
    return _numba_class(dict)


def plain_constructor(cls: type, beside: Beside | None = None):
    """Intrinsic `values tuple → dataclass struct`, whatever the class's own `__init__` does."""
    register(cls)
    return _constructor_of(cls, tuple(field.name for field in dataclasses.fields(cls)), beside)


def _constructor_of(cls: type, names: tuple[str, ...], beside: Beside | None = None):
    @intrinsic
    def construct(typing_context, values):
        struct = struct_type(cls, names, tuple(map(types.unliteral, values.types)), beside)

        def codegen(context, builder, signature, arguments):
            proxy = cgutils.create_struct_proxy(struct)(context, builder)
            given = zip(
                names, values.types, struct.fields, cgutils.unpack_tuple(builder, arguments[0]), strict=True
            )
            for name, source, kind, value in given:
                setattr(proxy, name, context.cast(builder, value, source, kind))
            return impl_ret_borrowed(context, builder, struct, proxy._getvalue())

        return struct(values), codegen

    return construct


@infer
class _DictItem(AbstractTemplate):
    key = "static_getitem"

    def generic(self, arguments, keywords):
        struct, index = arguments
        if isinstance(struct, StructType) and struct.is_dict and index in struct.names:
            return struct.fields[struct.names.index(index)](*arguments)
        return None


@lower_builtin("static_getitem", StructType, types.StringLiteral)
@lower_builtin("static_getitem", StructType, types.Any)
def _get_item(context, builder, signature, arguments):
    struct, index = signature.args[0], arguments[1]
    if not struct.is_dict:
        raise NotImplementedError  # and the class's own `__getitem__` is called
    position = struct.names.index(index)
    found = builder.extract_value(arguments[0], position)
    return impl_ret_borrowed(context, builder, struct.fields[position], found)


# --- results: nested tuples and structs as one flat tuple of leaves -----------------------------------------


def flat_result(result):
    """`nested result → flat tuple of leaves` inside kernels."""
    raise NotImplementedError


@overload(flat_result)
def _flat_result(result):
    text = (
        "def flat_result(result):\n    return ("
        + "".join(f"{leaf}, " for leaf in _leaf_texts(result, "result"))
        + ")\n"
    )
    return compile_function("flat_result", text, {})


def _leaf_texts(kind, text: str) -> list[str]:
    return (
        [leaf for child, path in children(kind, text) for leaf in _leaf_texts(child, path)]
        if is_node(kind)
        else [text]
    )


def is_node(kind) -> bool:
    return isinstance(kind, types.BaseTuple | types.NoneType | StructType)


def children(kind, text: str = "") -> list[tuple[types.Type, str]]:
    """Types of a node's children and the expressions that read them."""
    if isinstance(kind, types.NoneType):
        return []
    if isinstance(kind, StructType):
        return [(field, f"{text}.{name}") for name, field in zip(kind.names, kind.fields, strict=True)]
    return [(child, f"{text}[{k}]") for k, child in enumerate(kind.types)]
