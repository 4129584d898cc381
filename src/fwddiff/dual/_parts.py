"""What a dual number is made of: a value, its partials, and the level of the derivative they belong to.

A dual of level n may hold duals of levels below n, in its value and in its partials alike: a higher level
wraps outermost and belongs to the innermost derivative call. An operation strips the highest level among
its arguments and treats all others as constants of that level, so perturbations of different calls are
never confused (Siskind and Pearlmutter, "Nesting forward-mode AD in a functional framework", 2008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fwddiff._errors import ArgumentError, DerivativeError

# A number, a NumPy array or a dual; Python has no narrower name for the three that operators accept.
Operand = Any


class Parts:
    """The fields of a dual number. Subclasses, which users meet, add everything one can do with them.

    `depends[k]` is False where partial k is zero because nothing on the way here depends on that seed. Such
    a zero stays zero under any slope, also an infinite one: in sqrt(a) + b at a = 0, the slope in b is 1,
    not nan. Zeros that were computed are numbers like any other: sqrt(x*x) at x = 0 has the slope inf * 0 =
    nan. Views share the list. Single elements of an array that do not depend on a seed have -0.0 in its
    partial; no computed partial is -0.0.
    """

    __slots__ = ("depends", "level", "partials", "value")
    # The subclasses that `build` makes: operators live there, above the rules that they need. Numbers and
    # arrays differ in that a number must not look like a sequence, or NumPy would misread it in
    # assignments.
    kinds: ClassVar[dict[bool, type[Parts]]] = {}

    def __init__(
        self, value: Operand, partials: tuple[Operand, ...], level: int, depends: list[bool] | None = None
    ) -> None:
        self.value = value
        self.partials = partials
        self.level = level
        self.depends = [True] * len(partials) if depends is None else depends

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Parts.kinds[hasattr(cls, "__getitem__")] = cls


def build(
    value: Operand, partials: tuple[Operand, ...], level: int, depends: list[bool] | None = None
) -> Operand:
    """A dual from parts that have one form already."""
    return Parts.kinds[isinstance(strip(value), np.ndarray)](value, partials, level, depends)


def level_of(x: Operand) -> int:
    """Level of a dual; -1 for everything else, so that any dual is above any constant."""
    return x.level if isinstance(x, Parts) else -1


def value(x: Operand) -> Operand:
    """Value of a dual, one level off; anything else passes through."""
    return x.value if isinstance(x, Parts) else x


def value_at(x: Operand, level: int) -> Operand:
    """Value of `x` seen from `level`: stripped if it is a dual of this very level, a constant otherwise."""
    return x.value if level_of(x) == level else x


def partials(x: Operand, level: int, count: int) -> tuple[Operand, ...]:
    """The `count` partials of `x` at `level`: zeros like its value if `x` is a constant of that level.

    Raises `DerivativeError` where `x` is of a level above, whose value would have to be asked first.
    """
    if level_of(x) == level:
        return _counted(x, count).partials
    if level_of(x) > level:
        raise DerivativeError(
            f"Partials of level {level} asked of a dual of level {x.level}; take its value first."
        )
    return tuple(absent_like(x) for _ in range(count))


def strip(x: Operand) -> Operand:
    """The plain number or array under all levels of a dual."""
    while isinstance(x, Parts):
        x = x.value
    return x


def is_constant(x: Operand) -> bool:
    """Whether `x` depends on no seed of any level: an array with room for partials, none of them written."""
    return not isinstance(x, Parts) or (not any(x.depends) and is_constant(x.value))


def map_parts(function, x: Operand) -> Operand:
    """Apply a linear function of arrays (a sum, a new shape, an index) to value and partials alike."""
    if isinstance(x, Parts):
        mapped = tuple(map_parts(function, p) for p in x.partials)
        return make(map_parts(function, x.value), mapped, x.level, x.depends)
    return function(x)


def zeros_like(x: Operand) -> Operand:
    """Zero of the same shape, dtype and levels."""
    if isinstance(x, Parts):
        absent = tuple(absent_like(p) for p in x.partials)
        return build(zeros_like(x.value), absent, x.level, [False] * len(absent))
    return np.zeros_like(x) if isinstance(x, np.ndarray) else type(x)(0)


def absent_like(x: Operand) -> Operand:
    """A partial, of the same shape, dtype and levels, of what does not depend on the seed."""
    if isinstance(x, Parts):
        absent = tuple(absent_like(p) for p in x.partials)
        return build(absent_like(x.value), absent, x.level, [False] * len(absent))
    if isinstance(x, np.ndarray):
        return np.full_like(x, -0.0) if x.dtype.kind == "f" else np.full(x.shape, -0.0)
    return type(x)(-0.0)


def independent(partial: Operand) -> Any:
    """Where a partial says that nothing depends on the seed: a bool, or an array of them."""
    leaf = strip(partial)
    if isinstance(leaf, np.ndarray):
        return (leaf == 0) & np.signbit(leaf)
    return leaf == 0 and math.copysign(1.0, leaf) < 0


def settled(partial: Operand, absent: Any = False) -> Operand:
    """A partial that was computed, so not -0.0; `absent` where it says that nothing depends on the seed."""
    if isinstance(partial, Parts):
        parts = tuple(_marked(p, absent) for p in partial.partials)
        return build(settled(partial.value, absent), parts, partial.level, partial.depends)
    return _marked(partial + 0.0, absent)


def _marked(part: Operand, absent: Any) -> Operand:
    if not np.any(absent):
        return part
    if isinstance(part, Parts):
        parts = tuple(_marked(p, absent) for p in part.partials)
        return build(_marked(part.value, absent), parts, part.level, part.depends)
    if isinstance(part, np.ndarray):
        return np.where(absent, part.dtype.type(-0.0), part)
    return type(part)(-0.0)


def terms(x: Operand, level: int, count: int) -> tuple[Operand, ...]:
    """The partials of `x` at `level`, with the integer 0 where it does not depend on the seed."""
    if level_of(x) != level:
        return (0,) * count
    return tuple(
        p if depends else 0 for p, depends in zip(_counted(x, count).partials, x.depends, strict=True)
    )


def _counted(x: Parts, count: int) -> Parts:
    if len(x.partials) != count:
        raise ArgumentError(
            f"Duals of level {x.level} with {len(x.partials)} and with {count} partials were mixed: "
            "give all inputs of "
            "one call the same number of seeds."
        )
    return x


def make(
    value: Operand, partials: Sequence[Operand], level: int, depends: list[bool] | None = None
) -> Operand:
    """A dual of `level` with this value and these partials, brought to one form.

    A partial that is the integer 0 says that the value does not depend on that seed (see `Parts`); 0.0 is a
    number. Partials take the shape and dtype of the value, by broadcasting; value and partials take the
    same inner levels. Integer values become float64. Raises `DerivativeError` for complex or non-numeric
    values and for inner levels that are not below `level`; `ShapeError` never: NumPy's own error tells
    which shapes do not broadcast.
    """
    depends = [not (type(p) is int and p == 0) for p in partials] if depends is None else depends
    if type(value) is float and all(isinstance(p, float | int) for p in partials):
        return build(
            value, tuple(-0.0 if type(p) is int and p == 0 else float(p) for p in partials), level, depends
        )
    partials = [-0.0 if type(p) is int and p == 0 else p for p in partials]
    found: dict[int, int] = {}
    for part in (value, *partials):
        found |= levels(part)
    if found and max(found) >= level:
        raise DerivativeError(
            f"A dual of level {level} cannot hold one of level {max(found)}: a higher level wraps."
        )
    inner = sorted(found.items(), reverse=True)
    leaf = floating(strip(value))
    formed = [_form(part, inner, leaf) for part in (value, *partials)]
    if isinstance(leaf, np.ndarray):
        formed = _same_layout(formed)
    return build(formed[0], tuple(formed[1:]), level, depends)


def levels(x: Operand) -> dict[int, int]:
    """Count of partials by level; the value knows, as its partials have the same levels."""
    found = {}
    while isinstance(x, Parts):
        found[x.level] = len(x.partials)
        x = x.value
    return found


def floating(leaf: Operand) -> Operand:
    """A plain value as floating point; `DerivativeError` where it is not a real number."""
    if isinstance(leaf, np.ndarray | np.generic):
        if leaf.dtype.kind == "f":
            return leaf
        if leaf.dtype.kind in "iub":
            return leaf.astype(np.float64)
    elif isinstance(leaf, float | int):
        return float(leaf)
    name = f"array of {leaf.dtype}" if isinstance(leaf, np.ndarray) else type(leaf).__name__
    raise DerivativeError(
        f"A dual number must be real, and the value {leaf!r} ({name}) is not: use float arguments."
    )


def formed(x: Operand, counts: dict[int, int]) -> Operand:
    """`x` as a dual of these levels, its own among them; it depends on no seed of the others."""
    return _form(x, sorted(counts.items(), reverse=True), strip(x))


def _form(x: Operand, levels: list[tuple[int, int]], leaf: Operand) -> Operand:
    """`x` with exactly these levels, and with plain parts of the shape and dtype of `leaf`."""
    if not levels:
        return _cast(x, leaf)
    (level, count), rest = levels[0], levels[1:]
    inside = level_of(x) == level
    parts = _counted(x, count).partials if inside else (-0.0,) * count
    depends = x.depends if inside else [False] * count
    return build(
        _form(value_at(x, level), rest, leaf), tuple(_form(p, rest, leaf) for p in parts), level, depends
    )


def _cast(x: Operand, leaf: Operand) -> Operand:
    if not isinstance(leaf, np.ndarray):
        return x if type(x) is type(leaf) else type(leaf)(x)
    # The array itself where nothing has to change: a part of a view must stay a view, or writes to it would
    # be lost.
    if isinstance(x, np.ndarray) and x.shape == leaf.shape and x.dtype == leaf.dtype:
        return x
    return np.array(np.broadcast_to(x, leaf.shape), dtype=leaf.dtype)


def _same_layout(parts: list[Operand]) -> list[Operand]:
    """Parts of equal strides: else `reshape` could view one and copy another, and a later write miss one."""
    leaves = [leaf for part in parts for leaf in _leaves(part)]
    if all(leaf.strides == leaves[0].strides for leaf in leaves):
        return parts
    return [_contiguous(part) for part in parts]


def _leaves(x: Operand) -> list[np.ndarray]:
    if isinstance(x, Parts):
        return [leaf for part in (x.value, *x.partials) for leaf in _leaves(part)]
    return [x]


def _contiguous(x: Operand) -> Operand:
    if isinstance(x, Parts):
        return build(_contiguous(x.value), tuple(_contiguous(p) for p in x.partials), x.level, x.depends)
    return np.array(x, order="C")
