"""A user's function in LLVM's language: compiled once by Numba's front end, on plain numbers.

    translate(problem) → Core       text of one LLVM function of the leaves, which differentiation starts from

Functions of the rules table stay calls `fwddiff.<row>(double, …)`, so that they can be differentiated as what
they are. All floats are double; `ssa` makes them float where the leaves are. What is not done in this way
raises `Refused`.
"""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import dataclasses
from typing import Any

from fwddiff._native.internals import global_compiler_lock
from fwddiff._problem import Problem
from fwddiff._rule import Slot
from fwddiff.engines.numba.frontend.inner import Means, compiling_with
from fwddiff.engines.numba.frontend.prepare import Prepared
from fwddiff.engines.numba.frontend.results import slots_of, tree_of
from fwddiff.engines.numba.language import _arguments, _meanings, _ruled, _target  # noqa: F401 - teach the target
from fwddiff.engines.numba.language._frugal import frugal
from fwddiff.engines.numba.language._lists import kept_to_the_end
from fwddiff.engines.numba.language._module import one_function, simplified
from fwddiff.engines.numba.language._precision import precise
from fwddiff.engines.numba.ssa.code import Refused
from fwddiff.engines.numba.ssa.function import Array
from fwddiff.engines.numba.ssa.functions import KEEP
from numba import types

__all__ = ["Core", "Refused", "problem_of_row", "translate"]


@dataclasses.dataclass(eq=False)
class Core:
    """`i32 @core(ptr ret, ptr exc, inputs…)`, with the outputs at System V offsets behind `ret`.

    `inputs` and `outputs` are LLVM types, or arrays (see `ssa.function`). A status that is not 0 says that
    the function raises.
    """

    text: str
    symbol: str
    inputs: tuple[str | Array, ...]
    outputs: tuple[str | Array, ...]
    slots: tuple[Slot, ...]
    tree: Any
    problem: Problem


def translate(problem: Problem, has_rules: bool = True) -> Core:
    """The problem's function as LLVM's code on plain numbers. `has_rules`: whether functions with rows of
    their own have the slopes of these; else their code is all that they are.

    Raises `Refused`, errors of ours, and whatever Numba's many parts and LLVM raise.
    """
    _refuse(problem)
    with global_compiler_lock, _target.on_plain_numbers(), compiling_with(_means(problem)):
        return _translated(problem, has_rules)


def _means(problem: Problem) -> Means:
    specs = (problem.arguments, *problem.captured)
    return Means(
        _target.jit,
        problem.plan.owned,
        lambda plan: Prepared(plan).entry,
        _ruled.dispatcher,
        any(map(_arguments.has_lists, specs)),
    )


def problem_of_row(name: str) -> Problem | None:
    """The function that a slope of a user's row calls by this name, if it is one."""
    return _ruled.PROBLEMS.get(name)


def _refuse(problem: Problem) -> None:
    if any(slot.dtype.kind not in "fiub" or slot.dtype.name == "float16" for slot in problem.inputs):
        raise Refused("an argument is of an unusual type")


def _translated(problem: Problem, has_rules: bool) -> Core:
    prepared = Prepared(problem.plan, has_rules)
    functions: list[Any] = []
    _, kinds = prepared.entry.fold_argument_types(_arguments.argument_types(problem, functions), {})
    compiled = _compiled(prepared.entry, kinds)
    returned = compiled.signature.return_type
    leaves = _arguments.leaves_of(returned)
    slots = slots_of(problem, leaves)
    context = _target.target.target_context
    text = _arguments.write_core(context, compiled, kinds, problem)
    parts = [text, *compiled.library.texts()]
    text = frugal(kept_to_the_end(one_function(parts), parts), _arguments.SYMBOL)
    if KEEP in text:  # items of lists whose heads are values by now
        text = frugal(simplified(text), _arguments.SYMBOL)
    # Of functions of arrays `ssa.narrowed` finds out.
    has_arrays = any(slot.core_ndim for slot in (*problem.inputs, *slots))
    return Core(
        text,
        _arguments.SYMBOL,
        tuple(map(_arguments.input_kind, problem.inputs)),
        tuple(_arguments.output_kind(leaf, problem) for leaf in leaves),
        slots if has_arrays else precise(text, problem, slots),
        tree_of(returned, len(leaves)),
        problem,
    )


def _compiled(entry: Any, kinds: tuple[types.Type, ...]) -> Any:
    entry.compile(kinds)
    return next(iter(entry.overloads.values()))
