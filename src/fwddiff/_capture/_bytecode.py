"""How the code of a function uses the names it refers to: the stack of Python's machine, run on names instead of values.

`uses(code)` needs no values and no source. An instruction that it does not know counts as a use of everything on the stack
as a whole, so a new version of Python can make it less sharp, never wrong.
"""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType
from typing import Any, NamedTuple

Steps = tuple[str, ...]
ELEMENT = "[]"  # the step from a container to what it contains
PACKED = "()"  # the step from a value to a tuple made of it

_Path = tuple[str, Steps]
_Item = frozenset[_Path]
_UNKNOWN: _Item = frozenset()
_MARK: _Item = frozenset({("", ())})  # the second slot of a callable on the stack: NULL or a method's `self`
_MARK_FIRST = sys.version_info < (3, 13)
_LONGEST = 8
_MOST_PASSES = 6


class Argument(NamedTuple):
    """Where a value goes in a call: by position or keyword, among `count` positional arguments."""

    callees: frozenset[_Path]
    place: int | str
    count: int


class Use(NamedTuple):
    """A chain of names and what happens to its value.

    `how`: "scalar" (arithmetic, comparison, truth), "neutral" (returned, stored in a variable that is followed, compared with
    `None`, taken apart), "called", "argument" (see `argument`), "whole" (anything else).
    """

    path: _Path
    how: str
    argument: Argument | None = None


@functools.lru_cache(maxsize=4096)
def uses(code: CodeType) -> tuple[Use, ...]:
    """All uses in this code, not in functions defined inside of it, in order of appearance."""
    aliases: dict[str, _Item] = {}
    for _ in range(_MOST_PASSES):
        machine = _Machine(code, aliases)
        machine.reassigned()
        machine.run()
        if machine.stored == aliases:
            break
        aliases = machine.stored
    return tuple(machine.found)


def nested_codes(code: CodeType) -> Iterator[CodeType]:
    """Code of functions, lambdas, comprehensions and classes defined inside."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from nested_codes(constant)


def parameters(code: CodeType) -> tuple[str, ...]:
    """Names of all parameters, `*rest` and `**keywords` last."""
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    return code.co_varnames[:count]


class _Machine:
    """One pass over the code. `aliases` tells what local variables hold, `stored` collects it for the next pass."""

    def __init__(self, code: CodeType, aliases: dict[str, _Item]):
        self.code, self.aliases = code, aliases
        self.instructions = list(dis.get_instructions(code))
        self.position = {i.offset: k for k, i in enumerate(self.instructions)}
        self.found: dict[Use, None] = {}
        self.stored: dict[str, _Item] = {}
        self.stack: list[_Item] = []
        self.keywords: tuple[str, ...] = ()
        self.roots = self._unassigned_parameters()

    def _unassigned_parameters(self) -> set[str]:
        assigned = [name for i in self.instructions for name in _assigned_names(i)]
        self.once = {name for name in assigned if assigned.count(name) == 1} - set(parameters(self.code))
        return set(parameters(self.code)) - set(assigned)

    def reassigned(self) -> None:
        """A parameter that gets another value is not followed: anything may happen to it."""
        for name in parameters(self.code):
            if name not in self.roots:
                self.found[Use((name, ()), "whole")] = None

    def run(self) -> None:
        states: dict[int, tuple[_Item, ...]] = {}
        for start in range(len(self.instructions)):
            # What no jump reaches is a handler of exceptions: what lies on the stack there is unknown.
            if start not in states:
                self._follow(start, states)

    def _follow(self, start: int, states: dict[int, tuple[_Item, ...]]) -> None:
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

    def _step(self, instruction, stack: list[_Item], at: int) -> Iterator[tuple[int, tuple[_Item, ...]]]:
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
                self._pop()
            yield at + 1, tuple(self.stack)
            return
        self._handler(instruction)(instruction)
        if not name.startswith(("RETURN_VALUE", "RETURN_CONST", "RAISE", "RERAISE")):
            yield at + 1, tuple(self.stack)

    def _exhausted(self, instruction, stack: list[_Item]) -> list[_Item]:
        effect = dis.stack_effect(instruction.opcode, instruction.arg, jump=True)
        return stack[:effect] if effect < 0 else [*stack, *[_UNKNOWN] * effect]

    def _jump(self, instruction) -> None:
        name = instruction.opname
        if name.endswith("_OR_POP"):
            self._use(self.stack[-1:], "scalar")
        elif "IF" in name:
            self._use([self._pop()], "neutral" if "NONE" in name else "scalar")

    def _handler(self, instruction) -> Callable[[Any], None]:
        name = instruction.opname
        if name in _SIMPLE:
            return self._simple
        own = getattr(self, f"_{name.lower()}", None)
        if own is not None:
            return own
        for prefix, method in _FAMILIES:
            if name.startswith(prefix):
                return getattr(self, method)
        return self._unknown_instruction

    # --- the stack ----------------------------------------------------------------------------------------------------

    def _pop(self) -> _Item:
        return self.stack.pop() if self.stack else _UNKNOWN

    def _take(self, count: int) -> list[_Item]:
        return [self._pop() for _ in range(count)][::-1]

    def _use(self, items: Iterable[_Item], how: str, argument: Argument | None = None) -> None:
        for item in items:
            for path in sorted(item - _MARK):
                if PACKED in path[1]:
                    path = path[0], path[1][: path[1].index(PACKED)]
                    self.found[Use(path, "neutral" if how == "neutral" else "whole")] = None
                else:
                    self.found[Use(path, how, argument)] = None

    def _extended(self, item: _Item, step: str) -> _Item:
        long = frozenset(path for path in item if len(path[1]) >= _LONGEST)
        self._use([long], "whole")
        return frozenset((name, (*steps, step)) for name, steps in item - long - _MARK)

    def _unknown_instruction(self, instruction) -> None:
        self._use(self.stack, "whole")
        effect = dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
        depth = max(len(self.stack) + effect, 0)
        self.stack = [*self.stack[:depth], *[_UNKNOWN] * (depth - len(self.stack))]
        self.stack[-1:] = [_UNKNOWN] * len(self.stack[-1:])

    def _simple(self, instruction) -> None:
        count, how, pushes = _SIMPLE[instruction.opname]
        self._use(self._take(count), how)
        self.stack += [_UNKNOWN] * pushes

    def _raise_varargs(self, instruction) -> None:
        self._use(self._take(instruction.arg), "neutral")

    def _drop(self, instruction) -> None:
        self._take(-dis.stack_effect(instruction.opcode, instruction.arg))

    def _nothing(self, instruction) -> None:
        pass

    # --- loads and stores ---------------------------------------------------------------------------------------------

    def _name(self, name: str) -> _Item:
        if name in self.roots:
            return frozenset({(name, ())})
        return self.aliases.get(name, _UNKNOWN)

    def _load_global(self, instruction) -> None:
        item = frozenset({(instruction.argval, ())})
        if dis.stack_effect(instruction.opcode, instruction.arg) == 2:
            self.stack += [_MARK, item] if _MARK_FIRST else [item, _MARK]
        else:
            self.stack.append(item)

    def _load_name(self, instruction) -> None:
        self.stack.append(frozenset({(instruction.argval, ())}))

    def _load_deref(self, instruction) -> None:
        outer = instruction.argval in self.code.co_freevars
        self.stack.append(frozenset({(instruction.argval, ())}) if outer else self._name(instruction.argval))

    def _load_fast(self, instruction) -> None:
        cells = (*self.code.co_freevars, *self.code.co_cellvars)
        names = (
            instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
        )
        # A cell itself goes into a function defined inside, whose own code tells how it is used.
        self.stack += [_UNKNOWN if name in cells else self._name(name) for name in names]

    def _load_other(self, instruction) -> None:
        if dis.stack_effect(instruction.opcode, instruction.arg) == 1:
            self.stack.append(_UNKNOWN)
        else:
            self._unknown_instruction(instruction)

    def _load_attr(self, instruction) -> None:
        self.stack.append(self._extended(self._pop(), instruction.argval))
        if dis.stack_effect(instruction.opcode, instruction.arg) == 1:
            self.stack.append(_MARK)

    _load_method = _load_attr

    def _push_null(self, instruction) -> None:
        self.stack.append(_MARK)

    def _store(self, name: str) -> None:
        item = self._pop()
        if name in self.once:
            self._use([item], "neutral")
            self.stored[name] = self.stored.get(name, _UNKNOWN) | item
        else:
            self._use([item], "whole")

    def _store_fast(self, instruction) -> None:
        names = instruction.argval
        for name in names if isinstance(names, tuple) else (names,):
            self._store(name)

    def _store_fast_load_fast(self, instruction) -> None:
        self._store(instruction.argval[0])
        self.stack.append(self._name(instruction.argval[1]))

    def _copy(self, instruction) -> None:
        depth = instruction.arg
        self.stack.append(self.stack[-depth] if depth <= len(self.stack) else _UNKNOWN)

    def _swap(self, instruction) -> None:
        depth = instruction.arg
        if depth <= len(self.stack):
            self.stack[-1], self.stack[-depth] = self.stack[-depth], self.stack[-1]

    # --- expressions --------------------------------------------------------------------------------------------------

    def _binary_op(self, instruction) -> None:
        if instruction.argrepr == "[]":
            self._binary_subscr(instruction)
            return
        self._use(self._take(2), "whole" if "@" in instruction.argrepr else "scalar")
        self.stack.append(_UNKNOWN)

    def _binary_subscr(self, instruction) -> None:
        container, index = self._take(2)
        self._use([index], "whole")
        self._open(container, 1)

    def _binary_slice(self, instruction) -> None:
        container, *limits = self._take(3)
        self._use(limits, "whole")
        self._open(container, 1)

    def _get_iter(self, instruction) -> None:
        self._open(self._pop(), 1)

    def _for_iter(self, instruction) -> None:
        self.stack.append(self.stack[-1] if self.stack else _UNKNOWN)

    def _unpack_sequence(self, instruction) -> None:
        self._open(self._pop(), instruction.arg)

    def _open(self, container: _Item, count: int) -> None:
        inside = self._extended(container, ELEMENT)
        self._use([inside], "neutral")
        self.stack += [inside] * count

    def _build(self, instruction) -> None:
        count = 1 - dis.stack_effect(instruction.opcode, instruction.arg)
        items = [self._extended(item, PACKED) for item in self._take(count)]
        self.stack.append(frozenset().union(*items))

    # --- calls --------------------------------------------------------------------------------------------------------

    def _kw_names(self, instruction) -> None:
        self.keywords = self.code.co_consts[instruction.arg]

    def _call(self, instruction) -> None:
        self._call_with(instruction.arg, self.keywords)
        self.keywords = ()

    def _call_kw(self, instruction) -> None:
        names = self._keywords_before(instruction)
        self._pop()
        self._call_with(instruction.arg, names)

    def _keywords_before(self, instruction) -> tuple[str, ...]:
        constant = self.instructions[self.position[instruction.offset] - 1].argval
        return constant if isinstance(constant, tuple) else ("",) * instruction.arg

    def _call_with(self, total: int, keywords: tuple[str, ...]) -> None:
        arguments = self._take(total)
        first, second = self._take(2)
        callee, leading = (first, []) if second == _MARK else (second, [first] if first != _MARK else [])
        self._use(leading, "whole")
        self._use([callee], "called")
        count = total - len(keywords)
        for place, item in zip((*range(count), *keywords), arguments, strict=True):
            self._use([item], "argument", Argument(callee - _MARK, place, count))
        self.stack.append(_UNKNOWN)


def _merge(one: tuple[_Item, ...], other: tuple[_Item, ...]) -> tuple[_Item, ...]:
    depth = min(len(one), len(other))
    pairs = zip(one[len(one) - depth :], other[len(other) - depth :], strict=True)
    return tuple(a | b for a, b in pairs)


def _assigned_names(instruction) -> tuple[str, ...]:
    name, value = instruction.opname, instruction.argval
    if name in ("STORE_FAST_LOAD_FAST", "STORE_FAST_MAYBE_NULL"):
        return (value[0],) if isinstance(value, tuple) else (value,)
    if name.startswith(("STORE_FAST", "STORE_DEREF", "DELETE_FAST", "LOAD_FAST_AND_CLEAR")):
        return value if isinstance(value, tuple) else (value,)
    return ()


# Instructions that take so many values, for one use, and push so many that are new.
_SIMPLE = {
    "COMPARE_OP": (2, "scalar", 1),
    "CONTAINS_OP": (2, "whole", 1),
    "IS_OP": (2, "neutral", 1),
    "UNARY_POSITIVE": (1, "scalar", 1),
    "UNARY_NEGATIVE": (1, "scalar", 1),
    "UNARY_NOT": (1, "scalar", 1),
    "UNARY_INVERT": (1, "scalar", 1),
    "TO_BOOL": (1, "scalar", 1),
    "RETURN_VALUE": (1, "neutral", 0),
    "POP_EXCEPT": (1, "neutral", 0),
    "STORE_SUBSCR": (3, "whole", 0),
    "STORE_SLICE": (4, "whole", 0),
    "STORE_ATTR": (2, "whole", 0),
    "STORE_DEREF": (1, "whole", 0),
    "STORE_GLOBAL": (1, "whole", 0),
    "STORE_NAME": (1, "whole", 0),
    "LIST_APPEND": (1, "whole", 0),
    "SET_ADD": (1, "whole", 0),
    "MAP_ADD": (2, "whole", 0),
}

# Instructions by the beginning of their names; the first that fits counts.
_FAMILIES = (
    ("BUILD_SLICE", "_unknown_instruction"),
    ("BUILD_", "_build"),
    ("LOAD_CLASSDEREF", "_load_deref"),
    ("LOAD_FAST_AND_CLEAR", "_load_other"),
    ("LOAD_FAST", "_load_fast"),
    ("LOAD_CLOSURE", "_load_other"),
    ("LOAD_", "_load_other"),
    ("STORE_FAST", "_store_fast"),
    ("POP_TOP", "_drop"),
    ("POP_ITER", "_drop"),
    ("END_FOR", "_drop"),
    *[
        (name, "_nothing")
        for name in ("RESUME", "NOP", "CACHE", "PRECALL", "EXTENDED_ARG", "MAKE_CELL", "COPY_FREE_VARS", "NOT_TAKEN")
    ],
)
