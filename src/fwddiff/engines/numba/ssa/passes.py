"""Derived functions of functions with arrays: seeds, values and partials are in memory.

One *pass* goes through the function with a chunk of partials, `<chunk x double>` beside each active number,
in shadows of the arrays (`shadows`). What is written around it loops over chunks of the inputs' elements, as
many as there are at run time, puts ones among the seeds, and brings the partials to their places or contracts
them with cotangents. A pushforward is one pass with one partial, whose shadows are the tangents themselves.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence

from fwddiff.engines.numba.ssa.code import RETURN, Refused, Value, element, is_float, vector
from fwddiff.engines.numba.ssa.derivative import Derivative
from fwddiff.engines.numba.ssa.differentiate import Partials, differentiate
from fwddiff.engines.numba.ssa.flow import Flow
from fwddiff.engines.numba.ssa.function import (
    Argument,
    Array,
    Function,
    arguments_of,
    as_core,
    declared_return,
    new_symbol,
    numbers_of,
    offsets,
    parameters,
    place_in,
    return_from,
    simplified,
    size,
)
from fwddiff.engines.numba.ssa.shadows import allocated, cleared, integer, released
from fwddiff.engines.numba.ssa.writer import Writer, number

_NO_MEMORY = 3


def derived(base: Function, what: Derivative) -> Function:
    """The derived function, by passes of `what.chunk` partials."""
    return _Driver(base, what).function()


# --- one pass -----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Pass:
    """`core(base's inputs and places, seeds…, shadows of places…)`, which returns the base's numbers, then
    the partials of those of them that are wanted. A seed is a shadow for an array, the partials for a
    number."""

    function: Function
    text: str


def one_pass(base: Function, what: Derivative, width: int) -> Pass:
    inputs, places = base.arguments
    results = _places_by_result(base, what)
    seeds = {a: _seed_argument(inputs[a], a, width) for a in what.active}
    shadows = {j: Value("ptr", f'%"shadow.out.{j}"') for j in results}
    bits = {inputs[a].value.text: 1 for a in what.active}

    def begin(writer: Writer) -> dict[str, Partials]:
        found: dict[str, Partials] = {inputs[a].value.text: {0: seed} for a, seed in seeds.items()}
        return found | {places[k].value.text: {0: shadows[j]} for j, k in results.items()}

    numbers = _numbers_by_result(base)
    wanted = [numbers[j] for j in what.results if j in numbers]

    def returned(writer: Writer, values: Sequence[Value], partials: Sequence[Partials]) -> None:
        absent = [number(_lifted(v.type, width), what.absent) if is_float(v.type) else v for v in values]
        found = [partials[k].get(0, absent[k]) for k in wanted]
        writer.line(f'call void @"{RETURN}"({", ".join(map(str, [*values, *found]))})')

    extents = {a.value.text: a for a in inputs if isinstance(a.kind, Array)}
    writer = differentiate(base.code, bits, begin, returned, what.exact, width, extents)
    symbol, body = new_symbol("pass"), "\n".join(writer.lines)
    outputs = (*base.returned, *[_lifted(base.returned[k], width) for k in wanted])
    writer.outside[RETURN] = declared_return(outputs)
    arguments = ", ".join(map(str, [*base.code.arguments, *seeds.values(), *shadows.values()]))
    outside = "\n".join(writer.outside.values())
    text = f"define i32 @{symbol}({arguments}) {{\n{body}\n}}\n{outside}\n"
    kinds = tuple(str(a.type) for a in (*base.code.arguments, *seeds.values(), *shadows.values()))
    made = simplified(text, symbol, kinds, outputs)
    return Pass(made, as_core(made, symbol))


def _lifted(kind: str, width: int) -> str:
    return vector(kind, width) if width else kind


def _seed_argument(given: Argument, a: int, width: int) -> Value:
    kind = given.kind
    return Value("ptr" if isinstance(kind, Array) else _lifted(kind, width), f'%"seed.{a}"')


def _places_by_result(base: Function, what: Derivative) -> dict[int, int]:
    """Results that are arrays → which of the places."""
    arrays = [j for j, kind in enumerate(base.outputs) if isinstance(kind, Array)]
    return {j: arrays.index(j) for j in what.results if j in arrays}


def _numbers_by_result(base: Function) -> dict[int, int]:
    """Outputs that are numbers → which of the numbers returned."""
    found = [j for j, kind in enumerate(base.outputs) if not isinstance(kind, Array)]
    return {j: k for k, j in enumerate(found)}


# --- what is around it --------------------------------------------------------------------------------------


class _Driver:
    def __init__(self, base: Function, what: Derivative):
        self.base, self.what, self.width = base, what, what.chunk
        self.writer = Flow()
        self.given, places = arguments_of(what.inputs, what.outputs)
        self.inputs, self.extra = self.given[: len(base.inputs)], self.given[len(base.inputs) :]
        left = iter(places)
        self.places = [next(left) if isinstance(kind, Array) else None for kind in what.outputs]
        self.results = _places_by_result(base, what)
        self.numbers = _numbers_by_result(base)
        self.memory: list[Value] = []
        self.values: dict[int, Argument] = {}  # places of values of array outputs
        self.shadows: dict[int, Value] = {}  # of array results
        self._call: Callable[[Sequence[Value]], list[Value]]

    def function(self) -> Function:
        w, what = self.writer, self.what
        made = one_pass(self.base, what, self.width)
        self.made = made
        self._rooms()
        self._make_places()
        found = self._pushforward() if what.kind == "pushforward" else self._in_chunks()
        self._release()
        return_from(w, [w.convert(v, kind) for v, kind in zip(found, numbers_of(what.outputs), strict=True)])
        symbol = new_symbol(what.kind)
        text = w.function(symbol, parameters(what.inputs, what.outputs))
        outside = made.function.code.outside | w.outside | {RETURN: declared_return(what.outputs)}
        whole = "\n".join([made.text, text, *outside.values()])
        return simplified(whole, symbol, what.inputs, what.outputs)

    # --- memory ---------------------------------------------------------------------------------------------

    def _new(self, elements: Value, width: int = 1) -> tuple[Value, Value]:
        """Memory for so many doubles, and its size in bytes."""
        w = self.writer
        bytes_of = w.times(elements, 8 * width)
        found = allocated(w, bytes_of)
        with w.when(w.assign("i1", f"icmp eq {found}, null"), leaves=True):
            self._release()
            w.line(f"ret i32 {_NO_MEMORY}")
        self.memory.append(found)
        return found, bytes_of

    def _release(self) -> None:
        for place in self.memory:
            released(self.writer, place)

    @property
    def _first(self) -> int:
        """Where the derivatives begin among the outputs."""
        return len(self.base.outputs) if self.what.has_values else 0

    def _size(self, a: Argument) -> Value:
        return self.writer.product(a.extents) if isinstance(a.kind, Array) else integer(1)

    def _rooms(self) -> None:
        self._result_room = self.writer.room(f"[{size(self.made.function.returned)} x i8]")
        self._exception_room = self.writer.room("ptr")

    def _make_places(self) -> None:
        """Places of the values, and their shadows."""
        w, what = self.writer, self.what
        for j, kind in enumerate(self.base.outputs):
            if not isinstance(kind, Array):
                continue
            if what.has_values:
                given = self.places[j]
                assert given is not None
                self.values[j] = given
            elif j not in self.results:
                raise Refused("an array of integers among the results")
            else:
                extents = self._extents(j, kind)
                place, _ = self._new(w.product(extents))
                self.values[j] = Argument(kind, place, tuple(extents))
            if j in self.results and what.kind != "pushforward":
                shadow, bytes_of = self._new(w.product(self.values[j].extents), max(self.width, 1))
                cleared(w, shadow, bytes_of, what.exact)
                self.shadows[j] = shadow

    def _extents(self, j: int, kind: Array) -> list[Value]:
        """Of an array result, which what comes or goes with it has too."""
        k = self.what.results.index(j)
        if self.what.kind == "pullback":
            return list(self.extra[k].extents)
        place = self.places[k if self.what.kind == "pushforward" else k * len(self.what.active)]
        assert place is not None
        return list(place.extents[: kind.ndim])

    # --- the call -------------------------------------------------------------------------------------------

    def _called(self, seeds: Sequence[Value]) -> tuple[list[Value], dict[int, Value]]:
        """The numbers that the base returns, and partials of the results that are numbers."""
        w = self.writer
        given = [v for a in (*self.inputs, *self.values.values()) for v in a.values]
        arguments = [self._result_room, self._exception_room, *given, *seeds, *self.shadows.values()]
        made = self.made.function
        status = w.assign("i32", f'call i32 @"{made.symbol}"({", ".join(map(str, arguments))})')
        with w.when(w.assign("i1", f"icmp ne {status}, 0"), leaves=True):
            self._release()
            w.line(f"ret {status}")
        found = [
            w.load(kind, place_in(w, self._result_room, offset))
            if is_float(kind) or kind == "i64"
            else w.assign(kind, f"load {kind}, {place_in(w, self._result_room, offset)}, align 1")
            for kind, offset in zip(made.returned, offsets(made.returned), strict=True)
        ]
        count = len(self.base.returned)
        wanted = [j for j in self.what.results if j in self.numbers]
        return found[:count], dict(zip(wanted, found[count:], strict=True))

    # --- pushforward ----------------------------------------------------------------------------------------

    def _pushforward(self) -> list[Value]:
        w, what = self.writer, self.what
        seeds = [self._tangents(t) for t in self.extra]
        places = dict(zip(what.results, self.places[self._first :], strict=True))
        for j, place in places.items():
            if place is not None:
                cleared(w, place.value, w.times(self._size(place), 8), what.exact)
                self.shadows[j] = place.value
        values, partials = self._called(seeds)
        found = values if what.has_values else []
        for j, place in places.items():
            if place is None:
                found.append(what.settled(w, partials[j]))
            elif what.exact:
                with w.loop(self._size(place)) as e:
                    cell = w.at(place.value, e)
                    w.store(what.settled(w, w.load("double", cell)), cell)
        return found

    def _tangents(self, t: Argument) -> Value:
        """Tangents as partials: in exact code one that is zero, and does not vary, asks for nothing."""
        w, what = self.writer, self.what
        if not what.exact:
            return t.value
        if not isinstance(t.kind, Array):
            return what.seed(w, t.value)
        place, _ = self._new(self._size(t))
        with w.loop(self._size(t)) as e:
            w.store(what.seed(w, w.load("double", w.at(t.value, e))), w.at(place, e))
        return place

    # --- chunks ---------------------------------------------------------------------------------------------

    def _in_chunks(self) -> list[Value]:
        w, what, width = self.writer, self.what, self.width
        starts, total = {}, integer(0)
        sizes = {a: self._size(self.inputs[a]) for a in what.active}
        for a in what.active:
            starts[a], total = total, w.add(total, sizes[a])
        seeds = {}
        for a in what.active:
            if isinstance(self.inputs[a].kind, Array):
                seeds[a], bytes_of = self._new(sizes[a], width)
                cleared(w, seeds[a], bytes_of, what.exact)
        numbers = [w.room(kind) for kind in self.base.returned]
        sums = self._sums()
        rooms = {name: w.room(vector(kind, width)) for name, kind in sums.items()}
        stop = total if not total.is_name else w.greatest(total, integer(1))
        with w.loop(stop, step=width) as start:
            spans = {a: _Span(w, start, starts[a], sizes[a], width) for a in what.active}
            self._mark(seeds, spans, 1.0)
            found, partials = self._called([seeds.get(a) or self._ones(a, spans[a]) for a in what.active])
            self._mark(seeds, spans, what.absent)
            for room, value in zip(numbers, found, strict=True):
                w.line(f"store {value}, {room}, align 1")
            if what.kind == "pullback":
                w.store(self._contracted(partials, sums[None]), rooms[None])
            else:
                for j, partial in partials.items():
                    w.store(what.settled(w, partial), rooms[j])
            cells = self._scatter(rooms, sums, spans)
        values = [
            w.assign(kind, f"load {kind}, {room}, align 1")
            for room, kind in zip(numbers, self.base.returned, strict=True)
        ]
        slopes = [w.load(element_kind, cell) for element_kind, cell in cells]
        return [*values, *slopes] if what.has_values else slopes

    def _sums(self) -> dict[int | None, str]:
        """The rows of derivatives that are gathered as numbers, and their types."""
        numbers = {j: self.base.returned[self.numbers[j]] for j in self.what.results if j in self.numbers}
        if self.what.kind != "pullback":
            return {**numbers}
        is_double = bool(self.results) or "double" in numbers.values()
        return {None: "double" if is_double else "float"}

    def _mark(self, seeds: dict[int, Value], spans: dict[int, _Span], x: float) -> None:
        """Seeds of the inputs whose partials are in this chunk."""
        for a, place in seeds.items():
            with spans[a].each() as (k, e):
                index = self.writer.add(self.writer.times(e, self.width), k)
                self.writer.store(number("double", x), self.writer.at(place, index))

    def _ones(self, a: int, span: _Span) -> Value:
        """The partials of an input that is a number."""
        w, width, kind = self.writer, self.width, self.inputs[a].kind
        assert isinstance(kind, str)
        here = w.spread(span.offset, width)
        lanes_of = Value(vector("i64", width), f"<{', '.join(f'i64 {k}' for k in range(width))}>")
        chosen = w.assign(vector("i1", width), f"icmp eq {here}, {lanes_of.text}")
        return w.select(
            chosen, number(vector(kind, width), 1.0), number(vector(kind, width), self.what.absent)
        )

    def _contracted(self, partials: dict[int, Value], kind: str) -> Value:
        """Sum of cotangent * partial over the results. A cotangent of zero: a question that was not asked."""
        w, width = self.writer, self.width
        total = w.room(vector(kind, width))
        w.store(number(vector(kind, width), 0.0), total)

        def add(cotangent: Value, partial: Value) -> None:
            name = "weighted10" if self.what.exact else "skipped"
            term = w.table(name, [w.spread(cotangent, width), partial])
            w.store(
                w.binary("fadd", w.load(vector(kind, width), total), w.convert(term, vector(kind, width))),
                total,
            )

        for cotangent, j in zip(self.extra, self.what.results, strict=True):
            if j in partials:
                add(w.convert(cotangent.value, element(partials[j].type)), partials[j])
                continue
            with w.loop(self._size(cotangent)) as e:
                row = w.at(self.shadows[j], w.times(e, width))
                add(w.load("double", w.at(cotangent.value, e)), w.load(vector("double", width), row))
        return w.load(vector(kind, width), total)

    def _scatter(self, rooms, sums, spans: dict[int, _Span]) -> list[tuple[str, Value]]:
        """Derivatives of this chunk to where they belong: in arrays that are results, or in rooms, which are
        returned."""
        w, what, cells = self.writer, self.what, []
        places = iter(self.places[self._first :])
        for j in [None] if what.kind == "pullback" else what.results:
            for a in what.active:
                place, span = next(places), spans[a]
                if place is None:
                    cells.append(self._number(rooms[j], sums[j], span))
                elif j in self.results:
                    self._rows(j, place, span)
                else:
                    with span.each() as (k, e):
                        value = w.convert(w.load(sums[j], w.at(rooms[j], k, sums[j])), "double")
                        w.store(value, w.at(place.value, e))
        return cells

    def _number(self, room: Value, kind: str, span: _Span) -> tuple[str, Value]:
        w, cell = self.writer, self.writer.room(kind)
        with w.when(span.holds_number()):
            w.store(w.load(kind, w.at(room, span.offset, kind)), cell)
        return kind, cell

    def _rows(self, j: int, place: Argument, span: _Span) -> None:
        """Of a result that is an array, every element's derivatives."""
        w = self.writer
        with w.loop(self._size(self.values[j])) as row, span.each() as (k, e):
            source = w.at(self.shadows[j], w.add(w.times(row, self.width), k))
            index = w.add(w.binary("mul", row, span.size), e)
            w.store(self.what.settled(w, w.load("double", source)), w.at(place.value, index))


class _Span:
    """Which elements of an input have their partials in a chunk: partial k is that of the element
    `k - offset`."""

    def __init__(self, writer: Flow, start: Value, begin: Value, count: Value, width: int):
        self.writer, self.size, self.width = writer, count, width
        self.offset = (
            writer.subtract(begin, start)
            if begin.text != "0"
            else writer.assign("i64", f"sub i64 0, {start.text}")
        )

    def each(self):
        """A loop over (partial, element)."""
        return _spanned(self)

    def holds_number(self) -> Value:
        """Whether the input, a number, is in the chunk."""
        return self.writer.assign("i1", f"icmp ult {self.offset}, {self.width}")


@contextlib.contextmanager
def _spanned(span: _Span):
    w = span.writer
    first = w.greatest(span.offset, integer(0))
    last = w.least(w.add(span.offset, span.size), integer(span.width))
    with w.loop(last, start=first) as k:
        yield k, w.subtract(k, span.offset)
