"""A core function around a compiled one: its arguments are put together from leaves, its result is taken
apart."""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false, reportReturnType=false

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import optree
from llvmlite import ir

import numba
from fwddiff import _tree
from fwddiff._buffers import DiffCache
from fwddiff._capture import has_code
from fwddiff._errors import ArgumentError, PythonOnlyError
from fwddiff._mistakes import argument_names
from fwddiff._native.internals import arrayobj, cgutils
from fwddiff._problem import Problem
from fwddiff._rule import Slot
from fwddiff.engines.numba.frontend import structs
from fwddiff.engines.numba.frontend.buffers import CacheType
from fwddiff.engines.numba.frontend.prepare import Prepared
from fwddiff.engines.numba.language import _arrays, _buffers, _target
from fwddiff.engines.numba.ssa.code import Refused
from fwddiff.engines.numba.ssa.function import Array
from numba import types

_DOUBLE, _BYTE, _INT32 = ir.DoubleType(), ir.IntType(8), ir.IntType(32)
_POINTER = _BYTE.as_pointer()
SYMBOL = "core"


def argument_types(problem: Problem, kept: list[Any]) -> tuple[types.Type, ...]:
    """Types of the compiled function's arguments: what it captures, then its own. Compiled functions among
    them are put into `kept`: their types do not keep them alive."""
    count = problem.arguments.num_leaves + sum(spec.num_leaves for spec in problem.captured)
    slots = iter(problem.inputs)
    leaves = iter(
        [
            _static_type(problem, k, kept) if k in problem.statics else leaf_type(next(slots))
            for k in range(count)
        ]
    )
    own = [_type(spec, leaves) for spec in problem.arguments.children()]
    return (*[_type(spec, leaves) for spec in problem.captured], *own)


def _static_type(problem: Problem, leaf: int, kept: list[Any]) -> types.Type:
    """Text is known when the function is compiled; a function of the user's is compiled as one that is
    called."""
    static = problem.statics[leaf]
    if isinstance(static, enum.Enum):
        return _member_type(problem, leaf, static)
    if isinstance(static, str):
        return types.literal(static)
    if isinstance(static, DiffCache):
        return _buffers.cache_type(static, problem.statics, problem.float_dtype)
    if not callable(static):
        raise ArgumentError(
            f"{problem.name}: argument '{_owner(problem, leaf)}' holds a {type(static).__name__}, which "
            "has no meaning inside a compiled function. Pass numbers, arrays, strings, functions, and "
            "tuples, dicts or dataclasses of them; or use engine='numpy'."
        )
    if not has_code(static):
        return _built_in_type(problem, leaf, static)
    entry = Prepared.of(static, problem.plan.owned)
    kept.append(entry)
    return types.Dispatcher(entry)


def _built_in_type(problem: Problem, leaf: int, function: Any) -> types.Type:
    """Of `math.sin`, `np.exp` and the like, as where the code names them."""
    kind = None
    with contextlib.suppress(ValueError):
        kind = _target.target.typing_context.resolve_value_type(function)
    if kind is None:
        name = getattr(function, "__name__", type(function).__name__)
        raise PythonOnlyError(
            f"{problem.name}: argument '{_owner(problem, leaf)}' is `{name}`, which has no compiled form. "
            "Wrap it in a function that calls it, or use engine='auto' or 'numpy', which run the function as "
            "Python."
        )
    return kind


def _member_type(problem: Problem, leaf: int, member: enum.Enum) -> types.Type:
    kind = None
    with contextlib.suppress(ValueError):  # values of several types
        kind = numba.typeof(member)
    if not isinstance(kind, types.EnumMember):
        raise PythonOnlyError(
            f"{problem.name}: argument '{_owner(problem, leaf)}' is a member of {type(member).__name__}, and "
            "enums are compiled whose values are of one type, numbers. Use engine='auto' or 'numpy', which "
            "run the function as Python."
        )
    return kind


def _owner(problem: Problem, leaf: int) -> str:
    """Name of the argument that holds a leaf."""
    children = problem.arguments.children()
    owners = [k for k, child in enumerate(children) for _ in range(child.num_leaves)]
    return argument_names(problem)[owners[leaf]] if leaf < len(owners) else "captured"


def leaf_type(slot: Slot) -> types.Type:
    """Every float is float64, and integers are Python's own, as far as a kernel can."""
    dtype = slot.dtype
    if slot.core_ndim:
        return _arrays.array_type(slot)
    if dtype.kind == "f":
        return types.float64
    if dtype.kind == "b":
        return types.boolean
    return types.uint64 if dtype.kind == "u" and dtype.itemsize == 8 else types.int64


def has_lists(spec: optree.PyTreeSpec) -> bool:
    """Whether a list, which kernels have as a tuple, is anywhere in these arguments."""
    return spec.type is list or any(map(has_lists, spec.children()))


def _type(spec: optree.PyTreeSpec, leaves: Iterator[types.Type]) -> types.Type:
    if spec.is_leaf():
        return next(leaves)
    if spec.type is None or spec.type is type(None):
        return types.none
    items = tuple(_type(child, leaves) for child in spec.children())
    if spec.type in (tuple, list):
        return types.BaseTuple.from_types(items)
    if spec.type is dict:
        keys = spec.entries()
        if not all(isinstance(key, str) for key in keys):
            raise Refused("a dict has keys that are no text")
        return structs.struct_type(dict, tuple(keys), items)
    if optree.is_namedtuple_class(spec.type):
        return types.BaseTuple.from_types(items, spec.type)
    structs.register(spec.type)
    names = tuple(field.name for field in dataclasses.fields(spec.type))
    held = [beside for _, beside in _tree.beside(spec.one_level())]
    return structs.struct_type(spec.type, names, items, held[0] if held else None)


def leaves_of(kind: types.Type) -> list[types.Type]:
    """Types of the leaves of a result."""
    if structs.is_node(kind):
        return [leaf for child, _ in structs.children(kind) for leaf in leaves_of(child)]
    return [kind]


# --- LLVM's code --------------------------------------------------------------------------------------------


def write_core(context: Any, compiled: Any, kinds: Sequence[types.Type], problem: Problem) -> str:
    """Text of a module with the core function, which calls the compiled one.

    `kinds` are the types of the compiled function's arguments. The core's outputs are double, or the integers
    of the output's slot; a bool is a byte. Of arrays see `ssa.function`.
    """
    module = context.create_module(SYMBOL)
    kinds_of_results = leaves_of(compiled.signature.return_type)
    inputs = [
        kind for slot in problem.inputs for kind in _parameters(_type_in_memory(slot.dtype), slot.core_ndim)
    ]
    ndims = [kind.ndim for kind in kinds_of_results if is_array(kind)]
    places = [kind for ndim in ndims for kind in _parameters(_DOUBLE, ndim)]
    core = ir.Function(module, ir.FunctionType(_INT32, [_POINTER, _POINTER, *inputs, *places]), SYMBOL)
    builder = ir.IRBuilder(core.append_basic_block())
    given = iter(core.args[2:])
    leaves = iter([_leaf(context, builder, given, slot) for slot in problem.inputs])
    statics = [problem.statics[k] for k in sorted(problem.statics)]
    members = iter([static for static in statics if isinstance(static, enum.Enum)])
    # Leaves of arguments come before those of captured values; the compiled function takes these first.
    split = len(problem.captured)
    buffers = _buffers.Made(context, builder)
    own = [_assemble(context, builder, kind, leaves, members, buffers) for kind in kinds[split:]]
    captured = [_assemble(context, builder, kind, leaves, members, buffers) for kind in kinds[:split]]
    callee = context.declare_function(module, compiled.fndesc)
    status, result = context.call_conv.call_function(
        builder, callee, compiled.signature.return_type, kinds, [*captured, *own]
    )
    with builder.if_then(status.is_error):
        buffers.release()
        builder.ret(status.code)
    results = _taken_apart(builder, compiled.signature.return_type, result)
    _store(context, builder, core.args[0], results, given, problem, buffers.release)
    context.nrt.decref(builder, compiled.signature.return_type, result)
    buffers.release()
    builder.ret(_INT32(0))
    return str(module)


def is_array(kind: types.Type) -> bool:
    return isinstance(kind, types.Array) and kind.ndim > 0


def _parameters(kind: Any, ndim: int) -> list[Any]:
    return [_POINTER, *[ir.IntType(64)] * ndim] if ndim else [kind]


def _leaf(context: Any, builder: Any, given: Iterator[Any], slot: Slot) -> Any:
    if not slot.core_ndim:
        return _number(builder, next(given), slot.dtype)
    data, *extents = [next(given) for _ in range(1 + slot.core_ndim)]
    return _arrays.array_of(context, builder, _arrays.array_type(slot), data, extents)


def _type_in_memory(dtype: Any) -> Any:
    if dtype.kind == "f":
        return _DOUBLE
    return ir.IntType(8 * dtype.itemsize)


def output_kind(kind: types.Type, problem: Problem) -> str | Array:
    """A result, as those who read the core describe it."""
    element = str(_output_type(kind, problem))
    return Array(element, kind.ndim) if is_array(kind) else element


def input_kind(slot: Slot) -> str | Array:
    element = str(_type_in_memory(slot.dtype))
    return Array(element, slot.core_ndim) if slot.core_ndim else element


def _output_type(kind: types.Type, problem: Problem) -> Any:
    kind = kind.dtype if isinstance(kind, types.Array) else kind
    if isinstance(kind, types.Float):
        return _DOUBLE
    if isinstance(kind, types.Boolean) and not problem.reduce:
        return _BYTE
    return ir.IntType(8 * problem.integer_dtype.itemsize)


def _number(builder: Any, value: Any, dtype: Any) -> Any:
    """A leaf as the compiled function sees it."""
    if dtype.kind == "f":
        return value
    if dtype.kind == "b":
        return builder.icmp_unsigned("!=", value, value.type(0))
    return _resized(builder, value, ir.IntType(64), dtype.kind == "i")


def _resized(builder: Any, value: Any, target: Any, signed: bool) -> Any:
    if value.type.width > target.width:
        return builder.trunc(value, target)
    if value.type.width < target.width:
        return builder.sext(value, target) if signed else builder.zext(value, target)
    return value


def _assemble(
    context: Any,
    builder: Any,
    kind: types.Type,
    leaves: Iterator[Any],
    members: Iterator[enum.Enum],
    buffers: _buffers.Made,
) -> Any:
    if isinstance(kind, CacheType):
        return buffers.value(kind)
    if isinstance(kind, types.NoneType | types.Omitted | types.Callable):
        return context.get_dummy_value()
    if isinstance(kind, types.StringLiteral):
        return context.get_constant_generic(builder, kind, kind.literal_value)
    if isinstance(kind, types.EnumMember):
        return context.get_constant_generic(builder, kind, next(members))
    if not structs.is_node(kind):
        return next(leaves)
    children = [child for child, _ in structs.children(kind)]
    parts = [_assemble(context, builder, child, leaves, members, buffers) for child in children]
    if isinstance(kind, types.BaseTuple):
        return context.make_tuple(builder, kind, parts)
    proxy = cgutils.create_struct_proxy(kind)(context, builder)
    for name, part in zip(kind.names, parts, strict=True):
        setattr(proxy, name, part)
    return proxy._getvalue()


def _store(
    context: Any, builder: Any, place: Any, results: Any, places: Iterator[Any], problem: Problem, leave: Any
) -> None:
    offset = 0
    for leaf, value in results:
        target = _output_type(leaf, problem)
        if is_array(leaf):
            data, *extents = [next(places) for _ in range(1 + leaf.ndim)]
            convert = functools.partial(_converted, context, builder, leaf.dtype, target)
            _arrays.write(context, builder, leaf, value, data, extents, convert, leave)
            continue
        if isinstance(leaf, types.Array):
            array = arrayobj.make_array(leaf)(context, builder, value)
            leaf, value = leaf.dtype, arrayobj.load_item(context, builder, leaf, array.data)
        value = _converted(context, builder, leaf, target, value)
        size = 8 if target == _DOUBLE else target.width // 8
        offset = -(-offset // size) * size
        address = builder.gep(place, [ir.IntType(64)(offset)], source_etype=_BYTE)
        builder.store(value, builder.bitcast(address, target.as_pointer()))
        offset += size


def _converted(context: Any, builder: Any, kind: Any, target: Any, value: Any) -> Any:
    if isinstance(kind, types.Float):
        return context.cast(builder, value, kind, types.float64)
    return _resized(builder, value, target, isinstance(kind, types.Integer) and kind.signed)


def _taken_apart(builder: Any, kind: Any, value: Any) -> Iterator[tuple[types.Type, Any]]:
    if not structs.is_node(kind):
        # A literal type has the value of what it is a literal of.
        yield types.unliteral(kind), value
        return
    for k, (child, _) in enumerate(structs.children(kind)):
        yield from _taken_apart(builder, child, builder.extract_value(value, k))
