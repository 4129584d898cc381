"""What has been decided about a function, and where it is kept: with the plan for which it holds.

A decision is found again by a fresh function of the same code, and is never written over a newer one.
"""

from __future__ import annotations

import collections
import threading
import weakref
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from fwddiff import _capture
from fwddiff._rule import Rule

_MOST_WAYS = 1000
_MOST_VERSIONS = 8  # of one code: what it captures is now of this type, now of that
_MOST_KEPT = 256

Way = Callable[[Sequence[Any]], Any]
Current = Callable[[], bool]


def host_state(host: ModuleType | None) -> Any:
    return None if host is None else (host.integer_dtype(), host.float_dtype())


class Recipe(NamedTuple):
    """What a signature leads to. `dynamic` are the numbers of the leaves that are inputs, `detached` those of
    constants; `current` says whether the classes and functions among the arguments are what they were."""

    host: ModuleType | None
    host_state: Any
    rule: Callable[[], Rule]
    dynamic: tuple[int, ...]
    detached: frozenset[int]
    current: Current | None

    def holds(self) -> bool:
        return self.host_state == host_state(self.host) and (self.current is None or self.current())


class Record:
    """What has been decided about a function as `plan` found it, all of it valid as long as the plan is: a
    decision that took long is written where it belongs, not over a newer one."""

    __slots__ = ("__weakref__", "plan", "recipes", "ways")

    def __init__(self, plan: _capture.Function):
        self.plan = plan
        self.recipes: dict[tuple, Recipe] = {}
        # How a host serves calls that it describes by the key, and whether that is still so.
        self.ways: dict[Any, tuple[Way, Current | None]] = {}

    def remember(self, key: Any, way: Way, current: Current | None) -> None:
        if len(self.ways) >= _MOST_WAYS:
            self.ways.clear()
        self.ways[key] = way, current


class _Records:
    """Records by code and options, so that a fresh lambda, or a method of another object, finds what was
    decided (and compiled) for one of the same code.

    All that are in use are found; the last few are kept alive unless they would keep much memory with them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[tuple, list[weakref.ref[Record]]] = {}
        self._last: collections.OrderedDict[Record, None] = collections.OrderedDict()

    def of(self, key: tuple) -> list[Record]:
        with self._lock:
            return [record for reference in self._used.get(key, ()) if (record := reference()) is not None]

    def add(self, key: tuple, record: Record, keep: bool) -> None:
        with self._lock:
            alive = [reference for reference in self._used.get(key, ()) if reference() is not None]
            self._used[key] = [weakref.ref(record), *alive[: _MOST_VERSIONS - 1]]
            if keep:
                record.plan.let_go()
                self._last[record] = None
            while len(self._last) > _MOST_KEPT:
                self._last.popitem(last=False)
            if len(self._used) > 8 * _MOST_KEPT:
                self._used = {k: refs for k, refs in self._used.items() if any(r() for r in refs)}

    def touch(self, record: Record) -> None:
        with self._lock:
            if record in self._last:
                self._last.move_to_end(record)


records = _Records()
