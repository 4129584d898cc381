"""The picture of `run`'s outcomes: a panel for each backend, scenarios × operators."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from fwddiff.testing._cell import Cell

# Distinct in grey too; each status has a letter beside its colour.
_COLOURS = {"pass": "#3b8e5a", "unsupported": "#d9d9d9", "fail": "#c8322b"}
_LETTERS = {"pass": "", "unsupported": "–", "fail": "×"}


def draw(
    cells: Sequence[Cell],
    scenarios: Sequence[str],
    operators: Sequence[str],
    backends: Sequence[str],
    path: str | os.PathLike,
) -> None:
    """Write the picture. Touches nothing of pyplot's state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns, panels = map(len, (scenarios, operators, backends))
    width, height = 2.6 + 0.19 * columns * panels + 0.2 * panels, 2.6 + 0.2 * rows
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    for backend, axis in zip(backends, axes, strict=True):
        own = [cell for cell in cells if cell.backend == backend]
        _panel(axis, own, scenarios, operators)
        axis.set_title(_title(backend, own), fontsize=8)
    axes[0].set_yticks(range(rows), scenarios, fontsize=7)
    _legend(figure)
    figure.savefig(path, dpi=150)


def _panel(axis: Any, cells: Sequence[Cell], scenarios: Sequence[str], operators: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    row_of = {name: k for k, name in enumerate(scenarios)}
    column_of = {name: k for k, name in enumerate(operators)}
    for cell in cells:
        x, y = column_of[cell.operator], row_of[cell.scenario]
        axis.add_patch(Rectangle((x - 0.45, y - 0.45), 0.9, 0.9, color=_COLOURS[cell.status]))
        axis.text(x, y, _LETTERS[cell.status], ha="center", va="center", fontsize=6)
    axis.set_xlim(-0.6, len(column_of) - 0.4)
    axis.set_ylim(len(row_of) - 0.4, -0.6)
    axis.set_xticks(range(len(column_of)), operators, rotation=90, fontsize=6)
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)


def _title(backend: str, cells: Sequence[Cell]) -> str:
    return f"{backend}\n{sum(cell.status == 'pass' for cell in cells)} of {len(cells)}"


def _legend(figure: Any) -> None:
    from matplotlib.patches import Patch

    words = {
        "pass": "right",
        "unsupported": "– refused, with a reason",
        "fail": "× wrong numbers or an error",
    }
    patches = [Patch(color=_COLOURS[status], label=word) for status, word in words.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, fontsize=7, frameon=False)
