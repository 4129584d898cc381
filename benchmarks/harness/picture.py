"""The picture of a run: every measured ratio over its target, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness.targets import Verdict

MET, MISSED = "#2a78b0", "#c8553d"
SMALLEST = 1e-2  # of a ratio over its target: what is smaller is drawn as this


def draw(verdicts: Sequence[Verdict], path: Path) -> None:
    """A bar per verdict, written to `path` as PNG; what was not measured is left out."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    shown = [(verdict, verdict.ratio) for verdict in verdicts if verdict.ratio is not None]
    names = [f"({v.target.letter}) {v.size}: {v.target.text}" for v, _ in shown]
    ends = [max(ratio / v.limit, SMALLEST) for v, ratio in shown]
    figure, axes = pyplot.subplots(figsize=(10, 1.2 + 0.22 * len(names)), layout="constrained")
    places = range(len(names))[::-1]
    colours = [MET if verdict.met else MISSED for verdict, _ in shown]
    axes.barh(places, [end - 1 for end in ends], left=1, color=colours, height=0.7)
    for place, (verdict, ratio), end in zip(places, shown, ends, strict=True):
        text = f"{ratio:.3g} (≤ {verdict.limit:.3g})"
        axes.annotate(text, (max(end, 1), place), (4, 0), textcoords="offset points", va="center", size=7)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(min([*ends, 1]) / 1.5, max([*ends, 1]) * 3)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_yticks(places, names, fontsize=7)
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda tick, _: f"{tick:g}"))
    axes.set_xlabel("measured ratio over its target: to the left of 1 the target is met")
    axes.grid(axis="x", linewidth=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
