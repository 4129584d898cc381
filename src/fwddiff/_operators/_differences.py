"""What differs between the arguments that an operator was prepared for and those that it gets."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from fwddiff import _host
from fwddiff._buffers import sharing
from fwddiff._errors import ArgumentError, FwdDiffError, ShapeError, StaleError, StructureError
from fwddiff._recipe import Gathered, Leaves, Subject

_DOUBLES = (float, np.float64)


def refuse_others(subject: Subject, who: str, was: Gathered, now: Gathered, holds: bool) -> None:
    """Raise unless calls with these leaves, and what is captured now, are served alike. `holds`: classes and
    functions among the arguments are what they were."""
    if now.arguments != was.arguments:
        _refuse_structure(subject, who, was, now)
    if now.structure == was.structure:
        _refuse_leaves(subject, who, was, now)
    if sharing(now.leaves) != sharing(was.leaves):
        raise ArgumentError(f"{who}: other arguments are one and the same cache than when it was prepared.")
    if not holds or now.record is not was.record or now.structure != was.structure:
        raise StaleError(
            f"{who}: the function, or what it refers to, is not what it was prepared for: its code, a "
            "helper, a class, or the kind of a captured value is another one. Prepare it again."
        )


def _refuse_structure(subject: Subject, who: str, was: Gathered, now: Gathered) -> NoReturn:
    old, new = was.arguments.children(), now.arguments.children()
    if len(old) != len(new):
        _refuse(StructureError, who, f"it got {len(new)} arguments", f"{len(old)}")
    k = next(k for k, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1])
    name = f"argument {subject.target.argument_name(k)}"
    _refuse(StructureError, who, f"{name} has the structure of {_spoken(new[k])}", _spoken(old[k]))


def _spoken(spec: Any) -> str:
    """A structure as one would write it, `*` for each number or array."""
    if spec.is_leaf():
        return "one number or array"
    text = (
        str(spec).removeprefix("PyTreeSpec(").replace(", NoneIsLeaf", "").replace(", namespace='fwddiff'", "")
    )
    return text[:-1] if len(text) < 80 else f"a {spec.type.__name__} with {spec.num_leaves} leaves"


def _refuse_leaves(subject: Subject, who: str, was: Gathered, now: Gathered) -> None:
    lenient = all(_is_double(leaf) for leaf in was.leaves)
    pairs = zip(was.leaves, now.leaves, strict=True)
    differing = [k for k, pair in enumerate(pairs) if not _alike(*pair, lenient)]
    if not differing:
        return
    names = Leaves(subject, was)
    found = [f"{names.name(k)} is {_kind(now.leaves[k])}" for k in differing]
    known = [_kind(was.leaves[k]) for k in differing]
    shapes_only = all(_of_one_dtype(was.leaves[k], now.leaves[k]) for k in differing)
    _refuse(ShapeError if shapes_only else ArgumentError, who, " and ".join(found), " and ".join(known))


def _refuse(error: type[FwdDiffError], who: str, found: str, known: str) -> NoReturn:
    raise error(
        f"{who}: {found}, and it was prepared for {known}. Prepare another one for such arguments; an "
        "operator without x, as in fd.gradient(f), takes any."
    )


def _is_double(leaf: Any) -> bool:
    """Whether a leaf leaves the results in double precision."""
    dtype = getattr(leaf, "dtype", None)
    return not isinstance(dtype, np.dtype) or dtype.kind != "f" or dtype == np.float64


def _alike(was: Any, now: Any, lenient: bool) -> bool:
    if lenient and type(was) in _DOUBLES and type(now) in _DOUBLES:
        return True
    return _host.leaf_signature(was) == _host.leaf_signature(now) and np.shape(was) == np.shape(now)


def _of_one_dtype(was: Any, now: Any) -> bool:
    """Whether two leaves are arrays, of NumPy or a framework, that differ in their shapes alone."""
    return type(was) is type(now) and _is_array(was) and was.dtype == now.dtype


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype") and not isinstance(leaf, np.generic)


def _kind(leaf: Any) -> str:
    if isinstance(leaf, np.ndarray):
        return f"an array of shape {leaf.shape} and dtype {leaf.dtype}"
    if isinstance(leaf, str) or callable(leaf):
        return repr(leaf)
    name = type(leaf).__name__
    article = "an" if name[0] in "aeiouA" else "a"
    known = f" of shape {tuple(leaf.shape)} and dtype {leaf.dtype}" if _is_array(leaf) else ""
    return f"{article} {name}{known}"
