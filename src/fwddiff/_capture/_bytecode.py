"""How the code of a function uses the names it refers to: no values and no source needed."""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterator
from types import CodeType, FunctionType

from fwddiff._capture._instructions import instructions
from fwddiff._capture._stack import UNKNOWN, Item, Path, Stack, Use

_MOST_PASSES = 6


@functools.lru_cache(maxsize=4096)
def uses(code: CodeType) -> tuple[Use, ...]:
    """All uses in this code, not in functions defined inside of it, in order of appearance."""
    return tuple(_followed(code).found)


@functools.lru_cache(maxsize=4096)
def uses_of_computed(code: CodeType) -> tuple[Use, ...]:
    """Where an array is asked of what arithmetic made of a value: `(y * x).sum()`. The path is that of the
    value, then `COMPUTED`, the functions applied, and attributes."""
    return tuple(_followed(code).computed)


@functools.lru_cache(maxsize=4096)
def identities(code: CodeType) -> tuple[tuple[Path, str], ...]:
    """Values of which the code asks which object they are, and how (see `IDENTITY`)."""
    return tuple(_followed(code).identities)


@functools.lru_cache(maxsize=64)
def _followed(code: CodeType) -> _Machine:
    aliases: dict[str, Item] = {}
    for _ in range(_MOST_PASSES):
        machine = _Machine(code, aliases)
        machine.reassigned()
        machine.run()
        if machine.stored == aliases:
            break
        aliases = machine.stored
    return machine


def nested_codes(code: CodeType) -> Iterator[CodeType]:
    """Code of functions, lambdas, comprehensions and classes defined inside."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from nested_codes(constant)


def has_handler(function: FunctionType) -> bool:
    """Whether exceptions are caught or looked at in this function (`with` does so too)."""
    return any(map(catches, (function.__code__, *nested_codes(function.__code__))))


def catches(code: CodeType) -> bool:
    """Whether exceptions are caught or looked at in this code. (From Python 3.12 on, comprehensions have a
    table of exceptions too, to put a variable back.)"""
    table = code.co_exceptiontable  # without one, nothing is read
    return bool(table) and any(i.opname == "PUSH_EXC_INFO" for i in instructions(code))


class _Machine(Stack):
    """One pass over the code, along all its jumps."""

    def run(self) -> None:
        states: dict[int, tuple[Item, ...]] = {}
        for start in range(len(self.instructions)):
            # What no jump reaches is a handler of exceptions: what lies on the stack there is unknown.
            if start not in states:
                self._follow(start, states)

    def _follow(self, start: int, states: dict[int, tuple[Item, ...]]) -> None:
        states[start] = ()
        pending = [start]
        while pending:
            at = pending.pop()
            instruction = self.instructions[at]
            for target, after in self._step(instruction, list(states[at]), at):
                merged = after if target not in states else _merge(states[target], after)
                if target < len(self.instructions) and merged != states.get(target):
                    states[target] = merged
                    pending.append(target)

    def _step(self, instruction, stack: list[Item], at: int) -> Iterator[tuple[int, tuple[Item, ...]]]:
        name = instruction.opname
        self.stack = stack
        if name == "FOR_ITER" or name == "SEND":
            yield self.position[instruction.argval], tuple(self._exhausted(instruction, stack))
        elif "JUMP" in name:
            self._jump(instruction)
            yield self.position[instruction.argval], tuple(self.stack)
            if "IF" not in name:
                return
            if name.endswith("_OR_POP"):
                self.pop()
            yield at + 1, tuple(self.stack)
            return
        self.handler(instruction)(instruction)
        if not name.startswith(("RETURN_VALUE", "RETURN_CONST", "RAISE", "RERAISE")):
            yield at + 1, tuple(self.stack)

    def _exhausted(self, instruction, stack: list[Item]) -> list[Item]:
        effect = dis.stack_effect(instruction.opcode, instruction.arg, jump=True)
        return stack[:effect] if effect < 0 else [*stack, *[UNKNOWN] * effect]

    def _jump(self, instruction) -> None:
        name = instruction.opname
        if name.endswith("_OR_POP"):
            self.use(self.stack[-1:], "scalar")
        elif "IF" in name:
            self.use([self.pop()], "neutral" if "NONE" in name else "scalar")


def _merge(one: tuple[Item, ...], other: tuple[Item, ...]) -> tuple[Item, ...]:
    depth = min(len(one), len(other))
    pairs = zip(one[len(one) - depth :], other[len(other) - depth :], strict=True)
    return tuple(a | b for a, b in pairs)
