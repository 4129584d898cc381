"""Scenarios × backends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fwddiff.testing._backends import backends as all_backends
from fwddiff.testing._check import PullbackError, check_pullback
from fwddiff.testing._report import Report, rich_table, text_table
from fwddiff.testing._scenarios import Scenario, scenarios


@dataclass(frozen=True)
class Results:
    """`cells[scenario, backend]` is the report of that check, or the error that it ended in."""

    scenarios: tuple[str, ...]
    backends: tuple[str, ...]
    cells: dict[tuple[str, str], Report | Exception]

    @property
    def ok(self) -> bool:
        """Whether every cell agrees."""
        return not self.failures

    @property
    def failures(self) -> list[tuple[str, str]]:
        """(scenario, backend) of the cells that do not."""
        return [key for key, cell in self.cells.items() if not (isinstance(cell, Report) and cell.ok)]

    def _rows(self) -> list[list[str]]:
        return [[s, *(_text(self.cells[s, b]) for b in self.backends)] for s in self.scenarios]

    def __str__(self) -> str:
        table = text_table("Largest difference of a derivative", ["scenario", *self.backends], self._rows())
        return "\n".join([table, *(f"{s}, {b}: {self.cells[s, b]}" for s, b in self.failures)])

    def __rich__(self) -> Any:
        title = "Largest difference of a derivative"
        return rich_table(title, ["scenario", *self.backends], self._rows(), numbers=1)


def _text(cell: Report | Exception) -> str:
    if not isinstance(cell, Report):
        return type(cell).__name__
    return f"{max(entry.error for entry in cell.entries):.0e}" if cell.ok else "differs"


def check(given: Sequence[Scenario] | None = None, backends: Sequence[str] | None = None) -> Results:
    """Run `check_pullback` for every scenario (the built-in ones) in every backend (all installed ones).

    Nothing is raised for a wrong derivative: `Results.ok` and the printed table tell.
    """
    chosen = scenarios() if given is None else list(given)
    names = tuple(backend.name for backend in all_backends(backends))
    cells: dict[tuple[str, str], Report | Exception] = {}
    for scenario in chosen:
        operation = scenario.operation_of()
        for name in names:
            try:
                cells[scenario.name, name] = check_pullback(
                    operation, *scenario.arguments, oracle=scenario.gradient, backends=[name]
                )
            except PullbackError as error:
                cells[scenario.name, name] = error.report
            except Exception as error:  # the function's own too
                cells[scenario.name, name] = error
    return Results(tuple(scenario.name for scenario in chosen), names, cells)
