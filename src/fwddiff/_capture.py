"""What a function refers to without having it as an argument: closure cells, globals, `self`, and what hangs on them.

`plan(f)` follows every chain `name.attribute.attribute` in the code of `f` and of the plain functions it calls, and sorts
what it finds:

* *data* (a number, an array, a struct of them): a `Capture`, read anew at each call and treated as an argument;
* a plain function: a `Function` of its own, compiled along, whose captures become those of its caller;
* anything else (modules, classes, builtins) is left to the engine.

A plan stays valid while every chain still leads to the same kind of thing (`Function.current`). Captured values are read by
closures made once, so a call pays for reading alone.
"""

from __future__ import annotations

import dis
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fwddiff import _tree
from fwddiff._errors import CaptureError

Path = tuple[str, tuple[str, ...]]  # name of a cell, global or `self`, and the attributes that follow it

Owned = Callable[[Any], bool]


def _nothing_owned(value: Any) -> bool:
    return False


_LOAD_NAMES = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_CLOSURE")
_FAST_NAMES = ("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK")
_SEARCH_DEPTH = 4
_NUMBERS = (bool, int, float, np.ndarray, np.number, np.bool_)


class Capture(NamedTuple):
    """A captured value: how the user wrote it, how to read it, and whether the code uses it as a table (`y[i]`)."""

    name: str
    read: Callable[[], Any]
    is_table: bool


class Function:
    """A user's function with what it captures.

    `own` maps the paths of this function's data to positions in `captures`; `calls` maps paths of functions to their plans
    and to the positions of their captures.
    """

    def __init__(self, function: Callable, owned: Owned):
        self.original, self.owned = function, owned
        self.bound, self.function = _unbound(function)
        self.captures: list[Capture] = []
        self.own: dict[Path, int] = {}
        self.calls: dict[Path, tuple[Function, list[int]]] = {}
        self.checks: list[tuple[Callable[[], Any], object]] = []

    @property
    def self_name(self) -> str | None:
        return self.function.__code__.co_varnames[0] if self.bound is not None else None

    def lookup(self, path: Path) -> Any:
        """What a chain of names leads to now; `None` if it leads nowhere (a builtin, a local variable)."""
        read = _root_reader(self, path[0])
        value = None if read is None else read()
        for attribute in path[1]:
            value = getattr(value, attribute, None)
        return value

    def reached(self) -> list[types.FunctionType]:
        """This function and all that it calls, each once."""
        found: dict[int, types.FunctionType] = {}
        pending = [self]
        while pending:
            node = pending.pop()
            if id(node.function) not in found:
                found[id(node.function)] = node.function
                pending += [callee for callee, _ in node.calls.values()]
        return list(found.values())

    def fingerprint(self) -> str:
        """Text of all code reached and of the constants it is compiled with; equal in every process."""
        return repr([_code_text(function.__code__) for function in self.reached()] + self._constants())

    def _constants(self) -> list[tuple]:
        constants, seen, pending = [], set(), [self]
        while pending:
            node = pending.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            pending += [callee for callee, _ in node.calls.values()]
            for path in _paths(node.function.__code__, node.self_name):
                if not any((path[0], path[1][:n]) in node.own for n in range(len(path[1]) + 1)):
                    constants.append((path, _constant_text(node.lookup(path))))
            constants.append((node.function.__defaults__, node.function.__kwdefaults__))
        return constants

    def values(self) -> list[Any]:
        return [capture.read() for capture in self.captures]

    def current(self) -> bool:
        """Whether the functions found when planning are still the ones the names lead to."""
        return all(read() is expected for read, expected in self.checks)


def plan(function: Callable, owned: Owned = _nothing_owned) -> Function:
    """Find all that `function` captures. Raises CaptureError where a derivative could be lost.

    `owned` says whether a value is an array of a host.
    """
    return _plan(Function(function, owned), {})


def has_code(function: Any) -> bool:
    """Whether this is a function in Python code, or a method, or a Numba function made from one."""
    return isinstance(_unbound(function)[1], types.FunctionType)


def _unbound(function: Any) -> tuple[Any, Any]:
    """(bound `self` or None, underlying Python function) of a method, callable object, or compiled function."""
    if isinstance(function, types.MethodType):
        return function.__self__, _unbound(function.__func__)[1]
    underlying = getattr(function, "py_func", None) or getattr(function, "__fwddiff_function__", None)
    return (None, function) if underlying is None else _unbound(underlying)


def _plan(node: Function, ongoing: dict[int, Function]) -> Function:
    ongoing[id(node.function)] = node
    tables = _table_paths(node.function.__code__, node.self_name)
    for path in dict.fromkeys(_paths(node.function.__code__, node.self_name)):
        _sort(node, path, path in tables, ongoing)
    _refuse_captures_of_nested(node)
    del ongoing[id(node.function)]
    return node


def _code_text(code: types.CodeType) -> tuple:
    constants = [_code_text(c) if isinstance(c, types.CodeType) else c for c in code.co_consts]
    return code.co_name, code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars


def _constant_text(value: Any) -> str:
    if isinstance(value, types.ModuleType | type | types.FunctionType | types.BuiltinFunctionType | np.ufunc):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', getattr(value, '__name__', ''))}"
    return repr(value) if isinstance(value, str | bytes | type(None)) else type(value).__qualname__


# --- chains of names in the code ----------------------------------------------------------------------------------------


def _chains(code: types.CodeType, self_name: str | None) -> Iterator[tuple[Path, list[dis.Instruction]]]:
    """Each chain of loads with the instructions that follow it."""
    instructions = [
        i
        for i in dis.get_instructions(code)
        if i.opname not in ("CACHE", "PUSH_NULL", "PRECALL", "EXTENDED_ARG")
    ]
    for position, instruction in enumerate(instructions):
        is_self = instruction.opname in _FAST_NAMES and instruction.argval == self_name
        if not is_self and instruction.opname not in _LOAD_NAMES:
            continue
        attributes = []
        after = position + 1
        while after < len(instructions) and instructions[after].opname in ("LOAD_ATTR", "LOAD_METHOD"):
            attributes.append(instructions[after].argval)
            after += 1
        yield (instruction.argval, tuple(attributes)), instructions[after : after + 3]


def _paths(code: types.CodeType, self_name: str | None) -> list[Path]:
    return [path for path, _ in _chains(code, self_name)]


def _table_paths(code: types.CodeType, self_name: str | None) -> set[Path]:
    """Paths that are indexed or iterated over: the whole value is meant, not one element per loop iteration."""
    found = set()
    for path, following in _chains(code, self_name):
        names = [instruction.opname for instruction in following]
        if "GET_ITER" in names[:1] or "BINARY_SUBSCR" in names[1:2] or _is_subscript(following):
            found.add(path)
    return found


def _is_subscript(following: list[dis.Instruction]) -> bool:
    """`value[index]` with a simple index: one load, then the subscript."""
    return len(following) > 1 and following[1].opname == "BINARY_OP" and following[1].argrepr == "[]"


def _nested_codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _nested_codes(constant)


# --- what a chain leads to ----------------------------------------------------------------------------------------------


def _sort(node: Function, path: Path, is_table: bool, ongoing: dict[int, Function]) -> None:
    """Follow one path from its root until it is data or a function."""
    read = _root_reader(node, path[0])
    if read is None:
        return
    name, value = path[0], read()
    for taken in range(len(path[1]) + 1):
        found = (path[0], path[1][:taken])
        if found in node.own or found in node.calls:
            return
        if is_data(value, node.owned):
            node.own[found] = len(node.captures)
            node.captures.append(Capture(name, read, is_table))
            return
        if isinstance(value, types.FunctionType | types.MethodType) or hasattr(value, "py_func"):
            _add_call(node, found, value, read, ongoing)
            return
        if taken == len(path[1]):
            _refuse_hidden_arrays(value, name, node.owned)
            return
        attribute = path[1][taken]
        if not hasattr(value, attribute):
            return
        read, name = _attribute_reader(read, attribute), f"{name}.{attribute}"
        value = getattr(value, attribute)


def _root_reader(node: Function, name: str) -> Callable[[], Any] | None:
    function = node.function
    if name == node.self_name:
        return lambda: node.bound
    if name in function.__code__.co_freevars:
        cell = function.__closure__[function.__code__.co_freevars.index(name)]
        return lambda: _cell_contents(cell, name)
    if name in function.__globals__:
        return lambda: function.__globals__[name]
    return None


def _cell_contents(cell: types.CellType, name: str) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        raise CaptureError(
            f"the captured variable {name!r} has no value yet; assign it before the call."
        ) from None


def _attribute_reader(read: Callable[[], Any], attribute: str) -> Callable[[], Any]:
    return lambda: getattr(read(), attribute)


def is_data(value: Any, owned: Owned) -> bool:
    """Numbers, arrays of any host, and structs of them. Strings and `None` are constants of the code."""
    if isinstance(value, _NUMBERS) or owned(value):
        return True
    return _is_struct(value) and _is_data_tree(value, owned)


def _is_struct(value: Any) -> bool:
    return isinstance(value, tuple | list | dict) or _tree.is_dataclass_instance(value)


def _is_data_tree(value: Any, owned: Owned) -> bool:
    leaves, _ = _tree.flatten(value)
    return bool(leaves) and all(isinstance(leaf, (*_NUMBERS, str)) or owned(leaf) for leaf in leaves)


def _add_call(node: Function, path: Path, value: Any, read: Callable, ongoing: dict[int, Function]) -> None:
    """A function that the code refers to: plan it too and take over its captures."""
    bound, function = _unbound(value)
    if not isinstance(function, types.FunctionType):
        return
    if bound is None:
        node.checks.append((read, value))
    callee = ongoing.get(id(function))
    if callee is None:
        callee = _plan(Function(value, node.owned), ongoing)
        positions = range(len(node.captures), len(node.captures) + len(callee.captures))
        node.captures += callee.captures
        node.checks += callee.checks
        node.calls[path] = callee, list(positions)
    else:
        node.calls[path] = callee, []


# --- captures that cannot be followed -----------------------------------------------------------------------------------


def _refuse_captures_of_nested(node: Function) -> None:
    """Functions defined inside the code: what they capture from outside is not followed, so it must not be data of a host."""
    for code in _nested_codes(node.function.__code__):
        for path in _paths(code, None):
            value = node.lookup(path)
            if value is not None and holds_host_array(value, node.owned):
                raise CaptureError(
                    f"`{'.'.join((path[0], *path[1]))}` is captured by a function defined inside "
                    f"`{node.function.__name__}`, where its derivative would be lost. Pass it to the inner function as an argument."
                )


def _refuse_hidden_arrays(value: Any, name: str, owned: Owned) -> None:
    if not isinstance(value, types.ModuleType | type) and holds_host_array(value, owned):
        raise CaptureError(
            f"`{name}` is used as a whole object of type {type(value).__name__} and holds arrays of a framework, whose "
            "derivatives would be lost. Refer to the array itself (`name.attribute`), or pass it as an argument."
        )


def holds_host_array(value: Any, owned: Owned, depth: int = _SEARCH_DEPTH) -> bool:
    """Whether an array of a host is found in this value, its containers and its attributes."""
    if (
        isinstance(value, str | bytes | int | float | np.ndarray | np.generic | types.ModuleType | type)
        or value is None
    ):
        return False
    if owned(value):
        return True
    if depth == 0 or isinstance(value, types.FunctionType | types.BuiltinFunctionType):
        return False
    return any(holds_host_array(part, owned, depth - 1) for part in _parts(value))


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    else:
        yield from getattr(value, "__dict__", {}).values()
        for cls in type(value).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, slot):
                    yield getattr(value, slot)
