"""sin and cos: |x| = k π/2 + r with |r| <= π/4, π/2 in three parts (Cody and Waite)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from fwddiff.engines.numba.ssa.code import Value
from fwddiff.engines.numba.ssa.elementary._arithmetic import Bits, Number
from fwddiff.engines.numba.ssa.elementary._coefficients import CONSTANTS

ENTRY = "entry"  # the block that a body begins in
Far = Callable[[Value], Value]


class _Quadrant(NamedTuple):
    """Sine and cosine of r; `turns` has k in its lowest bits."""

    sin: Number
    cos: Number
    turns: Bits


def _quadrant(x: Number) -> _Quadrant:
    """By fused steps: k times the first part of π/2 is taken off exactly."""
    form, constants = x.form, CONSTANTS[x.form.kind]
    size = abs(x)
    shifted = size.fma(2.0 / math.pi, form.rounder)
    k = shifted - form.rounder
    r = size
    for part in constants.right_angle:
        r = (-k).fma(part, r)
    z = r * r
    sin = (z * r).fma(z.horner(constants.sin), r)
    cos = (z * z).fma(z.horner(constants.cos), z.fma(-0.5, 1.0))
    return _Quadrant(sin, cos, shifted.bits)


def _turned(found: _Quadrant, turns: Bits) -> Number:
    """Sine of r + `turns` right angles."""
    form = found.sin.form
    size = found.sin.chosen((turns & 1).equals(1), found.cos, found.sin)
    place = form.mantissa + form.bias.bit_length()  # from the second bit to that of signs
    return (size.bits ^ (turns & 2) << place).number


def sin(x: Number, far: Far) -> Number:
    found = _quadrant(x)
    size = _turned(found, found.turns)
    return _unless_far(x, (size.bits ^ (x.bits & x.form.sign)).number, far)


def cos(x: Number, far: Far) -> Number:
    found = _quadrant(x)
    return _unless_far(x, _turned(found, found.turns + 1), far)


def _unless_far(x: Number, near: Number, far: Far) -> Number:
    """`near` up to the largest angle, beyond it what `far` writes: behind a branch, because it takes long."""
    w, kind = x.writer, x.form.kind
    is_far = abs(x).compared("ugt", CONSTANTS[kind].largest_angle)
    w.line(f'br {is_far}, label %"far", label %"done"')
    w.label("far")
    found = far(x.value)
    w.line('br label %"done"')
    w.label("done")
    text = f'phi {kind} [ {near.value.text}, %"{ENTRY}" ], [ {found.text}, %"far" ]'
    return Number(w, x.form, w.assign(kind, text))
