"""Which captured value is which argument: the same order for a function and for all that call it."""

from __future__ import annotations

from fwddiff._capture._function import Capture, Function
from fwddiff._capture._stack import Path


class Layout:
    """Gives every function the list of its captures: its own, then those of what it calls.

    Functions that call each other in a circle (found by Tarjan's algorithm for strongly connected components)
    share one list.
    """

    def __init__(
        self, data: dict[Function, dict[Path, Capture]], edges: dict[Function, dict[Path, Function]]
    ):
        self.data, self.edges = data, edges
        self.order: dict[Function, int] = {}
        self.lowest: dict[Function, int] = {}
        self.open: list[Function] = []

    def arrange(self, node: Function) -> None:
        """Lay out a function after all that it calls."""
        self.order[node] = self.lowest[node] = len(self.order)
        self.open.append(node)
        for callee in self.edges[node].values():
            if callee not in self.order:
                self.arrange(callee)
                self.lowest[node] = min(self.lowest[node], self.lowest[callee])
            elif callee in self.open:
                self.lowest[node] = min(self.lowest[node], self.order[callee])
        if self.lowest[node] == self.order[node]:
            circle = self.open[self.open.index(node) :]
            del self.open[self.open.index(node) :]
            self._share(circle)

    def _share(self, circle: list[Function]) -> None:
        captures = [capture for member in circle for capture in self.data[member].values()]
        checks = [check for member in circle for check in member.checks]
        outside = dict.fromkeys(
            f for member in circle for f in self.edges[member].values() if f not in circle
        )
        for callee in outside:
            captures += callee.captures
            checks += callee.checks
        # Two callees may call a third one, whose captures are wanted once.
        position = {capture: k for k, capture in enumerate(dict.fromkeys(captures))}
        for member in circle:
            member.captures, member.checks = list(position), checks
            member.own = {path: position[capture] for path, capture in self.data[member].items()}
        for member in circle:
            member.calls = {
                path: (callee, [position[capture] for capture in callee.captures])
                for path, callee in self.edges[member].items()
            }
