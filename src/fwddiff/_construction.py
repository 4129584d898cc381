"""Constructors of structs, broadcast: an array of structs is a struct of the arrays given; no kernel runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from fwddiff import _host
from fwddiff._classes import own_construction
from fwddiff._errors import HostError
from fwddiff._function import Target


class Constructor:
    """`make(*args)`, where all that broadcasting it would do is to put the arguments into fields."""

    def __init__(self, cls: type, arity: int):
        self.make, self._arity = cls, arity
        self._hosts: dict[tuple, ModuleType | None] = {}

    @classmethod
    def of(cls, target: Target) -> Constructor | None:
        """Of a dataclass or NamedTuple that keeps its arguments as they are, in their order; else `None`."""
        made = target.original
        if not isinstance(made, type) or target.arity < 1 or target.takes_keywords:
            return None
        if issubclass(made, tuple):
            fields = getattr(made, "_fields", ())
        else:
            fields = (
                [field.name for field in dataclasses.fields(made)] if dataclasses.is_dataclass(made) else ()
            )
        keeps = list(fields) == target.names and own_construction(made) is None
        return cls(made, target.arity) if keeps else None

    def takes(self, args: Sequence[Any]) -> bool:
        """Whether the arguments are arrays of one host that would come back as they are: floats of one shape,
        none of them weak."""
        if len(args) != self._arity:
            return False
        kinds = tuple([(type(x), getattr(x, "dtype", None), getattr(x, "weak_type", False)) for x in args])
        if kinds not in self._hosts:
            self._hosts[kinds] = _host_of_floats(args)
        host = self._hosts[kinds]
        return host is not None and (len(args) == 1 or _are_of_one_shape(list(map(host.shape, args))))


def _host_of_floats(leaves: Sequence[Any]) -> ModuleType | None:
    host = _host.owner(leaves[0])
    if host is None or not all(map(host.owns, leaves)):
        return None
    try:
        fits = all(host.dtype(leaf).kind == "f" and not _host.is_weak(host, leaf) for leaf in leaves)
    except HostError:  # the ordinary way says which argument
        return None
    return host if fits else None


def _are_of_one_shape(shapes: list[tuple]) -> bool:
    return None not in shapes[0] and all(shape == shapes[0] for shape in shapes)
