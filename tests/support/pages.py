"""Runs pages of the documentation, each as a script in a process of its own, forked from this one: what they
import is read once. Standard input has a file per line, standard output its exit status."""

import contextlib
import importlib
import os
import runpy
import sys
import traceback

for name in (
    "scipy.stats",
    "torch",
    "fwddiff.engines.numba",
    "fwddiff.special",
    "fwddiff.stats",
    "fwddiff.testing",
):
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(name)


def run(script):
    """In the child."""
    os.chdir(os.path.dirname(script))
    sys.argv[:] = [script]
    streams = os.open(script + ".out", os.O_CREAT | os.O_WRONLY)
    os.dup2(streams, 1)
    os.dup2(streams, 2)
    status = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


for line in sys.stdin:
    child = os.fork()
    if not child:
        run(line.rstrip("\n"))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.stdout.write(f"{status}\n")
    sys.stdout.flush()
