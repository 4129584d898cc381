"""What the wrapper hands to an engine: a function, the structure of its arguments, and what to make of
them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import optree

from fwddiff import _capture, _tree
from fwddiff._capture import Description, Function
from fwddiff._errors import StaleError
from fwddiff._rule import Mode, Passes, Slot


class Told:
    """What the user told of the result: an example of it, or a function of the arguments that makes one."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Told) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


@dataclass(frozen=True, eq=False)
class Problem:
    """A function of leaves.

    `arguments` is the structure of the tuple of positional arguments (defaults and keywords resolved),
    `captured` those of the captured values. Their leaves, in this order, are either `statics` (by position)
    or the rule's inputs.
    """

    plan: Function
    arguments: optree.PyTreeSpec
    captured: tuple[optree.PyTreeSpec, ...]
    statics: Mapping[int, Any]
    inputs: tuple[Slot, ...]
    reduce: Literal["sum"] | None = None
    float_dtype: np.dtype = field(default_factory=lambda: np.dtype(np.float64))
    integer_dtype: np.dtype = field(default_factory=lambda: np.dtype(np.int64))
    mode: Mode = "auto"
    passes: Passes = "single"
    chunk: int | None = None
    # For messages: how it is called (`whole`, `broadcast`, `sum`), by which signature; axes of each input.
    kind: str = "whole"
    signature: str | None = None
    axes: tuple[int, ...] = ()
    out_shape: Told | None = None
    # Whether the classes and functions among the arguments are what they were; `None`: there are none.
    current: Callable[[], bool] | None = None

    @functools.cached_property
    def _contents(self) -> dict[int, Any]:
        return {k: _capture.content(static) for k, static in self.statics.items()}

    def __post_init__(self) -> None:
        self._contents  # noqa: B018 - as the call has them

    def refuse_changes(self) -> None:
        """Raise `StaleError` if what would be compiled or run now is not the function that was called."""
        holds = self.plan.holds() and (self.current is None or self.current())
        if not holds or any(
            _capture.content(static) != self._contents[k] for k, static in self.statics.items()
        ):
            raise StaleError(
                f"What {self.name} refers to changed after the call and before its derivative was computed, "
                "which would be that of another function. Call it again, or hand the value over as an "
                "argument."
            )

    @property
    def name(self) -> str:
        return self.plan.function.__name__

    def bind(self, inputs: Sequence[Any], marks: str = "marked") -> tuple[tuple, list]:
        """Positional arguments and captured values with these inputs as their leaves; `marks` as in
        `unflatten_for_code`."""
        fresh = iter(inputs)
        total = self.arguments.num_leaves + sum(spec.num_leaves for spec in self.captured)
        leaves = iter([self.statics[k] if k in self.statics else next(fresh) for k in range(total)])
        take = lambda spec: _tree.unflatten_for_code(  # noqa: E731
            spec, [next(leaves) for _ in range(spec.num_leaves)], marks
        )
        return take(self.arguments), [take(spec) for spec in self.captured]

    def fingerprint(self) -> str:
        """Hash of everything that the compiled code depends on, the same in every process."""
        return self.describe().digest()

    def describe(self) -> Description:
        """What the compiled code depends on, as it is now."""
        description = Description()
        description.plan(self.plan)
        description.add(*(item for static in sorted(self.statics.items()) for item in static))
        specs = (self.arguments, *self.captured)
        structures = [description.structure(spec) for spec in specs]
        description.add(*(held.described() for spec in specs for _, held in _tree.beside(spec)))
        slots = [
            (str(slot.dtype), slot.core_ndim, slot.differentiable, str(slot.reduce)) for slot in self.inputs
        ]
        dtypes = str(self.float_dtype), str(self.integer_dtype)
        description.add((*structures, *slots, str(self.reduce), *dtypes, self.chunk))
        return description
