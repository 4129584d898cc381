"""Dual numbers in Python and NumPy: scalars and arrays with K partials that ride along, to any order.

Files, each importing only those above it:

    _parts       what a dual number is made of; taking it apart, putting it together
    _chain       the chain rule: a row of `fwddiff.rules` applied to duals
    _elimination the determinant, for kernels too
    _scipy       products with matrices of `scipy.sparse`, and what else SciPy asks for
    _number      Python's operators and conversions
    _shapes      NumPy functions that are linear, or linear in each argument
    _reductions  sums, products, extrema, norms and sorting
    _statistics  medians, quantiles, averages, what leaves nan out
    _matrices    factorizations and powers of matrices
    _building    `linspace`, `vander`, `polyval`, `select`
    _ufuncs      `numpy.sin`, `numpy.add.reduce`, …
    _array       `Dual`: all of this together with indexing and the methods of arrays
    _made        arrays that a function makes, with room for partials
    _math        a stand-in for the module `math`
    _log_sums    `logsumexp` and its kin
    _bodies      functions of ours in plain Python
"""

from fwddiff.dual._array import Dual, DualArray
from fwddiff.dual._bodies import element_by_element, stand_in
from fwddiff.dual._chain import apply, differentiable, row_of, where
from fwddiff.dual._elimination import determinant
from fwddiff.dual._lists import of_lists
from fwddiff.dual._made import Room, creators, restart, room, room_now, with_levels
from fwddiff.dual._math import math_namespace
from fwddiff.dual._parts import (
    independent,
    level_of,
    levels,
    make,
    partials,
    settled,
    strip,
    terms,
    value,
    value_at,
)
from fwddiff.dual._scipy import as_one_object, is_asked_by_sparse, is_sparse

__all__ = [
    "Dual",
    "DualArray",
    "Room",
    "apply",
    "as_one_object",
    "creators",
    "determinant",
    "differentiable",
    "element_by_element",
    "independent",
    "is_asked_by_sparse",
    "is_sparse",
    "level_of",
    "levels",
    "make",
    "math_namespace",
    "of_lists",
    "partials",
    "restart",
    "room",
    "room_now",
    "row_of",
    "settled",
    "stand_in",
    "strip",
    "terms",
    "value",
    "value_at",
    "where",
    "with_levels",
]
