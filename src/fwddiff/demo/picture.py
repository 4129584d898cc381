"""The picture of the demo: the fitted model beside the data, and what its gradient cost in each host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fwddiff.demo.survival import Survival

AID, NO_AID, WITH, WITHOUT, INK, PALE = "#1b6ca8", "#d1662b", "#1b6ca8", "#b9bfc6", "#22272e", "#6b737d"


class Timing(NamedTuple):
    """Seconds for one value and gradient of n persons."""

    n: int
    with_fwddiff: float
    without: float


def draw(
    path: Path,
    data: Survival,
    names: Sequence[str],
    parameters: np.ndarray,
    timings: Mapping[str, Sequence[Timing]],
) -> None:
    """Write the picture as PNG. `timings` maps the title of a host to one timing for each size."""
    sizes = next(iter(timings.values()), ())
    figure = Figure(figsize=(6.2 + 3.3 * len(sizes), 4.8), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 1 + len(sizes), width_ratios=[5.6, *[3.3] * len(sizes)], squeeze=False)[0]
    _draw_survival(axes[0], data, list(names).index("fin"), parameters)
    for index, axis in enumerate(axes[1:]):
        _draw_times(axis, {title: rows[index] for title, rows in timings.items()}, label_hosts=index == 0)
    figure.savefig(path)


def kaplan_meier(time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps of the product-limit estimate (Kaplan and Meier 1958): times, and the survival from each on."""
    times = np.unique(time[event])
    at_risk = np.array([np.sum(time >= moment) for moment in times])
    events = np.array([np.sum(event & (time == moment)) for moment in times])
    return times, np.cumprod(1 - events / at_risk)


def mean_survival(covariates: np.ndarray, parameters: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Weibull survival at `times`, averaged over the persons: what a Kaplan-Meier curve of them estimates."""
    scale = np.exp(covariates @ parameters[:-1])[:, None]
    return np.exp(-((times / scale) ** np.exp(parameters[-1]))).mean(axis=0)


def _draw_survival(axis: Axes, data: Survival, aid: int, parameters: np.ndarray) -> None:
    end = data.time.max()
    times = np.linspace(0, end, 200)
    for value, color, label in ((1, AID, "financial aid"), (0, NO_AID, "no aid")):
        group = data.covariates[:, aid] == value
        fitted = mean_survival(data.covariates[group], parameters, times)
        steps, survival = kaplan_meier(data.time[group], data.event[group])
        x, y = np.r_[0, steps, end], np.r_[1, survival, survival[-1]]
        axis.step(x, y, where="post", color=color, alpha=0.45, linewidth=1.4)
        axis.plot(times, fitted, color=color, linewidth=2.4)
        axis.annotate(f" {label}", (end, fitted[-1]), color=color, va="center", annotation_clip=False)
    axis.set(xlim=(0, end), xlabel="weeks since release", ylabel="not arrested again")
    axis.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axis.set_title("Survival: fitted Weibull over Kaplan-Meier steps", loc="left", color=INK, fontsize=11)
    _plain(axis, "y")


def _draw_times(axis: Axes, timings: Mapping[str, Timing], label_hosts: bool) -> None:
    base = np.arange(len(timings))[::-1]
    rows = list(timings.values())
    for offset, color, label, seconds in (
        (0.19, WITH, "with fwddiff", [row.with_fwddiff for row in rows]),
        (-0.19, WITHOUT, "host's own operations", [row.without for row in rows]),
    ):
        bars = axis.barh(base + offset, np.array(seconds) * 1e6, height=0.36, color=color, label=label)
        axis.bar_label(bars, [f"{second * 1e6:,.0f}" for second in seconds], padding=3, color=INK, fontsize=9)
    axis.set_yticks(base, list(timings) if label_hosts else [""] * len(rows), fontsize=10, color=INK)
    axis.locator_params(axis="x", nbins=4)
    axis.set(xlabel="µs per gradient", xlim=(0, 1.25e6 * max(max(row[1:]) for row in rows)))
    axis.set_title(f"Gradient, n = {rows[0].n:,}", loc="left", color=INK, fontsize=11)
    if label_hosts:
        axis.legend(loc="upper center", bbox_to_anchor=(0.9, -0.13), ncols=2, frameon=False, fontsize=9)
    _plain(axis, "x")


def _plain(axis: Axes, grid: str) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(PALE)
    axis.tick_params(colors=PALE, length=0)
    axis.grid(axis=grid, color="#e4e7ea", linewidth=0.8)  # pyright: ignore[reportArgumentType]
    axis.set_axisbelow(True)
