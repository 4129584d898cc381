"""What a function returns, told without its values: structure, shapes and dtypes.

The user's function runs in Python on numbers and arrays whose values are not known (`unknown`). Where it asks
for one, as `if x > 0` does, one answer is taken; which, does not matter to a function that returns arrays of
one shape from every branch, and kernels check that. An answer that leads to an exception is taken back, and a
loop that keeps asking gets the other answer in the end.
"""

from __future__ import annotations

import builtins
import functools
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fwddiff import _nesting, _tree, dual
from fwddiff._buffers import DiffCache, get_tmp
from fwddiff._errors import FwdDiffError
from fwddiff._problem import Problem
from fwddiff._rule import Shape
from fwddiff.engines.numpy import unknown
from fwddiff.engines.numpy.function import MethodPlans, UserFunction
from fwddiff.engines.numpy.standins import StandIns, of_plain
from fwddiff.engines.numpy.unknown import Unclear, Unknown

_TRIES = 64
_PATIENCE = 200  # answers at one place before a loop gets the other one
_MOST_ANSWERS = 1_000_000
_OURS = (str(Path(_nesting.__file__).parent), str(Path(np.__file__).parent))


def outline(
    problem: Problem, plans: MethodPlans, shapes: Sequence[Shape], integers: Mapping[int, int]
) -> tuple[list[Any], Any]:
    """Leaves of the result, as examples of their shapes and dtypes, and its structure.

    Args:
        problem: The function, and the kinds of its inputs.
        plans: Of the methods of structs among the arguments.
        shapes: Core shapes of the inputs.
        integers: Values of inputs that are known, by position.

    Raises:
        Unclear: They depend on values, or the function did not return for any answers.
    """
    leaves = [
        integers[k] if k in integers else _leaf(shape, slot.dtype)
        for k, (shape, slot) in enumerate(zip(shapes, problem.inputs, strict=True))
    ]
    with np.errstate(all="ignore"), warnings.catch_warnings(), _nesting.nested():
        warnings.simplefilter("ignore")  # of a mean of nothing, and the like: no number here means anything
        result = _Search(lambda: _result(problem, plans, leaves)).run()
    found, tree = _tree.flatten(result)
    return [unknown.example(leaf) for leaf in found], tree


def _leaf(shape: Shape, dtype: np.dtype) -> Unknown:
    if shape:
        return Unknown(np.broadcast_to(dtype.type(1), shape))
    return Unknown({"f": dtype.type, "b": bool}.get(dtype.kind, int)(1))


def _result(problem: Problem, plans: MethodPlans, leaves: Sequence[Any]) -> Any:
    if problem.out_shape is None:
        return UserFunction(problem, plans, standins())(*leaves)
    told = problem.out_shape.value
    return told(*problem.bind(leaves)[0]) if callable(told) else told


@functools.cache
def standins() -> StandIns:
    """What would ask a number for its value."""
    arrays = {getattr(np, name): unknown.new_array(getattr(np, name)) for name in _CREATORS}
    arrays |= {getattr(np, name): unknown.array(getattr(np, name)) for name in _ARRAYS}
    arrays |= dual.of_lists(_listed)
    arrays[get_tmp] = _buffer
    silent = {builtins.print: lambda *arguments, **options: None}
    silent |= {isinstance: of_plain(isinstance, unknown.example)}
    kinds = (float, int, bool, np.float32, np.float64, np.int32, np.int64)
    types = {kind: unknown.conversion(kind) for kind in kinds}
    types |= {type: of_plain(type, unknown.example)}
    return StandIns(unknown.math_namespace, arrays | silent, types, unknown.example, unknown.special)


def _listed(x: Any) -> Any:
    """A list of numbers, some of which are not known, as an array."""
    return unknown.array(np.asarray)(x) if type(x) in (list, tuple) and unknown.holds_unknown(x) else x


def _buffer(cache: Any, x: Any) -> Any:
    """`fd.get_tmp`: an array of numbers that are not known."""
    shape = cache.array.shape if isinstance(cache, DiffCache) else cache.shape_for(unknown.example(x))
    room = dual.room_now()
    return unknown.unknown(np.empty(shape, room and room.dtype))


_CREATORS = ("zeros", "ones", "empty", "full", "eye", "identity")
_ARRAYS = ("array", "asarray", "ascontiguousarray", "asanyarray")


class _Search:
    """Looks for answers with which a function returns."""

    def __init__(self, function: Callable[[], Any]):
        self.function = function
        self.answers: dict[Any, bool] = {}  # by place in the code; `False` where none is here
        self.settled: set[Any] = set()
        self.asked: dict[Any, int] = {}
        self.order: dict[Any, bool] = {}  # the last answer at each place, in the order of asking
        self.count = 0
        self.first: Exception | None = None

    def run(self) -> Any:
        token = unknown.choose.set(self._choose)
        try:
            for _ in range(_TRIES):
                self.asked, self.order = {}, {}
                try:
                    return self.function()
                except Exception as error:
                    self._learn(error)
        finally:
            unknown.choose.reset(token)
        raise Unclear("no branch of it returns")

    def _choose(self) -> bool:
        place = _place()
        self.count += 1
        if self.count > _MOST_ANSWERS:
            raise Unclear("its loops depend on values")
        asked = self.asked[place] = self.asked.get(place, 0) + 1
        answer = self.answers.get(place, False)
        if asked > _PATIENCE and place not in self.settled:
            answer = not answer
        self.order.pop(place, None)
        self.order[place] = answer
        return answer

    def _learn(self, error: Exception) -> None:
        """The last answer that may still be changed led to the exception."""
        self.first = self.first or error
        for place in reversed(self.order):
            if place not in self.settled:
                self.answers[place] = not self.order[place]
                self.settled.add(place)
                return
        if isinstance(self.first, FwdDiffError):
            raise self.first
        raise Unclear(f"it raises {type(self.first).__name__}: {self.first}") from self.first


def _place() -> Any:
    frame: Any = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return frame.f_code, frame.f_lasti
