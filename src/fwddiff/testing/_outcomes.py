"""What `run` found: a table, JSON, a picture, the page in the documentation."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fwddiff.testing._cell import Cell, Status
from fwddiff.testing._report import rich_table, text_table


@dataclass(frozen=True)
class Outcomes:
    """Cells in the order in which they were run; names of what took part."""

    cells: tuple[Cell, ...]
    scenarios: tuple[str, ...]
    operators: tuple[str, ...]
    backends: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; what is unsupported is not wrong."""
        return not self.failures

    @property
    def failures(self) -> list[Cell]:
        """Wrong results, and errors that are no refusals."""
        return self._with("fail")

    @property
    def unsupported(self) -> list[Cell]:
        """What backends say that they cannot do."""
        return self._with("unsupported")

    def _with(self, status: Status) -> list[Cell]:
        return [cell for cell in self.cells if cell.status == status]

    def of(self, scenario: str, backend: str) -> list[Cell]:
        """The cells of one scenario in one backend, one for each operator."""
        return [cell for cell in self.cells if (cell.scenario, cell.backend) == (scenario, backend)]

    # --- as text --------------------------------------------------------------------------------------------

    def rows(self) -> list[list[str]]:
        """Scenario, kinds, and for each backend what became of the operators."""
        kinds = {cell.scenario: ", ".join(cell.kinds) for cell in self.cells}
        return [
            [s, kinds.get(s, ""), *(_counted(self.of(s, b)) for b in self.backends)] for s in self.scenarios
        ]

    def totals(self) -> list[list[str]]:
        """For each backend the number of cells of each status, and sums over those that passed."""
        return [_total(b, [cell for cell in self.cells if cell.backend == b]) for b in self.backends]

    def table(self) -> Any:
        """A `rich` table. Needs rich; `str(outcomes)` does not."""
        return rich_table(_TITLE, ["scenario", "kinds", *self.backends], self.rows(), numbers=2)

    __rich__ = table

    def __str__(self) -> str:
        lines = [text_table(_TITLE, ["scenario", "kinds", *self.backends], self.rows()), ""]
        lines += [text_table("Together", TOTALS, self.totals())]
        return "\n".join([*lines, *self.reasons()])

    def reasons(self) -> list[str]:
        """A line for each failure, and for each reason of a backend for refusing a scenario."""
        lines = [f"FAIL {c.scenario}, {c.backend}, {c.operator}: {c.detail}" for c in self.failures]
        grouped: dict[tuple[str, str, str], list[str]] = {}
        for c in self.unsupported:
            grouped.setdefault((c.backend, c.scenario, c.detail), []).append(c.operator)
        return [*lines, *(f"{b}, {s} ({', '.join(o)}): {why}" for (b, s, why), o in grouped.items())]

    def json(self, path: str | os.PathLike | None = None) -> str:
        """All cells as JSON, written to `path` if there is one."""
        text = json.dumps(dataclasses.asdict(self), indent=1) + "\n"
        if path is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        return text

    @staticmethod
    def from_json(text: str) -> Outcomes:
        """What `json` wrote."""
        found = json.loads(text)
        cells = tuple(Cell(**{**cell, "kinds": tuple(cell["kinds"])}) for cell in found.pop("cells"))
        return Outcomes(cells, **{name: tuple(names) for name, names in found.items()})

    def picture(self, path: str | os.PathLike) -> None:
        """Write a picture of all cells: scenarios × operators, one panel for each backend. Needs matplotlib.

        The ending of `path` says which format.
        """
        from fwddiff.testing._picture import draw

        draw(self.cells, self.scenarios, self.operators, self.backends, path)


_TITLE = "Operators that are right, of those that make sense"
TOTALS = ["backend", "pass", "fail", "unsupported", "median µs", "passes", "bytes"]


def _counted(cells: Sequence[Cell]) -> str:
    counts = Counter(cell.status for cell in cells)
    if not cells:
        return ""
    text = f"{counts['pass']}/{len(cells)}"
    return f"{text}, {counts['fail']} WRONG" if counts["fail"] else text


def _total(backend: str, cells: Sequence[Cell]) -> list[str]:
    counts = Counter(cell.status for cell in cells)
    numbers = [str(counts[status]) for status in ("pass", "fail", "unsupported")]
    times = sorted(cell.seconds for cell in cells if cell.seconds is not None)
    median = f"{times[len(times) // 2] * 1e6:,.1f}" if times else ""
    return [backend, *numbers, median, _sum(c.passes for c in cells), _sum(c.bytes for c in cells)]


def _sum(numbers: Any) -> str:
    known = [number for number in numbers if number is not None]
    return f"{sum(known):,}" if known else ""
