"""A function and what it captures, once that is found."""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fwddiff import rules
from fwddiff._capture._fingerprint import Description, attributes
from fwddiff._capture._guard import COPIED_FROM, ELSEWHERE, Elsewhere, Guard, Read, copied_from
from fwddiff._capture._meaning import Foreign, Meaning, meaning_of
from fwddiff._capture._names import look_up, self_name, unbound
from fwddiff._capture._stack import Path
from fwddiff._capture._values import Owned
from fwddiff._errors import CaptureError

# What a closure cell may hold without keeping arrays alive; functions of a module hold its globals only.
_LIGHT = (str, bytes, bool, int, float, type, types.NoneType, types.ModuleType, types.FunctionType, Elsewhere)
_MOST_BYTES = 1 << 20

__all__ = ["Capture", "Function", "attributes"]


@dataclass(eq=False)
class Capture:
    """A captured value: how the user wrote it, how to read it, and whether it is used as a table (`y[i]`).

    `variable` is its name in the plan's guard, which reads it at each call; `read` is for who has to read the
    values one by one (Dynamo).
    """

    name: str
    read: Callable[[], Any]
    is_table: bool
    variable: str = ""


class Function:
    """A user's function with what it captures.

    `own` maps the paths of this function's data to positions in `captures`; `calls` maps paths of functions
    to their plans and to the positions of their captures. Functions that call each other in a circle have the
    same captures. `state` is the refusal of a function that depends on state or changes it.

    `live` is the user's function, `function` a copy with closure cells of its own, which hold what the plan
    was made for: what is compiled later, for another call or another derivative, is compiled from the same.

    `meaning` is what wrapping the function added, `row` what `fd.scalar_rule` says of it; `python_only` is
    the reason why this function cannot be compiled without ignoring a rule, if there is one. `held` are paths
    to containers with functions that have a rule.
    """

    def __init__(self, function: Callable, owned: Owned, meaning: Meaning | None = None):
        self.original, self.owned = function, owned
        self.bound, self.live = unbound(function)
        self.function = _copy(self.live) if isinstance(self.live, types.FunctionType) else self.live
        self.meaning = meaning_of(function) if meaning is None else meaning
        self.row = rules.added_row(copied_from(self.live) or self.live)
        if self.row is None:
            rules.share_code(self.live)
        self.python_only = _python_only(self)
        self.held: list[Path] = []
        self.captures: list[Capture] = []
        self.own: dict[Path, int] = {}
        self.calls: dict[Path, tuple[Function, list[int]]] = {}
        # (reader, what it read) of functions, modules, classes, …; for Dynamo, which reads what it guards on.
        self.checks: list[tuple[Callable[[], Any], object]] = []
        self.state: CaptureError | None = None
        self.guard: Read = _never
        self.writer: Guard
        self._holding: Read | None = None
        self.has_let_go = False

    @property
    def identity(self) -> tuple:
        """Equal for plans of the same function, `self` and meaning."""
        return id(self.live), id(self.bound), self.meaning

    @property
    def self_name(self) -> str | None:
        """Name of the parameter that a bound object becomes."""
        return self_name(self.function, self.bound)

    def lookup(self, path: Path) -> Any:
        """What a chain of names leads to; `None` if it leads nowhere (a builtin, a local variable)."""
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

    @property
    def calls_itself(self) -> bool:
        """Whether calls of this function lead back to it."""
        return any(inner is self for callee, _ in self.calls.values() for inner in callee.nodes())

    def reached(self) -> list[types.FunctionType]:
        """This function and all that it calls, each once."""
        return list({id(node.live): node.live for node in self.nodes()}.values())

    def fingerprint(self) -> str:
        """Text of all code reached and of the constants it is compiled with; equal in every process."""
        description = Description()
        description.plan(self)
        return description.text()

    def values(self) -> list[Any]:
        """The captured values now."""
        return [capture.read() for capture in self.captures]

    def read(self, function: types.FunctionType, bound: Any) -> list[Any] | None:
        """The captured values of a function of the same code; `None` where the plan does not hold for it."""
        return self.guard(function, bound)

    def current(self) -> bool:
        """Whether names still lead to the functions and objects that they led to when this was planned."""
        return self.guard(self.live, self.bound) is not None

    def holds(self) -> bool:
        """Whether what would be compiled or run now is what was planned, whatever became of the function that
        the plan was made from."""
        return self.holds_for(self.function, self.bound)

    def holds_for(self, function: types.FunctionType, bound: Any) -> bool:
        """Whether the plan is right for a function of the same code, whatever its captured data are now."""
        if self._holding is None:
            self._holding = self.writer.holding()
        return self._holding(function, bound) is not None

    def is_small(self, values: Sequence[Any]) -> bool:
        """Whether keeping this plan, once it has let go of its function, keeps no more than code alive."""
        if any(node.bound is not None for node in self.nodes()):
            return False
        cells = [cell for node in self.nodes() for cell in node.function.__closure__ or ()]
        closures = any(node.live.__closure__ for node in self.nodes() if node is not self)
        held = sum(getattr(value, "nbytes", 0) for value in values)
        return all(isinstance(_held(cell), _LIGHT) for cell in cells) and (
            not closures or held <= _MOST_BYTES
        )

    def let_go(self) -> None:
        """Forget the user's outermost function, where it holds what it captures."""
        if not self.live.__closure__:
            return
        self.live, self.has_let_go = self.function, True
        if isinstance(self.original, types.FunctionType):
            self.original = self.function
        for capture in self.captures:
            capture.read = _gone
        self.checks = []

    def close(self, edges: dict[Path, Function]) -> None:
        """Let the copy's cells lead to copies too."""
        for (root, steps), callee in edges.items():
            if not steps and root in self.function.__code__.co_freevars:
                cell = self._cell(root)
                if cell.cell_contents is callee.live:
                    cell.cell_contents = callee.function

    def _cell(self, name: str) -> types.CellType:
        cells = self.function.__closure__ or ()
        return cells[self.function.__code__.co_freevars.index(name)]

    def forget(self, names: set[str]) -> None:
        """Let go of captured data, which is read at each call from the cells of the function called."""
        for name in names.intersection(self.function.__code__.co_freevars):
            self._cell(name).cell_contents = ELSEWHERE


def _python_only(node: Function) -> str | None:
    name = getattr(node.function, "__name__", repr(node.function))
    if isinstance(node.meaning.rule, Foreign):
        return f"calls `{name}`, which is written for {node.meaning.rule.engine}"
    if node.meaning.rule is not None:
        return f"calls `{name}`, whose derivative is a custom rule and runs as Python"
    if node.meaning.engine == "numpy":
        return f"calls `{name}`, which was wrapped with engine='numpy'"
    return None


def _gone() -> Any:
    """Captured values of a plan that let go of its function are read by its guard."""
    return ELSEWHERE


def _never(function: Any, bound: Any) -> None:
    """Before the plan is made."""


def _copy(function: types.FunctionType) -> types.FunctionType:
    cells = tuple(map(_copied_cell, function.__closure__ or ()))
    copied = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, cells or None
    )
    copied.__kwdefaults__ = dict(function.__kwdefaults__) if function.__kwdefaults__ else None
    copied.__module__, copied.__qualname__ = function.__module__, function.__qualname__
    setattr(copied, COPIED_FROM, weakref.ref(function))
    return copied


def _held(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # no value yet
        return None


def _copied_cell(cell: types.CellType) -> types.CellType:
    try:
        return types.CellType(cell.cell_contents)
    except ValueError:  # no value yet
        return types.CellType()
