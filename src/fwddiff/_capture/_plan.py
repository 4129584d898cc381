"""Sorts what the code of a function, and of all that it calls, refers to: data, functions, the rest."""

from __future__ import annotations

import builtins
import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import optree

from fwddiff import rules
from fwddiff._capture._bytecode import nested_codes, uses
from fwddiff._capture._function import Capture, Function, attributes
from fwddiff._capture._guard import Guard
from fwddiff._capture._layout import Layout
from fwddiff._capture._meaning import Foreign, Meaning
from fwddiff._capture._names import attribute_reader, root_reader, unbound, variable
from fwddiff._capture._refusals import (
    refuse_defaults,
    refuse_hidden,
    refuse_import,
    refuse_in_rule,
    refuse_inner,
    refuse_methods,
    refuse_text,
)
from fwddiff._capture._stack import IMPORT, Path, Steps, Use
from fwddiff._capture._state import refuse_state, state_of
from fwddiff._capture._tables import is_table
from fwddiff._capture._values import (
    Owned,
    has_rule,
    held_functions,
    held_rule,
    is_data,
    is_foreign,
    is_looked_after,
    is_operation,
    is_ours,
)
from fwddiff._errors import CaptureError


def plan(
    function: Callable,
    owned: Owned = lambda value: False,
    meaning: Meaning | None = None,
    with_state: bool = False,
) -> Function:
    """Find all that `function` captures. Raises CaptureError where a derivative could be lost.

    `owned` says whether a value is an array of a host, `meaning` what is to hold for the function where it
    does not say so itself. `with_state`: the function may depend on state, because the user answers for its
    derivative.
    """
    planner = _Planner(owned)
    root = planner.outermost(function, meaning)
    Layout(planner.data, planner.edges).arrange(root)
    if not with_state:
        refuse_state(root)
    root.writer = planner.guard
    root.guard = planner.guard.compiled([capture.variable for capture in root.captures])
    for node in planner.data:
        node.close(planner.edges[node])
        node.forget(planner.forgettable(node))
    return root


def guard_parts(parts: Iterable[Any], owned: Owned = lambda value: False) -> Callable[[], bool] | None:
    """Says whether classes of structs, and functions, are what they were now: their methods and what these
    name; `None` if there is nothing to ask.

    Data that they name counts as constants: what they capture is no input of a kernel.
    """
    planner, checked = _Planner(owned, frozen=True), 0
    for part in parts:
        name = planner.guard.constant(part)
        if is_struct_class(part):
            planner.struct_class(part, name)
        elif not isinstance(part, type) and has_code(part) and not is_foreign(unbound(part)[1].__module__):
            planner.node(part, name)
        else:
            continue
        checked += 1
    if not checked:
        return None
    read = planner.guard.compiled([])
    return lambda: read(None, None) is not None


def has_code(function: Any) -> bool:
    """Whether this is a function or method in Python code, or compiled or wrapped from one."""
    direct = isinstance(function, types.FunctionType | types.MethodType)
    compiled = not isinstance(function, type) and rules.made_from(function) is not None
    return (direct or compiled) and isinstance(unbound(function)[1], types.FunctionType)


_BY_VALUE = (str, bytes, bool, int, float, types.NoneType, tuple, list, dict, set, frozenset)


class _Value(NamedTuple):
    """Where a chain of names has got to: the value, how the user writes it, and how it is read again."""

    value: Any
    name: str
    read: Callable[[], Any]
    variable: str

    def attribute(self, guard: Guard, step: str) -> _Value:
        return _Value(
            getattr(self.value, step),
            f"{self.name}.{step}",
            attribute_reader(self.read, step),
            guard.read(f"{self.variable}.{step}"),
        )


class _Planner:
    """Explores the graph of functions. `data` and `edges` hold what each one refers to, by path.

    `frozen`: data is compiled in, as a constant, instead of read at each call.
    """

    def __init__(self, owned: Owned, frozen: bool = False):
        self.owned, self.frozen = owned, frozen
        self.guard = Guard(owned)
        self.found: dict[tuple, Function] = {}
        # Names of each function and its `self` in the guard.
        self.places: dict[Function, tuple[str, str]] = {}
        # One capture per variable, however many functions use it.
        self.captures: dict[tuple, Capture] = {}
        self.data: dict[Function, dict[Path, Capture]] = {}
        self.edges: dict[Function, dict[Path, Function]] = {}
        self.classes: set[type] = set()
        # A rule given later may be that of any function reached, or be named by another rule.
        self.guard.refuse_if(f"{self.guard.constant(rules)}.given is not {self.guard.constant(rules.given)}")

    # --- functions ------------------------------------------------------------------------------------------

    def outermost(self, function: Callable, meaning: Meaning | None) -> Function:
        node = Function(function, self.owned, meaning)
        if node.bound is not None and vars(type(node.bound)).get("__call__") is node.live:
            self.guard.identity("type(s).__call__", node.live)
        return self._explored(node, "f", "s", is_outermost=True)

    def node(self, function: Callable, place: str) -> Function:
        """The plan of a function that is found at `place`; one per function and `self`."""
        node = Function(function, self.owned)
        function_place, self_place = self._places(function, node, place)
        known = self.found.get(node.identity)
        if known is None:
            return self._explored(node, function_place, self_place)
        for new, old in zip((function_place, self_place), self.places[known], strict=True):
            if new != old:
                self.guard.same(new, old)
        return known

    def _places(self, function: Any, node: Function, place: str) -> tuple[str, str]:
        """Names of the Python function, and of its `self`, behind a function found at `place`."""
        if type(function) is types.FunctionType:
            self.guard.refuse_if(f"type({place}) is not {self.guard.constant(types.FunctionType)}")
            return place, "None"
        if type(function) is types.MethodType and type(function.__func__) is types.FunctionType:
            self.guard.refuse_if(f"type({place}) is not {self.guard.constant(types.MethodType)}")
            return self.guard.read(f"{place}.__func__"), self.guard.read(f"{place}.__self__")
        self.guard.identity(place, function)
        if function is node.bound:
            return self.guard.read(f"type({place}).__call__"), place
        return self.guard.constant(node.live), self.guard.constant(node.bound)

    def _explored(self, node: Function, function: str, bound: str, is_outermost: bool = False) -> Function:
        if not isinstance(node.live, types.FunctionType):
            raise CaptureError(f"{node.original!r} has no Python code: wrap it in a function that calls it.")
        self.found[node.identity] = node
        self.places[node] = function, bound
        self.data[node], self.edges[node] = {}, {}
        self.guard.function(function, node.live, is_outermost)
        rule: Any = node.meaning.rule
        if isinstance(rule, Foreign):  # arrays that it captures are its framework's own
            return node
        if rule is not None:  # called as it is, with whatever it refers to
            if hasattr(rule, "refuse_captured"):
                rule.refuse_captured(self.owned)
            else:
                refuse_in_rule(node.live.__name__, rule.function, rule.rrule, rule.frule, owned=self.owned)
            return node
        if not is_outermost:
            self._defaults(node)
        checks: dict[Path, tuple] = {}
        for use in uses(node.live.__code__):
            self._sort(node, use, checks)
        for use in _inner_uses(node):
            self._sort(node, use, checks, is_inner=True)
        self._refuse_nested(node)
        if node.bound is not None and any(use.path == ("super", ()) for use in uses(node.live.__code__)):
            refuse_hidden(node.bound, f"{node.self_name}`, by way of `super()", self.owned)
        if node.row is not None:
            refuse_in_rule(node.live.__name__, node.live, owned=self.owned)
        refuse_text(node.live, self.owned)
        node.state = state_of(node, [*uses(node.live.__code__), *_inner_uses(node)])
        node.checks += checks.values()
        return node

    def _defaults(self, node: Function) -> None:
        """Functions among the defaults are called, as those of other names are."""
        for value in (*(node.live.__defaults__ or ()), *(node.live.__kwdefaults__ or {}).values()):
            if isinstance(value, types.FunctionType) and not is_foreign(value.__module__):
                self.node(value, self.guard.constant(value))

    # --- names ----------------------------------------------------------------------------------------------

    def _root(self, node: Function, root: str) -> _Value | None:
        """What a name means in a function; `None` for local variables, builtins, names without value."""
        read = root_reader(node.live, node.bound, root)
        if read is None:
            return None
        function, bound = self.places[node]
        code = node.live.__code__
        if root == node.self_name:
            place = bound
        elif root in code.co_freevars:
            cell = self.guard.read(f"{function}.__closure__[{code.co_freevars.index(root)}]")
            return _Value(read(), root, read, self.guard.read(f"{cell}.cell_contents"))
        elif root.startswith(f"{IMPORT} "):
            place = self.guard.read(f"modules[{root.partition(' ')[2]!r}]")
        else:
            names = self.guard.read(f"{function}.__globals__")
            place = self.guard.read(f"{names}[{root!r}]")
        return _Value(read(), root, read, place)

    def _sort(self, node: Function, use: Use, checks: dict[Path, tuple], is_inner: bool = False) -> None:
        """Follow one path from its root until it is data or a function."""
        root, steps = attributes(use.path)
        at = self._root(node, root)
        if at is None:
            self._check_absent(node, root, checks)
            return
        for taken in range(len(steps) + 1):
            path = root, steps[:taken]
            if self._take(node, use, path, at, checks, is_inner):
                return
            if taken == len(steps):
                self._leave(node, use, path, at, checks)
                return
            if not hasattr(at.value, steps[taken]):
                checks[root, steps[: taken + 1]] = _absent_reader(at.read, steps[taken]), False
                self.guard.refuse_if(f"hasattr({at.variable}, {steps[taken]!r})")
                return
            at = at.attribute(self.guard, steps[taken])

    def _take(
        self, node: Function, use: Use, path: Path, at: _Value, checks: dict[Path, tuple], is_inner: bool
    ) -> bool:
        """Whether the path is complete here, at data or at a function."""
        value, imported = at.value, path[0].startswith(f"{IMPORT} ")
        if path in self.data[node]:
            if is_inner:
                self._freeze_inner(node, path, at)
            return True
        if path in self.edges[node] and (path == attributes(use.path) or has_code(value)):
            return True
        if is_data(value, self.owned):
            if is_ours(node.live.__module__):
                return True  # a constant of the code
            if imported:
                refuse_import(node.live, at.name, value, self.owned)
                self.guard.content(at.variable, value)
            else:
                self._capture(node, path, at)
                if is_inner:
                    self._freeze_inner(node, path, at)
            return True
        # An object with `__call__` is a function where it is called, and an object everywhere else.
        is_function = has_code(value) or (use.how == "called" and use.path == path)
        rest = attributes(use.path)[1][len(path[1]) :]
        is_holder = bool(rest) and is_operation(getattr(value, rest[0], None))
        if is_function and not (imported or is_holder) and self._add_edge(node, path, at, checks):
            return True
        if isinstance(value, types.ModuleType) and is_foreign(value.__name__):
            checks[path] = at.read, value
            self._library(at, rest)
            return True
        return False

    def _capture(self, node: Function, path: Path, at: _Value) -> None:
        refuse_methods(at.value, self.owned)
        table = is_table(node.live, node.bound, *path, at.value)
        key = (variable(node.live, node.bound, path[0]), *path, table)
        capture = Capture(at.name, at.read, table, at.variable)
        self.data[node][path] = self.captures.setdefault(key, capture)
        if self.frozen:
            self.guard.content(at.variable, at.value)
        else:
            self.guard.data(at.variable, at.value)

    def _freeze_inner(self, node: Function, path: Path, at: _Value) -> None:
        """Functions defined inside get variables of this one; the rest is constant in them."""
        if path[1] or path[0] not in node.live.__code__.co_freevars:
            self.guard.content(at.variable, at.value)

    def _library(self, at: _Value, steps: Steps) -> None:
        """What a chain leads to in a module of Python or of a framework, which is left to the engine."""
        self.guard.identity(at.variable, at.value)
        for step in steps:
            if step not in getattr(at.value, "__dict__", ()):  # modules that load their parts when asked
                return
            at = at.attribute(self.guard, step)
        self.guard.identity(at.variable, at.value)

    def _leave(self, node: Function, use: Use, path: Path, at: _Value, checks: dict[Path, tuple]) -> None:
        """Something for the engine to make sense of; if it becomes something else, it is looked at again."""
        value = at.value
        followed = use.how == "neutral" and use.path == path
        self._find_held(node, path, at)
        if not followed and not is_looked_after(value):
            refuse_hidden(value, at.name, self.owned)
        is_kept = at.read() is value
        if is_kept:
            checks[path] = at.read, value
        if isinstance(value, _BY_VALUE) or (isinstance(value, types.FunctionType) and not _is_library(value)):
            self.guard.content(at.variable, value)
        elif is_kept and (followed or isinstance(value, type) or is_foreign(type(value).__module__)):
            self.guard.identity(at.variable, value)
        elif is_kept:
            self.guard.content(at.variable, value)
        if isinstance(value, type):
            self.struct_class(value, at.variable)

    def _find_held(self, node: Function, path: Path, at: _Value) -> None:
        """Functions that the code does not name: only Python can be made to call them as they are meant."""
        held = held_rule(at.value)
        if held is not None:
            node.held.append(path)
            node.python_only = f"uses `{held}`, which has a rule of its own, through `{at.name}`"
        elif isinstance(at.value, functools.partial):
            node.held.append(path)
            node.python_only = f"calls `{at.name}`, a functools.partial"
        elif held_functions(at.value):
            node.held.append(path)
        elif hasattr(type(at.value), "__fwddiff_meaning__"):
            node.python_only = f"calls `{at.name}`, a wrapped functools.partial"
        for part in held_functions(at.value):
            if isinstance(part, types.FunctionType):
                self._method(part, self.guard.constant(part))

    def _add_edge(self, node: Function, path: Path, at: _Value, checks: dict[Path, tuple]) -> bool:
        """A function that the code refers to is planned too."""
        bound, function = unbound(at.value)
        if not isinstance(function, types.FunctionType) or _is_special(function):
            return False
        if is_foreign(function.__module__) and not has_rule(at.value):
            return False
        if bound is None or at.read() is at.value:
            checks[path] = at.read, at.value
        elif path[0] != node.self_name:
            checks[path] = attribute_reader(at.read, "__self__"), bound
        callee = self.edges[node][path] = self.node(at.value, at.variable)
        refuse_defaults(callee.live, self.owned)
        return True

    def _check_absent(self, node: Function, root: str, checks: dict[Path, tuple]) -> None:
        """A name that is no variable may get a value later, be it the name of a builtin."""
        code = node.live.__code__
        if root in (*code.co_varnames, *code.co_cellvars) or root.startswith(f"{IMPORT} "):
            return
        names = node.live.__globals__
        if root not in names:
            place = self.guard.read(f"{self.places[node][0]}.__globals__")
            self.guard.refuse_if(f"{root!r} in {place}")
            if not hasattr(builtins, root):
                checks[root, ()] = (lambda: root in names), False

    # --- classes of structs ---------------------------------------------------------------------------------

    def struct_class(self, cls: type, place: str) -> None:
        """Members of a class that the user wrote: methods, and constants that these may name."""
        if cls in self.classes or not is_struct_class(cls) or is_ours(cls.__module__):
            return
        self.classes.add(cls)
        for name, member in _written_members(cls):
            found = self.guard.read(f"{place}.{name}")
            if isinstance(member, staticmethod | classmethod):
                member = member.__func__
                if isinstance(inspect.getattr_static(cls, name), classmethod):
                    found = self.guard.read(f"{found}.__func__")
            if isinstance(member, property):
                self.guard.identity(found, member)
                member, found = member.fget, self.guard.read(f"{found}.fget")
            if isinstance(member, types.FunctionType):
                self._method(member, found)
            else:
                self.guard.content(found, member)

    def _method(self, member: types.FunctionType, place: str) -> None:
        planner = self if self.frozen else _Planner(self.owned, frozen=True)
        planner.guard, planner.classes = self.guard, self.classes
        planner.node(member, place)

    # --- afterwards -----------------------------------------------------------------------------------------

    def forgettable(self, node: Function) -> set[str]:
        """Cells of captured data that no function defined inside looks into."""
        named = {use.path[0] for use in _inner_uses(node) if attributes(use.path)[1]}
        return {root for (root, steps) in self.data[node] if not steps} - named

    def _refuse_nested(self, node: Function) -> None:
        """Inner functions get captured values as variables of this one, not as globals or attributes."""
        for use in _inner_uses(node):
            path = attributes(use.path)
            direct = not path[1] and path in self.data[node] and path[0] in node.live.__code__.co_freevars
            if not direct:
                refuse_inner(node.live, path, node.lookup(path), self.owned)


def is_struct_class(value: Any) -> bool:
    """Whether this is a class of the user whose instances are taken apart into leaves."""
    return (
        isinstance(value, type)
        and (dataclasses.is_dataclass(value) or optree.is_namedtuple_class(value))
        and not is_foreign(value.__module__)
    )


def _written_members(cls: type) -> Iterator[tuple[str, Any]]:
    """(name, what the class holds under it) of what the user wrote."""
    names = [name for base in cls.__mro__ if not is_foreign(base.__module__) for name in vars(base)]
    for name in dict.fromkeys(names):
        member = inspect.getattr_static(cls, name)
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        if isinstance(function, types.FunctionType):
            if not (is_foreign(function.__globals__.get("__name__")) or _is_generated(name, function)):
                yield name, member
        elif not name.startswith("__") and not hasattr(member, "__set__"):
            yield name, member


def _is_generated(name: str, function: types.FunctionType) -> bool:
    return name.startswith("__") and function.__code__.co_filename == "<string>"


def _is_library(value: Any) -> bool:
    return is_foreign(value.__module__) or _is_special(value)


def _is_special(function: Any) -> bool:
    """Whether engines know what it is, on numbers and element by element."""
    return rules.recorded(function) is not None or rules.meant_by(function) is function


def _inner_uses(node: Function) -> Iterator[Use]:
    """Uses of this function's own cells, `self` and globals in functions defined inside."""
    code = node.live.__code__
    for inner in nested_codes(code):
        for use in uses(inner):
            root = use.path[0]
            if root in inner.co_varnames or root in inner.co_cellvars:
                continue
            if root not in inner.co_freevars or root in code.co_freevars or root == node.self_name:
                yield use


def _absent_reader(read: Callable[[], Any], attribute: str) -> Callable[[], bool]:
    return lambda: hasattr(read(), attribute)
