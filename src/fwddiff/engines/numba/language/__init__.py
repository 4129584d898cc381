"""A user's function in LLVM's language: compiled once by Numba's front end, on plain numbers.

    translate(problem) → Core       text of one LLVM function of the leaves, which differentiation starts from

Functions of the rules table stay calls `fwddiff.<row>(double, …)`, so that they can be differentiated as what
they are. All floats are double; `ssa` makes them float where the leaves are. What is not done in this way
raises `Refused`, and goes by dual types.
"""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numba
from fwddiff._errors import FwdDiffError
from fwddiff._problem import Problem
from fwddiff._rule import Slot
from fwddiff.engines.numba import structs
from fwddiff.engines.numba.expressions import compile_function
from fwddiff.engines.numba.language import _arguments, _meanings, _target  # noqa: F401 - teaches the target
from fwddiff.engines.numba.language._frugal import frugal
from fwddiff.engines.numba.language._module import one_function
from fwddiff.engines.numba.language._precision import precise
from fwddiff.engines.numba.leaves import function_of_leaves
from fwddiff.engines.numba.prepare import Prepared, calls_itself
from fwddiff.engines.numba.results import slots_of, tree_of
from fwddiff.engines.numba.ssa.code import Refused
from fwddiff.engines.numba.ssa.function import Array
from numba.core import errors, types
from numba.core.compiler_lock import global_compiler_lock

__all__ = ["Core", "Refused", "translate"]


@dataclasses.dataclass(eq=False)
class Core:
    """`i32 @core(ptr ret, ptr exc, inputs…)`, with the outputs at System V offsets behind `ret`.

    `inputs` and `outputs` are LLVM types, or arrays (see `ssa.function`). A status that is not 0 says that
    the function raises; `raising` is what then raises it.
    """

    text: str
    symbol: str
    inputs: tuple[str | Array, ...]
    outputs: tuple[str | Array, ...]
    slots: tuple[Slot, ...]
    tree: Any
    problem: Problem

    @functools.cached_property
    def raising(self) -> Callable[..., Any]:
        """A function of the leaves, which raises what the user's function raises for them.

        Compiled, as what it computes with is (Python's own `math.log` raises too); messages that cannot be
        compiled are Python's to make.
        """
        kinds = [_arguments.leaf_type(slot) for slot in self.problem.inputs]
        options: dict[str, Any] = {"error_model": "fwddiff", "boundscheck": True}
        core = numba.njit(function_of_leaves(self.problem, Prepared(self.problem.plan).entry), **options)
        parameters = ", ".join(f"x{k}" for k in range(len(kinds)))
        text = f"def raising({parameters}):\n    core({parameters})\n"
        try:
            return numba.njit(types.void(*kinds))(compile_function("raising", text, {"core": core}))
        except errors.NumbaError:
            return lambda *leaves: self.problem.plan.original(*self.problem.bind(leaves)[0])


def translate(problem: Problem) -> Core:
    """The problem's function as LLVM's code on plain numbers; raises `Refused`."""
    _refuse(problem)
    with global_compiler_lock, _target.on_plain_numbers():
        try:
            return _translated(problem)
        except Refused:
            raise
        except FwdDiffError:
            raise
        except Exception as error:  # Numba's errors, and whatever else its many parts and LLVM raise
            raise _cause(error) from error


def _cause(error: BaseException) -> Exception:
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, Refused | FwdDiffError):
            return found
        found = found.__cause__ or found.__context__
    return Refused(f"{type(error).__name__}: {error}")


def _refuse(problem: Problem) -> None:
    if any(slot.dtype.kind not in "fiub" or slot.dtype.name == "float16" for slot in problem.inputs):
        raise Refused("an argument is of an unusual type")
    for node in problem.plan.nodes():
        if node.row is not None:
            raise Refused(f"`{node.function.__name__}` has a rule of its own")
        if calls_itself(node):
            raise Refused(f"`{node.function.__name__}` calls itself")


def _translated(problem: Problem) -> Core:
    structs.owned = problem.plan.owned
    prepared = Prepared(problem.plan)
    functions: list[Any] = []
    _, kinds = prepared.entry.fold_argument_types(_arguments.argument_types(problem, functions), {})
    compiled = _compiled(prepared.entry, kinds)
    returned = compiled.signature.return_type
    leaves = _arguments.leaves_of(returned)
    slots = slots_of(problem, leaves)
    context = _target.target.target_context
    text = _arguments.write_core(context, compiled, kinds, problem)
    text = frugal(one_function([text, *compiled.library.texts()]), _arguments.SYMBOL)
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
