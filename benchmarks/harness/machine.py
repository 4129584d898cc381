"""What the numbers were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

PACKAGES = ("numpy", "numba", "llvmlite", "torch", "jax", "autograd", "warp-lang")


def description() -> dict[str, str]:
    """Processor, memory, system, versions. No names of hosts, users or folders."""
    found = {
        "processor": _line("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "C library": " ".join(platform.libc_ver()),
        "compiler": _compiler(),
        "Python": platform.python_version(),
    }
    return found | {package: _version(package) for package in PACKAGES}


def _line(path: str, start: str) -> str:
    """What follows the colon in the first line that starts so."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(start)), "")


def _compiler() -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        return "none"
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return next(iter(done.stdout.splitlines()), "unknown")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
