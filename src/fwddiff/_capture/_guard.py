"""One function, generated for each plan, that reads what a function refers to and checks what was decided on.

`read(f, s)` walks from a function and its `self` along the chains of names that the planner found. Where
each still leads to what the plan was made for, it returns the captured values; else `None`, and the function
has to be planned again. Because it starts from its arguments, another function of the same code (a fresh
lambda, the method of another object) is served by the same plan.

The text is straight-line, for it runs at every call: a name costs some 30 ns, each is read once, and what is
compared is what is returned. Checks are of three kinds: identity (modules, classes, builtins), code (of
functions: their `__code__`, globals and defaults; what they refer to in turn is read through them), and
content (`_content`: constants that are compiled in).
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from fwddiff._capture._content import content
from fwddiff._capture._tables import leaf_arrays
from fwddiff._capture._values import Owned, is_struct
from fwddiff._probe import probe

Read = Callable[[Any, Any], list[Any] | None]
COPIED_FROM = "__fwddiff_copied_from__"
_IMMUTABLE = (str, bytes, bool, int, float, complex, types.NoneType)


def copied_from(function: Any) -> Any:
    """The user's function of which this is a plan's copy."""
    live = getattr(function, COPIED_FROM, None)
    return None if live is None else live()


class Elsewhere:
    """Stands in a plan's own copy of a function for captured data, so that the plan keeps no arrays alive."""

    def __repr__(self) -> str:
        return "a captured value, which is read at each call"


ELSEWHERE = Elsewhere()


class Guard:
    """Writes the text of `read`. Expressions are Python in the names that it gives out."""

    def __init__(self, owned: Owned):
        self._owned = owned
        self._lines: list[str] = []
        self._read: dict[str, str] = {}
        self._space: dict[str, Any] = {"modules": sys.modules}
        self._of_data: set[str] = set()

    def constant(self, value: Any) -> str:
        name = f"k{len(self._space)}"
        self._space[name] = value
        return name

    def read(self, expression: str) -> str:
        """Name of a variable with the value of this expression, which is evaluated once."""
        if expression not in self._read:
            self._read[expression] = f"v{len(self._read)}"
            self._lines.append(f"{self._read[expression]} = {expression}")
        return self._read[expression]

    def refuse_if(self, condition: str) -> None:
        line = f"if {condition}: return None"
        if line not in self._lines:
            self._lines.append(line)

    # --- what is checked ------------------------------------------------------------------------------------

    def identity(self, name: str, value: Any) -> None:
        self.refuse_if(f"{name} is not {self.constant(value)}")

    def same(self, name: str, other: str) -> None:
        """Two names of one function or object; a plan's own copy of a function counts as the function."""
        self.refuse_if(f"{name} is not {other} and {name} is not {self.constant(copied_from)}({other})")

    def content(self, name: str, value: Any) -> None:
        """The same value, or one that cannot be told from it."""
        kept = self.constant(value)
        if isinstance(value, _IMMUTABLE):
            self.refuse_if(f"{name} is not {kept} and not {self.constant(_is_like(value))}({name})")
        else:
            known = content(value)
            self.refuse_if(f"{self.constant(content)}({name}) != {self.constant(known)}")

    def data(self, name: str, value: Any) -> None:
        """A value that is an input: of the same kind, and used in the same way."""
        kind, accepts = type(value), self.constant(_accepts(value, self._owned))
        same = f"type({name}) is {self.constant(kind)}"
        if isinstance(value, np.ndarray) or (self._owned(value) and probe(value, "ndim") is not None):
            same += f" and {'' if value.ndim else 'not '}{name}.ndim"
        elif is_struct(value) or self._owned(value):
            same = "False"
        condition = f"not ({same}) and not {accepts}({name})"
        self.refuse_if(condition)
        self._of_data.add(f"if {condition}: return None")

    def function(self, name: str, function: types.FunctionType, is_outermost: bool) -> None:
        """A function of the same code; the outermost one's defaults are arguments."""
        self.identity(self.read(f"{name}.__code__"), function.__code__)
        self.identity(self.read(f"{name}.__globals__"), function.__globals__)
        if not is_outermost:
            self._defaults(self.read(f"{name}.__defaults__"), function.__defaults__)
            self._defaults(self.read(f"{name}.__kwdefaults__"), function.__kwdefaults__)

    def _defaults(self, name: str, defaults: Any) -> None:
        if defaults is None:
            self.refuse_if(f"{name} is not None")
        elif isinstance(defaults, tuple) and all(isinstance(value, _IMMUTABLE) for value in defaults):
            same = self.constant(_is_like(defaults))
            self.refuse_if(f"{name} is not {self.constant(defaults)} and not {same}({name})")
        else:
            self.content(name, defaults)

    def compiled(self, results: Sequence[str]) -> Read:
        """The function; `results` are the names of what it returns."""
        return self._made([*self._lines, f"return [{', '.join(results)}]"])

    def holding(self) -> Read:
        """The same without captured data, which is an input: it may have become anything since the call."""
        lines = ["return []"]
        for line in reversed(self._lines):
            variable, is_read, _ = line.partition(" = ")
            is_used = not is_read or any(re.search(rf"\b{variable}\b", later) for later in lines)
            if line not in self._of_data and is_used:
                lines.insert(0, line)
        return self._made(lines)

    def _made(self, lines: Sequence[str]) -> Read:
        body = "\n        ".join(lines)
        text = f"def read(f, s):\n    try:\n        {body}\n    except Exception:\n        return None\n"
        exec(text, self._space)
        return self._space.pop("read")


def _is_like(value: Any) -> Callable[[Any], bool]:
    known: Hashable = content(value)
    return lambda other: content(other) == known


def _accepts(value: Any, owned: Owned) -> Callable[[Any], bool]:
    """Whether another value is data of the same kind as this one: any array of a host for another."""
    kind, is_array, is_own = type(value), bool(leaf_arrays(value)), owned(value)

    def accepts(other: Any) -> bool:
        if other is ELSEWHERE:
            return True
        same = type(other) is kind or (is_own and owned(other))
        return same and bool(leaf_arrays(other)) == is_array

    return accepts
