"""Measurements that need a fresh process each: what compiling for the first time costs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.case import Case, Measurement, Process, check_agreement

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0  # seconds


def measure(
    case: Case, rounds: int, progress: Callable[[str], None] = lambda text: None
) -> list[Measurement]:
    """Run the case's processes in turns, and gather what they tell. Raises `Disagreement`.

    A contestant about whom a process that fails would have told is left out, with the reason.
    """
    found = {
        c.name: Measurement(c.name, c.group, of_processes=True, reason="was not told about")
        for c in case.contestants
    }
    results: dict[str, list[np.ndarray]] = {}
    for number in range(rounds):
        for process in case.processes:
            if number and process.once:
                continue
            progress(f"{case.label}: {process.arguments[0]}, process {number + 1} of {rounds}")
            told, error = _told(process)
            for name in told.keys() & found.keys():
                _note(found[name], told[name])
                results[name] = [np.array(x) for x in told[name].get("numbers", [])]
            for name in process.tells if error else ():
                found[name].reason = error
    check_agreement(case, {name: numbers for name, numbers in results.items() if numbers})
    return list(found.values())


def _note(measurement: Measurement, told: dict[str, Any]) -> None:
    measurement.seconds.append(told["seconds"])
    measurement.reason = ""
    if "memory" in told:
        measurement.peak_memory = round(max(told["memory"], measurement.peak_memory or 0))


def _told(process: Process) -> tuple[dict[str, Any], str]:
    """What the process printed, or nothing and why."""
    command = [sys.executable, "-m", process.module, *process.arguments]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return {}, f"not done after {PATIENCE:.0f} s"
    if done.returncode:
        raised = re.findall(r"^(?:\w+\.)*(\w+)(?=:|$)", done.stderr, re.MULTILINE)
        return {}, f"raised {raised[-1] if raised else 'nothing that is known'}"
    return json.loads(done.stdout.splitlines()[-1]), ""
