"""HIPS autograd's derivatives of functions of NumPy arrays.

A primitive without forward mode gets its pushforward by reverse mode twice, and where that cannot be, by one
pullback per output element. Shapes are never known without values.
"""

# autograd makes the names of `autograd.numpy` when it is imported, and is wrong about what it returns.
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import autograd.numpy as anp
from autograd.builtins import tuple as boxed_tuple
from autograd.core import make_jvp, make_vjp
from autograd.tracer import getval, isbox
from fwddiff._errors import ShapeError
from fwddiff._rule import Shape
from fwddiff.engines.foreign.framework import Back, Core, Framework, by_rows


class _Autograd(Framework):
    name = "autograd"

    # --- arrays ---------------------------------------------------------------------------------------------

    def owns(self, leaf: Any) -> bool:
        return isbox(leaf)

    def is_moving(self, leaf: Any) -> bool:
        return isbox(leaf)

    def lent(self, array: np.ndarray) -> Any:
        if not array.ndim:
            return array.item() if array.dtype == np.float64 else array[()]
        view = array.view()
        view.flags.writeable = False
        return view

    def taken(self, array: Any, dtype: np.dtype, given: Sequence[np.ndarray]) -> np.ndarray:
        found = np.array(array, dtype, order="C", copy=None)
        shared = any(np.may_share_memory(found, x) for x in given)
        return found.copy() if shared or not found.flags.writeable else found

    def own(self, leaf: Any, dtype: np.dtype) -> Any:
        if isbox(leaf):
            return leaf if np.asarray(_innermost(leaf)).dtype == dtype else leaf.astype(dtype)
        found = np.asarray(leaf, dtype)
        return found if found.ndim else found[()]

    def dtype(self, leaf: Any) -> np.dtype | None:
        found = np.asarray(_innermost(leaf)).dtype
        return found if found.kind in "iub" or found.name in ("float32", "float64") else None

    def shape(self, leaf: Any) -> Shape:
        return np.shape(_innermost(leaf))

    def stacked(self, arrays: Sequence[Any], shape: Shape) -> Any:
        return anp.reshape(anp.array(list(arrays)), shape + self.shape(arrays[0]))

    def total(self, array: Any, axes: tuple[int, ...]) -> Any:
        return anp.sum(array, axis=axes) if axes else array

    def shaped(self, array: Any, shape: Shape) -> Any:
        return anp.reshape(array, shape)

    def moved(self, array: Any, count: int) -> Any:
        ndim = len(self.shape(array))
        return anp.transpose(array, (*range(count, ndim), *range(count)))

    # --- derivatives ----------------------------------------------------------------------------------------

    def vjp(
        self, core: Core, leaves: Sequence[Any], active: Sequence[int], smooth: Sequence[int]
    ) -> tuple[tuple, Back]:
        function, kept = _of_active(core, leaves, active, smooth)
        pull, _ = make_vjp(function, tuple(leaves[a] for a in active))

        def back(cotangents: Sequence[Any]) -> list[Any]:
            found = pull(boxed_tuple(tuple(cotangents)))
            return [found[k] for k in range(len(active))]

        return kept[-1], back

    def jvp(
        self,
        core: Core,
        leaves: Sequence[Any],
        active: Sequence[int],
        tangents: Sequence[Any],
        smooth: Sequence[int],
    ) -> tuple[tuple, list[Any]]:
        function, kept = _of_active(core, leaves, active, smooth)
        try:
            _, moved = make_jvp(function, tuple(leaves[a] for a in active))(boxed_tuple(tuple(tangents)))
            return kept[-1], [moved[k] for k in range(len(smooth))]
        except NotImplementedError:
            outputs, back = self.vjp(core, leaves, active, smooth)
            return outputs, by_rows(back, [outputs[j] for j in smooth], tangents, self)

    def outline(self, core: Core, inputs: Sequence[Any]) -> None:
        raise ShapeError("functions of autograd have no shapes before they have values")


AUTOGRAD = _Autograd()


def _innermost(leaf: Any) -> Any:
    while isbox(leaf):
        leaf = getval(leaf)
    return leaf


def _of_active(
    core: Core, leaves: Sequence[Any], active: Sequence[int], smooth: Sequence[int]
) -> tuple[Any, list]:
    """Float outputs as a function of the tuple of active inputs, and a list that gets all outputs."""
    kept: list[tuple] = []

    def function(given: Any) -> Any:
        moving = {a: given[k] for k, a in enumerate(active)}
        outputs = core(*[moving.get(k, leaf) for k, leaf in enumerate(leaves)])
        kept.append(tuple(y._value if isbox(y) and y._trace == given._trace else y for y in outputs))
        return boxed_tuple(tuple(outputs[j] for j in smooth))

    return function, kept
