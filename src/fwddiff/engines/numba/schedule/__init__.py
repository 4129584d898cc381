"""The loop around a core: LLVM's text of a kernel that applies a function of numbers along strided operands.

The code of a kernel depends on a *pattern*, one letter per operand, which says what its innermost stride is:

    c  contiguous           0  the same element throughout (a scalar, a broadcast axis, a summed output)
    s  any other stride     C, Z, S  the same for outputs that are accumulated because the loop revisits their
    elements

and reads everything else (extents, outer strides) from a table of int64, the *layout*, so that a kernel
serves all shapes:

    [outer iterations, inner extent n, number d of outer axes, d extents,
     for each operand: d outer strides and the inner one, in bytes,
     the core extents of each operand in order, the number of elements of each output that is to be cleared]

A kernel of derivatives looks for nan among them (`Checks`): it then finishes, and says `UNDEFINED`. Where an
element raises, it stops, and says `EXCEPTION`; after a Ctrl-C, `INTERRUPTED`.

    _kernel              the loop nest
    _elements, _groups   the inner loop: one element after the other, or several side by side
    _ahead               what is computed once per row
    _results             what is looked at, stored, added up
    _operands            where elements are
    _scratch             memory for arrays on their way

`fwddiff._native.text` writes functions.
"""

from fwddiff.engines.numba.schedule._ahead import Ahead
from fwddiff.engines.numba.schedule._groups import LanesInfo
from fwddiff.engines.numba.schedule._kernel import kernel_text
from fwddiff.engines.numba.schedule._operands import kind_of
from fwddiff.engines.numba.schedule._results import BLOCK, NO_CHECKS, Checks

__all__ = ["BLOCK", "NO_CHECKS", "Ahead", "Checks", "LanesInfo", "kernel_text", "kind_of"]
