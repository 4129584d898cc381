"""Sparse Jacobians and Hessians: a pattern, colours of its columns, a directional derivative for each colour.

Files, each importing only those above it:

    _order        which partials of a row of `fwddiff.rules` are zero, and which second ones
    _tape         which numbers a number was made of
    _values       traced numbers, and functions of elements on them
    _functions    NumPy's functions on them
    _traced       Python's operators on them
    _standins     what takes the place of `math`, `numpy.zeros`, …
    _detect       the pattern, from one run of the user's function
    _given        the pattern, as the user has it
    _colouring    colours of columns
    _compression  seeds by colour, and where each entry is found in what comes out
    _check        whether a pattern misses an entry
    _prepared     `SparseJacobian`, `SparseHessian`
    _curried      the same without a point

The names are those of SparseConnectivityTracer.jl and SparseMatrixColorings.jl (Hill and Dalle, "Sparser,
better, faster, stronger", arXiv 2501.17737).
"""

from fwddiff.sparsity._curried import Curried
from fwddiff.sparsity._detect import Found, detect
from fwddiff.sparsity._prepared import SparseDerivative, SparseHessian, SparseJacobian

__all__ = ["Curried", "Found", "SparseDerivative", "SparseHessian", "SparseJacobian", "detect"]
