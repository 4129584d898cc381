"""What is data, and where an array of a host may hide."""

from __future__ import annotations

import builtins
import collections
import enum
import functools
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fwddiff import _tree, dual, rules
from fwddiff._buffers import Buffers
from fwddiff._capture._bytecode import nested_codes, uses
from fwddiff._capture._meaning import NOTHING, meaning_of
from fwddiff._capture._names import unbound

Owned = Callable[[Any], bool]

NUMBERS = (bool, int, float, np.ndarray, np.integer, np.floating, np.bool_)
_ATOMS = (
    str,
    bytes,
    bool,
    int,
    float,
    complex,
    np.ndarray,
    np.generic,
    types.ModuleType,
    types.NoneType,
    types.CodeType,
)
_CONTAINERS = (list, tuple, set, frozenset, collections.deque)
_MAPPINGS = (dict, types.MappingProxyType)
_ITERATORS = (zip, map, filter, enumerate, reversed, *{type(iter(box)) for box in ([], (), {}, set(), "")})
_MOST_OBJECTS = 20_000

# Functions of these are left to the engine, their numbers (`math.pi`) are constants.
_FOREIGN = frozenset(
    {
        "numpy",
        "scipy",
        "numba",
        "torch",
        "jax",
        "jaxlib",
        "autograd",
        "tensorflow",
        "pytensor",
        "mlx",
        "fwddiff",
        # `assert` in a module of tests calls pytest's own functions.
        "pytest",
        "_pytest",
    }
) | (sys.stdlib_module_names - {"__main__"})


# What of ours is written as a user would.
_OPEN = ("fwddiff.special.", "fwddiff.stats.", "fwddiff.rules._activations")


def is_ours(module: str | None) -> bool:
    """Whether a module is of ours and written as a user would: its data is constant."""
    return (module or "").startswith(_OPEN)


def is_foreign(module: str | None) -> bool:
    """Whether a module belongs to Python or to a framework: its functions are not looked into."""
    return (module or "").partition(".")[0] in _FOREIGN and not is_ours(module)


def is_data(value: Any, owned: Owned) -> bool:
    """Numbers, duals, arrays of any host, buffers, structs of them. Strings, `None` and members of enums,
    `IntEnum` too, are constants of the code."""
    if isinstance(value, enum.Enum):
        return False
    if isinstance(value, (*NUMBERS, dual.Dual, Buffers)) or owned(value):
        return True
    return is_struct(value) and _is_data_tree(value, owned)


def is_operation(value: Any) -> bool:
    """Whether this is the `broadcast` or `sum` of a wrapped function: it looks after what that captures."""
    return hasattr(type(value), "__fwddiff_operation__")


def looks_after(function: types.FunctionType) -> types.FunctionType:
    """Marks a plain function that looks after what the functions behind it capture, as an operation does."""
    function.__fwddiff_looks_after__ = True  # type: ignore[attr-defined]
    return function


def is_looked_after(value: Any) -> bool:
    """Whether nothing that hides behind this value can lose its derivative."""
    is_marked = isinstance(value, types.FunctionType) and hasattr(value, "__fwddiff_looks_after__")
    return is_marked or is_operation(value)


def is_struct(value: Any) -> bool:
    """Containers that are taken apart into leaves."""
    return isinstance(value, tuple | list | dict) or _tree.is_dataclass_instance(value)


def _is_data_tree(value: Any, owned: Owned) -> bool:
    leaves, spec = _tree.flatten(value)
    # A struct that holds more than fields is an object like others, of which attributes are read by name.
    return (
        bool(leaves)
        and not _tree.beside(spec)
        and all(isinstance(leaf, (*NUMBERS, dual.Dual, Buffers, str)) or owned(leaf) for leaf in leaves)
    )


def holds_host_array(value: Any, owned: Owned) -> bool:
    """Whether an array of a host can be reached: through containers, attributes, closures, iterators.

    The search ends after some thousand objects, far more than what functions usually refer to.
    """
    pending, seen = [value], {}
    while pending and len(seen) < _MOST_OBJECTS:
        part = pending.pop()
        if (isinstance(part, _ATOMS) and not _is_object_array(part)) or id(part) in seen:
            continue
        if owned(part):
            return True
        seen[id(part)] = part
        pending += _parts(part, owned)
    return False


def held_rule(value: Any) -> str | None:
    """Name of a function with a rule of its own in a container or `functools.partial`, where no code names
    it."""
    return next((getattr(part, "__name__", repr(part)) for part in _inside(value) if has_rule(part)), None)


def held_functions(value: Any) -> list[Any]:
    """Functions of the user's, or of `math`, in a container: no code names them."""
    return [
        part
        for part in _inside(value)
        if (isinstance(part, types.FunctionType) and not is_foreign(part.__module__))
        or (isinstance(part, types.BuiltinFunctionType) and part.__module__ == "math")
    ]


def _inside(value: Any) -> Iterator[Any]:
    """What is in a container or `functools.partial`, at any depth."""
    pending, seen = list(_members(value)), set()
    while pending and len(seen) < _MOST_OBJECTS:
        part = pending.pop()
        if isinstance(part, _ATOMS) or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        pending += _members(part)


def _members(value: Any) -> list[Any]:
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, _MAPPINGS):
        return list(value.values())
    return list(value) if isinstance(value, _CONTAINERS) else []


def has_rule(function: Any) -> bool:
    """Whether calling this does something else than to differentiate its code."""
    if meaning_of(function) != NOTHING:
        return True
    return callable(function) and rules.added_row(unbound(function)[1]) is not None


def _is_object_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.hasobject


def _parts(value: Any, owned: Owned) -> Iterator[Any]:
    if isinstance(value, type):
        return
    if isinstance(value, types.FunctionType):
        yield from _function_parts(value)
    elif is_operation(value):  # of a wrapped function: beside it, what calls have left behind
        yield value.wrapped
    elif hasattr(type(value), "__fwddiff_function__"):
        yield from (value.__fwddiff_function__, getattr(value, "options", None))
    elif (inner := rules.made_from(value)) is not None:  # compiled: what else it holds is the compiler's
        yield inner
    elif isinstance(value, _MAPPINGS):
        yield from value.values()
    elif isinstance(value, _CONTAINERS):
        yield from value
    elif isinstance(value, np.ndarray):
        yield from value.ravel()
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, types.MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, types.BuiltinMethodType | types.MethodWrapperType):
        yield value.__self__
    elif isinstance(value, types.GeneratorType):
        yield from (value.gi_frame.f_locals.values() if value.gi_frame else ())
    elif isinstance(value, _ITERATORS):
        yield from value.__reduce__()[1:]
    elif isinstance(value, weakref.ref):
        yield value()
    else:
        yield from _attributes(value, owned)


def _attributes(value: Any, owned: Owned) -> Iterator[Any]:
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, _MAPPINGS):  # a library of C functions has one that is none
        yield from attributes.values()
    for cls in type(value).__mro__:
        members = cls.__dict__
        slots = members.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            yield getattr(value, slot, None)
        # Class attributes: only arrays themselves, for methods are found through the code that calls them.
        yield from (member for member in members.values() if owned(member))


def _function_parts(function: types.FunctionType) -> Iterator[Any]:
    """What the code of a function can reach: cells, defaults, and the globals that it names."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    if is_foreign(function.__module__):  # the variables of a library are not the user's
        return
    for code in (function.__code__, *nested_codes(function.__code__)):
        local = {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
        for root in dict.fromkeys(use.path[0] for use in uses(code)):
            if root in function.__globals__ and root not in local and not hasattr(builtins, root):
                yield function.__globals__[root]
