"""(j) Compiling: value and gradient, and second derivatives on top, where a process asks for the first time.

Seconds of the processor, of all threads, beside those of `numba.njit` for the plain function alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness.case import Case, Contestant, Process, told
from benchmarks.workloads.compiled_functions import STRAIGHT

TITLE = "compiling"
MODULE = "benchmarks.workloads.first_use"
FWDDIFF, SECOND = "fwddiff", "fwddiff, second order"
PYTORCH, PYTORCH_SECOND = "fwddiff in PyTorch", "fwddiff in PyTorch, second order"
FROM_DISK, AGAIN = "fwddiff, from disk", "fwddiff, a redefinition"
PER_100_LINES = tuple(f"{name}, per 100 lines" for name in (FWDDIFF, SECOND))
SIZES = (
    *("line", "incomplete beta", "barrier option", "special betainc", "special gammainc", "model"),
    *("100 straight lines", "400 straight lines"),
    *("product of 12", "product of 16"),
)
QUICK_SIZES = ("line", "incomplete beta", "barrier option", "400 straight lines", "product of 16")
SLOW_PEER = "model"  # where torch.compile, which takes half a minute, is shown

NOTE = """\
Processor seconds of a first use; ratios are to compiling the plain function alone. Second order is what
comes on top: by an operator of fwddiff's own (`fd.hvp`), and in PyTorch, whose own time is in it, by backward
through backward by all inputs. From disk: seconds on the wall after the imports, in a second process.
"""


def cases(quick: bool) -> Iterator[Case]:
    for which in QUICK_SIZES if quick else SIZES:
        processes = list(_processes(which, quick))
        contestants = [_contestant(name) for process in processes for name in process.tells]
        yield Case("j", TITLE, which, contestants, note=NOTE if which == "line" else "", processes=processes)
    process = Process(MODULE, ("redefinitions", "50" if quick else "200"), (AGAIN,), once=True)
    note = "What a process keeps for each, in the mean: a cell of a notebook that is run again and again."
    yield Case("j", "redefining", "x * y + c", [_contestant(AGAIN)], note=note, processes=[process])


def _processes(which: str, quick: bool) -> Iterator[Process]:
    def process(who: str, *tells: str, once: bool = False) -> Process:
        return Process(MODULE, (who, which), tells, once)

    lines = PER_100_LINES if "straight lines" in which else ()
    yield process("numba", "numba.njit")
    yield process("fwddiff", FWDDIFF, SECOND, *lines)
    yield process("pytorch", PYTORCH, PYTORCH_SECOND)
    if which in STRAIGHT:
        yield process("jax", "jax.jit")
    if which == SLOW_PEER and not quick:
        yield process("torch_compile", "torch.compile", once=True)
    yield process("from_disk", FROM_DISK)


def _contestant(name: str) -> Contestant:
    """All that tell numbers but Numba, which has the value alone, compute value and gradient."""
    group = "a redefinition" if name == AGAIN else "a first use"
    return told(name, group, computes="value" if name == "numba.njit" else "value and gradient")
