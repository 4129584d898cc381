"""One program against the oracle, in every engine and host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import numpy as np

from fwddiff import ShapeError, StructureError, fwddiff, rules
from programs.evaluation import HOSTS, float_leaves, ways
from programs.oracle import Expected, Unsuitable, expected, flatten, function_of
from programs.ruled import CUSTOM, MEANINGS
from programs.writing import Program
from rules.oracles import VALUES


def oracle(program: Program) -> tuple[list[np.ndarray], Expected]:
    """Directions of the Hessian-vector product, and what has to come out. Raises `Unsuitable`."""
    leaves = float_leaves(program.arguments)
    random = np.random.default_rng(len(program.source))
    directions = [random.uniform(0.5, 1.5, leaf.shape) for leaf in leaves]
    margin = 1e-4 if is_single(program) else 1e-7
    return directions, expected(program.source, program.arguments, directions, VALUES, margin)


def is_single(program: Program) -> bool:
    """Whether floats are float32 (Python's own numbers give way)."""
    return any(getattr(leaf, "dtype", None) == np.float32 for leaf in flatten(program.arguments)[0])


def check(program: Program, names: Iterable[str] | None = None, compiled_hosts: bool = False) -> None:
    """Value, gradient and Hessian-vector product agree with the oracle in the named engines and hosts (all).

    Hosts run `engine="numpy"` unless `compiled_hosts`. Raises `AssertionError` with the program and the lines
    that differ, `Unsuitable` where the oracle has no answer.
    """
    directions, wanted = oracle(program)
    with _own_rules():
        _compare_ways(program, directions, wanted, names, compiled_hosts)


@contextlib.contextmanager
def _own_rules() -> Iterator[None]:
    """Scalar rules of a program do not outlive it."""
    before = dict(rules.TABLE)
    try:
        yield
    finally:
        rules.TABLE.clear()
        rules.TABLE.update(before)


def _compare_ways(
    program: Program,
    directions: list[np.ndarray],
    wanted: Expected,
    names: Iterable[str] | None,
    compiled_hosts: bool,
) -> None:
    function = function_of(program.source, MEANINGS)
    runs_as_python = any(f"{kind}(" in program.source for kind in CUSTOM)
    for name, (engine, way) in ways().items():
        if names is not None and name not in names:
            continue
        if name in HOSTS and not compiled_hosts:
            engine = "numpy"
        elif engine == "numba" and runs_as_python:
            engine = "auto"  # a custom rule is not compiled
        wrapped = fwddiff(function, engine=engine, mode=program.mode, passes=program.passes)
        try:
            found = way(wrapped, program.arguments, directions)
        except (ShapeError, StructureError) as error:
            # The engine that does not know types beforehand refuses these, with a reason: `t = 0` that is
            # returned where a loop ends at once, and `range(n)` of an n that is traced.
            if engine == "numpy" and any(reason in str(error) for reason in REFUSED_WITHOUT_TYPES):
                raise Unsuitable from error
            raise
        compare(name, found, wanted, 2e-3 if is_single(program) else 1e-9)


REFUSED_WITHOUT_TYPES = (
    "returns an integer for some arguments",
    "not known as a size, a count or an index",
)


def compare(name: str, found: Expected, wanted: Expected, tolerance: float) -> None:
    for part, ours, theirs in zip(Expected._fields, found, wanted, strict=True):
        assert len(ours) == len(theirs), f"{name}: {len(ours)} arrays of {part}, {len(theirs)} expected"
        largest = max([1.0, *(float(np.max(np.abs(b), initial=0.0)) for b in theirs)])
        for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert np.shape(a) == np.shape(b), (
                f"{name}: {part} {k} has shape {np.shape(a)}, not {np.shape(b)}"
            )
            error = np.max(np.abs(np.asarray(a, float) - b), initial=0.0) / largest
            assert error <= tolerance, f"{name}: {part} {k} is {a}, not {b} (off by {error:.1e})"
