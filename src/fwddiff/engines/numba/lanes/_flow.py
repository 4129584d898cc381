"""Loops of a function, and what differs between elements that it is applied to side by side.

A value is *uniform* if all elements have the same, else *divergent* ("Divergence analysis", Coutinho et al.
2011). A loop diverges if elements leave it at different times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from fwddiff.engines.numba.lanes._code import Block, Code, Operand, Refused
from fwddiff.engines.numba.ssa.graph import Dominators, reverse_postorder

Edge = tuple[str, str]


@dataclasses.dataclass
class Loop:
    """`latch` leads back to `header`; `exits` leave the loop."""

    header: str
    latch: str
    body: set[str]
    exits: list[Edge]
    divergent: bool = False


class Flow:
    """`order` is the blocks' reverse postorder, `loops` are by header, `nest` the loops around a block,
    innermost first. `divergent` are names of values, `divergent_edges` are taken by some elements only."""

    def __init__(self, code: Code, varying: set[str]):
        self.blocks: dict[str, Block] = code.blocks
        self.entry = next(iter(self.blocks))
        self.order = reverse_postorder(self.entry, {n: b.successors for n, b in self.blocks.items()})
        self._position = {name: k for k, name in enumerate(self.order)}
        self._dominators = Dominators(self.order, {n: b.predecessors for n, b in self.blocks.items()})
        self.loops = {loop.header: loop for loop in self._find_loops()}
        self.nest = {
            name: sorted(
                (loop for loop in self.loops.values() if name in loop.body), key=lambda loop: len(loop.body)
            )
            for name in self.order
        }
        self._home = {i.name: name for name in self.order for i in self.blocks[name].instructions if i.name}
        self.divergent = set(varying)
        self.divergent_edges: set[Edge] = set()
        while self._spread():
            pass

    # --- structure ------------------------------------------------------------------------------------------

    def _find_loops(self) -> Iterator[Loop]:
        backward = [
            (name, header)
            for name in self.order
            for header in self.blocks[name].successors
            if self._position[header] <= self._position[name]
        ]
        if len({header for _, header in backward}) != len(backward):
            raise Refused("a loop with several ways back")
        for latch, header in backward:
            if not self._dominators.leads_through(header, latch):
                raise Refused("a loop with several entries")
            body, stack = {header}, [latch]
            while stack:
                name = stack.pop()
                if name not in body:
                    body.add(name)
                    stack += self.blocks[name].predecessors
            exits = [
                (n, s) for n in self.order if n in body for s in self.blocks[n].successors if s not in body
            ]
            yield Loop(header, latch, body, exits)

    # --- divergence -----------------------------------------------------------------------------------------

    def is_divergent(self, operand: Operand, at: str) -> bool:
        """Whether elements that are in block `at` may see different values."""
        if operand.kind != "value":
            return False
        home = self._home.get(operand.text)
        return operand.text in self.divergent or (
            home is not None and any(loop.divergent and at not in loop.body for loop in self.nest[home])
        )

    def _spread(self) -> bool:
        """One round; whether anything new was found."""
        before = len(self.divergent), len(self.divergent_edges)
        changed = False
        for name in self.order:
            self._spread_edges(name)
            block = self.blocks[name]
            for phi in block.phis:
                if self._merges(name, phi.incoming, phi.operands):
                    self.divergent.add(phi.name)
            for instruction in block.body:
                if instruction.name and any(self.is_divergent(o, name) for o in instruction.operands):
                    self.divergent.add(instruction.name)
        for loop in self.loops.values():
            if not loop.divergent and not self._leaves_together(loop):
                loop.divergent = changed = True
        return changed or before != (len(self.divergent), len(self.divergent_edges))

    def _spread_edges(self, name: str) -> None:
        block = self.blocks[name]
        entered = any((p, name) in self.divergent_edges for p in block.predecessors)
        splits = block.condition is not None and self.is_divergent(block.condition, name)
        split_loop = name in self.loops and self.loops[name].divergent
        for successor in block.successors:
            if entered or splits or split_loop or any(loop.divergent for loop in self._left(name, successor)):
                self.divergent_edges.add((name, successor))

    def _left(self, name: str, successor: str) -> list[Loop]:
        return [loop for loop in self.nest[name] if successor not in loop.body]

    def _leaves_together(self, loop: Loop) -> bool:
        """One exit, which every element passes in every iteration, and a condition that all share."""
        if len(loop.exits) != 1:
            return False
        ((leaving, _),) = loop.exits
        condition = self.blocks[leaving].condition
        return (
            condition is not None
            and self.nest[leaving][0] is loop
            and self._dominators.leads_through(leaving, loop.latch)
            and not self.is_divergent(condition, leaving)
        )

    def _merges(self, name: str, incoming: list[str], operands: list[Operand]) -> bool:
        if any(self.is_divergent(operand, name) for operand in operands):
            return True
        loop = self.loops.get(name)
        if loop is not None and loop.divergent:
            return True
        entries = [block for block in incoming if loop is None or block not in loop.body]
        given = {o for o, block in zip(operands, incoming, strict=True) if block in entries}
        return len(given) > 1 and any((block, name) in self.divergent_edges for block in entries)

    def used_behind(self, block: Block) -> dict[str, str]:
        """Values made in the body of a block and used elsewhere, or by how it is left, with their types."""
        made = {i.name for i in block.body if i.name}
        others = [o for name in self.order if name != block.name for o in self.blocks[name].operands]
        return {o.text: o.type for o in (*others, *block.ends) if o.kind == "value" and o.text in made}

    def used_outside(self, loop: Loop) -> dict[str, str]:
        """Values made in the loop and used after it, with their types."""
        found = {}
        for name in self.order:
            block = self.blocks[name]
            if name not in loop.body:
                found |= {
                    o.text: o.type
                    for o in block.operands
                    if o.kind == "value" and self._home.get(o.text) in loop.body
                }
        return found
