"""Hand-written C, compiled by the benchmark: the limit that kernels are compared with."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.harness.case import Run, Unavailable

FLAGS = ("-O3", "-march=native", "-ffast-math", "-fopenmp-simd", "-fPIC")
SOURCES = Path(__file__).parent.parent / "c"


@functools.cache
def library(name: str) -> ctypes.CDLL:
    """The shared library made of `c/<name>.c`. Raises `Unavailable` without a compiler.

    It is linked without -ffast-math, which would put start-up code into it that makes the whole process
    flush denormal numbers to zero, in all other contestants too.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Unavailable("no C compiler on this machine")
    with tempfile.TemporaryDirectory() as folder:
        code, target = f"{folder}/{name}.o", f"{folder}/{name}.so"
        _run([compiler, *FLAGS, "-c", str(SOURCES / f"{name}.c"), "-o", code])
        _run([compiler, "-shared", code, "-o", target, "-lmvec", "-lm"])
        return ctypes.CDLL(target)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"the C compiler refuses: {next(iter(done.stderr.splitlines()), '')[:80]}")


def function(library_name: str, name: str, *arguments: np.ndarray | int | float) -> Run:
    """A call of a C function: arrays are passed as pointers, int as long, float as double."""
    call = getattr(library(library_name), name)
    call.restype = None
    converted = [_converted(argument) for argument in arguments]

    def run(kept: Sequence[object] = arguments) -> None:
        call(*converted)

    return run


def _converted(argument: np.ndarray | int | float) -> ctypes.c_void_p | ctypes.c_long | ctypes.c_double:
    if isinstance(argument, np.ndarray):
        return ctypes.c_void_p(argument.ctypes.data)
    return ctypes.c_double(argument) if isinstance(argument, float) else ctypes.c_long(argument)
