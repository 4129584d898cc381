"""The kernels of one function on disk."""

from __future__ import annotations

import hashlib
import sys
import uuid
from typing import Any

import numpy as np
import optree

from fwddiff import _capture, rules
from fwddiff._native import disk, kept
from fwddiff._native.environment import environment
from fwddiff._native.machine_code import Code, Object
from fwddiff._problem import Problem
from fwddiff._rule import Slot
from fwddiff.engines.numba.cache import _results
from fwddiff.engines.numba.cache._extensions import extensions
from fwddiff.engines.numba.target import elementary, vector_math

_PROCESS = f" {uuid.uuid4().hex}"  # what cannot be described has another key in every process


class Store:
    """What is kept of one problem. `key` is its hash; `usable` says whether anything may be kept."""

    def __init__(self, problem: Problem):
        self.problem = problem
        description = self._describe()
        self.key = description.digest() + (_PROCESS if description.unknown else "")
        self._classes = description.classes
        self._environment = "" if description.unknown or disk.folder() is None else _compiler()

    def _describe(self) -> _capture.Description:
        """All that the key is made of."""
        description = self.problem.describe()
        for row in rules.added_rows():
            description.add((row.name, row.arguments, row.partials, row.value, row.functions[0]))
        if any(node.calls_itself for node in self.problem.plan.nodes()):
            description.add(sys.getrecursionlimit())
        found = extensions()
        description.add(found)
        if "" in found:
            description.unknown.append("an extension of Numba")
        return description

    @property
    def usable(self) -> bool:
        return bool(self._environment)

    def _file(self, what: str) -> str:
        return hashlib.sha256(f"{self._environment} {self.key} {what}".encode()).hexdigest()

    def _is_current(self) -> bool:
        """Whether what is compiled now is what the key was made for: a constant may have changed since."""
        return self.usable and self._describe().digest() == self.key

    # --- results --------------------------------------------------------------------------------------------

    def results(self) -> tuple[tuple[Slot, ...], optree.PyTreeSpec] | None:
        """Slots and structure of the function's results, if they are kept."""
        found = disk.read(self._file("results")) if self.usable else None
        if found is None:
            return None
        slots = tuple(
            Slot(np.dtype(dtype), ndim, differentiable, self.problem.reduce)
            for dtype, ndim, differentiable in found[0]["slots"]
        )
        return slots, _results.decoded(found[0]["tree"], self._classes)

    def keep_results(self, slots: tuple[Slot, ...], tree: optree.PyTreeSpec) -> None:
        if not self._is_current():
            return
        try:
            header: dict[str, Any] = {"tree": _results.encoded(tree, self._classes)}
        except ValueError:
            return
        header["slots"] = [(slot.dtype.str, slot.core_ndim, slot.differentiable) for slot in slots]
        disk.write(self._file("results"), header)

    # --- kernels --------------------------------------------------------------------------------------------

    def kernel(self, what: str) -> Code | None:
        """The kernel kept under this name, loaded."""
        return kept.recall(self._file(what)) if self.usable else None

    def keep_kernel(self, what: str, code: Object) -> None:
        """Keep object code, which another process can use, under this name."""
        if self._is_current():
            kept.keep_object(self._file(what), code)

    def origin(self, what: str) -> str:
        """Where `recall` finds the kernel kept under this name, from another process too; empty if it is not
        kept."""
        return f"{self._environment} {self._file(what)}" if self.usable else ""


def recall(origin: str) -> Code | None:
    """The kernel of a store's `origin`, loaded, if it is there and was compiled by what is installed here."""
    made_by, _, name = origin.partition(" ")
    return kept.recall(name) if made_by and made_by == _compiler() else None


def _compiler() -> str:
    """Hash of what compiles; it also loads the vector functions that kernels refer to."""
    made_by = environment()
    vectors = "" if vector_math.library() else "-without-vectors"
    own = f"-{elementary.wish()}-own" if elementary.wish() else ""
    return made_by and f"{made_by}{vectors}{own}"
