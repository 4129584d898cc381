"""Order and dominators of blocks, against their definitions, on random graphs."""

import random

import pytest

from fwddiff.engines.numba.ssa.graph import Dominators, reverse_postorder


def reachable(successors, first, without=None):
    seen, pending = set(), [first]
    while pending:
        name = pending.pop()
        if name != without and name not in seen:
            seen.add(name)
            pending += successors[name]
    return seen


def graph(seed):
    draw = random.Random(seed)
    names = [f"b{k}" for k in range(draw.randint(1, 9))]
    return {name: draw.sample(names, draw.randint(0, min(2, len(names)))) for name in names}


@pytest.mark.parametrize("seed", range(12))
def test_dominators_are_what_every_way_leads_through(seed):
    successors = graph(seed)
    order = reverse_postorder("b0", successors)
    assert set(order) == reachable(successors, "b0")
    sources = {name: [s for s in order if name in successors[s]] for name in order}
    dominators = Dominators(order, sources)
    for name in order:
        for to in order:
            expected = name == to or to not in reachable(successors, "b0", without=name)
            assert dominators.leads_through(name, to) == expected, (successors, name, to)
        strict = [d for d in order if d != name and dominators.leads_through(d, name)]
        last = dominators.immediate[name]
        assert last == name == "b0" or (
            last in strict and all(dominators.leads_through(d, last) for d in strict)
        )


@pytest.mark.parametrize("seed", range(12))
def test_blocks_come_before_those_behind_them(seed):
    """But for jumps back: without them, every block stands behind all that lead to it."""
    successors = {name: [s for s in behind if s > name] for name, behind in graph(seed).items()}
    order = reverse_postorder("b0", successors)
    for name in order:
        assert all(order.index(s) > order.index(name) for s in successors[name])
