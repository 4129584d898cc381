"""The picture of `run`'s outcomes: a panel for each backend, scenarios × operators."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from fwddiff.testing._outcomes import Cell, Outcomes

# Distinct in grey too; each status has a letter beside its colour.
_COLOURS = {"pass": "#3b8e5a", "unsupported": "#d9d9d9", "fail": "#c8322b"}
_LETTERS = {"pass": "", "unsupported": "–", "fail": "×"}


def draw(outcomes: Outcomes, path: str | os.PathLike) -> None:
    """Write the picture. Touches nothing of pyplot's state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns, panels = map(len, (outcomes.scenarios, outcomes.operators, outcomes.backends))
    width, height = 2.6 + 0.19 * columns * panels + 0.2 * panels, 2.6 + 0.2 * rows
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    for backend, axis in zip(outcomes.backends, axes, strict=True):
        _panel(axis, outcomes, backend)
    axes[0].set_yticks(range(rows), outcomes.scenarios, fontsize=7)
    _legend(figure)
    figure.savefig(path, dpi=150)


def _panel(axis: Any, outcomes: Outcomes, backend: str) -> None:
    from matplotlib.patches import Rectangle

    row_of = {name: k for k, name in enumerate(outcomes.scenarios)}
    column_of = {name: k for k, name in enumerate(outcomes.operators)}
    own = [cell for cell in outcomes.cells if cell.backend == backend]
    for cell in own:
        x, y = column_of[cell.operator], row_of[cell.scenario]
        axis.add_patch(Rectangle((x - 0.45, y - 0.45), 0.9, 0.9, color=_COLOURS[cell.status]))
        axis.text(x, y, _LETTERS[cell.status], ha="center", va="center", fontsize=6)
    axis.set_xlim(-0.6, len(column_of) - 0.4)
    axis.set_ylim(len(row_of) - 0.4, -0.6)
    axis.set_xticks(range(len(column_of)), outcomes.operators, rotation=90, fontsize=6)
    axis.set_title(_title(backend, own), fontsize=8)
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
