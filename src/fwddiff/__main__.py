"""`python -m fwddiff`: `demo`, `bench` and `info`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules

import llvmlite.binding

from fwddiff._errors import ArgumentError
from fwddiff._native import tasks
from fwddiff.engines.numba import cache
from fwddiff.engines.numba.ssa.elementary import FUNCTIONS
from fwddiff.engines.numba.target import elementary, vector_math


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run the command. Returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.command == "demo":
        from fwddiff.demo import main as demo

        return demo(options.output)
    if options.command == "bench":
        return bench(options.hosts, options.sizes, options.seconds)
    print("\n".join(f"{name:<11} {value}" for name, value in info().items()))
    return 0


def info() -> dict[str, str]:
    """What a bug report needs: versions, hosts and engines found, processor and threads. Imports no host."""
    facts = {name: _version(name) for name in ("fwddiff", "numpy", "numba", "llvmlite", "optree")}
    facts["LLVM"] = ".".join(map(str, llvmlite.binding.llvm_version_info))
    facts["Python"] = f"{platform.python_version()} ({platform.python_implementation()})"
    facts["system"] = f"{platform.system()} {platform.machine()}"
    facts["processor"] = llvmlite.binding.get_host_cpu_name()
    facts["threads"] = f"{tasks.default_threads()} for kernels, {_cores()} cores to run on"
    facts["hosts"] = ", ".join(f"{name} {_version(name)}" for name in _modules("hosts"))
    facts["engines"] = ", ".join(_modules("engines"))
    facts["vector math"] = _vector_math()
    facts["own math"] = _own_math()
    facts["cache"] = cache.summary()
    return facts


def bench(hosts: list[str] | None, sizes: list[int], seconds: float) -> int:
    """Gradients with fwddiff and with the hosts' own operations, in turns: prints a table of ratios."""
    from fwddiff.testing import benchmark

    try:
        timings = benchmark(hosts=hosts, sizes=sizes, seconds=seconds)
    except ArgumentError as error:
        print(error)
        return 1
    if not timings.comparisons:
        print("Nothing to compare without a host: python -m pip install 'fwddiff[torch]', or jax, autograd.")
        return 1
    _print(timings)
    return 0


def _print(table: object) -> None:
    """As a table of rich where it is installed, as text elsewhere."""
    if find_spec("rich"):
        from rich.console import Console

        Console().print(table)
    else:
        print(table)


def _vector_math() -> str:
    """Which functions of the vector math library kernels call: by bits of a float, how many there are."""
    found = {bits: [n for n in vector_math.FUNCTIONS if vector_math.available(n, bits)] for bits in (64, 32)}
    if not any(found.values()):
        return f"none (switched off by {vector_math.VARIABLE}, or not on this system)"
    counts = ", ".join(f"{len(names)} functions of float{bits}" for bits, names in found.items())
    return f"{vector_math.LIBRARY}: {counts}"


def _own_math() -> str:
    """Which elementary functions kernels have as instructions of our own."""
    found = {bits: sorted(n for n in FUNCTIONS if elementary.is_own(n, bits)) for bits in (64, 32)}
    if not any(found.values()):
        return f"none (switched off by {elementary.VARIABLE}, or the processor has no fused multiply-add)"
    return ", ".join(f"{' '.join(names)} of float{bits}" for bits, names in found.items() if names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fwddiff", description="Forward-mode pullbacks for every host."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="fit a survival regression through every installed host")
    demo.add_argument(
        "--output", type=Path, default=Path("weibull.png"), help="the picture (default: %(default)s)"
    )
    bench = commands.add_parser("bench", help="gradients with fwddiff and with each host's own operations")
    bench.add_argument("--hosts", nargs="+", help="torch, jax, autograd (default: all that are installed)")
    bench.add_argument(
        "--sizes", nargs="+", type=int, default=[1_000, 100_000], help="(default: %(default)s)"
    )
    bench.add_argument(
        "--seconds", type=float, default=0.5, help="for each comparison (default: %(default)s)"
    )
    commands.add_parser("info", help="versions, hosts, engines, processor: for a bug report")
    return parser


def _modules(folder: str) -> list[str]:
    """Names of the hosts or engines: the files and folders of `folder`, found without importing them."""
    return sorted(
        name for _, name, _ in iter_modules([str(Path(__file__).parent / folder)]) if name[0] != "_"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(version unknown)" if find_spec(package) else "(not installed)"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
