"""Problems made by hand from a function and example arguments, to test engines without any wrapper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fwddiff import _capture, _tree
from fwddiff._problem import Problem
from fwddiff._rule import Slot


def problem_of(
    function: Callable, *arguments: Any, whole: bool = False, **options: Any
) -> tuple[Problem, list[np.ndarray]]:
    """The problem of `function`, and its inputs as arrays: leaves of arguments, then captured values.

    Strings and functions among the leaves are static. `whole`: arrays are arrays for the function too.
    """
    plan = _capture.plan(function)
    leaves, spec = _tree.flatten(arguments)
    ndims = [np.ndim(leaf) if whole else 0 for leaf in leaves]
    captured_specs = []
    for capture, value in zip(plan.captures, plan.values(), strict=True):
        found, captured_spec = _tree.flatten(value)
        captured_specs.append(captured_spec)
        leaves += found
        ndims += [np.ndim(leaf) if capture.is_table or whole else 0 for leaf in found]
    statics = {k: leaf for k, leaf in enumerate(leaves) if isinstance(leaf, str) or callable(leaf)}
    arrays = {k: np.asarray(leaf) for k, leaf in enumerate(leaves) if k not in statics}
    slots = tuple(Slot(array.dtype, ndims[k], array.dtype.kind == "f") for k, array in arrays.items())
    floats = [slot.dtype for slot in slots if slot.differentiable]
    options.setdefault("float_dtype", np.result_type(*floats) if floats else np.dtype(np.float64))
    return Problem(plan, spec, tuple(captured_specs), statics, slots, **options), list(arrays.values())
