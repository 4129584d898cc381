"""The code of functions of ours (`fwddiff.special`) as LLVM's text, compiled by Numba once per installation.

Numba's front end is two thirds of the time to a first gradient of a long one; the text depends on nothing
but what is installed, so it is kept on disk beside the kernels.
"""

from __future__ import annotations

import functools
import hashlib
import re

import numpy as np

from fwddiff import _tree, rules
from fwddiff._capture import plan
from fwddiff._native import disk
from fwddiff._native.environment import environment
from fwddiff._problem import Problem
from fwddiff._rule import Slot
from fwddiff.engines.numba import polls
from fwddiff.engines.numba.cache import extensions
from fwddiff.engines.numba.language import problem_of_row, translate
from fwddiff.engines.numba.ssa.function import Function, returning

# Names that a `Writer` of this process gave: one of another process may have given the same to other values.
_WRITTEN = re.compile(r"\bd(\d+\.\d+)\b")


@functools.cache
def body(name: str) -> Function:
    """The code of a function of ours in the rules table: what its value, and slopes that are no text, are; or
    of one of the user's that a slope calls.

    It has no polls: its loops end by themselves, and no caller looks at its status.
    """
    of_user = problem_of_row(name)
    if of_user is not None:
        core = translate(of_user, has_rules=False)
        return returning(polls.never(core.text), core.symbol, core.inputs, core.outputs)
    key = _key(name)
    found = disk.read(key) if key else None
    if found is not None:
        header, text = found
        return Function(text.decode(), header["symbol"], tuple(header["inputs"]), tuple(header["outputs"]))
    made = _compiled(name)
    if key:
        header = {"symbol": made.symbol, "inputs": made.inputs, "outputs": made.outputs}
        disk.write(key, header, made.text.encode())
    return made


def _key(name: str) -> str:
    """Of the file on disk; empty where nothing is kept."""
    found = extensions()
    made_by = environment() if disk.folder() is not None and "" not in found else ""
    return made_by and hashlib.sha256(f"{made_by} {found} body {name}".encode()).hexdigest()


def _compiled(name: str) -> Function:
    row = rules.TABLE[name]
    assert row.body is not None
    whole = rules.INTEGER_ARGUMENTS.get(name, ())
    given = tuple(0 if k in whole else 0.0 for k in range(len(row.arguments)))
    slots = tuple(Slot(np.dtype(type(x)), differentiable=isinstance(x, float)) for x in given)
    core = translate(Problem(plan(row.body), _tree.flatten(given)[1], (), {}, slots))
    made = returning(polls.never(core.text), core.symbol, core.inputs, core.outputs)
    return Function(_WRITTEN.sub(r"kept\1", made.text), made.symbol, made.inputs, made.outputs)
