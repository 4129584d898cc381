"""The demo from end to end: fit in every host, compare with lifelines, time, print, draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from fwddiff.demo.fit import fit, lifelines_fit, median_times
from fwddiff.demo.hosts import HOSTS, DemoHost
from fwddiff.demo.picture import Timing, draw
from fwddiff.demo.survival import Scaling, Survival, rossi

# The data as they are, and a size at which the likelihood itself costs more than calling it does.
COPIES = (1, 200)


def run(output: Path) -> int:
    """Returns the exit status: 1 where no host is installed or a fit is not lifelines' to four digits."""
    console = Console()
    hosts = _installed(console)
    if not hosts:
        _say(
            console, "Nothing to do without a host: python -m pip install 'fwddiff[torch]', or jax, autograd."
        )
        return 1
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        step = _Step(console, progress)
        step("reading the Rossi data")
        data, names = rossi()
        step(f"lifelines fits {len(data.time)} persons, {data.event.sum()} of them arrested within the year")
        expected = lifelines_fit(names)
        fits = {host.title: _fit(host, data, step) for host in hosts}
        timings = {host.title: [_time(host, data, copies, step) for copies in COPIES] for host in hosts}
        step("drawing")
        draw(output, data, names, next(iter(fits.values())), timings)
    console.print(parameter_table(names, expected, fits), timing_table(timings))
    _say(console, f"Picture: {output}")
    return verdict(console, expected, fits)


def parameter_table(names: Sequence[str], expected: np.ndarray, fits: Mapping[str, np.ndarray]) -> Table:
    """lifelines' parameters beside those found with each host's gradient."""
    table = Table(
        title="Parameters: log λ = covariates · β, and log ρ", box=box.SIMPLE_HEAD, title_justify="left"
    )
    for index, title in enumerate(("", "lifelines", *fits)):
        table.add_column(title, justify="right" if index else "left")
    for index, name in enumerate([*names, "log ρ"]):
        table.add_row(name, *(f"{values[index]:.6f}" for values in (expected, *fits.values())))
    return table


def timing_table(timings: Mapping[str, Sequence[Timing]]) -> Table:
    """Median microseconds for one value and gradient, with fwddiff and in the host's own operations."""
    table = Table(title="One value and gradient, median µs", box=box.SIMPLE_HEAD, title_justify="left")
    for index, title in enumerate(("host", "n", "with fwddiff", "without", "without / with")):
        table.add_column(title, justify="right" if index else "left")
    for title, rows in timings.items():
        for row in rows:
            times = (f"{seconds * 1e6:,.1f}" for seconds in (row.with_fwddiff, row.without))
            table.add_row(title, f"{row.n:,}", *times, f"{row.without / row.with_fwddiff:.2f}")
    return table


def relative_difference(values: np.ndarray, expected: np.ndarray) -> float:
    """The largest |value - expected| / |expected|."""
    return float(np.max(np.abs(values - expected) / np.abs(expected)))


def verdict(console: Console, expected: np.ndarray, fits: Mapping[str, np.ndarray]) -> int:
    """Say how far the fits are from lifelines'. Returns 1 where one differs in the fourth digit."""
    differences = {title: relative_difference(values, expected) for title, values in fits.items()}
    worst = max(differences, key=lambda title: differences[title])
    line = f"Largest relative difference from lifelines: {differences[worst]:.1e} ({worst})"
    if differences[worst] < 5e-5:
        _say(console, f"{line}: the same four digits.")
        return 0
    _say(console, f"{line}: a fit is wrong.", style="bold red")
    return 1


def _say(console: Console, text: str, style: str | None = None) -> None:
    """Print as it is: Rich would read `[torch]` as markup."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


class _Step:
    """Says what is being done: on a terminal in place, with the time it takes; elsewhere one line each."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console, self._progress = console, progress
        self._task = progress.add_task("starting", total=None)

    def __call__(self, description: str) -> None:
        if self._console.is_terminal:
            self._progress.reset(self._task, description=description)
        else:
            _say(self._console, f"{description} ...")


def _installed(console: Console) -> list[DemoHost]:
    for host in HOSTS:
        if find_spec(host.module) is None:
            advice = f"python -m pip install 'fwddiff[{host.module}]'"
            _say(console, f"{host.title} is not installed and is left out: {advice}")
    return [host for host in HOSTS if find_spec(host.module) is not None]


def _fit(host: DemoHost, data: Survival, step: _Step) -> np.ndarray:
    step(f"{host.title}: L-BFGS-B with the gradient from fwddiff")
    scaling = Scaling.of(data)
    parameters, _ = fit(host.pair(scaling.apply(data)).with_fwddiff, scaling)
    return parameters


def _time(host: DemoHost, data: Survival, copies: int, step: _Step) -> Timing:
    longer = Scaling.of(data).apply(data).repeat(copies)
    n = len(longer.time)
    step(f"{host.title}: gradient times at n = {n:,}")
    parameters = np.zeros(data.covariates.shape[1] + 1)
    parameters[-2] = 4.0
    pair = host.pair(longer)
    calls = [lambda: pair.with_fwddiff(parameters), lambda: pair.without(parameters)]
    return Timing(n, *median_times(calls))
