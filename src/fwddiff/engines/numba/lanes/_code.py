"""LLVM's code of one scalar function, as data."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Literal

import llvmlite.binding as llvm

from fwddiff.engines.numba import polls

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
    module = llvm.parse_assembly(marked + f"\ndeclare void @{MARK}() nounwind\n" * is_polled)
    _normalise(module, is_polled)
    function = module.get_function(name)
    blocks = {block.name: _block(block) for block in function.blocks}
    for block in blocks.values():
        for successor in block.successors:
            blocks[successor].predecessors.append(block.name)
    arguments = [(argument.name, str(argument.type)) for argument in function.arguments]
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


def without_polls(text: str) -> str:
    """The module without polls, and without what followed where they told of a Ctrl-C."""
    module = llvm.parse_assembly(polls.never(text))
    passes = llvm.create_new_module_pass_manager()
    _add_folding(passes)
    _run(passes, module)
    return str(module)


def _normalise(module: llvm.ModuleRef, is_polled: bool) -> None:
    passes = llvm.create_new_module_pass_manager()
    if is_polled:
        _add_folding(passes)
    passes.add_lower_switch_pass()
    passes.add_loop_simplify_pass()
    passes.add_instruction_namer_pass()
    _run(passes, module)


def _add_folding(passes: Any) -> None:
    """Branches on constants are taken away."""
    passes.add_sccp_pass()
    passes.add_simplify_cfg_pass()


def _run(passes: Any, module: llvm.ModuleRef) -> None:
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))


def _block(given: Any) -> Block:
    block = Block(given.name, [], [], [], [])
    for instruction in given.instructions:
        operation, operands = instruction.opcode, list(instruction.operands)
        if operation == "br":
            # LLVM lists the operands of a conditional branch from the last to the first.
            block.successors = [operand.name for operand in operands if str(operand.type) == "label"][::-1]
            block.condition = _operand(operands[0]) if len(operands) == 3 else None
        elif operation == "ret":
            block.returned = _operand(operands[0])
        elif operation == "unreachable":
            raise Refused("code that is never reached")
        else:
            (block.phis if operation == "phi" else block.body).append(_instruction(instruction))
    return block


def _instruction(given: Any) -> Instruction:
    operation, text = given.opcode, str(given).strip()
    operands = [_operand(operand) for operand in given.operands]
    flags = ""
    if operands and (
        match := re.search(rf"= {operation} ([a-z ]*?){re.escape(operands[0].type)} ", f" {text}")
    ):
        flags = match.group(1)
    incoming = [block.name for block in given.incoming_blocks] if operation == "phi" else []
    return Instruction(given.name, operation, str(given.type), flags, operands, incoming, text)


def _operand(given: Any) -> Operand:
    kind = str(given.type)
    if given.value_kind.name == "function":
        return Operand("function", kind, given.name)
    if given.is_constant:
        return Operand("constant", kind, str(given).removeprefix(f"{kind} "))
    return Operand("value", kind, given.name)
