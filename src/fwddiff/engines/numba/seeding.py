"""The primitives of `fwddiff._derive` for Numba: seeds in, partials out, at one level of differentiation."""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportCallIssue=false

from __future__ import annotations

from fwddiff.engines.numba import zeros
from fwddiff.engines.numba.arrays import element_type, empty_block_of, empty_like_of, flat, frozen
from fwddiff.engines.numba.chunks import (
    chunk_sum,
    each,
    new_cotangents,
    pick,
    scaled,
    scatter,
    widened,
    zero_chunk,
)
from fwddiff.engines.numba.expressions import compile_function
from fwddiff.engines.numba.options import overload
from fwddiff.engines.numba.types import (
    DualType,
    build_dual,
    constructor,
    converter,
    is_dual,
    join,
    partials_of,
    strip_bottom,
    value_of,
)
from numba.core import cgutils, types
from numba.extending import intrinsic, register_jitable


def primitives(level: int, chunk: int, count: int, exact: bool) -> dict[str, object]:
    """Namespace for derived source: `count` static positions, chunks of `chunk`, on exact duals or ordinary
    ones."""
    layer = _Level(level, exact)
    dense = tuple(range(chunk))
    namespace: dict[str, object] = {
        "lift": layer.lift(),
        "seed_at": layer.seed_at(dense),
        "seed_array": layer.seed_array(dense),
        "value": layer.value(),
        "value_array": layer.of_elements("value_array", layer.value()),
        "tangent_array": layer.of_elements("tangent_array", layer.partial(0)),
        "chunk_partials": layer.chunk_partials(dense),
        "chunk_weighted": layer.chunk_weighted(dense),
        "chunk_sum": chunk_sum(chunk),
        "zeros": new_cotangents,
        "pick": pick,
        "scatter": scatter,
        "block": layer.block(),
        "scatter_rows": layer.scatter_rows(chunk),
        "chunk": chunk,
    }
    for k in range(max(count, 1)):
        namespace[f"seed_{k}"] = layer.seed(k)
        namespace[f"partial_{k}"] = layer.partial(k)
        namespace[f"weighted_{k}"] = layer.weighted(k)
    return namespace


class _Level:
    """Makes the primitives of one level. Each is an intrinsic or an overload, chosen by the types it
    meets."""

    def __init__(self, level: int, exact: bool):
        self.level, self.exact = level, exact
        self.weigh = zeros.weighted if exact else zeros.skipped

    def on(self, kind: DualType, positions: tuple[int, ...]) -> DualType:
        """The type with this level on top."""
        return DualType(kind.base, (*kind.layers, (self.level, positions)), self.exact)

    def has(self, kind) -> bool:
        return is_dual(kind) and kind.level == self.level

    def seed(self, position: int):
        on = self.on

        @intrinsic
        def seed(typing_context, x):
            result = on(x, (position,))

            def codegen(context, builder, signature, arguments):
                value = context.cast(
                    builder, _bare(context, builder, x, arguments[0]), _bare_type(x), result.value_type
                )
                one = context.cast(
                    builder, context.get_constant(result.base, 1.0), result.base, result.value_type
                )
                return build_dual(context, builder, result, value, [one])

            return result(x), codegen

        return seed

    def lift(self):
        on, tangent = self.on, zeros.seed if self.exact else strip_bottom

        def lift(x, t):
            raise NotImplementedError

        @overload(lift)
        def typer(x, t):
            if isinstance(x, types.Array):
                return _lift_array(on(join(x.dtype, t.dtype), (0,)), tangent)
            build = constructor(on(join(x, t), (0,)))
            bare = strip_bottom
            return lambda x, t: build(bare(x), (tangent(t),))

        return lift

    def seed_at(self, dense: tuple[int, ...]):
        on, slots = self.on, ", ".join(f"one if k == {p} else zero" for p in dense)

        def seed_at(x, k):
            raise NotImplementedError

        @overload(seed_at)
        def typer(x, k):
            result = on(x, dense)
            namespace = {
                "nothing": result.no_partial,
                "build": constructor(result),
                "cast": converter(result.value_type),
                "bare": strip_bottom,
            }
            body = f"one, zero = cast(1.0), cast(nothing)\n    return build(bare(x), ({slots},))"
            text = f"def seed_at(x, k):\n    {body}\n"
            return compile_function("seed_at", text, namespace)

        return seed_at

    def seed_array(self, dense: tuple[int, ...]):
        seed_at, on = self.seed_at(dense), self.on

        def seed_array(x, k):
            raise NotImplementedError

        @overload(seed_array)
        def typer(x, k):
            empty = empty_like_of(on(x.dtype, dense))

            def implementation(x, k):
                out = empty(x)
                source, target = flat(x), flat(out)
                for e in range(source.size):
                    target[e] = seed_at(source[e], k + e)
                return frozen(out)

            return implementation

        return seed_array

    def value(self):
        has = self.has

        def value(y):
            raise NotImplementedError

        @overload(value)
        def typer(y):
            return (lambda y: value_of(y)) if has(y) else (lambda y: y)

        return value

    def partial(self, position: int):
        """A partial as a result."""
        held = self.held(position)
        if not self.exact:
            return held

        def partial(y):
            raise NotImplementedError

        overload(partial)(lambda y: lambda y: zeros.settled(held(y)))
        return partial

    def held(self, position: int):
        """A partial as the dual has it."""
        has = self.has

        @intrinsic
        def held(typing_context, y):
            found = has(y) and position in y.positions
            result = y.value_type if found else (y.base if is_dual(y) else types.float64)

            def codegen(context, builder, signature, arguments):
                if not found:
                    return context.get_constant(result, 0.0)
                proxy = cgutils.create_struct_proxy(y)(context, builder, arguments[0])
                return builder.extract_value(proxy.partials, y.positions.index(position))

            return result(y), codegen

        return held

    def of_elements(self, name: str, part):
        """The value, or a partial, of every element of an array."""
        has = self.has

        def array_of(y):
            raise NotImplementedError

        array_of.__name__ = name

        @overload(array_of)
        def typer(y):
            kind = y.dtype
            inner = kind.value_type if has(kind) else kind
            empty = empty_like_of(inner if is_dual(inner) else DualType(_float_type(inner)))

            def implementation(y):
                out = empty(y)
                source, target = flat(y), flat(out)
                for e in range(source.size):
                    target[e] = part(source[e])
                return out

            return implementation

        return array_of

    def block(self):
        has = self.has

        def block(y, x):
            raise NotImplementedError

        @overload(block)
        def typer(y, x):
            kind = element_type(y)
            inner = kind.value_type if has(kind) else kind
            empty = empty_block_of(inner if is_dual(inner) else DualType(_float_type(inner)))

            def implementation(y, x):
                out = empty(y, x)
                target = flat(out)
                for e in range(target.size):
                    target[e] = 0.0
                return out

            return implementation

        return block

    def scatter_rows(self, size: int):
        has, finish = self.has, self.results_of(size)

        def scatter_rows(m, y, k):
            raise NotImplementedError

        @overload(scatter_rows)
        def typer(m, y, k):
            if not has(element_type(y)):
                return lambda m, y, k: None
            if not isinstance(y, types.Array):
                return lambda m, y, k: scatter(m, finish(y), k)

            def implementation(m, y, k):
                target, elements = flat(m), flat(y)
                columns = target.size // max(elements.size, 1)
                for i in range(elements.size):
                    p = finish(elements[i])
                    for j in range(len(p)):
                        if 0 <= j - k < columns:
                            target[i * columns + j - k] = p[j]

            return implementation

        return scatter_rows

    def weighted(self, position: int):
        has, weigh, partial = self.has, self.weigh, self.held(position)

        def weighted(c, y):
            raise NotImplementedError

        @overload(weighted)
        def typer(c, y):
            kind = y.dtype if isinstance(y, types.Array) else y
            if not has(kind) or position not in kind.positions:
                return lambda c, y: 0.0
            if not isinstance(y, types.Array):
                return lambda c, y: weigh(c, partial(y))

            def implementation(c, y):
                total = 0.0
                weights, elements = flat(c), flat(y)
                for e in range(elements.size):
                    total += weigh(weights[e], partial(elements[e]))
                return total

            return implementation

        return weighted

    def results_of(self, size: int):
        """All partials of a dual as results."""
        if not self.exact:
            return partials_of
        settle = each("settled", size, zeros.settled)
        return register_jitable(lambda y: settle(partials_of(y)))

    def chunk_partials(self, dense: tuple[int, ...]):
        has, finish = self.has, self.results_of(len(dense))
        nothing = ", ".join("0.0" for _ in dense)

        def chunk_partials(y):
            raise NotImplementedError

        @overload(chunk_partials)
        def typer(y):
            if has(y):
                return lambda y: finish(y)
            return compile_function(
                "chunk_partials", f"def chunk_partials(y):\n    return ({nothing},)\n", {}
            )

        return chunk_partials

    def chunk_weighted(self, dense: tuple[int, ...]):
        has, size, times = self.has, len(dense), scaled(len(dense), self.weigh)
        add = chunk_sum(size)

        def chunk_weighted(c, y):
            raise NotImplementedError

        @overload(chunk_weighted)
        def typer(c, y):
            kind = y.dtype if isinstance(y, types.Array) else y
            if not has(kind):
                return zero_chunk(size)
            if not isinstance(y, types.Array):
                return lambda c, y: times(c, partials_of(y))
            start = widened(
                size, join(c.dtype, kind.value_type if is_dual(kind.value_type) else DualType(kind.base))
            )

            def implementation(c, y):
                total = start()
                weights, elements = flat(c), flat(y)
                for e in range(elements.size):
                    total = add(total, times(weights[e], partials_of(elements[e])))
                return total

            return implementation

        return chunk_weighted


# --- helpers that belong to no level ------------------------------------------------------------------------


def _bare_type(kind):
    return kind if kind.layers else kind.base


def _bare(context, builder, kind, dual):
    return dual if kind.layers else cgutils.create_struct_proxy(kind)(context, builder, dual).value


def _float_type(kind):
    return kind if isinstance(kind, types.Float) else types.float64


def _lift_array(result: DualType, partial):
    build, bare, empty = constructor(result), strip_bottom, empty_like_of(result)

    def implementation(x, t):
        out = empty(x)
        target, source, tangent = flat(out), flat(x), flat(t)
        for e in range(source.size):
            target[e] = build(bare(source[e]), (partial(tangent[e]),))
        return frozen(out)

    return implementation
