"""Exact duals: what does not depend on an input stays apart from what does, however infinite the slopes.

A partial may be zero because the value does not depend on that input, or because it was computed to be zero.
Under an infinite slope the first stays zero (`v[0] + sqrt(v[1])` has the slope 1 in `v[0]`, also where `v[1]`
is 0), the second is nan: `cbrt(x**3)` at 0 has the slope 1, which `inf * 0` cannot know. Mostly the type of a
dual says which inputs it depends on. Where types have met (branches, loops, elements of an array, partials of
partials), exact duals say it by the sign of the zero: -0.0 is "does not depend", and no computed partial is
-0.0. Sums keep this by themselves (-0.0 + -0.0 = -0.0, and no other sum is -0.0); products are made by
`product`, `opposite` and `selected`.

This takes time, and only infinities need it: kernels compute on ordinary duals first, and once more on exact
ones if a result is nan (`rule`). A host's cotangent, and a tangent, that is zero is a question that was not
asked: it stays zero too (`weighted`, `seed`).
"""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

from llvmlite import ir

from fwddiff.engines.numba.expressions import compile_function
from fwddiff.engines.numba.options import overload
from fwddiff.engines.numba.types import (
    build_dual,
    constructor,
    is_dual,
    join,
    partials_of,
    strip_bottom,
    value_of,
)
from numba.core import cgutils, types
from numba.extending import intrinsic


def has_layers(kind) -> bool:
    return is_dual(kind) and bool(kind.layers)


def _number(builder, kind, x):
    """LLVM value of the number under all layers."""
    while is_dual(kind):
        x = builder.extract_value(x, 0)
        kind = kind.value_type
    return x


def _mapped(context, builder, kind, x, on_value, on_partial):
    """The same dual with `on_value` done to the number, and `on_partial` to everything that is a partial."""
    if not is_dual(kind):
        return on_value(x)
    proxy = cgutils.create_struct_proxy(kind)(context, builder, x)
    value = _mapped(context, builder, kind.value_type, proxy.value, on_value, on_partial)
    if not kind.layers:
        return build_dual(context, builder, kind, value, [])
    parts = [
        _mapped(context, builder, kind.value_type, part, on_partial, on_partial)
        for part in cgutils.unpack_tuple(builder, proxy.partials)
    ]
    return build_dual(context, builder, kind, value, parts)


@intrinsic
def independent(typing_context, p):
    """Whether the partial `p` is -0.0, through all its layers' values."""

    def codegen(context, builder, signature, arguments):
        number = _number(builder, p, arguments[0])
        bits = ir.IntType(32 if number.type == ir.FloatType() else 64)
        sign = ir.Constant(bits, 1 << (bits.width - 1))
        return builder.icmp_unsigned("==", builder.bitcast(number, bits), sign)

    return types.boolean(p), codegen


def _unless(computed):
    @intrinsic
    def unless(typing_context, condition, p):
        def codegen(context, builder, signature, arguments):
            absent, given = arguments

            def on_value(x):
                done = builder.fadd(x, ir.Constant(x.type, 0.0)) if computed else x
                return builder.select(absent, ir.Constant(x.type, -0.0 if computed else 0.0), done)

            def on_partial(x):
                return builder.select(absent, ir.Constant(x.type, -0.0), x)

            return _mapped(context, builder, p, given, on_value, on_partial)

        return p(condition, p), codegen

    return unless


# `unless(condition, p)`: the partial `p`, which is computed, so no -0.0; "does not depend" if `condition`.
unless = _unless(computed=True)
# `zero_unless(condition, x)`: the value `x`, 0 and independent of everything if `condition`.
zero_unless = _unless(computed=False)


@intrinsic
def settled(typing_context, p):
    """A partial as a value: 0.0 for -0.0. What depends on it in lower layers stays as it is."""

    def codegen(context, builder, signature, arguments):
        def on_value(x):
            return builder.fadd(x, ir.Constant(x.type, 0.0))

        return _mapped(context, builder, p, arguments[0], on_value, lambda x: x)

    return p(p), codegen


# --- the chain rule -----------------------------------------------------------------------------------------


def product(slope, p):
    """slope * partial."""
    raise NotImplementedError


def selected(slope, p):
    """slope * partial for functions that select: where the slope is 0 the argument is not there at all."""
    raise NotImplementedError


def opposite(p):
    """-partial."""
    raise NotImplementedError


@overload(product)
def _product(slope, p):
    return lambda slope, p: unless(independent(p), slope * p)


@overload(selected)
def _selected(slope, p):
    return lambda slope, p: unless(independent(p) | (slope == 0), slope * p)


@overload(opposite)
def _opposite(p):
    return lambda p: unless(independent(p), -p)


NAMES = {"chain_product": product, "chain_selected": selected, "chain_opposite": opposite}


# --- seeds and cotangents -----------------------------------------------------------------------------------


def seed(t):
    """A tangent as a partial: one that is zero, and does not vary, asks for nothing."""
    raise NotImplementedError


@overload(seed)
def _seed(t):
    if not has_layers(t):
        bare = strip_bottom
        return lambda t: unless(bare(t) == 0, bare(t))
    conditions = " and ".join(["t == 0", *(f"independent(p[{k}])" for k in range(len(t.positions)))])
    text = f"def seed(t):\n    p = partials_of(t)\n    return unless({conditions}, t)\n"
    return compile_function(
        "seed", text, {"unless": unless, "independent": independent, "partials_of": partials_of}
    )


def _weighting(strong: bool, marked: bool):
    """cotangent * partial on exact duals, by the product rule through their layers.

    `strong`: a cotangent of zero is a question that was not asked. Partials of the cotangent are not: what is
    computed to be zero there is a number. `marked`: the result is a partial, so -0.0 says "does not depend".
    """

    def weighted(c, p):
        raise NotImplementedError

    @overload(weighted)
    def typer(c, p):
        if has_layers(c) or has_layers(p):
            return _by_layers(c, p, strong, marked)
        bare, result = strip_bottom, unless if marked else zero_unless
        if strong:
            return lambda c, p: result((bare(c) == 0) | independent(p), bare(c) * bare(p))
        return lambda c, p: result(independent(c) | independent(p), bare(c) * bare(p))

    return weighted


_weightings = {(s, m): _weighting(s, m) for s in (True, False) for m in (True, False)}
weighted = _weightings[True, False]


def _by_layers(c, p, strong: bool, marked: bool):
    kind = join(c, p)
    namespace = {
        "value_of": value_of,
        "partials_of": partials_of,
        "construct": constructor(kind),
        "whole": _weightings[strong, marked],
        "by_c": _weightings[False, True],
        "by_p": _weightings[strong, True],
    }
    lines = []
    for name, operand in (("c", c), ("p", p)):
        if has_layers(operand) and operand.level == kind.level:
            lines += [f"{name}s = partials_of({name})", f"{name} = value_of({name})"]
    parts = "".join(f"{_terms(c, p, kind.level, position)}, " for position in kind.positions)
    lines.append(f"return construct(whole(c, p), ({parts}))")
    body = "".join(f"    {line}\n" for line in lines)
    return compile_function("weighted", f"def weighted(c, p):\n{body}", namespace)


def _terms(c, p, level: int, position: int) -> str:
    """The product rule at one position."""
    terms = []
    if has_layers(c) and c.level == level and position in c.positions:
        terms.append(f"by_c(cs[{c.positions.index(position)}], p)")
    if has_layers(p) and p.level == level and position in p.positions:
        terms.append(f"by_p(c, ps[{p.positions.index(position)}])")
    return " + ".join(terms)


def skipped(c, p):
    """cotangent * partial on ordinary duals: 0 where the cotangent is, if both are plain numbers."""
    raise NotImplementedError


@overload(skipped)
def _skipped(c, p):
    if has_layers(c) or has_layers(p):
        return lambda c, p: c * p
    bare = strip_bottom
    return lambda c, p: zero_unless(bare(c) == 0, bare(c) * bare(p))
