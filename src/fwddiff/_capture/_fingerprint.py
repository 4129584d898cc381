"""Text of all that compiled code depends on, the same in every process.

A `Description` follows what code refers to: constants by their content, functions by their code, classes by
their fields. Of the members of classes and modules it tells those whose names occur in code that it has seen:
no others can be compiled in. What has neither content nor a name that leads to it everywhere (a ctypes
pointer, an object of an unknown class) makes the description incomplete, and nothing may then be kept for
another process.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
import functools
import hashlib
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fwddiff import rules
from fwddiff._buffers import DiffCache
from fwddiff._capture._bytecode import nested_codes, uses
from fwddiff._capture._meaning import meaning_of
from fwddiff._capture._names import look_up, unbound
from fwddiff._capture._stack import ELEMENT, Path
from fwddiff._capture._values import is_foreign
from fwddiff._classes import own_construction
from fwddiff._errors import CaptureError
from fwddiff._probe import probe

_ATOMS = (bool, int, float, complex, str, bytes, types.NoneType, types.EllipsisType)
_UFUNC_MODULES = ("numpy", "scipy.special")
_MOST_THINGS = 5_000
_ABSENT = object()


def attributes(path: Path) -> Path:
    """The path up to where it enters a container."""
    root, steps = path
    return root, steps[: steps.index(ELEMENT)] if ELEMENT in steps else steps


class Description:
    """Collects text. `classes` are the user's classes, in the order in which they were met: the same in
    every process that finds the same text. `unknown` names what could not be described."""

    def __init__(self) -> None:
        self.classes: list[type] = []
        self.unknown: list[str] = []
        self._lines: list[str] = []
        self._met: dict[int, tuple[int, Any]] = {}
        self._pending: list[Callable[[], str]] = []
        # Classes and modules, each with the names that were looked up in it.
        self._owners: list[tuple[Any, set[str]]] = []
        self._names: set[str] = set()
        self._open: set[int] = set()

    def add(self, *values: Any) -> None:
        """Describe these values next."""
        self._lines += map(self.value, values)

    def text(self) -> str:
        """All of it; complete if `unknown` is empty."""
        while self._pending or self._new_members():
            while self._pending:
                self._lines.append(self._pending.pop(0)())
                if len(self._met) > _MOST_THINGS:
                    self._unknown("more than can be followed")
                    self._pending.clear()
        return "\n".join(self._lines)

    def digest(self) -> str:
        return hashlib.sha256(self.text().encode("utf-8", "surrogatepass")).hexdigest()

    # --- values ---------------------------------------------------------------------------------------------

    def value(self, value: Any) -> str:
        """Text of a value; of functions, classes and plans a number, under which their text follows."""
        if isinstance(value, enum.Enum):
            return f"{self.value(type(value))}.{value.name}"
        if type(value) in _ATOMS:
            return repr(value)
        if isinstance(value, np.generic | np.ndarray):
            return self._array(value)
        if isinstance(value, tuple | list | dict | set | frozenset) or _is_instance(value):
            return self._container(value)
        if isinstance(value, types.MethodType):
            return f"method({self.value(value.__func__)}, {self.value(value.__self__)})"
        if isinstance(value, types.ModuleType):
            return self._module(value)
        if isinstance(value, types.FunctionType | type) and not is_foreign(value.__module__):
            describe = self._class if isinstance(value, type) else self._function
            return self._reference(value, describe)
        if isinstance(value, DiffCache):
            return self._reference(value, lambda cache: f"buffer {cache.form()}")
        if rules.made_from(value) is not None:
            wrt = meaning_of(value).wrt
            return f"wrapped {self.value(unbound(value)[1])} {wrt and sorted(wrt)}"
        return self._by_name(value)

    def plan(self, plan: Any) -> str:
        """Text of a planned function: what it captures as data is an argument, so its content is left out."""
        return self._reference(plan, self._planned)

    def structure(self, spec: Any) -> str:
        """Text of a tree specification, with the classes of its nodes."""
        if spec.is_leaf():
            return "*"
        if spec.type is types.NoneType:
            return "None"
        children = ", ".join(map(self.structure, spec.children()))
        return f"{self.value(spec.type)}{self.value(list(spec.entries()))}({children})"

    def _unknown(self, what: str) -> str:
        self.unknown.append(what)
        return f"unknown {what}"

    def _array(self, array: Any) -> str:
        if array.dtype.hasobject:
            return self._unknown("array of objects")
        content = hashlib.sha256(array.tobytes()).hexdigest()
        order = "".join(letter for letter in "CF" if array.flags[letter])
        return f"{type(array).__name__} {array.dtype.descr} {array.shape} {order} {content}"

    def _container(self, value: Any) -> str:
        if id(value) in self._open:
            return self._unknown("container that holds itself")
        self._open.add(id(value))
        if dataclasses.is_dataclass(value):
            items = [self.value(getattr(value, field.name, None)) for field in dataclasses.fields(value)]
        elif isinstance(value, dict):
            items = [f"{self.value(key)}: {self.value(item)}" for key, item in value.items()]
        else:
            items = [self.value(item) for item in value]
        if isinstance(value, set | frozenset):
            items.sort()
        self._open.remove(id(value))
        plain = type(value) in (tuple, list, dict, set, frozenset)
        kind = type(value).__name__ if plain else self.value(type(value))
        return f"{kind}({', '.join(items)})"

    def _reference(self, thing: Any, describe: Callable[[Any], str]) -> str:
        if id(thing) not in self._met:
            number = len(self._met)
            # The thing is kept alive, or another could get its id.
            self._met[id(thing)] = number, thing
            self._pending.append(lambda: f"#{number} = {describe(thing)}")
            if isinstance(thing, type):
                self.classes.append(thing)
        return f"#{self._met[id(thing)][0]}"

    def _by_name(self, value: Any) -> str:
        """What Python and the frameworks define is known by where it is found, and by their versions."""
        if isinstance(value, np.dtype) and not value.hasobject:
            return f"dtype {value.descr}"
        if type(value).__module__.startswith("numba.core.types"):
            return f"Numba's {value!r}"
        name = probe(value, "__qualname__") or probe(value, "__name__")
        modules = (
            probe(value, "__module__"),
            *(_UFUNC_MODULES if isinstance(value, np.ufunc) else ()),
        )
        for module in modules:
            if name and module and is_foreign(module) and _found(module, name) is value:
                return f"{module}.{name} {_version(module)}"
        return self._unknown(f"{type(value).__module__}.{type(value).__qualname__}")

    # --- functions ------------------------------------------------------------------------------------------

    def _planned(self, plan: Any) -> str:
        own = [(path, position) for path, position in plan.own.items()]
        calls = [(path, self.plan(callee), positions) for path, (callee, positions) in plan.calls.items()]
        # Arrays of a host are defaults of the outermost function alone, whose arguments are all given.
        defaults = self._defaults(plan.function, plan.owned)
        bound = plan.bound is not None, plan.meaning.wrt and sorted(plan.meaning.wrt)
        tables = [capture.is_table for capture in plan.captures]
        parts = (self._code(plan.function.__code__), sorted(own), tables, calls, bound, defaults)
        constants = list(self._constants(plan.function, plan.bound, plan.own, plan.calls))
        row = plan.row and (plan.row.name, plan.row.arguments, plan.row.partials, plan.row.value)
        return repr((*parts, constants, row))

    def _function(self, function: types.FunctionType) -> str:
        constants = list(self._constants(function, None, {}, {}))
        return repr((self._code(function.__code__), self._defaults(function), constants))

    def _defaults(self, function: types.FunctionType, given: Callable = lambda value: False) -> list:
        named = sorted((function.__kwdefaults__ or {}).items())
        defaults = [*enumerate(function.__defaults__ or ()), *named]
        return [(name, "given" if given(value) else self.value(value)) for name, value in defaults]

    def _code(self, code: types.CodeType) -> tuple:
        """All of the code that decides what it does."""
        texts = [constant for constant in code.co_consts if isinstance(constant, str)]
        self._names.update(code.co_names, filter(str.isidentifier, texts))
        constants = [
            self._code(c) if isinstance(c, types.CodeType) else self.value(c) for c in code.co_consts
        ]
        counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
        names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
        return code.co_name, code.co_code.hex(), constants, counts, names, code.co_exceptiontable.hex()

    def _constants(self, function, bound, own, calls) -> Iterator[tuple[Path, str]]:
        """What names lead to, except captured data and planned functions."""
        for (root, steps), is_inner in _paths(function):
            # Functions defined inside get data as variables of this one; its globals are constants in them.
            ends = range(len(steps) + 1)
            is_variable = not is_inner or (not steps and root in function.__code__.co_freevars)
            is_call = (root, steps) in calls and not is_inner
            if is_call or (is_variable and any((root, steps[:n]) in own for n in ends)):
                continue
            try:
                yield (root, steps), self.value(look_up(function, bound, root, steps))
            except (AttributeError, CaptureError) as error:
                yield (root, steps), self._unknown(f"{'.'.join((root, *steps))}: {error}")

    # --- classes and modules --------------------------------------------------------------------------------

    def _module(self, module: types.ModuleType) -> str:
        if is_foreign(module.__name__):
            return f"module {module.__name__} {_version(module.__name__)}"
        return self._reference(module, self._owner)

    def _owner(self, owner: Any) -> str:
        self._owners.append((owner, set()))
        return f"{type(owner).__name__} {getattr(owner, '__qualname__', owner.__name__)}"

    def _class(self, cls: type) -> str:
        text = f"{self._owner(cls)} of {cls.__module__} {[self.value(base) for base in cls.__bases__]}"
        if issubclass(cls, enum.Enum):
            return f"{text} {[(m.name, self.value(m.value)) for m in cls]}"
        if dataclasses.is_dataclass(cls):
            return f"{text} {[*map(self._field, dataclasses.fields(cls))]} {own_construction(cls)}"
        names = getattr(cls, "_fields", None)
        if issubclass(cls, tuple) and names is not None:
            return f"{text} {names} {self.value(getattr(cls, '_field_defaults', {}))} {own_construction(cls)}"
        # Other classes cannot be compiled; their methods and constants are told where code names them.
        plain = type(cls) in (type, abc.ABCMeta)
        return text if plain else self._unknown(f"{cls.__module__}.{cls.__qualname__}")

    def _field(self, field: dataclasses.Field) -> tuple:
        default = None if field.default is dataclasses.MISSING else (self.value(field.default),)
        return field.name, default, field.init, field.kw_only

    def _new_members(self) -> bool:
        """Describe the members that code seen by now names; whether there were any."""
        before = len(self._lines)
        for owner, seen in list(self._owners):
            fresh = sorted(self._names - seen)
            seen.update(fresh)
            for name in fresh:
                member = inspect.getattr_static(owner, name, _ABSENT)
                if member is not _ABSENT:
                    self._lines.append(f"#{self._met[id(owner)][0]}.{name} = {self._member(owner, member)}")
        return len(self._lines) > before

    def _member(self, owner: Any, member: Any) -> str:
        if isinstance(member, staticmethod | classmethod):
            return f"{type(member).__name__} {self.value(member.__func__)}"
        if isinstance(member, property):
            return f"property {self.value(member.fget)}"
        # Data of a class is read through names, which lead to it; a field's descriptor has no content.
        if isinstance(owner, type) and not isinstance(member, types.FunctionType):
            return type(member).__name__
        return self.value(member)


def _is_instance(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _paths(function: types.FunctionType) -> list[tuple[Path, bool]]:
    """Chains of names in a function's code, and of its own names in functions defined inside (True)."""
    code = function.__code__
    found = [(attributes(use.path), False) for use in uses(code)]
    for inner in nested_codes(code):
        local = (*inner.co_varnames, *inner.co_cellvars)
        found += [(attributes(use.path), True) for use in uses(inner) if use.path[0] not in local]
    return list(dict.fromkeys(found))


def _found(module: str, name: str) -> Any:
    return functools.reduce(
        lambda owner, step: getattr(owner, step, None), name.split("."), sys.modules.get(module)
    )


def _version(module: str) -> str:
    """Version of the package that a module belongs to; Python's own modules have that of Python."""
    root = module.partition(".")[0]
    version = getattr(sys.modules.get(root), "__version__", "")
    return version if isinstance(version, str) and root not in sys.stdlib_module_names else ""
