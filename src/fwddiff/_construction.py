"""Constructors of structs, broadcast: an array of structs is a struct of the arrays given; no kernel runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from fwddiff import _host
from fwddiff._classes import own_construction
from fwddiff._errors import HostError
from fwddiff._function import Target


class Constructor:
    """`make(*args)`, where all that broadcasting it would do is to put the arguments into fields."""

    def __init__(self, cls: type, arity: int):
        self.make, self._arity = cls, arity

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
        host = _host.owner(args[0]) if len(args) == self._arity else None
        if host is None or not all(map(host.owns, args)):
            return False
        try:
            if any(host.dtype(leaf).kind != "f" or _host.is_weak(host, leaf) for leaf in args):
                return False
            first, *others = map(host.shape, args)
        except HostError:  # the ordinary way says which argument
            return False
        return not others or (None not in first and all(shape == first for shape in others))
