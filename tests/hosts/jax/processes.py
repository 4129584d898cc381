"""Runs scripts in processes of their own: with several devices, another cache, another JAX."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(script: str, *arguments: object, devices: int = 1, **environment: str) -> str:
    """Standard output of the script, in JAX with so many CPU devices; where it fails, so does the test."""
    variables = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"} | environment
    variables["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, env=variables
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
