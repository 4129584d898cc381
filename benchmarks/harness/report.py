"""The report: a table per case and the verdicts, in the terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness.case import Case, Measurement
from benchmarks.harness.targets import Results, Verdict

HEADINGS = ("contestant", "median", "quartiles", "ratio", "first call", "peak memory")
HEADINGS_OF_PROCESSES = ("contestant", "best", "all", "ratio", "memory kept")
TARGET_HEADINGS = ("workload", "target", "at most", "measured", "verdict")

METHOD = """\
Made by `make bench`: do not edit. All contestants of a table ran in one process, interleaved, and computed
the same numbers before anything was timed. A ratio is to the first contestant of its part of the table, which
is fwddiff; above 1 is slower than it. The first call includes tracing and compiling, with an empty cache of
kernels. Peak memory is what one evaluation needs above what was there before, results included, as seen by
the operating system in a process of its own. Kernels alone and C run on one thread, but for sums; in a host
each contestant uses the threads that it takes by default, one per core. Where compiling is measured (j), each
number is of fresh processes, in turns; the fastest counts, and times are the processor's.
"""


def headings(measurements: Sequence[Measurement]) -> tuple[str, ...]:
    """Of a case's table."""
    return HEADINGS_OF_PROCESSES if any(m.of_processes for m in measurements) else HEADINGS


def rows(measurements: Sequence[Measurement]) -> list[tuple[str, ...]]:
    """The cells of a case's table, under its `headings`."""
    return [_row(m, _baseline(measurements, m.group)) for m in measurements]


def _baseline(measurements: Sequence[Measurement], group: str) -> float:
    """The time that ratios of a group refer to: that of its first contestant."""
    return next(m.typical for m in measurements if m.group == group)


def _row(m: Measurement, baseline: float) -> tuple[str, ...]:
    empty = ("",) * (len(headings([m])) - 2)
    if not m.seconds:
        return m.contestant, m.reason, *empty
    ratio = f"{m.typical / baseline:.2f}" if baseline == baseline else ""
    memory = "" if m.peak_memory is None else size(m.peak_memory)
    if m.of_processes:
        return m.contestant, duration(m.typical), ", ".join(map(duration, sorted(m.seconds))), ratio, memory
    quartiles = f"{duration(m.quantile(0.25))} – {duration(m.quantile(0.75))}"
    return m.contestant, duration(m.median), quartiles, ratio, duration(m.first_call or 0.0), memory


def duration(seconds: float) -> str:
    unit, factor = ("s", 1) if seconds >= 1 else ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)
    return f"{seconds * factor:.3g} {unit}"


def size(count: int) -> str:
    unit, factor = ("MiB", 2**20) if count >= 2**20 else ("KiB", 2**10)
    return f"{count / factor:,.4g} {unit}"


def show_case(console: Console, case: Case, measurements: Sequence[Measurement]) -> None:
    table = Table(*headings(measurements), title=case.label, title_justify="left")
    for row in rows(measurements):
        table.add_row(*row)
    console.print(table)


def show_verdicts(console: Console, verdicts: Sequence[Verdict]) -> None:
    table = Table(*TARGET_HEADINGS, title="Targets", title_justify="left")
    for verdict in verdicts:
        style = "green" if verdict.met else "yellow" if verdict.ratio is None else "red"
        table.add_row(*verdict_row(verdict), style=style)
    console.print(table)
    for note in notes(verdicts):
        console.print(f"* {note}")


def verdict_row(verdict: Verdict) -> tuple[str, ...]:
    """The cells of the table of targets, under `TARGET_HEADINGS`."""
    target = verdict.target
    ratio = "" if verdict.ratio is None else f"{verdict.ratio:.3g}"
    return f"({target.letter}) {verdict.size}", target.text, f"{verdict.limit:.3g}", ratio, verdict.status


def notes(verdicts: Sequence[Verdict]) -> list[str]:
    """What is known of the targets that were missed, each said once."""
    found = [f"({v.target.letter}) {v.target.text}: {v.target.note}" for v in verdicts if _explained(v)]
    return list(dict.fromkeys(found))


def _explained(verdict: Verdict) -> bool:
    return verdict.ratio is not None and not verdict.met and bool(verdict.target.note)


def markdown(machine: Mapping[str, str], results: Results, verdicts: Sequence[Verdict]) -> str:
    """The page of the documentation."""
    met = sum(verdict.met for verdict in verdicts)
    parts = ["# Benchmarks", METHOD, "Machine: " + ", ".join(f"{k} {v}" for k, v in machine.items()) + "."]
    parts += ["## Targets", f"{met} of {len(verdicts)} met."]
    parts += [_table(TARGET_HEADINGS, [verdict_row(verdict) for verdict in verdicts])]
    parts += ["\n".join(f"* {note}" for note in notes(verdicts))]
    parts += ["![Each ratio over its target](benchmarks.png)"]
    for case, measurements in results:
        parts += [f"## {case.label}", case.note, _table(headings(measurements), rows(measurements))]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _table(headings: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|" + " --- |" * len(headings)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body])


def as_json(machine: Mapping[str, str], results: Results, verdicts: Sequence[Verdict]) -> str:
    """All that was measured: seconds and bytes."""
    cases = [{"case": case.label, "contestants": [_summary(m) for m in found]} for case, found in results]
    targets = [
        {"target": v.target.text, "case": f"({v.target.letter}) {v.size}", "limit": _rounded(v.limit)}
        | {"ratio": v.ratio and _rounded(v.ratio), "verdict": v.status}
        for v in verdicts
    ]
    return json.dumps({"machine": machine, "targets": targets, "cases": cases}, indent=1) + "\n"


def _summary(m: Measurement) -> dict[str, Any]:
    if not m.seconds:
        return {"name": m.contestant, "group": m.group, "reason": m.reason}
    names = ("lower_quartile", "median", "upper_quartile")
    times = {name: _rounded(m.quantile(share)) for name, share in zip(names, (0.25, 0.5, 0.75), strict=True)}
    first_call = None if m.first_call is None else _rounded(m.first_call)
    return {"name": m.contestant, "group": m.group, **times, "samples": len(m.seconds)} | {
        "first_call": first_call,
        "peak_memory": m.peak_memory,
    }


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")


def write(folder: Path, machine: Mapping[str, str], results: Results, verdicts: Sequence[Verdict]) -> None:
    """`docs/benchmarks.md` and `benchmarks/results/latest.json` under `folder`."""
    (folder / "docs" / "benchmarks.md").write_text(markdown(machine, results, verdicts))
    target = folder / "benchmarks" / "results" / "latest.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(as_json(machine, results, verdicts))
