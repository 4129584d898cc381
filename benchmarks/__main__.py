"""Run workloads and report: `python -m benchmarks [--quick] [--only a,e] [--no-memory]`.

A full run writes docs/benchmarks.md, docs/benchmarks.png and benchmarks/results/latest.json; others print.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from benchmarks import workloads
from benchmarks.harness import machine, memory, picture, processes, report, timing
from benchmarks.harness.case import Case, Disagreement, Measurement
from benchmarks.harness.targets import verdicts

ROOT = Path(__file__).parent.parent
CACHES = ("FWDDIFF_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "WARP_CACHE_PATH")


def main() -> int:
    options = _options()
    if options.peak:
        sys.stdout.write(json.dumps({"peak": _peak(options)}) + "\n")
        return 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for cache in CACHES:  # empty, so that first calls compile
            os.environ[cache] = f"{folder}/{cache.lower()}"
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 130
        return _run(options, console)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, fewer peers: under two minutes")
    parser.add_argument("--only", default="", help="letters of workloads, as in a,e")
    parser.add_argument("--no-memory", action="store_true", help="leave peak memory out")
    parser.add_argument("--peak", nargs=2, metavar=("CASE", "CONTESTANT"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    letters = options.only.split(",") if options.only else list(workloads.WORKLOADS)
    for letter in letters:
        yield from workloads.load(letter).cases(options.quick)


def _peak(options: argparse.Namespace) -> int:
    label, name = options.peak
    case = next(case for case in _cases(options) if case.label == label)
    return memory.peak_of(next(c for c in case.contestants if c.name == name))


def _run(options: argparse.Namespace, console: Console) -> int:
    described = machine.description()
    console.print(", ".join(f"{key} {value}" for key, value in described.items()))
    for host in ("torch", "jax", "autograd"):  # so that no first call includes an import
        with contextlib.suppress(ImportError):
            importlib.import_module(host)
    results, wrong = [], 0
    for case in _cases(options):
        try:
            found = _measured(case, options, console)
        except Disagreement as error:
            console.print(f"[red]{error}[/red]")
            wrong += 1
            continue
        results.append((case, found))
        report.show_case(console, case, found)
    judged = verdicts(results)
    report.show_verdicts(console, judged)
    if not (wrong or options.quick or options.only or options.no_memory):
        report.write(ROOT, described, results, judged)
        picture.draw(judged, ROOT / "docs" / "benchmarks.png")
        console.print("Written: docs/benchmarks.md, docs/benchmarks.png, benchmarks/results/latest.json")
    return 1 if wrong or any(_is_broken(m) for _, found in results for m in found) else 0


def _is_broken(measurement: Measurement) -> bool:
    """Whether one of fwddiff's own contestants did not run."""
    return bool(measurement.reason) and measurement.contestant.startswith(("fwddiff", "kernel"))


def _measured(case: Case, options: argparse.Namespace, console: Console) -> list[Measurement]:
    def progress(text: str) -> None:
        if console.is_terminal:
            console.print(f"{text} …", end="\x1b[K\r", soft_wrap=True, style="dim")

    if case.processes:
        return processes.measure(case, 1 if options.quick else 3, progress)
    limits = timing.QUICK if options.quick else timing.Limits()
    found = timing.measure(case, limits, progress)
    for contestant, measurement in zip(case.contestants, found, strict=True):
        if contestant.memory and measurement.seconds and not options.no_memory:
            progress(f"{case.label}: {contestant.name}, peak memory")
            patience = 2 * limits.patience
            measurement.peak_memory = memory.in_a_fresh_process(case, contestant, options.quick, patience)
    return found


if __name__ == "__main__":
    sys.exit(main())
