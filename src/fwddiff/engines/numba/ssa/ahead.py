"""What depends only on inputs that a row of elements shares, computed ahead of the loop over them.

`split` takes such values out of a function: one function computes them, the other takes them as further
inputs. They are found by "Divergence analysis" (Coutinho et al. 2011): a value is *shared* if its operands
are, and for a phi if all ways to it are chosen by conditions that are shared. Loops of a fixed number of
turns are unrolled before, others are not moved: code without loops can be run whether or not an element would
come to it, as nothing in it traps. So blocks behind branches that the elements take differently count too,
and phis become selects.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fwddiff.engines.numba.ssa.activity import CLASSIFICATION
from fwddiff.engines.numba.ssa.code import FLOATS, RETURN, Block, Code, Instruction, Value, value
from fwddiff.engines.numba.ssa.function import (
    Function,
    declared_return,
    new_symbol,
    return_from,
    simplified,
    unrolled,
)
from fwddiff.engines.numba.ssa.functions import OWN, meaning
from fwddiff.engines.numba.ssa.graph import Dominators
from fwddiff.engines.numba.ssa.writer import PURE, Writer

# All that may be done whether or not an element asks for it: no memory, no integer division.
_SAFE = {
    *("fadd", "fsub", "fmul", "fdiv", "frem", "fneg", "freeze", "select", "icmp", "fcmp", "bitcast"),
    *("add", "sub", "mul", "and", "or", "xor", "shl", "lshr", "ashr", "zext", "sext", "trunc"),
    *("sitofp", "uitofp", "fptosi", "fptoui", "fpext", "fptrunc"),
}
_CHEAP = {*OWN, "abs", "sign", "copysign", "fmin", "fmax", "minimum", "maximum", "sqrt"}
# In units of an addition: what a value is worth that is kept instead of being computed again, and how much
# work is worth a second function.
_COSTS = {"call": 20, "fdiv": 6, "frem": 20, "phi": 6}
_WORTH_A_VALUE, _WORTH_A_FUNCTION = 6, 12
_MOST = 32


class Split(NamedTuple):
    """`ahead(shared inputs…) → kept values`, which never raises; `rest(inputs…, kept values…) → outputs`."""

    ahead: Function
    rest: Function

    @property
    def kept(self) -> tuple[str, ...]:
        return self.ahead.returned


def split(function: Function, shared: Sequence[bool]) -> Split | None:
    """The two parts of a function, some of whose inputs are shared; `None` where little is to be kept."""
    if function.has_arrays or not any(shared) or all(shared):
        return None
    function = _unrolled(function)
    code = function.code
    given = [a for a, is_shared in zip(code.arguments, shared, strict=True) if is_shared]
    found = _Shared(code, given)
    kept = found.kept()
    if found.cost(kept) < _WORTH_A_FUNCTION:
        return None
    return Split(_ahead(function, found, given, kept), _rest(function, kept))


def _unrolled(function: Function) -> Function:
    """With loops of a fixed number of turns written out, as far as LLVM thinks that worth while."""
    if not function.code.has_loop:
        return function
    return dataclasses.replace(function, text=unrolled(function.text))


# --- which values -------------------------------------------------------------------------------------------


class _Shared:
    """`slices`: of the values that are shared, by name, the instructions behind them (a bit for each)."""

    def __init__(self, code: Code, given: Sequence[Value]):
        self.code = code
        self.blocks = {block.name: block for block in code.blocks}
        self.position = {block.name: k for k, block in enumerate(code.blocks)}
        self.sources: dict[str, list[str]] = {name: [] for name in self.blocks}
        for block in code.blocks:
            for successor in dict.fromkeys(block.successors):
                self.sources[successor].append(block.name)
        self.dominators = Dominators(list(self.blocks), self.sources).immediate
        self.instructions = code.instructions
        self.slices: dict[str, int] = {a.text: 0 for a in given}
        self._weights: dict[int, int] = {}  # cost → the instructions that have it
        for k, i in enumerate(self.instructions):
            self._weights[_cost(i)] = self._weights.get(_cost(i), 0) | 1 << k
        self._find()

    def _find(self) -> None:
        """In reverse postorder, so that one round is enough: what a loop's turns change is not shared."""
        number = 0
        for block in self.code.blocks:
            for i in (*block.phis, *block.body):
                behind = self._behind(i, block)
                if behind is not None and i.result is not None:
                    self.slices[i.result.text] = behind | 1 << number
                number += 1

    def _behind(self, i: Instruction, block: Block) -> int | None:
        read = list(i.operands)
        if i.operation == "phi":
            conditions = self.conditions(block.name)
            if conditions is None:
                return None
            read += conditions
        elif not _is_safe(i):
            return None
        return self._together(read)

    def _together(self, values: Sequence[Value]) -> int | None:
        total = 0
        for v in values:
            if v.is_name:
                if v.text not in self.slices:
                    return None
                total |= self.slices[v.text]
        return total

    def conditions(self, name: str) -> list[Value] | None:
        """What says from which block the block of this name is reached; `None` of the head of a loop, and
        behind one."""
        found, between_them = [], self.between(name)
        if between_them is None:
            return None
        for between in between_them:
            block = self.blocks[between]
            if any(self.position[s] <= self.position[between] for s in block.successors):
                return None
            condition = condition_of(block)
            found += [] if condition is None else [condition]
        return found

    def between(self, name: str) -> list[str] | None:
        """The blocks on the ways from a block's immediate dominator, with it, to the block; in order."""
        last = self.dominators[name]
        seen, pending = {last}, list(self.sources[name])
        while pending:
            other = pending.pop()
            if other == name:
                return None
            if other not in seen:
                seen.add(other)
                pending += self.sources[other]
        return sorted(seen, key=self.position.__getitem__)

    # --- what is kept ---------------------------------------------------------------------------------------

    def kept(self) -> list[Value]:
        """The shared values that the rest needs, or those that they are cheaply made of."""
        by_name = {i.result.text: i for i in self.instructions if i.result is not None}
        pending, seen, found = list(self._asked()), set(), []
        while pending:
            v = pending.pop()
            if v.text in seen or v.text not in by_name or v.text not in self.slices:
                continue
            seen.add(v.text)
            if v.type in FLOATS and self.cost([v]) >= _WORTH_A_VALUE:
                found.append(v)
            else:
                pending += by_name[v.text].operands
        found.sort(key=lambda v: (-self.cost([v]), v.text))
        return found[:_MOST]

    def _asked(self) -> Iterator[Value]:
        for i in self.instructions:
            if i.result is None or i.result.text not in self.slices:
                yield from (o for o in i.operands if o.text in self.slices)
        for block in self.code.blocks:
            condition = condition_of(block)
            if condition is not None and condition.text in self.slices:
                yield condition

    def cost(self, values: Sequence[Value]) -> int:
        """Of computing the values, in additions."""
        behind = self._together(values) or 0
        return sum(cost * (behind & those).bit_count() for cost, those in self._weights.items())


def _is_safe(i: Instruction) -> bool:
    if i.operation != "call":
        return i.operation in _SAFE
    return i.callee != RETURN and (i.callee.startswith(CLASSIFICATION) or meaning(i.callee) is not None)


def _cost(i: Instruction) -> int:
    is_cheap = i.operation == "call" and (meaning(i.callee) in _CHEAP or i.callee.startswith(CLASSIFICATION))
    return 1 if is_cheap else _COSTS.get(i.operation, 1)


def condition_of(block: Block) -> Value | None:
    """By which a block's end chooses; a name, or a constant."""
    _, _, rest = block.end.partition(" ")
    return value(rest.split(", label", 1)[0]) if rest.startswith("i1 ") else None


# --- the two functions --------------------------------------------------------------------------------------


def _rest(function: Function, kept: Sequence[Value]) -> Function:
    """The function with the kept values as inputs of the names that they have."""
    names, code = {v.text for v in kept}, function.code
    lines = []
    for block in code.blocks:
        lines.append(f'"{block.name}":')
        own = (i for i in (*block.phis, *block.body) if i.result is None or i.result.text not in names)
        lines += [f"  {i.text}" for i in own]
        lines.append(f"  {block.end}")
    inputs = (*function.inputs, *(v.type for v in kept))
    symbol, listing = new_symbol("rest"), ", ".join(map(str, [*code.arguments, *kept]))
    outside = "\n".join(_pure(code.outside).values())
    text = f"define i32 @{symbol}({listing}) {{\n{chr(10).join(lines)}\n}}\n{outside}\n"
    return simplified(text, symbol, inputs, function.outputs)


def _pure(outside: dict[str, str]) -> dict[str, str]:
    """LLVM may forget calls of the table whose values are kept, and nobody asks for any more."""
    return {
        name: f"{line} {PURE}" if line.startswith("declare ") and meaning(name) is not None else line
        for name, line in outside.items()
    }


def _ahead(function: Function, found: _Shared, given: Sequence[Value], kept: Sequence[Value]) -> Function:
    writer = _Straight(found)
    writer.write(found._together(kept) or 0)
    return_from(writer, kept)
    kinds = tuple(v.type for v in kept)
    writer.outside["fwddiff.return"] = declared_return(kinds)
    symbol, outside = new_symbol("ahead"), "\n".join(writer.outside.values())
    body = "\n".join(writer.lines)
    text = f'define i32 @{symbol}({", ".join(map(str, given))}) {{\n"entry":\n{body}\n}}\n{outside}\n'
    return simplified(text, symbol, tuple(a.type for a in given), kinds)


class _Straight(Writer):
    """Shared values one after the other, without branches."""

    def __init__(self, found: _Shared):
        super().__init__(found.code.outside)
        self.found = found

    def write(self, wanted: int) -> None:
        number = 0
        for block in self.found.code.blocks:
            for i in (*block.phis, *block.body):
                if wanted >> number & 1:
                    if i.operation == "phi":
                        self._select(i, block.name)
                    else:
                        self.line(i.text)
                number += 1

    def _select(self, phi: Instruction, name: str) -> None:
        """The value of the way that is taken."""
        assert phi.result is not None
        taken = self._ways(name)
        ways = dict(zip(phi.incoming, phi.operands, strict=True))
        *others, last = ways
        result = ways[last]
        for source in others:
            result = self.select(taken[source, name], ways[source], result)
        self.line(f"{phi.result.text} = select i1 true, {result}, {result}")

    def _ways(self, name: str) -> dict[tuple[str, str], Value]:
        """Of each edge on the ways from the immediate dominator whether it is taken, once that is reached.

        By `select`: on a way that is not taken, a condition may be poison, which `and` passes on.
        """
        yes, no = Value("i1", "true"), Value("i1", "false")
        here: dict[str, Value] = {}
        edges: dict[tuple[str, str], Value] = {}
        for between in self.found.between(name) or ():
            block = self.found.blocks[between]
            reached = [edges[p, between] for p in self.found.sources[between] if (p, between) in edges]
            here[between] = functools.reduce(lambda a, b: self.select(a, yes, b), reached) if reached else yes
            condition = condition_of(block)
            for successor, is_then in zip(block.successors, (True, False), strict=False):
                way = here[between]
                if condition is not None and len(set(block.successors)) > 1:
                    chosen = self.select(condition, *((yes, no) if is_then else (no, yes)))
                    way = self.select(here[between], chosen, no)
                edges[between, successor] = way
        return edges
