"""`fwddiff.magnitude` in kernels: of numbers, duals, and arrays of them."""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import numpy as np

from fwddiff._magnitude import magnitude
from fwddiff.engines.numba.expressions import Source
from fwddiff.engines.numba.options import overload
from fwddiff.engines.numba.types import converter, is_dual, is_number, join, partials_of, value_of
from numba.core import types
from numba.extending import register_jitable


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


def _relative(x, scale):
    """`magnitude(x, scale)` of two duals of one type. A name for the overload below."""
    raise NotImplementedError


def _settling_relative(x, scale):
    """The same of partials, which count where they are finite only."""
    raise NotImplementedError


def _relative_of_numbers(x, scale):
    joined = join(x, scale) if is_dual(x) or is_dual(scale) else types.float64
    convert = converter(joined)
    return lambda x, scale=None: _relative(convert(x), convert(scale))


def _relative_of_arrays(x, scale):
    start = converter(
        join(x.dtype, scale.dtype).base if is_dual(x.dtype) or is_dual(scale.dtype) else types.float64
    )

    def implementation(x, scale=None):
        largest = start(0.0)
        if x.size != scale.size:
            raise ValueError("magnitude(x, scale) needs two arrays of one shape")
        for element, other in zip(x.flat, scale.flat):  # noqa: B905 - a kernel has no `strict`
            size = magnitude(element, other)
            if size != size:
                return size
            largest = size if size > largest else largest
        return largest

    return implementation


def _relative_typer(x, scale):
    return _relative_implementation(x, _relative, "own = abs(a) / (s if s > 1 else one)")


def _settling_relative_typer(x, scale):
    return _relative_implementation(
        x, _settling_relative, "own = abs(a) / (s if s > 1 else one) if isfinite(a) else zero"
    )


def _relative_implementation(x, of_value, own: str):
    """Part by part: the value and each partial, of `x` and `scale`."""
    base = x.base if is_dual(x) else x
    source = Source(base)
    source.namespace.update(
        strip=converter(base), one=base_number(base, 1.0), zero=base_number(base, 0.0), isfinite=np.isfinite,
        value_of=value_of, partials_of=partials_of, of_value=of_value, settling=_settling_relative,
    )  # fmt: skip
    if not is_dual(x) or not x.layers:
        for line in ("a = strip(x)", "s = abs(strip(scale))", own, "return own"):
            source.line(line)
        return source.compile("relative", ("x", "scale"))
    source.line("largest = of_value(value_of(x), value_of(scale))")
    source.line("p, q = partials_of(x), partials_of(scale)")
    for k in range(len(x.positions)):
        source.line(f"part = settling(p[{k}], q[{k}])")
        source.line("largest = part if part > largest else largest")
    source.line("return largest")
    return source.compile("relative", ("x", "scale"))


def base_number(base, number: float):
    """A constant of the dtype computed in."""
    return np.float32(number) if base == types.float32 else number


def _magnitude_typer(x, scale=None):
    single = _single_typer(x)
    if scale is None or isinstance(scale, types.NoneType | types.Omitted):
        return None if single is None else _with_default(single)
    if isinstance(x, types.Array) and isinstance(scale, types.Array):
        return _relative_of_arrays(x, scale)
    numbers = all(is_dual(kind) or is_number(kind) for kind in (x, scale))
    return _relative_of_numbers(x, scale) if numbers else None


def _with_default(single):
    one = register_jitable(single)
    return lambda x, scale=None: one(x)


def _single_typer(x):
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
    overload(_relative)(_relative_typer)
    overload(_settling_relative)(_settling_relative_typer)
