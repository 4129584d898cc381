"""LLVM's code of one function of numbers, as data: static single assignment, so every value has one definition.

Numba's front end compiles the user's function on plain floats; what is read here is that code, inlined into
one function and simplified. It returns by calling `fwddiff.return(outputs…)`, in one place or several, so that
no memory stands between the results and their partials.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any, NamedTuple

import llvmlite.binding as llvm

RETURN = "fwddiff.return"
FLOATS = ("double", "float")
_ATTACHED = re.compile(r"(, ![\w.]+ ![\w.]+)+$| #\d+(?=$|,)")
_CALLEE = re.compile(r'call [^@]*@("[^"]*"|[\w.$-]+)\(')


_VECTOR = re.compile(r"<(\d+) x (\w+)>$")


def is_float(kind: str) -> bool:
    """Whether values of this type are floats, or vectors of them: partials are vectors in wide code."""
    return kind in FLOATS or (kind[0] == "<" and element(kind) in FLOATS)


@functools.cache
def element(kind: str) -> str:
    """The type of a vector's lanes; of a number, its own."""
    found = _VECTOR.match(kind)
    return found.group(2) if found else kind


@functools.cache
def lanes(kind: str) -> int:
    """How many a vector has; 1 for a number."""
    found = _VECTOR.match(kind)
    return int(found.group(1)) if found else 1


def vector(kind: str, count: int) -> str:
    return f"<{count} x {kind}>"


class Refused(Exception):
    """The function holds something that this engine does not do; the text says what."""


class Value(NamedTuple):
    """`text` is as LLVM writes it: a constant, or the name of what an instruction made."""

    type: str
    text: str

    @property
    def is_name(self) -> bool:
        return self.text.startswith("%")

    def __str__(self) -> str:
        return f"{self.type} {self.text}"


@dataclasses.dataclass
class Instruction:
    """`result` is `None` where there is none; `callee` is empty but for calls; `incoming` are a phi's blocks,
    one for each operand."""

    operation: str
    result: Value | None
    operands: list[Value]
    text: str
    callee: str = ""
    incoming: tuple[str, ...] = ()


@dataclasses.dataclass
class Block:
    name: str
    phis: list[Instruction]
    body: list[Instruction]
    end: str
    successors: list[str]


@dataclasses.dataclass
class Code:
    """`outside` are the declarations and constants of the module that the function may refer to, by name."""

    arguments: list[Value]
    blocks: list[Block]
    outside: dict[str, str]

    @property
    def instructions(self) -> list[Instruction]:
        return [i for block in self.blocks for i in (*block.phis, *block.body)]


def name_of(text: str) -> str:
    """A local value's name as this package writes it: always in quotes."""
    if '"' in text or "\\" in text:
        raise Refused(f"a value named {text}")
    return f'%"{text}"'


def read(module: llvm.ModuleRef, symbol: str) -> Code:
    """The function `symbol` of a module whose values all have names and whose switches are branches."""
    function = module.get_function(symbol)
    outside = {f.name: _without_attributes(str(f)) for f in module.functions if f.is_declaration}
    outside |= {g.name: _plain(str(g).strip()) for g in module.global_variables}
    arguments = [Value(str(a.type), name_of(a.name)) for a in function.arguments]
    return Code(arguments, _ordered([_block(block) for block in function.blocks]), outside)


def _ordered(blocks: list[Block]) -> list[Block]:
    """In reverse postorder: but for phis, everything is defined before it is used."""
    by_name = {block.name: block for block in blocks}
    seen, finished = {blocks[0].name}, []
    stack = [(blocks[0], iter(blocks[0].successors))]
    while stack:
        block, successors = stack[-1]
        following = next((s for s in successors if s not in seen), None)
        if following is None:
            finished.append(stack.pop()[0])
        else:
            seen.add(following)
            stack.append((by_name[following], iter(by_name[following].successors)))
    return finished[::-1]


def _without_attributes(text: str) -> str:
    """A declaration of its own, for a module that has other groups of attributes."""
    (line,) = (part for part in text.splitlines() if part.startswith("declare "))
    return re.sub(r" #\d+$", "", line)


def _plain(text: str) -> str:
    return _ATTACHED.sub("", text)


def _block(given: Any) -> Block:
    block = Block(given.name, [], [], "", [])
    for instruction in given.instructions:
        operation = instruction.opcode
        if operation in ("br", "ret"):
            block.end = _plain(str(instruction).strip())
            block.successors = _targets(instruction) if operation == "br" else []
        elif operation == "unreachable":
            block.end = "unreachable"
        elif operation in ("switch", "indirectbr", "invoke", "callbr", "resume"):
            raise Refused(str(instruction).strip())
        else:
            (block.phis if operation == "phi" else block.body).append(_instruction(instruction, operation))
    return block


def _targets(branch: Any) -> list[str]:
    """LLVM lists the operands of a conditional branch from the last to the first."""
    return [o.name for o in branch.operands if str(o.type) == "label"][::-1]


def _instruction(given: Any, operation: str) -> Instruction:
    text, kind = _plain(str(given).strip()), str(given.type)
    if "inttoptr" in text:  # means nothing in another process, and nobody knows what is there
        raise Refused(text)
    operands = list(given.operands)
    callee = ""
    if operation == "call":
        found = _CALLEE.search(text)
        if found is None:
            raise Refused(text)
        callee = found.group(1).strip('"')
        operands = operands[:-1]
    incoming = tuple(block.name for block in given.incoming_blocks) if operation == "phi" else ()
    result = None if kind == "void" else Value(kind, name_of(given.name))
    return Instruction(operation, result, [_value(o) for o in operands], text, callee, incoming)


def _value(given: Any) -> Value:
    kind = str(given.type)
    if given.is_constant or kind == "metadata":
        return Value(kind, str(given).removeprefix(f"{kind} ") if not given.is_global else f'@"{given.name}"')
    return Value(kind, name_of(given.name))
