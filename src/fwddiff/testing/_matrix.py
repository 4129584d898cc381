"""`run`: scenarios × operators × backends, each cell compared with a reference and measured."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fwddiff import _tree
from fwddiff._errors import ArgumentError
from fwddiff.testing._catalogue import catalogue
from fwddiff.testing._cell import Cell
from fwddiff.testing._differences import Difference
from fwddiff.testing._differentiators import OPERATORS, Differentiator, differentiators
from fwddiff.testing._measure import bytes_of, runs_of, seconds_of
from fwddiff.testing._outcomes import Outcomes
from fwddiff.testing._reference import Reference
from fwddiff.testing._scenarios import Scenario

_RTOL, _ATOL = 1e-9, 1e-11
_LONGEST_REASON = 240
_ADDRESS = re.compile(r"0x[0-9a-f]+")


def run(
    backends: Sequence[str | Differentiator] | None = None,
    scenarios: Sequence[Scenario] | None = None,
    operators: Sequence[str] | None = None,
    seconds: float = 0.0,
) -> Outcomes:
    """Run every operator that makes sense for a scenario in every backend.

    Each result is compared, structure, shapes and numbers, with closed forms where the scenario has them,
    else with differences of its plain function. fwddiff's own operators are called at once, again, and
    prepared.

    Args:
        backends: Names or `Differentiator`s; by default the engines and the installed frameworks, as
            `differentiators()` lists them.
        scenarios: By default `catalogue()`.
        operators: Names of operators; by default all of them.
        seconds: How long to time each cell, besides the calls that check it; 0 measures nothing: no times,
            passes or bytes.

    Returns:
        `Outcomes`: print it, or ask for its `table()`, `json()` or `picture(path)`. Nothing is raised for a
        wrong result or a refusal.

    Raises:
        ArgumentError: a name is unknown, or a scenario has no float argument, or no derivative to
            compare with.
    """
    chosen = differentiators(backends)
    names = list(OPERATORS if operators is None else operators)
    for name in names:
        if name not in OPERATORS:
            raise ArgumentError(f"{name!r} is no operator: there are {', '.join(OPERATORS)}.")
    given = catalogue() if scenarios is None else list(scenarios)
    cells = [cell for scenario in given for cell in _cells(scenario, names, chosen, seconds)]
    return Outcomes(tuple(cells), tuple(s.name for s in given), tuple(names), tuple(b.name for b in chosen))


def _cells(
    scenario: Scenario, operators: Sequence[str], backends: Sequence[Differentiator], seconds: float
) -> Iterator[Cell]:
    reference = Reference(scenario)
    for operator in operators:
        if reference.makes_sense(operator):
            expected = reference.expected(operator)
            for backend in backends:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    yield _cell(backend, operator, reference, expected, seconds)


def _cell(
    backend: Differentiator, operator: str, reference: Reference, expected: Any, seconds: float
) -> Cell:
    cell = functools.partial(Cell, reference.scenario.name, reference.scenario.kinds, operator, backend.name)
    try:
        ways = backend.ways(operator, reference)
        call = functools.partial(_call, operator, reference)
        for way in ways:
            wrong = _difference(call(way), *expected)
            if wrong:
                return cell("fail", wrong)
        return cell("pass", "", **_measured(backend, operator, reference, ways[-1], seconds))
    except backend.refusals as error:
        return cell("unsupported", _reason(error))
    except Exception as error:
        return cell("fail", f"{type(error).__name__}: {_reason(error)}")


def _call(operator: str, reference: Reference, way: Callable) -> Any:
    return way(*_arguments(operator, reference))


def _arguments(operator: str, reference: Reference) -> tuple:
    given, args = reference.given(operator), reference.scenario.arguments
    if given is None:
        return args
    return (args[0], given, *args[1:])


def _measured(
    backend: Differentiator, operator: str, reference: Reference, way: Callable, seconds: float
) -> dict[str, Any]:
    if not seconds:
        return {}
    args = _arguments(operator, reference)
    call = lambda: way(*args)  # noqa: E731
    passes = backend.passes(operator, way, reference)
    if passes is None:
        passes = runs_of(call, backend.code(reference.scenario)) or None
    size = bytes_of(call) if backend.counts_memory else None
    return {"seconds": seconds_of(call, seconds), "passes": passes, "bytes": size}


def _reason(error: Exception) -> str:
    """The first line of a message, without addresses: they differ from call to call."""
    text = str(error).strip() or type(error).__name__
    return _ADDRESS.sub("0x…", text.splitlines()[0])[:_LONGEST_REASON]


# --- comparison ---------------------------------------------------------------------------------------------


def _difference(result: Any, spec: Any, leaves: Sequence[Difference]) -> str:
    """What is wrong with a result, in numbers; nothing if all is right."""
    try:
        found = [result] if spec.is_leaf() else spec.flatten_up_to(result)
    except (ValueError, TypeError) as error:
        return f"the structure is not {spec}: {_reason(error)}"
    paths = _tree.leaf_paths(spec)
    for path, ours, theirs in zip(paths, found, leaves, strict=True):
        wrong = _numbers_differ(path, np.asarray(ours), theirs)
        if wrong:
            return wrong
    return ""


def _numbers_differ(path: str, ours: np.ndarray, theirs: Difference) -> str:
    where = f"{path}: " if path else ""
    if ours.shape != theirs.value.shape:
        return f"{where}shape {ours.shape} where {theirs.value.shape} is expected"
    if ours.dtype.kind not in "fiub":
        return f"{where}dtype {ours.dtype} where numbers are expected"
    off = abs(ours - theirs.value)
    allowed = _ATOL + _RTOL * abs(theirs.value) + 10.0 * theirs.error
    bad = np.argwhere(~(off <= allowed))
    if not len(bad):
        return ""
    worst = tuple(bad[np.argmax(np.nan_to_num(off[tuple(bad.T)], nan=np.inf))])
    element = f"element {tuple(map(int, worst))}: " if worst else ""
    return (
        f"{where}{element}{ours[worst]:.10g} where {theirs.value[worst]:.10g} is expected "
        f"(off by {off[worst]:.2g}; {len(bad)} of {off.size} differ)"
    )
