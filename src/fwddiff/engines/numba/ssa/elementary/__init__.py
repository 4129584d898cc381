"""Elementary functions of our own, as instructions for any target that has a fused multiply-add.

A call of a library hides what a value and its slope have in common; instructions do not. Each function is
straight-line code (sin and cos leave huge arguments to the library, behind a branch), so that vectorisers
take it as it is. Errors are below 2 ulp for arguments of all sizes, subnormal ones too; signs of zero,
infinities and nan are those of C.
"""

from __future__ import annotations

from collections.abc import Callable

from fwddiff.engines.numba.ssa.code import Value
from fwddiff.engines.numba.ssa.elementary import _angles, _exponentials, _logarithms
from fwddiff.engines.numba.ssa.elementary._angles import ENTRY, Far
from fwddiff.engines.numba.ssa.elementary._arithmetic import FORMATS, Number
from fwddiff.engines.numba.ssa.writer import Writer

__all__ = ["ENTRY", "FUNCTIONS", "written"]

_PLAIN: dict[str, Callable[[Number], Number]] = {
    "exp": _exponentials.exp,
    "exp2": _exponentials.exp2,
    "expm1": _exponentials.expm1,
    "sinh": _exponentials.sinh,
    "cosh": _exponentials.cosh,
    "tanh": _exponentials.tanh,
    "log": _logarithms.log,
    "log2": _logarithms.log2,
    "log10": _logarithms.log10,
    "log1p": _logarithms.log1p,
}
_WITH_FAR: dict[str, Callable[[Number, Far], Number]] = {"sin": _angles.sin, "cos": _angles.cos}
FUNCTIONS = frozenset(_PLAIN) | frozenset(_WITH_FAR)


def written(writer: Writer, name: str, x: Value, far: Far) -> Value:
    """The function of x, from the block `ENTRY` on; `far` writes the library's, which some call for arguments
    that are far out."""
    given = Number(writer, FORMATS[x.type], x)
    return (_PLAIN[name](given) if name in _PLAIN else _WITH_FAR[name](given, far)).value
