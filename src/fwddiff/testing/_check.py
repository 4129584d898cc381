"""`check_pullback`: one function, every engine and host, against differences or a gradient that is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fwddiff import _capture, _tree
from fwddiff._errors import ArgumentError, FwdDiffError
from fwddiff.testing._backends import Backend, backends
from fwddiff.testing._differences import Difference, along
from fwddiff.testing._point import Point
from fwddiff.testing._report import Entry, Report

_LARGEST_LEAF = 12
_PROJECTIONS = 3
_NUDGE = 1e-3
_LOOP = (
    "At arguments {nudge:g} away, derivatives and differences agree, and {name} has a loop: it probably "
    "stopped before its derivatives had settled, because its stopping test sees values alone. Test "
    "`fwddiff.magnitude(step, y) > tolerance` instead, which sees derivatives too."
)
_POINT = (
    "At arguments {nudge:g} away, derivatives and differences agree: these arguments are at a kink or a jump "
    "of {name}, where no derivative exists."
)
_ROUGH = (
    "The differences themselves do not settle: {name} is not smooth near these arguments, or its values are "
    "noisy. Check it elsewhere, or give the derivative as `oracle=`."
)


class PullbackError(FwdDiffError, AssertionError):
    """Derivatives that disagree; `report` has every comparison."""

    def __init__(self, report: Report):
        super().__init__(str(report))
        self.report = report


def check_pullback(
    f: Callable,
    *args: Any,
    oracle: Callable | None = None,
    backends: Sequence[str] | None = None,
    cotangents: Sequence[Any] | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    **kwargs: Any,
) -> Report:
    """Compare pullback and pushforward of `f` at `args` with central differences, in every backend.

    Args:
        f: A wrapped function, its `broadcast` or `sum`, a custom rule, or a plain function (then wrapped).
        args: Numbers, NumPy arrays, structs of them; `kwargs` are constants.
        oracle: `oracle(*args)` → the cotangents of the arguments, mirroring them (`None` for what has no
            derivative), instead of differences. They belong to cotangents of one, if none are given.
        backends: Names of engines and hosts ("numba", "numpy", "torch", "jax", "autograd", "tensorflow",
            "pytensor", "mlx"); by default all that are installed. A custom rule is checked by its own rule
            and in hosts.
        cotangents: One per float output; by default random numbers around one.
        rtol, atol: What may differ, besides the estimated error of the differences (float32: at least 1e-3).

    Returns:
        The report, which prints itself. Leaves of more than a dozen numbers are compared along three random
        directions.

    Raises:
        PullbackError: something differs. Its message names the argument, tells by how much, and the likely
            cause: a loop that stopped before its derivatives had settled, or a kink.
        ArgumentError: no argument holds a float, or a backend is not there.
    """
    point = Point(f, args, kwargs)
    check = _Check(point, oracle, cotangents, rtol, atol)
    report = Report(point.name)
    for backend in _backends(point, backends):
        report.entries += check.entries(backend)
    if not report.ok:
        report.explanation = check.explanation(report, backends)
        raise PullbackError(report)
    return report


def _backends(point: Point, names: Sequence[str] | None) -> list[Backend]:
    found = backends(names)
    if not point.is_custom:
        return found
    # Engines are not asked: one of them stands for the rule itself.
    engines = [backend for backend in found if not backend.is_host]
    return [b._replace(name="rule") for b in engines[:1]] + [b for b in found if b.is_host]


class _Check:
    """The numbers that all backends are compared with, found once."""

    def __init__(self, point: Point, oracle: Callable | None, cotangents, rtol: float, atol: float):
        self.point, self.oracle = point, oracle
        single = any(leaf.dtype == np.float32 for leaf in point.leaves)
        self.rtol, self.atol = (max(rtol, 1e-3), max(atol, 1e-4)) if single else (rtol, atol)
        self.random = np.random.default_rng(5)
        self.outputs = point.outputs(point.leaves)
        if not self.outputs:
            raise ArgumentError(f"{point.name} has no float output to differentiate.")
        self.cotangents = self._cotangents(cotangents)
        self.tangents = [self.random.uniform(0.5, 1.5, leaf.shape) for leaf in point.leaves]
        self.probes = list(self._probes())
        self.wanted = self._wanted_pullback()
        self.moved = along(point.outputs, point.leaves, self.tangents)

    def _cotangents(self, given: Sequence[Any] | None) -> list[np.ndarray]:
        if given is None:
            draw = np.ones if self.oracle else lambda shape: self.random.uniform(0.5, 1.5, shape)
            return [draw(y.shape) for y in self.outputs]
        if len(given) != len(self.outputs):
            raise ArgumentError(
                f"{len(given)} cotangents for {len(self.outputs)} float outputs of {self.point.name}."
            )
        return [
            np.broadcast_to(np.asarray(c, float), y.shape) for c, y in zip(given, self.outputs, strict=True)
        ]

    def _probes(self) -> Iterator[tuple[int, np.ndarray]]:
        """(leaf, direction): every element of small leaves, random directions in large ones."""
        for k, leaf in enumerate(self.point.leaves):
            if leaf.size <= _LARGEST_LEAF:
                for e in range(leaf.size):
                    yield k, np.eye(leaf.size)[e].reshape(leaf.shape)
            else:
                for _ in range(_PROJECTIONS):
                    yield k, self.random.uniform(-1.0, 1.0, leaf.shape) / leaf.size**0.5

    def _wanted_pullback(self) -> list[Difference]:
        if self.oracle is None:
            return [self._difference(k, direction) for k, direction in self.probes]
        mirror: Any = tuple(self.oracle(*self.point.args))
        leaves = _tree.flatten(self.point.args)[1].flatten_up_to(mirror)
        known = [np.asarray(leaves[k], float) for k in self.point.active]
        return [Difference(np.asarray(np.vdot(known[k], d)), np.array(0.0)) for k, d in self.probes]

    def _difference(self, leaf: int, direction: np.ndarray) -> Difference:
        moving = [direction if k == leaf else np.zeros(x.shape) for k, x in enumerate(self.point.leaves)]
        return along(lambda leaves: [self._total(leaves)], self.point.leaves, moving)[0]

    def _total(self, leaves: Sequence[np.ndarray]) -> np.ndarray:
        found = self.point.outputs(leaves)
        return np.asarray(sum(np.vdot(c, y) for c, y in zip(self.cotangents, found, strict=True)))

    # --- comparisons ----------------------------------------------------------------------------------------

    def entries(self, backend: Backend) -> list[Entry]:
        """One entry per leaf for the pullback, one per output for the pushforward."""
        found = backend.pullback(self.point, self.cotangents)
        entries = []
        for k, name in enumerate(self.point.names):
            pairs = [
                (float(np.vdot(found[k], direction)), wanted)
                for (leaf, direction), wanted in zip(self.probes, self.wanted, strict=True)
                if leaf == k
            ]
            entries.append(self._entry(backend, "pullback", name, pairs))
        if not self.point.is_custom:
            moved = backend.pushforward(self.point, self.tangents)
            for j, (ours, theirs) in enumerate(zip(moved, self.moved, strict=True)):
                flat = zip(ours.ravel(), theirs.value.ravel(), theirs.error.ravel(), strict=True)
                entries.append(
                    self._entry(
                        backend, "pushforward", f"output {j}", [(a, Difference(b, e)) for a, b, e in flat]
                    )
                )
        return entries

    def _entry(self, backend: Backend, kind: str, name: str, pairs: list[tuple[Any, Difference]]) -> Entry:
        """The pair that is furthest beyond its tolerance."""
        worst = Entry(backend.name, kind, name, 0.0, self.atol)
        for ours, theirs in pairs:
            error = abs(float(ours) - float(theirs.value))
            size = abs(float(theirs.value))
            # Of differences that have not settled nothing can be said: that fails too.
            uncertain = float(theirs.error) if theirs.error <= 1e-3 * (1 + size) else 0.0
            tolerance = self.atol + self.rtol * size + 10 * uncertain
            detail = f"{float(ours):.10g} where {float(theirs.value):.10g} is expected (off by {error:.2g})"
            if not error <= tolerance and not error - tolerance <= worst.error - worst.tolerance:
                worst = Entry(backend.name, kind, name, error, tolerance, detail)
            elif worst.ok and error > worst.error:
                worst = Entry(backend.name, kind, name, error, tolerance)
        return worst

    # --- the likely cause -----------------------------------------------------------------------------------

    def explanation(self, report: Report, names: Sequence[str] | None) -> str:
        """What is likely wrong, from a second look a little way off."""
        if self.oracle is None and any(np.any(d.error > 1e-4 * (1 + abs(d.value))) for d in self.wanted):
            return _ROUGH.format(name=self.point.name)
        failed = {entry.backend for entry in report.failures}
        nudged = [x + _NUDGE * (1 + abs(x)) * self.random.uniform(0.5, 1, x.shape) for x in self.point.leaves]
        arguments = self.point.arguments(
            [_like(n, x) for n, x in zip(nudged, self.point.leaves, strict=True)]
        )
        elsewhere = _Check(
            Point(self.point.operation, arguments, self.point.kwargs), None, None, self.rtol, self.atol
        )
        again = [b for b in _backends(elsewhere.point, names) if b.name in failed]
        if all(entry.ok for backend in again for entry in elsewhere.entries(backend)):
            text = _LOOP if has_loop(self.point) else _POINT
            return text.format(nudge=_NUDGE, name=self.point.name)
        return ""


def has_loop(point: Point) -> bool:
    """Whether the function, or one that it calls, jumps backwards."""
    functions = point.operation.wrapped.caller.plan().reached()
    return any(_capture.has_loop(function.__code__) for function in functions)


def _like(nudged: np.ndarray, leaf: np.ndarray) -> Any:
    return nudged.item() if leaf.ndim == 0 else nudged.astype(leaf.dtype)
