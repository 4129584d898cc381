"""What a program records: a call of a rule, and where the rule comes from. Without JAX's internals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import numpy as np

from fwddiff import _nesting
from fwddiff._errors import HostError
from fwddiff._rule import Habit, Rule, Shape, Slot

Kind = Literal["pushforward", "pullback", "partials"]

# A program without arithmetic of XLA's own runs on the thread that calls it; the product of a cotangent and
# stored partials is enough to make XLA wake another, which takes as long as a function of few elements.
HABIT: Habit = "recomputes few"


@dataclass(frozen=True)
class Operation:
    """A rule and where it comes from: `rule` is `base.rule`'s derived rule `kind` with respect to `active`.

    The origin is what a transpose needs: a pushforward's is the pullback of the same base, and the reverse.
    """

    rule: Rule
    kind: Kind | None = None
    base: Operation | None = field(default=None, compare=False)
    active: tuple[int, ...] = field(default=(), compare=False)

    def derive(self, kind: Kind, active: Sequence[int]) -> Operation:
        active = tuple(active)
        return Operation(getattr(self.rule, kind)(active), kind, self, active)

    def __repr__(self) -> str:
        return self.rule.name


def jax_dtype(slot: Slot) -> np.dtype:
    """What a slot's dtype is in JAX: 64 bits become 32 unless `jax_enable_x64` is set."""
    return np.dtype(jax.dtypes.canonicalize_dtype(slot.dtype))


def static_shapes(rule: Rule, avals: Sequence[Any]) -> list[Shape]:
    """Shapes as integers; raises `HostError` for the symbolic dimensions of `jax.export`."""
    shapes = [tuple(aval.shape) for aval in avals]
    for i, shape in enumerate(shapes):
        if not all(isinstance(n, int) for n in shape):
            raise symbolic_size(f"{rule.name}: array {i}", shape)
    return shapes


def symbolic_size(what: str, shape: Sequence[Any]) -> HostError:
    return HostError(
        f"{what} has the symbolic shape ({', '.join(map(str, shape))}); "
        "fwddiff compiles for known sizes: export once per shape."
    )


def in_python(operation: Operation, batch_ndim: int, dtypes: Sequence[Any], *arrays: Any) -> list[np.ndarray]:
    """The call for `jax.pure_callback`: evaluated in the rule's dtypes, answered in JAX's (without
    `jax_enable_x64`, 64 bits are 32 there)."""
    rule = operation.rule
    given = [np.asarray(x, slot.dtype) for x, slot in zip(arrays, rule.inputs, strict=True)]
    with _nesting.in_jax():
        results = rule(given, batch_ndim)
    return [y.astype(dtype, copy=False) for y, dtype in zip(results, dtypes, strict=True)]


def evaluated_outside(operation: Operation, batch_ndim: int, arrays: Sequence[Any]) -> list[np.ndarray]:
    """The call where no program waits for it; raises the exception of the function itself."""
    rule = operation.rule
    results = rule(
        [np.asarray(x, slot.dtype) for x, slot in zip(arrays, rule.inputs, strict=True)], batch_ndim
    )
    return [y.astype(jax_dtype(slot), copy=False) for y, slot in zip(results, rule.outputs, strict=True)]
