"""Partials of what moves lanes of vectors about, which code of an earlier order does.

Lane n of a vector has the lanes n * width … of its vector of partials in wide code; elsewhere the partials
are vectors of the same length, and move in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from fwddiff.engines.numba.ssa.code import Instruction, Refused, Value, lanes
from fwddiff.engines.numba.ssa.protocol import Differentiating
from fwddiff.engines.numba.ssa.writer import Writer, number

OPERATIONS = ("extractelement", "insertelement", "shufflevector")
_MASK = re.compile(r"<(\d+) x i32> (zeroinitializer|poison|<([^>]*)>)$")


def moved(code: Differentiating, i: Instruction, k: int) -> Value:
    """The partial of the instruction's result."""
    width, w = max(code.width, 1), code.writer
    given = i.operands[:-1]  # the last one says which lanes
    wide = [_as_vector(w, code.partial(o, k)) for o in given]
    if i.operation == "shufflevector":
        return w.shuffled(*wide, mask=_spread(_mask(i.text), width))
    where = i.operands[-1]
    if where.is_name:
        raise Refused(i.text)
    first = int(where.text) * width
    if i.operation == "extractelement":
        found = w.shuffled(wide[0], None, range(first, first + width))
        return found if code.width else w.lane(found, 0)
    whole, part = wide
    count = lanes(whole.type)
    longer = w.shuffled(part, None, [n if n < width else -1 for n in range(count)])
    inside = range(first, first + width)
    return w.shuffled(whole, longer, [count + n - first if n in inside else n for n in range(count)])


def _as_vector(w: Writer, a: Value) -> Value:
    return (
        a
        if a.type[0] == "<"
        else w.assign(f"<1 x {a.type}>", f"insertelement <1 x {a.type}> poison, {a}, i64 0")
    )


def _spread(mask: Sequence[int], width: int) -> list[int]:
    return [lane * width + n if lane >= 0 else -1 for lane in mask for n in range(width)]


def _mask(text: str) -> list[int]:
    found = _MASK.search(text)
    if found is None:
        raise Refused(text)
    count, whole, listing = found.groups()
    if listing is None:
        return [0 if whole == "zeroinitializer" else -1] * int(count)
    numbers = [item.split()[-1] for item in listing.split(",")]
    return [int(n) if n.isdigit() else -1 for n in numbers]


def each(w: Writer, a: Value, function: Callable[[Value], Value]) -> Value:
    """The vector of a function of each lane."""
    found = number(a.type, 0.0)
    for n in range(lanes(a.type)):
        made = function(w.lane(a, n))
        found = w.assign(a.type, f"insertelement {found}, {made}, i64 {n}")
    return found
