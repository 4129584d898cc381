"""Derived functions: seeds in, partials out, contracted with cotangents or tangents where these are given.

The kinds are those of `fwddiff._derive`: partials, pullback, pushforward. Up to `SINGLE_PASS` inputs are
seeded at once; more go through in chunks, one pass of a loop for each, so that code does not grow with their
number (ForwardDiff.jl: Revels, Lubin, Papamarkou 2016, arXiv 1607.07892).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from fwddiff.engines.numba.ssa import passes
from fwddiff.engines.numba.ssa.bodies import expanded
from fwddiff.engines.numba.ssa.code import RETURN, Value
from fwddiff.engines.numba.ssa.derivative import Derivative
from fwddiff.engines.numba.ssa.differentiate import Partials, differentiate
from fwddiff.engines.numba.ssa.function import (
    Function,
    argument,
    as_core,
    declared_return,
    new_symbol,
    numbers_of,
    parameters,
    results_of_call,
    return_from,
    simplified,
    size,
)
from fwddiff.engines.numba.ssa.functions import ALLOCATE
from fwddiff.engines.numba.ssa.special import Bodies, no_bodies
from fwddiff.engines.numba.ssa.writer import Writer, number


def derived(base: Function, what: Derivative, bodies: Bodies = no_bodies) -> Function:
    """The derived function of `base`; `bodies` has the code of functions of the table that are code."""
    base = expanded(base, what.active, bodies)
    if base.has_arrays or what.kind == "jacobian" or ALLOCATE in base.code.outside:
        chunk = 0 if what.kind == "pushforward" else what.chunk or len(what.active)
        return passes.derived(base, dataclasses.replace(what, chunk=chunk))
    if what.kind == "pushforward":
        return _single_pass(base, what, dict.fromkeys(what.active, 1))
    if what.chunk:
        return _in_chunks(base, what)
    return _single_pass(base, what, {a: 1 << k for k, a in enumerate(what.active)})


# --- one pass -----------------------------------------------------------------------------------------------


def _single_pass(base: Function, what: Derivative, bits: dict[int, int]) -> Function:
    arguments = base.code.arguments
    extra = [argument(k, kind).value for k, kind in enumerate(what.inputs)][len(arguments) :]

    def seeds(writer: Writer) -> dict[str, Partials]:
        if what.kind == "pushforward":
            return {
                arguments[a].text: {0: what.seed(writer, t)} for a, t in zip(what.active, extra, strict=True)
            }
        return {arguments[a].text: {k: number(arguments[a].type, 1.0)} for k, a in enumerate(what.active)}

    def returned(writer: Writer, results: Sequence[Value], partials: Sequence[Partials]) -> None:
        found = _outputs(writer, what, extra, results, partials)
        _return(writer, found, what)

    carried = {arguments[a].text: bit for a, bit in bits.items()}
    writer = differentiate(base.code, carried, seeds, returned, what.exact)
    return _made(writer, [*arguments, *extra], what)


def _return(writer: Writer, found: Sequence[Value], what: Derivative) -> None:
    given = [writer.convert(v, kind) for v, kind in zip(found, numbers_of(what.outputs), strict=True)]
    writer.line(f'call void @"{RETURN}"({", ".join(map(str, given))})')


def _made(writer: Writer, arguments: Sequence[Value], what: Derivative) -> Function:
    symbol = new_symbol(what.kind)
    body, listing = "\n".join(writer.lines), ", ".join(map(str, arguments))
    writer.outside[RETURN] = declared_return(what.outputs)
    outside = "\n".join(writer.outside.values())
    text = f"define i32 @{symbol}({listing}) {{\n{body}\n}}\n{outside}\n"
    return simplified(text, symbol, what.inputs, what.outputs)


def _outputs(
    writer: Writer,
    what: Derivative,
    given: Sequence[Value],
    results: Sequence[Value],
    partials: Sequence[Partials],
) -> list[Value]:
    positions = range(len(what.active))
    if what.kind == "pushforward":
        return [_settled(writer, what, results[j], partials[j], 0) for j in what.results]
    if what.kind == "partials":
        slopes = [_settled(writer, what, results[j], partials[j], k) for j in what.results for k in positions]
        return [*results, *slopes]
    return [_contracted(writer, what, given, [partials[j] for j in what.results], k) for k in positions]


def _settled(writer: Writer, what: Derivative, result: Value, partials: Partials, k: int) -> Value:
    found = partials.get(k)
    return number(result.type, 0.0) if found is None else what.settled(writer, found)


def _contracted(
    writer: Writer, what: Derivative, cotangents: Sequence[Value], partials: Sequence[Partials], k: int
) -> Value:
    """Sum of cotangent * partial over the results. A cotangent of zero is a question that was not asked."""
    total = None
    for cotangent, found in zip(cotangents, partials, strict=True):
        if k in found:
            term = writer.table("weighted10" if what.exact else "skipped", [cotangent, found[k]])
            if total is not None:
                kind = "double" if "double" in (total.type, term.type) else "float"
                term = writer.binary("fadd", writer.convert(total, kind), writer.convert(term, kind))
            total = term
    return number(cotangents[0].type, 0.0) if total is None else total


# --- chunks -------------------------------------------------------------------------------------------------


def _in_chunks(base: Function, what: Derivative) -> Function:
    """`for start in range(0, number of active inputs, chunk)`: a pass, whose partials go to their places."""
    one_pass = _pass_of_chunk(base, what)
    loop = _Chunks(base, what, one_pass)
    loop.write()
    symbol, body = new_symbol(what.kind), "\n".join(loop.writer.lines)
    outside = one_pass.code.outside | loop.writer.outside | {RETURN: declared_return(what.outputs)}
    text = "\n".join(
        [
            as_core(one_pass, one_pass.symbol),
            f'define i32 @{symbol}({parameters(what.inputs)}) {{\n"entry":\n{body}\n}}',
            *outside.values(),
        ]
    )
    return simplified(text, symbol, what.inputs, what.outputs)


def _pass_of_chunk(base: Function, what: Derivative) -> Function:
    """`(inputs…, start) → values and a chunk of partials of every result`: partial k belongs to the active
    input `start + k`."""
    arguments, start = base.code.arguments, argument(len(base.inputs), "i64").value
    chunk, active = what.chunk, {arguments[a].text: n for n, a in enumerate(what.active)}
    kinds = {a.text: a.type for a in arguments}

    def seeds(writer: Writer) -> dict[str, Partials]:
        return {name: dict(enumerate(_row_of_seeds(writer, n, kinds[name]))) for name, n in active.items()}

    def _row_of_seeds(writer: Writer, n: int, kind: str) -> list[Value]:
        place = writer.assign("i64", f"sub i64 {n}, {start.text}")
        here = [writer.assign("i1", f"icmp eq {place}, {k}") for k in range(chunk)]
        return [writer.select(c, number(kind, 1.0), number(kind, what.absent)) for c in here]

    def returned(writer: Writer, results: Sequence[Value], partials: Sequence[Partials]) -> None:
        absent = {j: number(results[j].type, what.absent) for j in what.results}
        found = [partials[j].get(k, absent[j]) for j in what.results for k in range(chunk)]
        writer.line(f'call void @"{RETURN}"({", ".join(map(str, [*results, *found]))})')

    writer = differentiate(base.code, dict.fromkeys(active, (1 << chunk) - 1), seeds, returned, what.exact)
    slopes = [kind for j in what.results for kind in [base.outputs[j]] * chunk]
    inner = dataclasses.replace(
        what, kind="pass", inputs=(*base.inputs, "i64"), outputs=(*base.outputs, *slopes)
    )
    return _made(writer, [*arguments, start], inner)


class _Chunks:
    """Writes the loop over chunks. Each row of derivatives (of a result, or the contracted one) is gathered
    in memory, with a place more than there are inputs for what the last chunk has too much."""

    def __init__(self, base: Function, what: Derivative, one_pass: Function):
        self.base, self.what, self.one_pass = base, what, one_pass
        self.writer, self.count = Writer(), len(what.active)
        self.cotangents = [argument(k, kind).value for k, kind in enumerate(what.inputs)][len(base.inputs) :]
        contracted = "double" if "double" in what.outputs else "float"
        kinds = [base.returned[j] for j in what.results]
        self.kinds = [contracted] if what.kind == "pullback" else kinds

    def write(self) -> None:
        w, start, next_start = self.writer, self.writer.fresh("i64"), self.writer.fresh("i64")
        rooms = [w.assign("ptr", f"alloca [{self.count + 1} x {kind}], align 8") for kind in self.kinds]
        results = w.assign("ptr", f"alloca [{size(self.one_pass.returned)} x i8], align 8")
        exception = w.assign("ptr", "alloca ptr, align 8")
        w.line('br label %"pass"')
        w.label("pass")
        place = len(w.lines)
        w.line("")
        arguments = f"{parameters(self.base.inputs)}, {start}"
        found = results_of_call(
            w, self.one_pass.symbol, results, exception, arguments, self.one_pass.returned
        )
        latch = w.lines[_last_label(w)].strip('":')
        w.lines[place] = f'  {start.text} = phi i64 [ 0, %"entry" ], [ {next_start.text}, %"{latch}" ]'
        self._gather(rooms, start, found[len(self.base.outputs) :])
        w.line(f"{next_start.text} = add {start}, {self.what.chunk}")
        more = w.assign("i1", f"icmp slt {next_start}, {self.count}")
        w.line(f'br {more}, label %"pass", label %"finished"')
        w.label("finished")
        rows = [w.assign(kind, f"load {kind}, {place}, align 8") for kind, place in self._cells(rooms)]
        values = [] if self.what.kind == "pullback" else found[: len(self.base.outputs)]
        kinds = zip([*values, *rows], numbers_of(self.what.outputs), strict=True)
        return_from(w, [w.convert(value, kind) for value, kind in kinds])

    def _cells(self, rooms: Sequence[Value]) -> list[tuple[str, Value]]:
        return [
            (kind, self._cell(room, kind, number("i64", n)))
            for room, kind in zip(rooms, self.kinds, strict=True)
            for n in range(self.count)
        ]

    def _cell(self, room: Value, kind: str, index: Value) -> Value:
        return self.writer.assign("ptr", f"getelementptr {kind}, {room}, {index}")

    def _gather(self, rooms: Sequence[Value], start: Value, partials: Sequence[Value]) -> None:
        w, chunk = self.writer, self.what.chunk
        by_result = [
            dict(enumerate(partials[r * chunk : (r + 1) * chunk])) for r in range(len(self.what.results))
        ]
        for k in range(chunk):
            index = w.assign("i64", f"add {start}, {k}")
            index = w.assign("i64", f"call i64 @llvm.smin.i64({index}, i64 {self.count})")
            for room, kind, term in zip(rooms, self.kinds, self._terms(by_result, k), strict=True):
                w.line(f"store {w.convert(term, kind)}, {self._cell(room, kind, index)}, align 8")
        w.outside["llvm.smin.i64"] = "declare i64 @llvm.smin.i64(i64, i64)"

    def _terms(self, by_result: Sequence[Partials], k: int) -> list[Value]:
        if self.what.kind == "pullback":
            return [_contracted(self.writer, self.what, self.cotangents, by_result, k)]
        return [_settled(self.writer, self.what, found[k], found, k) for found in by_result]


def _last_label(writer: Writer) -> int:
    return max(n for n, line in enumerate(writer.lines) if line.endswith(":"))
