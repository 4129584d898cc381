"""Variables of a function that functions defined inside refer to, and whether these may see them change.

Python's inner functions look into the variables when they are called; a function that is a value in
compiled code (`function_values`) holds what they were when it was made. That is the same unless a variable
gets another value while such a function is still to be used. Bytecode tells which variables may; liveness,
once types are known, whether a function is still there when they do.
"""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import dis
import functools
from collections.abc import Iterator, Sequence
from types import CodeType
from typing import Any

from fwddiff._capture import catches, instructions, nested_codes
from fwddiff._native.internals import (
    FunctionPass,
    analysis,
    compute_cfg_from_blocks,
    errors,
    ir,
    register_pass,
)
from numba import types

_STORES = ("STORE_DEREF", "DELETE_DEREF")


@functools.lru_cache(maxsize=1024)
def rebound(code: CodeType) -> dict[CodeType, frozenset[str]]:
    """Of each function defined in this code: variables that may get another value after it is made."""
    listed = instructions(code)
    found: dict[CodeType, frozenset[str]] = {}
    for k, instruction in enumerate(listed):
        inner = listed[k - 1].argval
        if instruction.opname != "MAKE_FUNCTION" or not isinstance(inner, CodeType):
            continue
        own = own_name(code, inner)
        later = set(range(len(listed))) if catches(code) else _after(k, listed)
        names = {listed[j].argval for j in later if listed[j].opname in _STORES} - {own}
        found[inner] = found.get(inner, frozenset()) | names & set(inner.co_freevars)
    return found


@functools.lru_cache(maxsize=1024)
def own_name(code: CodeType, inner: CodeType) -> str | None:
    """The variable that an inner function is put into where it is made, if nothing else ever is."""
    listed = instructions(code)
    stored = [i.argval for i in listed if i.opname in _STORES]
    for k, instruction in enumerate(listed):
        if instruction.opname == "MAKE_FUNCTION" and listed[k - 1].argval == inner:
            rest = (i for i in listed[k + 1 :] if i.opname != "SET_FUNCTION_ATTRIBUTE")
            following = next(rest)
            alone = following.opname == "STORE_DEREF" and stored.count(following.argval) == 1
            return following.argval if alone and not _comes_back(k, listed) else None
    return None


def _comes_back(position: int, instructions: Sequence[dis.Instruction]) -> bool:
    return position in _after(position, instructions)


def _after(position: int, instructions: Sequence[dis.Instruction]) -> set[int]:
    """Places that may be run once the instruction at `position` was."""
    places = {instruction.offset: k for k, instruction in enumerate(instructions)}
    found: set[int] = set()
    pending = [position]
    while pending:
        k = pending.pop()
        new = set(_followers(instructions[k], k, places)) - found
        pending += new
        found |= new
    return found


def _followers(instruction: dis.Instruction, k: int, places: dict[int, int]) -> tuple[int, ...]:
    name = instruction.opname
    if name.startswith(("RETURN_", "RAISE", "RERAISE")):
        return ()
    jumps = "JUMP" in name or name in ("FOR_ITER", "SEND")
    target = (places[instruction.argval],) if jumps else ()
    is_certain = name in ("JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_ABSOLUTE")
    return target if is_certain else (k + 1, *target)


def written_inside(code: CodeType) -> frozenset[str]:
    """Variables of a function that functions defined inside give values (`nonlocal`)."""
    return frozenset(
        i.argval
        for inner in nested_codes(code)
        for i in instructions(inner)
        if i.opname in _STORES and i.argval in inner.co_freevars
    )


def is_assigned_often(code: CodeType, name: str) -> bool:
    """Whether a variable gets values in several places, of which being a parameter is one."""
    stores = [i.argval for i in instructions(code) if i.opname in _STORES].count(name)
    return stores + (name in code.co_varnames[: code.co_argcount]) > 1


def is_kept_apart(code: CodeType) -> bool:
    """Whether functions that this one defines may see their variables change: it has to be compiled by
    itself, because variables of functions that are put in the place of their calls have other names."""
    return not code.co_name.startswith("<") and any(rebound(code).values())


# --- once types are known -----------------------------------------------------------------------------------


@register_pass(mutates_CFG=False, analysis_only=True)
class CheckCells(FunctionPass):
    """Refuses variables that change while a function that holds their values is still to be used."""

    _name = "fwddiff_check_cells"

    def __init__(self):
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        for code, names in state.metadata.pop("fwddiff_rebound", {}).items():
            _check(state.func_ir.blocks, state.typemap, code, names)
        return False


def _check(blocks: Any, kinds: Any, code: CodeType, names: dict[str, str]) -> None:
    for statement, live in _with_live(blocks):
        if not isinstance(statement, ir.Assign) or _is_same_value(statement):
            continue
        name = statement.target.unversioned_name
        if name in names and any(v in kinds and holds(kinds[v], code) for v in live):
            name = names[name]
            raise errors.UnsupportedError(
                f"`{name}` changes while `{code.co_name}`, which uses it, may still be called. Give it to "
                f"the function as a default, `{name}={name}`, if the value of before is meant",
                statement.loc,
            )


def _is_same_value(statement: Any) -> bool:
    value = statement.value
    if isinstance(value, ir.Expr) and value.op == "phi":
        return True
    return isinstance(value, ir.Var) and value.unversioned_name == statement.target.unversioned_name


def _with_live(blocks: Any) -> Iterator[tuple[Any, set[str]]]:
    """Each statement with the variables that are read after it."""
    graph, uses = compute_cfg_from_blocks(blocks), analysis.compute_use_defs(blocks)
    entering = analysis.compute_live_map(graph, blocks, uses.usemap, uses.defmap)
    for label, block in blocks.items():
        live = {name for following, _ in graph.successors(label) for name in entering[following]}
        for statement in reversed(block.body):
            yield statement, live
            if isinstance(statement, ir.Assign):
                live = live - {statement.target.name}
            live = live | _read(statement)


def _read(statement: Any) -> set[str]:
    if not isinstance(statement, ir.Assign):
        return {v.name for v in statement.list_vars()}
    value = statement.value
    read = value.list_vars() if isinstance(value, ir.Expr) else [value] if isinstance(value, ir.Var) else []
    return {v.name for v in read}


def holds(kind: Any, code: CodeType) -> bool:
    """Whether values of this type may lead to a function of this code."""
    return any(getattr(part, "code", None) is code for part in _parts(kind, set()))


def _parts(kind: Any, met: set[int]) -> Iterator[Any]:
    if id(kind) in met:
        return
    met.add(id(kind))
    yield kind
    for value in vars(kind).values():
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, types.Type):
                yield from _parts(part, met)
