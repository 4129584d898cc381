"""What a check found: one entry per leaf (or output) and backend, as text or as a rich table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One comparison. `error` is the largest difference, `tolerance` what is allowed there, `detail` tells
    the numbers where it failed."""

    backend: str
    kind: str
    leaf: str
    error: float
    tolerance: float
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the difference is within the tolerance (nan is not)."""
        return self.error <= self.tolerance


@dataclass
class Report:
    """All comparisons of one function. `explanation` says what is likely wrong, if anything is."""

    name: str
    entries: list[Entry] = field(default_factory=list)
    explanation: str = ""

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return all(entry.ok for entry in self.entries)

    @property
    def failures(self) -> list[Entry]:
        """What does not agree."""
        return [entry for entry in self.entries if not entry.ok]

    @property
    def backends(self) -> list[str]:
        """Names of the backends that took part, in order."""
        return list(dict.fromkeys(entry.backend for entry in self.entries))

    def __str__(self) -> str:
        if self.ok:
            worst = max((entry.error for entry in self.entries), default=0.0)
            count, listing = len(self.entries), ", ".join(self.backends)
            return f"{self.name}: {count} comparisons agree ({listing}); largest difference {worst:.1e}"
        lines = [f"{self.name}: {len(self.failures)} of {len(self.entries)} comparisons differ."]
        lines += [f"  {e.backend}, {e.kind} of {e.leaf}: {e.detail}" for e in self.failures]
        return "\n".join([*lines, self.explanation] if self.explanation else lines)

    def __rich__(self) -> Any:
        columns = ["backend", "what", "of", "difference", "allowed", ""]
        rows = [
            [e.backend, e.kind, e.leaf, f"{e.error:.1e}", f"{e.tolerance:.1e}", "" if e.ok else "differs"]
            for e in self.entries
        ]
        return rich_table(self.name, columns, rows)


def rich_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 3) -> Any:
    """A `rich` table; columns from `numbers` on are aligned to the right. Needs rich."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position >= numbers else "left")
    for row in rows:
        table.add_row(*row)
    return table


def text_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as plain text."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (columns, *rows)
    ]
    return "\n".join([title, *lines])
