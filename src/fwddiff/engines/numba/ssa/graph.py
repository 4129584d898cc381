"""The graph of a function's blocks: their order, and which of them every way to a block leads through."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence


def reverse_postorder(first: str, successors: Mapping[str, Sequence[str]]) -> list[str]:
    """Blocks that can be reached, each before those behind it: but for phis and jumps back, everything is
    defined before it is used."""
    seen, finished = {first}, []
    stack = [(first, iter(successors[first]))]
    while stack:
        following = next((s for s in stack[-1][1] if s not in seen), None)
        if following is None:
            finished.append(stack.pop()[0])
        else:
            seen.add(following)
            stack.append((following, iter(successors[following])))
    return finished[::-1]


class Dominators:
    """`immediate[name]` is the last other block that every way to a block leads through; the first block has
    itself. Cooper, Harvey and Kennedy, A Simple, Fast Dominance Algorithm (2001)."""

    def __init__(self, order: Sequence[str], sources: Mapping[str, Iterable[str]]):
        """`order`: the reverse postorder; `sources`: where each block is reached from."""
        self._position = {name: k for k, name in enumerate(order)}
        self.immediate = {order[0]: order[0]}
        changed = True
        while changed:
            changed = False
            for name in order[1:]:
                above = [source for source in sources[name] if source in self.immediate]
                new = functools.reduce(self._common, above)
                changed |= self.immediate.get(name) != new
                self.immediate[name] = new

    def _common(self, a: str, b: str) -> str:
        while a != b:
            a, b = sorted((a, b), key=self._position.__getitem__)
            b = self.immediate[b]
        return a

    def leads_through(self, name: str, to: str) -> bool:
        """Whether every way to the block `to` leads through this one (`to` itself counts)."""
        return self._common(name, to) == name
