"""Which row of the rules table a call in LLVM's code means."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fwddiff import rules

# Functions that are no rows: how each is differentiated says `differentiate`. `graft(a, b)` has the value of
# one and the partials of the other; `held(x)` is a constant to the next derivative, and x to all after it;
# `united(a, b)` is graft(a, b) to the next derivative, and a to all after it.
OWN = frozenset(
    {
        "value",
        "constant",
        "held",
        "united",
        "graft",
        "float32",
        "float64",
        "magnitude",
        "magnitude2",
        "powi",
        "seed",
        "skipped",
    }
    | {f"weighted{strong}{marked}" for strong in "01" for marked in "01"}
)
_PREFIX = "fwddiff."
_BESIDE = ".beside_"
_WITH_EXPONENTIAL = ("tanh", "expm1")  # functions whose value and slope are made of one exponential
_INTRINSIC = re.compile(r"llvm\.([\w.]+?)\.f(?:32|64)(?:\.i\d+)?$")
_OF_INTRINSICS = {
    **{name: name for name in ("exp", "exp2", "log", "log2", "log10", "sin", "cos", "tan", "sqrt", "pow")},
    **{name: name for name in ("floor", "ceil", "trunc", "rint", "copysign", "powi", "asin", "acos", "atan")},
    **{name: name for name in ("sinh", "cosh", "tanh", "atan2", "ldexp")},
    "fabs": "abs",
    "minnum": "fmin",
    "maxnum": "fmax",
    "nearbyint": "rint",
    "roundeven": "rint",
    "minimum": "minimum",
    "maximum": "maximum",
}
_OF_C = {
    **{name: name for name in ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan")},
    **{name: name for name in ("sinh", "cosh", "tanh", "erf", "erfc", "cbrt", "atan2", "hypot", "pow")},
    **{f"a{name}": f"a{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "tgamma": "gamma",
    "lgamma": "lgamma",
    "fabs": "abs",
    "fmod": "fmod",
    "sqrt": "sqrt",
    "copysign": "copysign",
    "fmin": "fmin",
    "fmax": "fmax",
    "remainder": "ieee_remainder",
}


# Memory of the function's own: `ptr allocate(i64 bytes)`, counted references to it, `fill(ptr, i64 bytes)`
# with -0.0. `allocate` gives null where there is no memory; null has no references to count. `borrow.n` and
# `give.n` are the same for memory without references that the kernel keeps from call to call. What `keep(i64
# bytes, ptr chain)` gives is freed with the rest of its chain, by `forget(ptr chain)`.
ALLOCATE, RETAIN, RELEASE, FILL = (f"fwddiff.{name}" for name in ("allocate", "retain", "release", "fill"))
KEEP, FORGET = "fwddiff.keep", "fwddiff.forget"
PRINT = "fwddiff_print_"  # what functions are called that print a part of a line
BORROW, GIVE = "fwddiff.borrow.", "fwddiff.give."
_OF_MEMORY = re.compile(r"llvm\.(memset|memcpy|memmove|lifetime)\.")


# Rows of functions of the user's, by the names that code has for them, and their arguments that are integers.
_rows: dict[str, rules.Row] = {}
_whole: dict[str, tuple[int, ...]] = {}


def add(row: rules.Row, whole: Sequence[bool] = ()) -> None:
    """Calls `fwddiff.<name of the row>` mean this row from now on."""
    _rows[row.name] = row
    _whole[row.name] = tuple(k for k, is_whole in enumerate(whole) if is_whole)


def beside(name: str, other: str) -> str:
    """What a function is called in the slope of another: `exp` is the one that the value is made of."""
    return f"{name}{_BESIDE}{other}" if name == "exp" and other in _WITH_EXPONENTIAL else name


def with_neighbour(name: str) -> tuple[str, str]:
    """The function, and the one in whose slope it stands."""
    function, _, other = name.partition(_BESIDE)
    return function, other


def row_of(name: str) -> rules.Row | None:
    return rules.TABLE.get(name) or _rows.get(name)


def integers_of(name: str) -> tuple[int, ...]:
    """Which arguments of a function are integers."""
    return rules.INTEGER_ARGUMENTS.get(name) or _whole.get(name, ())


def memory_function(callee: str) -> str | None:
    """What a function does that is there for memory."""
    if callee in (ALLOCATE, RETAIN, RELEASE, FILL):
        return callee.removeprefix(_PREFIX)
    if callee.startswith((BORROW, GIVE, KEEP, FORGET)):
        return "allocate" if callee.startswith((BORROW, KEEP)) else "release"
    found = _OF_MEMORY.match(callee)
    return found.group(1) if found else None


def meaning(callee: str) -> str | None:
    """The row's name, or one of `OWN`; `None` for a function that is neither."""
    if callee.startswith(_PREFIX):
        name = callee.removeprefix(_PREFIX).removesuffix(".f32")
        name, _ = with_neighbour(re.sub(r"\.v\d+$", "", name))
        name = re.sub(r"^(magnitude2?|seed)\.\d+$", r"\1", name)
        return name if name in OWN or row_of(name) is not None else None
    if found := _INTRINSIC.match(callee):
        return _OF_INTRINSICS.get(found.group(1))
    return _OF_C.get(callee) or _OF_C.get(callee.removesuffix("f"))
