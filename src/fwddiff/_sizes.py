"""What a user's function returns: found from types, from an outline of it, or from the values of a call.

Never by running it on invented numbers, which can raise, hang or take another branch. A host that computes at
once has the values of the call: the function runs on its first element, and that result is kept for the
call. A host that traces has shapes alone: the function's *outline* (`engines.numpy.outline`) is asked, and
where that depends on values, the user (`out_shape=`). Kernels and loops check what they were told.

Integers may be sizes (`np.zeros(k)`). A rule whose outline needs them has a *twin* for each set of their
values, which shares its kernels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fwddiff._errors import FwdDiffError, ShapeError, StructureError
from fwddiff._problem import Problem
from fwddiff._rule import Rule, Shape, Slot

Shapes = tuple[Shape, ...]

_EXTENTS = (2, 1, 3, 4, 5, 8, 16)


class Given:
    """What a call knows of a rule's inputs. `values` gives them as NumPy arrays, if a host has them."""

    def __init__(
        self,
        inputs: Sequence[Slot],
        leaves: Sequence[Any],
        shapes: Sequence[Shape],
        values: Callable[[], Sequence[np.ndarray] | None],
    ):
        self.inputs, self.leaves, self.shapes, self._values = inputs, leaves, shapes, values

    def cores(self) -> Shapes:
        """Core shapes of the inputs."""
        pairs = zip(self.inputs, self.shapes, strict=True)
        return tuple([tuple(shape[len(shape) - slot.core_ndim :]) for slot, shape in pairs])

    def first(self) -> list[np.ndarray] | None:
        """The inputs of the first element of the loop; `None` without values or elements."""
        arrays = self._values()
        return None if arrays is None else first_element(self.inputs, arrays)

    def integers(self) -> dict[int, int]:
        """Values of the integer numbers among the inputs, by position, as far as they are known."""
        wanted = [k for k, slot in enumerate(self.inputs) if slot.dtype.kind in "iu" and not slot.core_ndim]
        found = {k: int(self.leaves[k]) for k in wanted if isinstance(self.leaves[k], int | np.integer)}
        if len(found) < len(wanted) and (first := self.first()) is not None:
            found |= {k: int(first[k]) for k in wanted}
        return found


def first_element(inputs: Sequence[Slot], arrays: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    """The core arrays at the first index of the loop; `None` if it has no elements."""
    if not all(array.size for array in arrays):
        return None
    return [
        np.reshape(array, (-1, *array.shape[array.ndim - slot.core_ndim :]))[0]
        for slot, array in zip(inputs, arrays, strict=True)
    ]


class FunctionRule(Rule):
    """A user's function. Subclasses say how they learn what it returns."""

    problem: Problem
    is_settled = False

    def _start(self, problem: Problem) -> None:
        self.problem, self.name, self.inputs = problem, problem.name, problem.inputs
        self.mode, self.passes = problem.mode, problem.passes
        self.integers: Mapping[int, int] = {}  # known values of inputs, by position
        self._shapes: dict[Shapes, Shapes] = {}
        self._unclear: dict[Shapes, FwdDiffError] = {}
        self._twins: dict[tuple, FunctionRule] = {}
        self._first: Any = None

    # --- what subclasses provide ----------------------------------------------------------------------------

    @property
    @abstractmethod
    def knows_results(self) -> bool:
        """Whether `outputs` can be told at once."""

    @abstractmethod
    def _outline(self, cores: Shapes) -> Shapes:
        """Core shapes of the outputs, and from then on `knows_results`; raises where they are unclear."""

    @abstractmethod
    def _run_first(self, leaves: Sequence[np.ndarray]) -> Shapes:
        """The same from the function's result for these leaves of one element."""

    @abstractmethod
    def _twin(self) -> FunctionRule:
        """A rule of the same function, which shares kernels, without shapes and derivatives of its own."""

    # --- the first element's results, kept for the call that asked ------------------------------------------

    def keep_first(self, leaves: Sequence[Any], results: Sequence[Any]) -> None:
        self._first = leaves, results

    def take_first(self, leaves: Sequence[Any]) -> Sequence[Any] | None:
        """The results kept, if they are those of these leaves; once."""
        (given, results), self._first = self._first or ((), None), None
        if results is None or not all(map(_same, given, leaves)):
            return None
        return results

    def as_told(
        self, arrays: Sequence[np.ndarray], results: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, ...]:
        """The results; raises `StructureError` where they are not of the shapes that the user told."""
        if self.problem.out_shape is not None:
            given = Given(self.inputs, arrays, [array.shape for array in arrays], lambda: arrays)
            rule = self if self._outlined(given.cores()) else self.settled(given)
            told = rule.core_shapes(given.cores())
            for position, (core, array) in enumerate(zip(told, results, strict=True)):
                if array.shape[array.ndim - len(core) :] != core:
                    raise StructureError(
                        f"{self.name}: out_shape= tells the shape {core} for result {position}, and the "
                        f"function returned {array.shape[array.ndim - len(core) :]}."
                    )
        return results

    # --- settling -------------------------------------------------------------------------------------------

    def settled(self, given: Given) -> Rule:
        """The rule for calls like this one, which knows what it returns, if it can be told."""
        cores = given.cores()
        found = None if self.knows_results else self._found(cores, given)
        if self.knows_results and all(slot.core_ndim == 0 for slot in self.outputs):
            self.is_settled = True
            return self
        if cores in self._shapes or any(None in core for core in cores) or self._outlined(cores):
            return self
        integers = given.integers()
        rule = self._twin_for(integers) if integers else self
        if cores not in rule._shapes and (rule is self or not rule._outlined(cores)):
            found = found or rule._found(cores, given)
            if found is not None:
                rule._shapes[cores] = found
        return rule

    def _twin_for(self, integers: Mapping[int, int]) -> FunctionRule:
        key = tuple(sorted(integers.items()))
        if key not in self._twins:
            self._twins[key] = self._twin()
            self._twins[key].know_integers(integers)
        return self._twins[key]

    def know_integers(self, integers: Mapping[int, int]) -> None:
        """Make this twin that of calls with these integers, by position."""
        self.integers, self.depends_on_integers = integers, True

    def _found(self, cores: Shapes, given: Given) -> Shapes | None:
        """Shapes of the results by the values of the call; without them the outline may tell, if it can."""
        first = given.first()
        if first is not None:
            return self._run_first(first)
        if not self.knows_results and not any(None in core for core in cores):
            self._outlined(cores)
        return None

    def learn(self, arrays: Sequence[np.ndarray]) -> None:
        """Make sure that the shapes for inputs like these are known, where they have an element."""
        given = Given(self.inputs, arrays, [array.shape for array in arrays], lambda: arrays)
        if self.knows_results and all(slot.core_ndim == 0 for slot in self.outputs):
            return
        cores = given.cores()
        if cores not in self._shapes and not self._outlined(cores):
            found = self._found(cores, given)
            if found is not None:
                self._shapes[cores] = found

    def _outlined(self, cores: Shapes) -> bool:
        if cores in self._unclear:
            return False
        try:
            self._shapes[cores] = self._outline(cores)
        except FwdDiffError as error:
            self._unclear[cores] = error
        return cores in self._shapes

    def core_shapes(self, core_inputs: Sequence[Shape]) -> Shapes:
        if self.knows_results and all(slot.core_ndim == 0 for slot in self.outputs):
            return ((),) * len(self.outputs)
        cores = tuple(map(tuple, core_inputs))
        if cores not in self._shapes and not self._outlined(cores):
            raise self._unknown("shapes", self._unclear[cores])
        return self._shapes[cores]

    def find_structure(self) -> None:
        """Structure of the results where nothing is known of the arguments but their kinds: of an outline for
        core axes of some length."""
        error: FwdDiffError | None = None
        for extent in _EXTENTS:
            cores = tuple([(extent,) * slot.core_ndim for slot in self.inputs])
            if self._outlined(cores):
                return
            error = error or self._unclear[cores]
        assert error is not None
        raise self._unknown("structure", error)

    def _unknown(self, what: str, error: FwdDiffError) -> ShapeError:
        found = ShapeError(
            f"{self.name}: the {what} of its results cannot be told before it runs, which a host that traces "
            f"needs: {error}. Give an example of the result (values do not matter), or a function of the "
            "arguments that makes one: fwddiff(f, out_shape=lambda x: np.empty(len(x)))."
        )
        found.__cause__ = error
        return found


def _same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f")
