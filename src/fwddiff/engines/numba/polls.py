"""Polls: places in compiled loops that look whether there was a Ctrl-C (`fwddiff._native.interrupts`).

Each turn of a `while` loop begins with one (a `for` ends by itself). In LLVM's code a poll is a call of
`i32 @"fwddiff.poll"()`, which LLVM knows nothing of, and a return of the status `STOPPED` where that is not
0. The function's definition, a load, is put into a kernel in the end: who reads the code before that, to
differentiate it or to work side by side, finds the call. A kernel whose loops LLVM unrolls has none.
"""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import re
from typing import Any

from llvmlite import ir as llvm_ir

from fwddiff._native import interrupts
from fwddiff._native.internals import FunctionPass, cgutils, compute_cfg_from_blocks, ir, register_pass
from fwddiff._native.status import STOPPED
from numba import types
from numba.extending import intrinsic

POLL = interrupts.POLL

_STATUS = llvm_ir.IntType(32)
_DEFINITION = """
@{word} = external global i64
define i32 @"{poll}"() alwaysinline nounwind {{
  {load}
  ret i32 %result
}}
"""
_LOAD = f"""%set = load atomic volatile i64, ptr @{interrupts.WORD} monotonic, align 8
  %is_set = icmp ne i64 %set, 0
  %result = zext i1 %is_set to i32"""


@intrinsic
def poll(typing_context):
    """Leaves the function that calls it, with the status `STOPPED`, if there was a Ctrl-C.

    Not as an exception does, which a `try` would catch; but described as one, for who calls this from Python.
    """

    def codegen(context, builder, signature, arguments):
        kind = llvm_ir.FunctionType(_STATUS, [])
        function = cgutils.get_or_insert_function(builder.module, kind, POLL)
        for attribute in ("inaccessiblememonly", "nounwind"):
            function.attributes.add(attribute)
        found = builder.call(function, [])
        with cgutils.if_unlikely(builder, builder.icmp_signed("!=", found, _STATUS(0))):
            context.call_conv.set_static_user_exc(builder, KeyboardInterrupt)
            context.call_conv._return_errcode_raw(builder, _STATUS(STOPPED))
        return context.get_dummy_value()

    return types.none(), codegen


@intrinsic
def begin(typing_context):
    """Ahead of a call of code with polls that nobody makes by way of `tasks`: forgets earlier Ctrl-Cs."""

    def codegen(context, builder, signature, arguments):
        known = builder.module.globals.get(interrupts.WORD)
        word = known or cgutils.add_global_variable(builder.module, llvm_ir.IntType(64), interrupts.WORD)
        word.linkage = "external"
        builder.store(llvm_ir.IntType(64)(0), word)
        return context.get_dummy_value()

    return types.none(), codegen


# --- where polls are ----------------------------------------------------------------------------------------


@register_pass(mutates_CFG=False, analysis_only=False)
class Polls(FunctionPass):
    """Puts polls into the function's loops.

    A `try` catches what a function that it calls was stopped by: it is noticed where the function returns.
    """

    _name = "fwddiff_polls"

    def __init__(self):
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        if not interrupts.SUPPORTED:
            return False
        blocks = state.func_ir.blocks
        heads = [label for label in _loops(blocks) if not _is_for(blocks[label])]
        for number, label in enumerate(heads):
            _insert(state.func_ir, blocks[label], 0, f"$poll_{number}")
        node, _ = state.func_id.func.__fwddiff_node__
        catches = _catches(node.function.__code__)
        if heads or catches:
            interrupts.install()  # what is not inlined calls its function
        if catches:
            ends = [b for b in blocks.values() if isinstance(b.body[-1], ir.Return)]
            for number, block in enumerate(ends):
                _insert(state.func_ir, block, len(block.body) - 1, f"$last_poll_{number}")
        return True


def _loops(blocks: dict[int, Any]) -> list[int]:
    return sorted(compute_cfg_from_blocks(blocks).loops())


def _is_for(head: Any) -> bool:
    values = [s.value for s in head.body if isinstance(s, ir.Assign)]
    return any(isinstance(value, ir.Expr) and value.op == "iternext" for value in values)


def _catches(code: Any) -> bool:
    inner = [constant for constant in code.co_consts if hasattr(constant, "co_code")]
    return bool(code.co_exceptiontable) or any(map(_catches, inner))


def _insert(function_ir: Any, block: Any, place: int, name: str) -> None:
    loc = block.body[place].loc
    function, result = (ir.Var(block.scope, f"{name}{suffix}", loc) for suffix in ("_function", ""))
    values = {function: ir.Global("poll", poll, loc), result: ir.Expr.call(function, [], (), loc)}
    for target, value in values.items():
        function_ir._definitions[target.name] = [value]
    block.body[place:place] = [ir.Assign(value, target, loc) for target, value in values.items()]


# --- what a poll is in a kernel -----------------------------------------------------------------------------


def _definition(load: str) -> str:
    return _DEFINITION.format(word=interrupts.WORD, poll=POLL, load=load)


def defined(text: str) -> str:
    """A module's text, with a look at the word wherever it has polls."""
    bare = _DECLARED.sub("", text)
    return text if bare == text else bare + _definition(_LOAD)


_DECLARED = re.compile(rf'^declare i32 @"?{re.escape(POLL)}"?\(\).*\n', re.M)
_FUNCTION = re.compile(r"^define [^\n]*\{\n(.*?)^\}", re.M | re.S)
_BLOCK = re.compile(r'^("[^"]+"|[^\s;:]+):', re.M)
_LABEL = re.compile(r'label %("[^"]+"|[^\s,\]]+)')
_CALL = re.compile(rf'(%[^\s=]+) = (?:tail )?call i32 @"?{re.escape(POLL)}"?\(\)[^\n]*')


def has_loop(text: str) -> bool:
    return any(map(_leads_back, _FUNCTION.findall(text)))


def _leads_back(body: str) -> bool:
    """Whether blocks remain after all that no other leads to have been taken away, again and again."""
    _, *parts = _BLOCK.split(body)
    successors = {name: _LABEL.findall(block) for name, block in zip(parts[::2], parts[1::2], strict=True)}
    while successors:
        entered = {name for names in successors.values() for name in names}
        remaining = {name: names for name, names in successors.items() if name in entered}
        if len(remaining) == len(successors):
            return True
        successors = remaining
    return False


def never(text: str, instead: str = "") -> str:
    """The code with the answers of all polls 0, and `instead` in the place of each."""
    return _CALL.sub(rf"{instead}\n\1 = add i32 0, 0", text)
