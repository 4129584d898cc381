"""`fd.magnitude` of arrays in kernels: the largest of their elements'. That of numbers is `language`'s."""

# pyright: reportCallIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

from fwddiff._magnitude import magnitude
from fwddiff.engines.numba.frontend.numbers import is_number
from fwddiff.engines.numba.frontend.options import overload
from numba import types


def _is_array(kind) -> bool:
    return isinstance(kind, types.Array) and is_number(kind.dtype)


@overload(magnitude)
def _of_arrays(x, scale=None):
    if not _is_array(x):
        return None
    if _is_array(scale):
        return _relative
    return _single if isinstance(scale, types.NoneType | types.Omitted | None) else None


def _single(x, scale=None):
    largest = 0.0
    for element in x.flat:
        size = magnitude(element)
        if size != size:
            return size
        largest = max(largest, size)
    return largest


def _relative(x, scale=None):
    largest = 0.0
    if x.size != scale.size:
        raise ValueError("magnitude(x, scale) needs two arrays of one shape")
    for element, other in zip(x.flat, scale.flat):  # noqa: B905 - a kernel has no `strict`
        size = magnitude(element, other)
        if size != size:
            return size
        largest = max(largest, size)
    return largest
