"""A function and what it captures, once that is found."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fwddiff._capture._fingerprint import Description, attributes
from fwddiff._capture._names import look_up, self_name, unbound
from fwddiff._capture._stack import Path
from fwddiff._capture._values import Owned
from fwddiff._errors import CaptureError

__all__ = ["Capture", "Function", "attributes"]


@dataclass(frozen=True, eq=False)
class Capture:
    """A captured value: how the user wrote it, how to read it, and whether it is used as a table (`y[i]`)."""

    name: str
    read: Callable[[], Any]
    is_table: bool


class Function:
    """A user's function with what it captures.

    `own` maps the paths of this function's data to positions in `captures`; `calls` maps paths of functions
    to their plans and to the positions of their captures. Functions that call each other in a circle have the
    same captures. `state` is the refusal of a function that depends on state or changes it.
    """

    def __init__(self, function: Callable, owned: Owned):
        self.original, self.owned = function, owned
        self.bound, self.function = unbound(function)
        self.captures: list[Capture] = []
        self.own: dict[Path, int] = {}
        self.calls: dict[Path, tuple[Function, list[int]]] = {}
        self.checks: list[tuple[Callable[[], Any], object]] = []
        self.state: CaptureError | None = None

    @property
    def self_name(self) -> str | None:
        """Name of the parameter that a bound object becomes."""
        return self_name(self.function, self.bound)

    def lookup(self, path: Path) -> Any:
        """What a chain of names leads to now; `None` if it leads nowhere (a builtin, a local variable)."""
        return look_up(self.function, self.bound, *path)

    def nodes(self) -> list[Function]:
        """This plan and those of all functions that it calls, each once."""
        found: dict[int, Function] = {}
        pending = [self]
        while pending:
            node = pending.pop()
            if id(node) not in found:
                found[id(node)] = node
                pending += [callee for callee, _ in node.calls.values()]
        return list(found.values())

    def reached(self) -> list[types.FunctionType]:
        """This function and all that it calls, each once."""
        return list({id(node.function): node.function for node in self.nodes()}.values())

    def fingerprint(self) -> str:
        """Text of all code reached and of the constants it is compiled with; equal in every process."""
        description = Description()
        description.plan(self)
        return description.text()

    def values(self) -> list[Any]:
        """The captured values now."""
        return [capture.read() for capture in self.captures]

    def current(self) -> bool:
        """Whether names still lead to the functions and objects that they led to when this was planned."""
        try:
            for read, expected in self.checks:  # at every call: a generator would cost more than the checks
                if read() is not expected:
                    return False
        except (AttributeError, KeyError, CaptureError):
            return False
        return True
