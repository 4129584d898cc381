"""How a rule was made from another one, and which derived rules give its cotangents."""

# PyTensor is an extra, which type checkers do not find.
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pytensor.gradient import DisconnectedType
from pytensor.graph.null_type import NullType

from fwddiff._errors import HostError
from fwddiff._rule import Rule, Shape

MANY = 1_000_003


class Derivation(NamedTuple):
    """A rule, with the rule, the kind and the active inputs that it was derived by (`base` is `None` for a
    user's function). Equal where the rules are the same object."""

    rule: Rule
    base: Derivation | None = None
    kind: str = ""
    active: tuple[int, ...] = ()

    def derived(self, kind: str, active: Sequence[int]) -> Derivation:
        rule = getattr(self.rule, kind)(tuple(active))
        return Derivation(rule, self, kind, tuple(active))

    def connection_pattern(self) -> list[list[bool]]:
        """Which outputs depend smoothly on which inputs."""
        return [[i.differentiable and o.differentiable for o in self.rule.outputs] for i in self.rule.inputs]

    def without(self, unused: Sequence[int]) -> tuple[Derivation, list[int]] | None:
        """The same derivatives without those of the outputs `unused`, and the outputs that are left."""
        if self.base is None or self.kind not in ("pullback", "partials"):
            return None
        first = len(self.base.rule.outputs) if self.kind == "partials" else 0
        count = len(self.active)
        kept = [
            k for k in range(count) if not set(range(first + k, len(self.rule.outputs), count)) <= {*unused}
        ]
        if not kept or len(kept) == count:
            return None
        rows = range(first, len(self.rule.outputs), count)
        left = [*range(first), *(row + k for row in rows for k in kept)]
        return self.base.derived(self.kind, [self.active[k] for k in kept]), left

    def stores(self, active: Sequence[int], shapes: Sequence[Shape]) -> bool:
        """Whether partials are computed with the value. A second derivative recomputes: it contracts at once,
        where partials of partials would be a matrix."""
        return self.base is None and self.rule.stores(active, shapes)

    def is_elementwise(self) -> bool:
        """Whether the rule maps numbers to numbers, so that `Elemwise` may apply it and sum cotangents."""
        base = self.rule if self.base is None else self.base.rule
        slots = (*base.inputs, *base.outputs, *self.rule.inputs, *self.rule.outputs)
        user = self
        while user.base is not None:
            user = user.base
        return all(s.core_ndim == 0 for s in slots) and all(s.reduce is None for s in user.rule.outputs)


class OfThisProcess:
    """An op that holds a rule: copies of graphs share it, and it cannot go to another process."""

    derivation: Derivation

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise HostError(
            f"{self.derivation.rule.name}: a PyTensor graph that applies it cannot be pickled; its kernel "
            "belongs to this process. Build and compile the graph in the process that runs it, or start "
            'processes by forking (pymc.sample(mp_ctx="fork")).'
        )


def is_missing(variable: Any) -> bool:
    """Whether PyTensor has no cotangent or tangent here."""
    return variable is None or isinstance(variable.type, DisconnectedType | NullType)


def disconnected() -> Any:
    return DisconnectedType()()


def static_shapes(shapes: Sequence[tuple[int | None, ...]]) -> list[Shape]:
    """Shapes for choosing between storing and recomputing: axes are of size 1 or very many."""
    return [tuple(1 if size == 1 else MANY for size in shape) for shape in shapes]
