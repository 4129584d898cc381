"""The picture of a run: every measured ratio over its target, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness.targets import Verdict

MET, MISSED = "#2a78b0", "#c8553d"


def draw(verdicts: Sequence[Verdict], path: Path) -> None:
    """A bar per verdict, written to `path` as PNG; what was not measured is left out."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [(verdict, verdict.ratio) for verdict in verdicts if verdict.ratio is not None]
    names = [f"({v.target.letter}) {v.size}: {v.target.text}" for v, _ in shown]
    heights = [ratio / v.target.limit for v, ratio in shown]
    figure, axes = pyplot.subplots(figsize=(10, 1.2 + 0.24 * len(names)), layout="constrained")
    places = range(len(names))[::-1]
    axes.barh(places, heights, color=[MET if v.met else MISSED for v, _ in shown], height=0.7, left=0)
    for place, (verdict, ratio), height in zip(places, shown, heights, strict=True):
        text = f"{ratio:.3g} (≤ {verdict.target.limit:g})"
        axes.annotate(text, (max(height, 1), place), (4, 0), textcoords="offset points", va="center", size=7)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(min([*heights, 1]) / 1.5, max([*heights, 1]) * 3)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_yticks(places, names, fontsize=7)
    axes.set_xlabel("measured ratio over its target: left of the line is better than asked for")
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
