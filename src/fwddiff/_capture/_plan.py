"""Sorts what the code of a function, and of all that it calls, refers to: data, functions, the rest."""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable, Iterator
from typing import Any

from fwddiff._capture._bytecode import nested_codes, uses
from fwddiff._capture._function import Capture, Function, attributes
from fwddiff._capture._layout import Layout
from fwddiff._capture._names import attribute_reader, root_reader, unbound, variable
from fwddiff._capture._refusals import (
    refuse_defaults,
    refuse_hidden,
    refuse_import,
    refuse_inner,
    refuse_methods,
    refuse_text,
)
from fwddiff._capture._stack import IMPORT, Path, Use
from fwddiff._capture._state import refuse_state, state_of
from fwddiff._capture._tables import is_table
from fwddiff._capture._values import Owned, is_data, is_foreign, is_operation
from fwddiff._errors import CaptureError


def plan(function: Callable, owned: Owned = lambda value: False, with_state: bool = False) -> Function:
    """Find all that `function` captures. Raises CaptureError where a derivative could be lost.

    `owned` says whether a value is an array of a host. `with_state`: the function may depend on state,
    because the user answers for its derivative.
    """
    planner = _Planner(owned)
    root = planner.node(function)
    Layout(planner.data, planner.edges).arrange(root)
    if not with_state:
        refuse_state(root)
    return root


def has_code(function: Any) -> bool:
    """Whether this is a function or method in Python code, or compiled or wrapped from one."""
    direct = isinstance(function, types.FunctionType | types.MethodType)
    compiled = not isinstance(function, type) and (
        hasattr(function, "py_func") or hasattr(function, "__fwddiff_function__")
    )
    return (direct or compiled) and isinstance(unbound(function)[1], types.FunctionType)


class _Planner:
    """Explores the graph of functions. `data` and `edges` hold what each one refers to, by path."""

    def __init__(self, owned: Owned):
        self.owned = owned
        self.found: dict[tuple[int, int], Function] = {}
        # One capture per variable, however many functions use it.
        self.captures: dict[tuple, Capture] = {}
        self.data: dict[Function, dict[Path, Capture]] = {}
        self.edges: dict[Function, dict[Path, Function]] = {}

    def node(self, function: Callable) -> Function:
        """The plan of a function; one per function and `self`."""
        node = Function(function, self.owned)
        if not isinstance(node.function, types.FunctionType):
            raise CaptureError(f"{function!r} has no Python code: wrap it in a function that calls it.")
        known = self.found.setdefault((id(node.function), id(node.bound)), node)
        if known is node:
            self.data[node], self.edges[node] = {}, {}
            checks: dict[Path, tuple] = {}
            for use in _all_uses(node):
                self._sort(node, use, checks)
            self._refuse_nested(node)
            if node.bound is not None and any(
                use.path == ("super", ()) for use in uses(node.function.__code__)
            ):
                refuse_hidden(node.bound, f"{node.self_name}`, by way of `super()", self.owned)
            refuse_text(node.function, self.owned)
            node.state = state_of(node, _all_uses(node))
            node.checks += checks.values()
        return known

    def _sort(self, node: Function, use: Use, checks: dict[Path, tuple]) -> None:
        """Follow one path from its root until it is data or a function."""
        root, steps = attributes(use.path)
        read = root_reader(node.function, node.bound, root)
        if read is None:
            _check_absent(node, root, checks)
            return
        name, value = root, read()
        for taken in range(len(steps) + 1):
            path = root, steps[:taken]
            if path in self.data[node] or (
                path in self.edges[node] and (taken == len(steps) or has_code(value))
            ):
                return
            if is_data(value, self.owned) and root.startswith(f"{IMPORT} "):
                refuse_import(node.function, name, value, self.owned)
                return
            if is_data(value, self.owned):
                refuse_methods(value, self.owned)
                table = is_table(node.function, node.bound, *path, value)
                key = (variable(node.function, node.bound, root), *path, table)
                self.data[node][path] = self.captures.setdefault(key, Capture(name, read, table))
                return
            # An object with `__call__` is a function where it is called, and an object everywhere else.
            is_function = has_code(value) or (use.how == "called" and use.path == path)
            is_holder = taken < len(steps) and is_operation(getattr(value, steps[taken], None))
            if (
                is_function
                and not is_holder
                and not root.startswith(f"{IMPORT} ")
                and self._add_edge(node, path, value, read, checks)
            ):
                return
            if isinstance(value, types.ModuleType) and is_foreign(value.__name__):
                checks[path] = read, value
                return
            if taken == len(steps):
                self._leave(use, path, name, value, read, checks)
                return
            if not hasattr(value, steps[taken]):
                checks[root, steps[: taken + 1]] = _absent_reader(read, steps[taken]), False
                return
            read, name = attribute_reader(read, steps[taken]), f"{name}.{steps[taken]}"
            value = getattr(value, steps[taken])

    def _leave(self, use: Use, path: Path, name: str, value: Any, read: Callable, checks) -> None:
        """Something for the engine to make sense of; if it becomes something else, it is looked at again."""
        followed = use.how == "neutral" and use.path == path
        if not followed and not is_operation(value):
            refuse_hidden(value, name, self.owned)
        if read() is value:
            checks[path] = read, value

    def _add_edge(self, node: Function, path: Path, value: Any, read: Callable, checks) -> bool:
        """A function that the code refers to is planned too."""
        bound, function = unbound(value)
        if not isinstance(function, types.FunctionType) or is_foreign(function.__module__):
            return False
        if bound is None or read() is value:
            checks[path] = read, value
        elif path[0] != node.self_name:
            checks[path] = attribute_reader(read, "__self__"), bound
        callee = self.edges[node][path] = self.node(value)
        refuse_defaults(callee.function, self.owned)
        return True

    def _refuse_nested(self, node: Function) -> None:
        """Inner functions get captured values as variables of this one, not as globals or attributes."""
        for use in _inner_uses(node):
            path = attributes(use.path)
            direct = not path[1] and path in self.data[node] and path[0] in node.function.__code__.co_freevars
            if not direct:
                refuse_inner(node.function, path, node.lookup(path), self.owned)


def _all_uses(node: Function) -> Iterator[Use]:
    yield from uses(node.function.__code__)
    yield from _inner_uses(node)


def _inner_uses(node: Function) -> Iterator[Use]:
    """Uses of this function's own cells, `self` and globals in functions defined inside."""
    code = node.function.__code__
    for inner in nested_codes(code):
        for use in uses(inner):
            root = use.path[0]
            if root in inner.co_varnames or root in inner.co_cellvars:
                continue
            if root not in inner.co_freevars or root in code.co_freevars or root == node.self_name:
                yield use


def _check_absent(node: Function, root: str, checks: dict[Path, tuple]) -> None:
    """A name that is neither a variable nor a builtin may get a value later."""
    code = node.function.__code__
    if root not in (*code.co_varnames, *code.co_cellvars) and not hasattr(builtins, root):
        names = node.function.__globals__
        checks[root, ()] = (lambda: root in names), False


def _absent_reader(read: Callable[[], Any], attribute: str) -> Callable[[], bool]:
    return lambda: hasattr(read(), attribute)
