"""Structs made of others: `dataclasses.replace(p, x=1.0)`, `pair._replace(x=1.0)`, `pair._asdict()`,
`dataclasses.asdict(p)` and `astuple(p)`."""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

from fwddiff._errors import CompileError
from fwddiff.engines.numba.frontend import named_tuples, structs
from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.options import overload
from numba import types

_Fields = dict[str, str]  # names of fields to expressions


@functools.cache
def replaced(names: tuple[str, ...], of_tuple: bool) -> Callable:
    """`(struct, values of these fields…) → struct`, of NamedTuples or of dataclasses."""

    def replace():
        raise NotImplementedError  # a name for the overload below: compiled code alone calls it

    parameters = ", ".join(["struct", *names])

    def implementation(struct: Any) -> Callable | None:
        is_known = isinstance(struct, types.BaseNamedTuple) if of_tuple else _is_dataclass(struct)
        fields = _fields(struct) if is_known else {}
        if not is_known or not set(names) <= set(fields):
            return None
        text = _built(fields | {name: name for name in names})
        namespace = {"build": _constructor(struct)}
        return compile_function("replace", f"def replace({parameters}):\n    return {text}\n", namespace)

    text = f"def typer({parameters}):\n    return implementation(struct)\n"
    overload(replace)(compile_function("typer", text, {"implementation": implementation}))
    structs.refresh()  # who calls it is half compiled already
    return replace


def _is_dataclass(kind: Any) -> bool:
    return isinstance(kind, structs.StructType) and not kind.is_dict


def _fields(kind: Any) -> _Fields:
    names = kind.fields if isinstance(kind, types.BaseNamedTuple) else kind.names
    return {name: f"struct.{name}" for name in names}


def _built(fields: _Fields) -> str:
    return f"build(({''.join(f'{text}, ' for text in fields.values())}))"


def _constructor(kind: Any) -> Callable:
    if isinstance(kind, types.BaseNamedTuple):
        return named_tuples.from_fields(kind.instance_class)
    structs.refuse_own_construction(kind.cls)
    if not all(field.init for field in dataclasses.fields(kind.cls)):
        raise CompileError(f"{kind.cls.__qualname__} has fields that its constructor does not take")
    return structs.plain_constructor(kind.cls)


def as_dict(struct):
    """`pair._asdict()` inside kernels, by its overload."""
    raise NotImplementedError  # compiled code alone calls it


@overload(as_dict)
def _as_dict(struct):
    is_known = isinstance(struct, types.BaseNamedTuple)
    return _taken_apart(struct, _dict_text, deep=False) if is_known else None


@overload(dataclasses.asdict)
def _dataclass_as_dict(obj):
    return _taken_apart(obj, _dict_text, deep=True) if _is_dataclass(obj) else None


@overload(dataclasses.astuple)
def _dataclass_as_tuple(obj):
    return _taken_apart(obj, _tuple_text, deep=True) if _is_dataclass(obj) else None


_Text = Callable[[Sequence[str], Sequence[str], dict[str, Any]], str]


def _dict_text(names: Sequence[str], texts: Sequence[str], namespace: dict[str, Any]) -> str:
    name = f"dict_{len(namespace)}"
    namespace[name] = structs.dict_constructor(tuple(names))
    return f"{name}(({''.join(f'{text}, ' for text in texts)}))"


def _tuple_text(names: Sequence[str], texts: Sequence[str], namespace: dict[str, Any]) -> str:
    return f"({''.join(f'{text}, ' for text in texts)})"


def _taken_apart(kind: Any, write: _Text, deep: bool) -> Callable | None:
    """Python copies lists and dicts in fields too, and dataclasses in them: those are left to it."""
    namespace: dict[str, Any] = {}

    def text_of(kind: Any, text: str) -> str:
        names = kind.fields if isinstance(kind, types.BaseNamedTuple) else kind.names
        parts = structs.children(kind, text)
        return write(
            names, [part(child, f"{text}.{n}") for n, (child, _) in zip(names, parts, strict=True)], namespace
        )

    def part(kind: Any, text: str) -> str:
        return text_of(kind, text) if deep and _is_dataclass(kind) else text

    if deep and not _has_plain_fields(kind):
        return None
    name = "obj" if deep else "struct"
    return compile_function("apart", f"def apart({name}):\n    return {text_of(kind, name)}\n", namespace)


def _has_plain_fields(kind: Any) -> bool:
    return all(
        isinstance(field, types.Number | types.Boolean | types.UnicodeType | types.StringLiteral)
        or (_is_dataclass(field) and _has_plain_fields(field))
        for field in kind.fields
    )
