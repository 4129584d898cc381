"""A scalar function as one of several elements side by side ("whole-function vectorisation", Karrenberg and
Hack 2011).

Branches that elements may take differently become masks: all blocks are run, in order, and a value that
depends on the way is selected. A loop runs until no lane is in it; a lane that has left keeps its values. So
every element gets what the scalar function computes, operation by operation, whatever the other lanes do.
"""

from __future__ import annotations

from collections.abc import Sequence

from fwddiff._native.status import INTERRUPTED
from fwddiff.engines.numba.lanes._code import BITS, MARK, Block, Code, Instruction, Operand, Refused
from fwddiff.engines.numba.lanes._flow import Edge, Flow, Loop
from fwddiff.engines.numba.lanes._instructions import Instructions
from fwddiff.engines.numba.lanes._masks import Mask, Text, Value
from fwddiff.engines.numba.polls import POLL

# Vectors wait on the stack while others are in calls, and LLVM aligns the stack for them only where it has a
# frame pointer: a quarter of the time of a Newton loop, if the caller's stack happens to lie badly.
_ATTRIBUTES = 'noinline nounwind "frame-pointer"="all"'

Phi = tuple[str, str, str, str]  # name, type, value before the loop, value after an iteration


def written(
    name: str, code: Code, varying: Sequence[bool], outputs: Sequence[tuple[int, str]], lanes: int
) -> str:
    """LLVM's text of `i64 name(pointers to inputs, pointers to outputs)`, which returns a kernel's status.

    `code` is a compiled Numba function: its arguments are the address of the result, that of an exception,
    and scalars, of which `varying` tells which differ between lanes. `outputs` are the offset and type of
    each part of the result. Raises `Refused`.
    """
    return _Writer(code, varying, outputs, lanes).text(name)


def _is_poll(i: Instruction) -> bool:
    return i.operation == "call" and i.operands[-1].text == MARK


def _is_dear(block: Block) -> bool:
    """Whether the block calls functions that take long, and does nothing but compute."""
    calls = [i for i in block.body if i.operation == "call"]
    is_plain = all(i.operation not in ("store", "getelementptr") and not _is_poll(i) for i in block.body)
    return is_plain and any(not i.operands[-1].text.startswith("llvm.") for i in calls)


class _Writer:
    def __init__(self, code: Code, varying: Sequence[bool], outputs: Sequence[tuple[int, str]], lanes: int):
        (self.result, _), _, *self.arguments = code.arguments
        if len(self.arguments) != len(varying) or any(kind not in BITS for _, kind in self.arguments):
            raise Refused("arguments that are no scalars")
        self.varying, self.outputs = varying, outputs
        differing = {name for (name, _), v in zip(self.arguments, varying, strict=True) if v}
        self.flow = Flow(code, differing)
        self.out = Text(lanes)
        self.instructions = Instructions(self.out, self.flow.divergent)
        self.offsets = {self.result: 0}
        self.results: dict[int, str] = {}
        self.edges: dict[Edge, Mask] = {}
        self.raised: list[Mask] = []
        self.label = "entry"
        self.is_polled = False

    def text(self, name: str) -> str:
        out, inputs = self.out, range(len(self.arguments))
        parameters = [f"ptr %in{k}" for k in inputs] + [f"ptr %out{j}" for j in range(len(self.outputs))]
        for k, ((argument, kind), wide) in enumerate(zip(self.arguments, self.varying, strict=True)):
            loaded = out.assign(f"load {out.type(kind, wide)}, ptr %in{k}, align {BITS[kind] // 8}")
            out.values[argument] = Value(loaded, wide)
        self._region(None, None)
        for j, (offset, kind) in enumerate(self.outputs):
            if offset not in self.results:
                raise Refused("a result that is not written as one number")
            out.line(f"store {out.type(kind)} {self.results[offset]}, ptr %out{j}, align {BITS[kind] // 8}")
        status = out.assign(f"zext i1 {out.any(out.either(self.raised)) if self.raised else 'false'} to i64")
        out.line(f"ret i64 {status}")
        if self.is_polled:
            out.lines += ["stopped:", f"  ret i64 {INTERRUPTED}"]
            self.instructions.declarations[POLL] = (
                f'declare i32 @"{POLL}"() nounwind memory(inaccessiblemem: readwrite)'
            )
        body = "\n".join(["entry:", *out.lines])
        declared = "\n".join(self.instructions.declarations.values())
        head = f"define i64 @{name}({', '.join(parameters)}) {_ATTRIBUTES}"
        return f"{head} {{\n{body}\n}}\n{declared}\n"

    # --- blocks ---------------------------------------------------------------------------------------------

    def _region(self, loop: Loop | None, mask: Mask) -> None:
        """The blocks of a loop (of the function), in order; loops inside are written whole."""
        done: set[str] = set()
        for name in self.flow.order:
            if name in done or (loop is not None and name not in loop.body):
                continue
            inside = [n for n in self.flow.nest[name] if loop is None or n.body < loop.body]
            if inside:
                self._loop(inside[-1])
                done |= inside[-1].body
            else:
                self._block(self.flow.blocks[name], loop, mask)

    def _block(self, block: Block, loop: Loop | None, mask: Mask) -> None:
        is_first = block.name == (self.flow.entry if loop is None else loop.header)
        if not is_first:
            for phi in block.phis:
                self.out.values[phi.name] = self._merged(phi, block.name, phi.incoming)
            mask = self.out.either(self.edges[p, block.name] for p in block.predecessors)
        if not is_first and mask is not None and _is_dear(block):
            self._aside(block, mask)
        else:
            self._body(block, mask)
        self._leave(block, mask)

    def _body(self, block: Block, mask: Mask) -> None:
        for instruction in block.body:
            self._instruction(instruction, mask)

    def _aside(self, block: Block, mask: Mask) -> None:
        """A block that is left out where no lane is in it; nobody looks at its values then."""
        out, number, before = self.out, self.out.number(), self.label
        out.line(f"br i1 {out.any(mask)}, label %aside{number}, label %beside{number}")
        out.lines.append(f"aside{number}:")
        self._body(block, mask)
        out.line(f"br label %beside{number}")
        out.lines.append(f"beside{number}:")
        self.label = f"beside{number}"
        for k, (name, kind) in enumerate(self.flow.used_behind(block).items()):
            text, wide = out.values[name]
            place = f"%beside{number}.{k}"
            ways = f"[ {text}, %aside{number} ], [ zeroinitializer, %{before} ]"
            out.line(f"{place} = phi {out.type(kind, wide)} {ways}")
            out.values[name] = Value(place, wide)

    def _merged(self, phi: Instruction, name: str, sources: Sequence[str]) -> Value:
        """Value of a phi, of the edges from `sources`."""
        if phi.type not in BITS:
            raise Refused(phi.text)
        wide = phi.name in self.flow.divergent
        ways = [(s, o) for s, o in zip(phi.incoming, phi.operands, strict=True) if s in sources]
        found = self.out.get(ways[0][1], wide)
        if len({operand for _, operand in ways}) > 1:
            for source, operand in ways[1:]:
                given = self.out.get(operand, wide)
                found = self.out.select(self.edges[source, name], phi.type, given, found, wide)
        return Value(found, wide)

    def _leave(self, block: Block, mask: Mask) -> None:
        if block.returned is not None:
            self._return(block.returned, mask)
        elif block.condition is None or len(set(block.successors)) == 1:
            self.edges[block.name, block.successors[0]] = mask
        else:
            condition = self._condition(block.condition)
            for successor, negated in zip(block.successors, (False, True), strict=True):
                self.edges[block.name, successor] = self.out.both(mask, condition, negated)

    def _condition(self, operand: Operand) -> Value:
        wide = self.out.is_wide(operand)
        return Value(self.out.get(operand, wide), wide)

    def _return(self, status: Operand, mask: Mask) -> None:
        """Numba's functions return 0, or that they raise."""
        if status.kind == "constant":
            if status.text != "0":
                self.raised.append(mask)
            return
        wide = self.out.is_wide(status)
        kind, zero = self.out.type("i32", wide), "zeroinitializer" if wide else "0"
        failed = self.out.assign(f"icmp ne {kind} {self.out.get(status, wide)}, {zero}")
        self.raised.append(self.out.both(mask, Value(failed, wide)))

    def _instruction(self, i: Instruction, mask: Mask) -> None:
        if i.operation == "getelementptr":
            self._step(i)
        elif i.operation == "store":
            self._store(i, mask)
        elif not _is_poll(i):
            self.instructions.write(i)

    def _step(self, i: Instruction) -> None:
        base, *steps = i.operands
        is_bytes = i.text.split("getelementptr", 1)[1].split(",")[0].split()[-1] == "i8"
        if base.text not in self.offsets or len(steps) != 1 or steps[0].kind != "constant" or not is_bytes:
            raise Refused(i.text)
        self.offsets[i.name] = self.offsets[base.text] + int(steps[0].text)

    def _store(self, i: Instruction, mask: Mask) -> None:
        """A part of the result."""
        given, place = i.operands
        offset = self.offsets.get(place.text) if place.kind == "value" else None
        if offset is None or (offset, given.type) not in self.outputs:
            raise Refused(i.text)
        value = self.out.get(given, True)
        if offset in self.results:
            value = self.out.select(mask, given.type, value, self.results[offset], True)
        self.results[offset] = value

    # --- loops ----------------------------------------------------------------------------------------------

    def _loop(self, loop: Loop) -> None:
        """`top: phis; if any lane is in the loop: one iteration, back to top`; the rest follows."""
        out, number = self.out, self.out.number()
        header, label = self.flow.blocks[loop.header], self.label
        sources = [p for p in header.predecessors if p != loop.latch]
        entered = out.either(self.edges[p, loop.header] for p in sources)
        phis, started = header.phis, [self._merged(phi, loop.header, sources).text for phi in header.phis]
        lane = Value(f"%active{number}", True) if loop.divergent else Value(f"%runs{number}", False)
        begun = out.everywhere(entered) if loop.divergent else out.any(entered)
        out.line(f"br label %top{number}")
        out.lines.append(f"top{number}:")
        place = len(out.lines)
        for k, phi in enumerate(phis):
            out.values[phi.name] = Value(f"%phi{number}.{k}", phi.name in self.flow.divergent)
        stop, goes_on = self._poll(loop, out.any(lane))
        out.line(f"br i1 {goes_on}, label %body{number}, label %done{number}")
        out.lines.append(f"body{number}:")
        self.label = f"body{number}"
        heads = [out.values[phi.name] for phi in phis]
        self._region(loop, lane if loop.divergent else entered)
        stays = self._stays(loop, lane)
        rows = [(lane.text, out.type("i1", lane.wide), begun, stays.text)]
        rows += self._next(loop, phis, heads, started, stays)
        left, kept = self._kept(loop, number)
        rows += left
        out.line(f"br label %top{number}")
        out.lines.append(f"done{number}:")
        out.lines[place:place] = [
            f"  {n} = phi {kind} [ {first}, %{label} ], [ {then}, %{self.label} ]"
            for n, kind, first, then in rows
        ]
        self.label = f"done{number}"
        if stop:
            self.label = f"rest{number}"
            out.line(f"br i1 {stop}, label %stopped, label %{self.label}")
            out.lines.append(f"{self.label}:")
        out.values |= kept
        if not loop.divergent:
            self.edges[loop.exits[0]] = entered

    def _poll(self, loop: Loop, active: str) -> tuple[str, str]:
        """Whether to stop, "" where the loop does not ask, and whether to go on; once a turn for all lanes,
        as nobody wants what the others would still compute.

        One branch for both: with another way out, LLVM keeps fewer values in registers.
        """
        blocks = [self.flow.blocks[name] for name in loop.body if self.flow.nest[name][0] is loop]
        if not any(_is_poll(i) for block in blocks for i in block.body):
            return "", active
        self.is_polled = True
        found = self.out.assign(f'call i32 @"{POLL}"()')
        stop, is_free = (self.out.assign(f"icmp {how} i32 {found}, 0") for how in ("ne", "eq"))
        return stop, self.out.assign(f"select i1 {active}, i1 {is_free}, i1 false")

    def _stays(self, loop: Loop, lane: Value) -> Value:
        """The lanes that begin another iteration."""
        if loop.divergent:
            back = self.edges[loop.latch, loop.header]
            return self.out.both(lane, Value(self.out.everywhere(back), True))
        ((leaving, outside),) = loop.exits
        block = self.flow.blocks[leaving]
        assert block.condition is not None
        condition = self._condition(block.condition)
        return self.out.both(None, condition, negated=block.successors[0] == outside)

    def _next(
        self,
        loop: Loop,
        phis: Sequence[Instruction],
        heads: Sequence[Value],
        started: Sequence[str],
        stays: Value,
    ) -> list[Phi]:
        rows = []
        for phi, head, first in zip(phis, heads, started, strict=True):
            then = self._merged(phi, loop.header, [loop.latch]).text
            # Lanes that left stand still: the arguments they would wander to may be slow ones.
            if loop.divergent:
                then = self.out.select(stays, phi.type, then, head.text, True)
            rows.append((head.text, self.out.type(phi.type, head.wide), first, then))
        return rows

    def _kept(self, loop: Loop, number: int) -> tuple[list[Phi], dict[str, Value]]:
        """What is used after the loop: of every lane, as it was when the lane left."""
        out, rows, kept = self.out, [], {}
        gone = out.either(self.edges[edge] for edge in loop.exits) if loop.divergent else None
        for k, (name, kind) in enumerate(self.flow.used_outside(loop).items()):
            wide, place = loop.divergent or out.values[name].wide, f"%kept{number}.{k}"
            now = out.get(Operand("value", kind, name), wide)
            rows.append((place, out.type(kind, wide), "poison", out.select(gone, kind, now, place, wide)))
            kept[name] = Value(place, wide)
        for k, edge in enumerate(loop.exits if loop.divergent else ()):
            place, now = f"%left{number}.{k}", out.everywhere(self.edges[edge])
            so_far = out.assign(f"or {out.type('i1')} {place}, {now}")
            rows.append((place, out.type("i1"), "zeroinitializer", so_far))
            self.edges[edge] = Value(place, True)
        return rows, kept
