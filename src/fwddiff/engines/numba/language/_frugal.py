"""Less memory: small arrays of known size lie on the stack (and become values, where their elements have
known numbers), and references that are counted up and down again are not counted."""

from __future__ import annotations

from collections.abc import Sequence

from fwddiff.engines.numba.ssa.code import Block, Code, Instruction, Value, read
from fwddiff.engines.numba.ssa.functions import ALLOCATE, FORGET, KEEP, RELEASE, RETAIN, memory_function

LARGEST_ON_STACK = 1024  # bytes on the stack, of one array: derivatives have a multiple of it
_STEPS = ("getelementptr", "select", "freeze")
_LOOKS = ("icmp", "load", "ptrtoint")


def frugal(text: str, symbol: str) -> str:
    """The module with less memory in its function."""
    if f"@{ALLOCATE}(" not in text and f"@{KEEP}(" not in text:
        return text
    code = read(text, symbol)
    make_frugal(code)
    lines = [line for block in code.blocks for line in _lines(block)]
    listing = ", ".join(map(str, code.arguments))
    body, outside = "\n".join(lines), "\n".join(code.outside.values())
    return f"define i32 @{symbol}({listing}) {{\n{body}\n}}\n{outside}\n"


def make_frugal(code: Code) -> None:
    """Take this memory out of code that is changed."""
    for block in code.blocks:
        block.body = _uncounted(block.body)
    _on_stack(code)


def _lines(block: Block) -> list[str]:
    return [f'"{block.name}":', *[f"  {i.text}" for i in (*block.phis, *block.body)], f"  {block.end}"]


# --- counting -----------------------------------------------------------------------------------------------


def _uncounted(body: Sequence[Instruction]) -> list[Instruction]:
    """Without pairs of retain and release between which nothing is released: memory that is there before them
    stays there. Null is not counted at all."""
    kept: list[Instruction | None] = []
    open_pairs: list[int] = []  # places of retains since the last release that has no partner
    for i in body:
        if i.callee in (RETAIN, RELEASE) and i.operands[0].text == "null":
            continue
        kept.append(i)
        if i.callee == RETAIN:
            open_pairs.append(len(kept) - 1)
        elif i.callee == RELEASE:
            _pair(kept, open_pairs)
    return [i for i in kept if i is not None]


def _pair(kept: list[Instruction | None], open_pairs: list[int]) -> None:
    released = kept[-1]
    assert released is not None
    for n in reversed(range(len(open_pairs))):
        retained = kept[open_pairs[n]]
        if retained is not None and retained.operands[0] == released.operands[0]:
            kept[open_pairs.pop(n)] = None
            kept.pop()
            return
    open_pairs.clear()


# --- the stack ----------------------------------------------------------------------------------------------


def _on_stack(code: Code) -> None:
    """Memory of an allocation that no phi carries on is dead when the allocation is made again, so that one
    place serves for all turns of a loop."""
    users: dict[str, list[Instruction]] = {}
    for i in code.instructions:
        for operand in i.operands:
            users.setdefault(operand.text, []).append(i)
    for block in code.blocks:
        for i in list(block.body):
            if i.callee in (ALLOCATE, KEEP) and i.result is not None and _fits(i.operands[0]):
                found = _counts(i.result, users)
                if found is not None:
                    _move(code, i, found)
    if not any(i.callee == KEEP for i in code.instructions):
        for block in code.blocks:
            block.body = [i for i in block.body if i.callee != FORGET]


def _fits(size: Value) -> bool:
    return not size.is_name and 0 < int(size.text) <= LARGEST_ON_STACK


def _counts(pointer: Value, users: dict[str, list[Instruction]]) -> list[Instruction] | None:
    """The retains and releases of an allocation; `None` where it may be used after its name has another
    meaning."""
    found: list[Instruction] = []
    pending, met = [pointer.text], {pointer.text}
    while pending:
        name = pending.pop()
        for i in users.get(name, ()):
            if i.operation in _STEPS and i.result is not None and i.result.type == "ptr":
                if i.result.text not in met:
                    met.add(i.result.text)
                    pending.append(i.result.text)
            elif i.callee in (RETAIN, RELEASE):
                if i.operands[0] != pointer:
                    return None
                found.append(i)
            elif (i.operation == "store" and i.operands[0].text == name) or not _is_harmless(i):
                return None
    return found


def _is_harmless(i: Instruction) -> bool:
    return i.operation in (*_LOOKS, "store") or memory_function(i.callee) is not None


def _move(code: Code, allocation: Instruction, counts: Sequence[Instruction]) -> None:
    result, size = allocation.result, allocation.operands[0]
    assert result is not None
    dropped = [allocation, *counts]
    for other in code.blocks:
        other.body = [i for i in other.body if not any(i is d for d in dropped)]
    place = Instruction("alloca", result, [], f"{result.text} = alloca [{size.text} x i8], align 16")
    code.blocks[0].body.insert(0, place)
