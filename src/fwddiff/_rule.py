"""The narrow waist between hosts and engines: what a differentiable function of plain arrays is.

A `Rule` maps NumPy arrays to NumPy arrays. Its pushforward, its pullback and its partials are rules again, so
a host needs one operation class, whatever the order of differentiation: the pullback is recorded with the
same operation.

Shapes. A rule applies a *core* function in a loop. Every input has `core_ndim` trailing core axes, which the
core function sees as one small array (0: a number), and leading loop axes, which broadcast against those of
the other inputs like NumPy's. What becomes of the loop axes of an output is its `reduce`:

    None       one result per element of the loop            shape = loop + core
    "sum"      summed over the whole loop                    shape = core
    i (int)    summed over the axes along which input i is   shape = shape of input i
               broadcast (this is how cotangents are un-broadcast)

`batch_ndim=b` (for `vmap`) says that the first b axes of *every* input are batch axes (size B, or 1 where an
input is not batched). They lead the loop, are never reduced, and lead every output.
"""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from fwddiff._errors import DerivativeError, ShapeError

Shape = tuple[int, ...]
Mode = Literal["auto", "store", "recompute"]
Passes = Literal["single", "per_argument"]
# What a host makes of few elements of a cheap function, and whether it keeps partials at all.
Habit = Literal["plain", "stores few", "recomputes few", "recomputes"]
WITH_VALUES = "value_and_"  # ahead of the kind of a derived rule whose outputs the base's come ahead of


@dataclass(frozen=True)
class Slot:
    """One input or output of a rule. `differentiable` is true of floats only; `reduce` has a meaning for
    outputs only."""

    dtype: np.dtype
    core_ndim: int = 0
    differentiable: bool = True
    reduce: int | Literal["sum"] | None = None


# A partial goes to memory and back in the time of so many elementary functions, measured in PyTorch; for few
# elements the host's own operations on stored partials cost more than either.
VALUE_PER_PARTIAL = 1.0
MANY = 10_000
# Up to so many elements, a kernel takes less time than what a host does around it.
FEW = 4096


class Decision(NamedTuple):
    """Whether partials are stored, and why or why not."""

    stores: bool
    reason: str


class Unbounded(tuple):
    """Results of a rule of partials some of which are infinite or nan.

    Contracted by a host's own operations, such a partial and a cotangent of zero would give nan: what nobody
    asked for would be heard. A host that is handed these records the call as if it did not store.
    """

    __slots__ = ()


class Rule(ABC):
    """A differentiable function of plain arrays. Compared by identity; engines and derived rules cache them.

    `mode` and `passes` are the user's choices (see `fwddiff.fwddiff`); derived rules inherit them.
    """

    name: str
    inputs: tuple[Slot, ...]
    mode: Mode = "auto"
    passes: Passes = "single"
    depends_on_integers: bool = False  # whether the rule is for calls with certain integers (see `_sizes`)
    is_settled: bool = True  # whether the rule knows what it returns, whatever the call (see `_sizes`)

    @property
    @abstractmethod
    def outputs(self) -> tuple[Slot, ...]:
        """Slots of the outputs; asking may compile the function."""

    @abstractmethod
    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        """Evaluate on arrays of exactly the dtypes of `inputs`: any strides, possibly read-only, never
        written to.

        Returns new C-contiguous arrays. Raises `ShapeError` where loop axes do not broadcast.
        """

    @abstractmethod
    def _derive(self, kind: str, active: tuple[int, ...]) -> Rule:
        """Build the derived rule named `kind`; called once per (kind, active)."""

    @abstractmethod
    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        """Core shape of each output from the core shapes of the inputs."""

    def repeated(self, arrays: Sequence[np.ndarray]) -> Repeated | None:
        """What evaluates the rule again on arrays of the dtypes, shapes and strides of these; `None` where
        the engine has nothing that is quicker than a call of the rule."""
        return None

    def native(self, shapes: Sequence[Shape], batch_ndim: int = 0) -> Native | None:
        """Machine code for C-contiguous inputs of these shapes, or `None` where the engine has none."""
        return None

    def scalar_function(self) -> Any:
        """For rules of numbers: a Numba function of numbers that returns the tuple of outputs, or `None`."""
        return None

    # --- derived rules --------------------------------------------------------------------------------------

    def pushforward(self, active: Sequence[int]) -> Rule:
        """(inputs, tangents of the active inputs) → tangents of the differentiable outputs."""
        return self._derived("pushforward", tuple(active))

    def pullback(self, active: Sequence[int]) -> Rule:
        """(inputs, cotangents of the differentiable outputs) → cotangents of the active inputs,
        un-broadcast."""
        return self._derived("pullback", tuple(active))

    def partials(self, active: Sequence[int]) -> Rule:
        """(inputs) → (outputs, then for each differentiable output j and each active input a the partial
        P[j][a]).

        The cotangent of a is the sum over j of ct[j] * P[j][a], un-broadcast to a's shape (for
        `reduce="sum"`, P[j][a] has a's shape already); the tangent of j is the sum over a of P[j][a] *
        tangent[a] (for `reduce="sum"`: summed over all elements). A cotangent or tangent of zero gives zero,
        whatever the partial (see `Unbounded`). Only where `storable`.
        """
        if not self.storable:
            raise DerivativeError(
                f"{self.name}: partials of array outputs are not stored; use mode='recompute'."
            )
        return self._derived("partials", tuple(active))

    def jacobian(self, active: Sequence[int]) -> Rule:
        """(inputs) → for each differentiable output j and active input a the derivatives of every element of
        j by every element of a: the core axes of j, then those of a.

        Of rules that are called without loop axes, and only where `has_jacobian`.
        """
        return self._derived("jacobian", tuple(active))

    def with_values(self, kind: str, active: Sequence[int]) -> Rule:
        """The derived rule `kind` ("pushforward", "pullback" or "jacobian") with the outputs of this rule
        ahead of its own, in the same pass; of a jacobian, only where `has_jacobian`."""
        return self._derived(f"{WITH_VALUES}{kind}", tuple(active))

    # Whether an engine seeds the inputs, many at a time; rules that users write know single directions only.
    has_jacobian: bool = False

    def _derived(self, kind: str, active: tuple[int, ...]) -> Rule:
        cache = vars(self).setdefault("_derived_cache", {})
        if (kind, active) not in cache:
            wrong = [a for a in active if not self.inputs[a].differentiable]
            if wrong or not active:
                raise DerivativeError(f"{self.name}: inputs {wrong or active} have no derivative ({kind}).")
            rule = self._derive(kind, active)
            rule.mode, rule.passes = self.mode, self.passes
            cache[kind, active] = rule
        return cache[kind, active]

    # --- how hosts choose between them ----------------------------------------------------------------------

    @property
    def storable(self) -> bool:
        """Whether `partials` exists: every differentiable output is a number per element, or a sum of
        numbers."""
        return all(
            slot.core_ndim == 0 and slot.reduce in (None, "sum") for slot in self.differentiable_outputs
        )

    def stores(self, active: Sequence[int], shapes: Sequence[Shape], habit: Habit = "plain") -> bool:
        """Whether the host should keep partials from the forward pass (`mode="store"`) rather than inputs
        alone."""
        return self.decide(active, shapes, habit).stores

    def decide(self, active: Sequence[int], shapes: Sequence[Shape], habit: Habit = "plain") -> Decision:
        """Store or recompute, and why; the only place where that is decided.

        Storing moves partials to memory and back, recomputing runs the function twice. "auto" stores
        - the partials of one output that is a sum or a number: they are no larger than the inputs;
        - else only where no active input is broadcast (a partial would be larger than it), and where the
          function is dear: it loops, or its elementary functions cost more than its partials' way to memory
          and back (`VALUE_PER_PARTIAL`; docs/design.md has the measurements).
        What few elements of a cheap function cost depends on the host: `habit`.
        """
        if not self.storable:
            return Decision(
                False, "outputs are arrays or have their own cotangents, whose partials are not stored"
            )
        if habit == "recomputes":
            return Decision(False, "this host keeps no partials")
        if self.mode != "auto":
            return Decision(self.mode == "store", f"asked for by mode={self.mode!r}")
        one = len(self.differentiable_outputs) == 1
        if not self.dear and habit != "plain" and math.prod(self.loop_shape(shapes)) <= FEW:
            if habit == "recomputes few":
                return Decision(False, "elements are few and the function is cheap to run again")
            if one and self.passes == "single" and self.shaped_like_inputs(active, shapes):
                return Decision(True, "elements are few: keeping partials is quicker than a second kernel")
        if one and self._is_total(shapes):
            return Decision(
                True,
                "the result is one number, whose partials come in one pass and are as large as the inputs",
            )
        elements = math.prod(self.loop_shape(shapes))
        fits = all(math.prod(shapes[a]) == elements for a in active)
        partials = len(active) * len(self.differentiable_outputs)
        enough = elements >= MANY and self.elementary >= VALUE_PER_PARTIAL * partials
        if not (self.dear or enough):
            return Decision(False, "the function has no loop of its own and is cheap to run again")
        if not fits:
            return Decision(False, "partials would be larger than inputs that are broadcast")
        if self.dear:
            return Decision(
                True, "the function has a loop, dear to run twice, and no partial is larger than its input"
            )
        return Decision(True, "elements are many, and cost more than their partials' way to memory and back")

    def shaped_like_inputs(self, active: Sequence[int], shapes: Sequence[Shape]) -> bool:
        """Whether the partials of the only output have the shapes of their inputs."""
        total = self.outputs[0].reduce == "sum" or not self.loop_shape(shapes)
        return total or all(shapes[a] == self.loop_shape(shapes) for a in active)

    def _is_total(self, shapes: Sequence[Shape]) -> bool:
        (slot,) = self.differentiable_outputs
        return slot.reduce == "sum" or not self.loop_shape(shapes)

    # Whether the function loops; how many elementary functions it calls, in units of a vectorised `exp`.
    dear: bool = False
    elementary: float = 0.0

    def pullback_passes(self, active: Sequence[int]) -> list[tuple[int, ...]]:
        """The groups of active inputs whose cotangents are computed together, by `passes`."""
        return [tuple(active)] if self.passes == "single" else [(a,) for a in active]

    @property
    def differentiable_outputs(self) -> tuple[Slot, ...]:
        return tuple(slot for slot in self.outputs if slot.differentiable)

    # --- shapes ---------------------------------------------------------------------------------------------

    def loop_shape(self, shapes: Sequence[Shape], batch_ndim: int = 0) -> Shape:
        """Broadcast of the inputs' loop axes, batch axes included."""
        aligned = self.aligned_loops(shapes, batch_ndim)
        try:
            return np.broadcast_shapes(*aligned)
        except ValueError:
            listing = ", ".join(str(tuple(shape)) for shape in shapes)
            raise ShapeError(
                f"{self.name}: shapes {listing} do not broadcast together. Trailing axes must be equal or 1."
            ) from None

    def aligned_loops(self, shapes: Sequence[Shape], batch_ndim: int = 0) -> list[Shape]:
        """Loop shapes of equal length: ones are put between the batch axes and the rest."""
        loops = []
        for slot, shape in zip(self.inputs, shapes, strict=True):
            ndim = len(shape) - slot.core_ndim
            if ndim < batch_ndim:
                raise ShapeError(
                    f"{self.name}: an array of {len(shape)} axes where {slot.core_ndim} were expected."
                )
            loops.append(tuple(shape[:ndim]))
        longest = max((len(loop) for loop in loops), default=0)
        return [loop[:batch_ndim] + (1,) * (longest - len(loop)) + loop[batch_ndim:] for loop in loops]

    def output_shapes(self, shapes: Sequence[Shape], batch_ndim: int = 0) -> tuple[Shape, ...]:
        """Shapes of the outputs for these shapes of the inputs."""
        loop = self.loop_shape(shapes, batch_ndim)
        cores = self.core_shapes(
            [s[len(s) - slot.core_ndim :] for slot, s in zip(self.inputs, shapes, strict=True)]
        )
        return tuple(
            self.reduced_loop(slot, loop, shapes, batch_ndim) + tuple(core)
            for slot, core in zip(self.outputs, cores, strict=True)
        )

    def reduced_loop(self, slot: Slot, loop: Shape, shapes: Sequence[Shape], batch_ndim: int) -> Shape:
        """Loop axes that an output keeps."""
        if slot.reduce is None:
            return loop
        if slot.reduce == "sum":
            return loop[:batch_ndim]
        shape = shapes[slot.reduce]
        return loop[:batch_ndim] + tuple(shape[batch_ndim : len(shape) - self.inputs[slot.reduce].core_ndim])


def split_kind(kind: str) -> tuple[str, bool]:
    """A kind of derived rule without values, and whether the values of the base come ahead."""
    return kind.removeprefix(WITH_VALUES), kind == "partials" or kind.startswith(WITH_VALUES)


def derived_slots(
    kind: str, inputs: tuple[Slot, ...], outputs: tuple[Slot, ...], active: tuple[int, ...]
) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """Inputs and outputs of the derived rule `kind`, from those of its base."""
    if kind.startswith(WITH_VALUES):
        taken, found = derived_slots(split_kind(kind)[0], inputs, outputs, active)
        return taken, outputs + found
    results = tuple(slot for slot in outputs if slot.differentiable)
    if kind == "pushforward":
        return inputs + tuple(inputs[a] for a in active), results
    if kind == "pullback":
        cotangents = tuple(replace(slot, reduce=None) for slot in results)
        return inputs + cotangents, tuple(replace(inputs[a], reduce=a) for a in active)
    if kind == "partials":
        return inputs, outputs + tuple(_partial_slot(j, inputs[a], a) for j in results for a in active)
    if kind == "jacobian":
        return inputs, tuple(_block_slot(j, inputs[a]) for j in results for a in active)
    raise ValueError(kind)


def derived_core_shapes(
    kind: str, base: Rule, active: tuple[int, ...], core_inputs: Sequence[Shape]
) -> tuple[Shape, ...]:
    """Core shapes of the outputs of the derived rule `kind`."""
    given = core_inputs[: len(base.inputs)]
    if kind.startswith(WITH_VALUES):
        found = derived_core_shapes(split_kind(kind)[0], base, active, core_inputs)
        return tuple(base.core_shapes(given)) + found
    if kind == "pullback":
        return tuple(tuple(given[a]) for a in active)
    values = base.core_shapes(given)
    results = [j for j, slot in enumerate(base.outputs) if slot.differentiable]
    if kind == "pushforward":
        return tuple(values[j] for j in results)
    if kind == "jacobian":
        return tuple((*values[j], *given[a]) for j in results for a in active)
    return values + tuple(tuple(given[a]) for _ in results for a in active)


def _partial_slot(output: Slot, source: Slot, position: int) -> Slot:
    dtype = np.promote_types(output.dtype, source.dtype)
    reduce = position if output.reduce == "sum" else None
    return Slot(dtype, source.core_ndim, True, reduce)


def _block_slot(output: Slot, source: Slot) -> Slot:
    """Slot of the derivatives of an output by an input."""
    return Slot(np.promote_types(output.dtype, source.dtype), output.core_ndim + source.core_ndim)


class Repeated(Protocol):
    """Evaluates a rule on operands in memory, whose addresses (of the inputs, then of the outputs) are packed
    as int64. Any number of threads may do so at once."""

    # Shapes and dtypes of the outputs: C-contiguous arrays that the caller provides, apart from the inputs.
    outputs: list[tuple[Shape, np.dtype]]

    def run(self, pointers: bytes, threads: int = 0) -> bool: ...


@dataclass(frozen=True)
class Native:
    """A compiled rule as machine code, for hosts that call it without Python (XLA).

    `address` is a C function `int64 kernel(int64 *pointers, int64 *layout)`: pointers of the inputs, then of
    the outputs, all C-contiguous and of the shapes that `layout` was made for; 0 means success. `key` is a
    hash of the content (the same in every process), `owner` keeps the machine code alive. `origin` is how
    another process finds the same machine code: a module of the engines and what its function `recall` takes;
    empty if it is not kept.
    """

    address: int
    layout: np.ndarray
    key: str
    owner: object
    origin: str = ""


def recall(origin: str) -> tuple[int, object] | None:
    """Address and owner of the kernel of a `Native` of this or another process, if it is kept."""
    module, _, place = origin.partition(" ")
    return importlib.import_module(f"fwddiff.engines.{module}").recall(place) if place else None
