"""Peak memory of one evaluation, as the operating system sees it (Linux).

PyTorch, XLA, NumPy and C have allocators of their own on top of the C library's, so the only yardstick that
is fair to all is the resident memory of a process that holds one contestant. That process makes the
contestant and runs it once, so that compilation is over; then the high-water mark of its memory is reset and
a second evaluation, whose result is kept, is measured. The C library is told to map every large block
separately: memory that is free is then really returned, and the second evaluation cannot hide in what the
first one left.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.harness.case import Case, Contestant, Unavailable

MAPPED_SEPARATELY = 16 * 1024  # bytes of a block
ROOT = Path(__file__).parents[2]


def peak_of(contestant: Contestant) -> int:
    """Bytes that an evaluation needs above what is there before it. To be called in a fresh process."""
    run = contestant.make()
    run()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    kept = run()
    peak = _status("VmHWM") - before
    del kept
    return peak


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise Unavailable("this system does not show the memory of a process")


def in_a_fresh_process(case: Case, contestant: Contestant, quick: bool, patience: float) -> int | None:
    """Peak memory of a contestant, by `python -m benchmarks --peak …`; `None` where it cannot be measured."""
    command = [sys.executable, "-m", "benchmarks", "--only", case.letter, *(["--quick"] * quick)]
    command += ["--peak", case.label, contestant.name]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(MAPPED_SEPARATELY)}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=patience
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return json.loads(done.stdout.splitlines()[-1])["peak"]
