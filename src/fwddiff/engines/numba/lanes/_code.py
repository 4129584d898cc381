"""LLVM's code of one scalar function, as data."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Literal

import llvmlite.binding as llvm

from fwddiff.engines.numba import polls
from fwddiff.engines.numba.ssa import code
from fwddiff.engines.numba.ssa.function import new_pass_builder

# Instructions that do more than give a value.
_ACTING = ("store", "call", "invoke", "fence", "atomicrmw", "cmpxchg")
BITS = {"double": 64, "float": 32, "i64": 64, "i32": 32, "i16": 16, "i8": 8, "i1": 1}


MARK = "fwddiff.look"  # a poll


class Refused(Exception):
    """The function holds something that is not done side by side; the text says what."""


@dataclasses.dataclass(frozen=True)
class Operand:
    """`text` is a constant as LLVM writes it, or the name of a value or function."""

    kind: Literal["constant", "value", "function"]
    type: str
    text: str


@dataclasses.dataclass
class Instruction:
    """`flags` stand between the operation and its first type: "nsz ", "olt ". `incoming` are a phi's
    blocks."""

    name: str
    operation: str
    type: str
    flags: str
    operands: list[Operand]
    incoming: list[str]
    text: str


@dataclasses.dataclass
class Block:
    name: str
    phis: list[Instruction]
    body: list[Instruction]
    successors: list[str]
    predecessors: list[str]
    condition: Operand | None = None
    returned: Operand | None = None

    @property
    def instructions(self) -> list[Instruction]:
        return [*self.phis, *self.body]

    @property
    def ends(self) -> list[Operand]:
        """What the block's last instruction reads."""
        return [operand for operand in (self.condition, self.returned) if operand is not None]

    @property
    def operands(self) -> list[Operand]:
        """All that the block reads."""
        return [operand for i in self.instructions for operand in i.operands] + self.ends


@dataclasses.dataclass
class Code:
    """`arguments` are names and types. `loops`: whether any block leads back."""

    blocks: dict[str, Block]
    arguments: list[tuple[str, str]]
    loops: bool


def read(text: str, name: str) -> Code:
    """The function `name` of a module; every loop has one entry and one way back, and is left to blocks of
    its own. Polls are calls without a result, which lead nowhere. Raises `Refused`."""
    marked = polls.never(text, f"call void @{MARK}()")
    is_polled = marked != text
    try:
        found = code.read(_normalised(marked, is_polled), name)
    except code.Refused as reason:
        raise Refused(str(reason)) from reason
    blocks = {block.name: _block(block) for block in found.blocks}
    for block in blocks.values():
        for successor in block.successors:
            blocks[successor].predecessors.append(block.name)
    arguments = [(_bare(argument.text), argument.type) for argument in found.arguments]
    _drop_descriptions(blocks, exception=arguments[1][0])
    return Code(blocks, arguments, _has_loop(blocks))


def _drop_descriptions(blocks: dict[str, Block], exception: str) -> None:
    """Takes the descriptions of exceptions away, and what only they need: the call is repeated to raise
    them.

    Where several places raise, LLVM chooses among their descriptions by values that are no numbers.
    """
    for block in blocks.values():
        block.body = [i for i in block.body if i.operation != "store" or i.operands[1].text != exception]
    made = {i.name: i for block in blocks.values() for i in block.instructions if i.name}
    pending = [operand.text for block in blocks.values() for operand in block.ends]
    pending += [o.text for i in made.values() if i.operation in _ACTING for o in (*i.operands, _named(i))]
    pending += [o.text for block in blocks.values() for i in block.body if not i.name for o in i.operands]
    needed: set[str] = set()
    while pending:
        name = pending.pop()
        if name in made and name not in needed:
            needed.add(name)
            pending += [operand.text for operand in made[name].operands]
    for block in blocks.values():
        block.phis = [i for i in block.phis if i.name in needed]
        block.body = [i for i in block.body if not i.name or i.name in needed]


def _named(instruction: Instruction) -> Operand:
    return Operand("value", instruction.type, instruction.name)


def _has_loop(blocks: dict[str, Block]) -> bool:
    """Whether blocks remain after all that no other leads to have been taken away, again and again."""
    ahead = {name: len(block.predecessors) for name, block in blocks.items()}
    free = [name for name, count in ahead.items() if count == 0]
    taken = 0
    while free:
        taken += 1
        for successor in blocks[free.pop()].successors:
            ahead[successor] -= 1
            if ahead[successor] == 0:
                free.append(successor)
    return taken < len(blocks)


def _normalised(text: str, is_polled: bool) -> str:
    module = llvm.parse_assembly(text + f"\ndeclare void @{MARK}() nounwind\n" * is_polled)
    passes = llvm.create_new_module_pass_manager()
    if is_polled:
        _add_folding(passes)
    passes.add_lower_switch_pass()
    passes.add_loop_simplify_pass()
    passes.add_instruction_namer_pass()
    passes.run(module, new_pass_builder())
    return str(module)


def _add_folding(passes: Any) -> None:
    """Branches on constants are taken away."""
    passes.add_sccp_pass()
    passes.add_simplify_cfg_pass()


def _block(given: code.Block) -> Block:
    if given.end == "unreachable":
        raise Refused("code that is never reached")
    block = Block(given.name, list(map(_instruction, given.phis)), [], given.successors, [])
    block.body = list(map(_instruction, given.body))
    operation, _, rest = given.end.partition(" ")
    if operation == "ret":
        block.returned = _operand(code.value(rest))
    elif rest.startswith("i1 "):
        block.condition = _operand(code.value(rest.split(", label", 1)[0]))
    return block


def _instruction(given: code.Instruction) -> Instruction:
    operands, flags = [_operand(o) for o in given.operands], ""
    if given.callee:
        operands.append(Operand("function", "ptr", given.callee))
    elif given.operands:
        flags = _flags(given.operation, given.operands[0].type, given.text)
    name, kind = ("", "void") if given.result is None else (_bare(given.result.text), given.result.type)
    return Instruction(name, given.operation, kind, flags, operands, list(given.incoming), given.text)


def _flags(operation: str, kind: str, text: str) -> str:
    """What stands between an operation and its first type: mostly nothing."""
    if f"= {operation} {kind} " in text:
        return ""
    found = re.search(rf"(?:^|= ){operation} ([a-z ]*?){re.escape(kind)} ", text)
    return found.group(1) if found else ""


def _operand(given: code.Value) -> Operand:
    if given.is_name:
        return Operand("value", given.type, _bare(given.text))
    return Operand("constant", given.type, given.text)


def _bare(text: str) -> str:
    return text[1:].strip('"')
