"""`fwddiff.magnitude` in kernels: of numbers, duals, and arrays of them."""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import numpy as np

from fwddiff._magnitude import magnitude
from fwddiff.engines.numba.expressions import Source
from fwddiff.engines.numba.options import overload
from fwddiff.engines.numba.types import converter, is_dual, is_number, partials_of, value_of
from numba.core import types


def _settling(x):
    """The magnitude of a partial: 0.0 where it is infinite or nan. A name for the overload below."""
    raise NotImplementedError


def _of_number(x):
    base = x if isinstance(x, types.Float) else types.float64
    strip = converter(base)
    return lambda x: abs(strip(x))


def _of_dual(x, of_value):
    """The largest of the value's magnitude and those of the outermost layer's partials."""
    if not x.layers:
        strip = converter(x.base)
        return lambda x: of_value(strip(x))
    source = Source(x.base)
    source.namespace.update(value_of=value_of, partials_of=partials_of, of_value=of_value, settling=_settling)
    source.line("largest, partials = of_value(value_of(x)), partials_of(x)")
    for k in range(len(x.positions)):
        source.line(f"part = settling(partials[{k}])")
        source.line("largest = part if part > largest else largest")
    source.line("return largest")
    return source.compile("magnitude", ("x",))


def _of_array(x):
    start = converter(x.dtype.base if is_dual(x.dtype) else types.float64)

    def implementation(x):
        largest = start(0.0)
        for element in x.flat:
            size = magnitude(element)
            if size != size:
                return size
            largest = size if size > largest else largest
        return largest

    return implementation


def _magnitude_typer(x):
    if isinstance(x, types.Array) and (is_dual(x.dtype) or is_number(x.dtype)):
        return _of_array(x)
    if is_dual(x):
        return _of_dual(x, magnitude)
    return _of_number(x) if is_number(x) else None


def _settling_typer(x):
    if is_dual(x):
        return _of_dual(x, _settling)
    zero = converter(x)
    return lambda x: abs(x) if np.isfinite(x) else zero(0.0)


def register() -> None:
    """Register the overloads."""
    overload(magnitude)(_magnitude_typer)
    overload(_settling)(_settling_typer)
