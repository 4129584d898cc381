"""What a framework has to say for its functions to be rules.

A *core* is a function of leaves of the framework (arrays; integers and bools without axes are Python's own)
that returns a tuple of its arrays. The derivatives of a core are cores again, so rules of any order come of
nesting.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fwddiff._errors import ShapeError
from fwddiff._rule import Shape

Core = Callable[..., tuple]
Back = Callable[[Sequence[Any]], list[Any]]


class Like(NamedTuple):
    """An array of which shape and dtype are known."""

    shape: Shape
    dtype: np.dtype


class Framework(ABC):
    """One framework's arrays and derivatives. Stateless: one object serves all rules."""

    name: str
    # What mapping a core over a loop axis raises where the core asks for values.
    unmappable: tuple[type[Exception], ...] = ()
    # Whether its arrays turn into floats, of Python or NumPy, without a word: their derivative is lost then.
    lets_go: bool = False

    # --- arrays ---------------------------------------------------------------------------------------------

    def session(self, dtypes: Sequence[np.dtype]) -> contextlib.AbstractContextManager:
        """Around everything that is done for inputs of these dtypes."""
        return contextlib.nullcontext()

    @abstractmethod
    def owns(self, leaf: Any) -> bool:
        """Whether this is one of the framework's arrays."""

    @abstractmethod
    def is_moving(self, leaf: Any) -> bool:
        """Whether this is one of its arrays by which the framework may be differentiating."""

    @abstractmethod
    def lent(self, array: np.ndarray) -> Any:
        """A NumPy array as one of the framework's: the same memory where it allows that."""

    @abstractmethod
    def taken(self, array: Any, dtype: np.dtype, given: Sequence[np.ndarray]) -> np.ndarray:
        """One of the framework's arrays as a C-contiguous NumPy array that shares no memory with `given`."""

    @abstractmethod
    def own(self, leaf: Any, dtype: np.dtype) -> Any:
        """A number, NumPy array or array of the framework in the framework and this dtype, differentiably."""

    @abstractmethod
    def dtype(self, leaf: Any) -> np.dtype | None:
        """NumPy dtype of a leaf that a function returned; `None`: of no dtype of NumPy's, or no array."""

    def shape(self, leaf: Any) -> Shape:
        return tuple(np.shape(leaf))

    @abstractmethod
    def stacked(self, arrays: Sequence[Any], shape: Shape) -> Any:
        """Arrays of one shape in one array, with the axes `shape` before theirs."""

    @abstractmethod
    def total(self, array: Any, axes: tuple[int, ...]) -> Any:
        """Sum over these axes, which go."""

    def shaped(self, array: Any, shape: Shape) -> Any:
        return array.reshape(shape)

    @abstractmethod
    def moved(self, array: Any, count: int) -> Any:
        """The first `count` axes after all others."""

    def compiled(self, core: Core, function: Any) -> Core | None:
        """The core, compiled, where the user has had `function` compiled: what that captures is as it was
        when it was first called. It takes NumPy arrays too."""
        return None

    def guarded(self, leaves: Sequence[Any]) -> list[Any]:
        """Leaves that the user's function cannot write to, if the framework has such."""
        return list(leaves)

    # --- derivatives ----------------------------------------------------------------------------------------

    @abstractmethod
    def vjp(
        self, core: Core, leaves: Sequence[Any], active: Sequence[int], smooth: Sequence[int]
    ) -> tuple[tuple, Back]:
        """Outputs, and the map from cotangents of the outputs `smooth` to those of the inputs `active`."""

    @abstractmethod
    def jvp(
        self,
        core: Core,
        leaves: Sequence[Any],
        active: Sequence[int],
        tangents: Sequence[Any],
        smooth: Sequence[int],
    ) -> tuple[tuple, list[Any]]:
        """Outputs, and tangents of the outputs `smooth`."""

    # --- without values, and many at a time -----------------------------------------------------------------

    @abstractmethod
    def outline(self, core: Core, inputs: Sequence[Any]) -> None:
        """Run a core on arrays without values; `inputs` are `Like`s and known integers. Raises ShapeError."""

    def mapped(self, core: Core, axes: Sequence[Sequence[int | None]]) -> Core | None:
        """The core mapped over loop axes, outermost first: each says, per leaf, 0 for its first axis or
        `None`. `None` instead of a core: the framework has no such thing."""
        return None

    def unclear(self, error: Exception) -> ShapeError:
        found = ShapeError(
            f"{self.name}, run without values, raised {type(error).__name__}: {str(error).strip()[:300]}"
        )
        found.__cause__ = error
        return found


def by_rows(back: Back, like: Sequence[Any], tangents: Sequence[Any], framework: Framework) -> list[Any]:
    """Tangents of outputs like these by a vjp alone: one cotangent per element, times the tangents.

    For functions whose vjp the framework cannot differentiate by the cotangent.
    """
    results = []
    for j, output in enumerate(like):
        shape, dtype = framework.shape(output), framework.dtype(output)
        assert dtype is not None
        elements = []
        for index in np.ndindex(shape):
            units = [np.zeros(framework.shape(y), framework.dtype(y)) for y in like]
            units[j][index] = 1.0
            bars = back([framework.own(unit, unit.dtype) for unit in units])
            elements.append(sum(_product(b, t, framework) for b, t in zip(bars, tangents, strict=True)))
        empty = np.zeros(shape, dtype)
        results.append(framework.stacked(elements, shape) if elements else framework.own(empty, empty.dtype))
    return results


def _product(bar: Any, tangent: Any, framework: Framework) -> Any:
    return framework.total(bar * tangent, tuple(range(len(framework.shape(bar)))))
