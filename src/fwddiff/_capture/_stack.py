"""What one instruction of Python does with names: the stack of its machine, holding names instead of values.

An instruction that is not known counts as a use of everything on the stack as a whole, so a new version of
Python can make the analysis less sharp, never wrong.
"""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Callable, Iterable, Sequence
from types import CodeType
from typing import Any, NamedTuple

from fwddiff._capture._instructions import (
    FAMILIES,
    IDENTITY,
    IDENTITY_CALLS,
    SIMPLE,
    assigned_names,
    instructions,
)

Steps = tuple[str, ...]
ELEMENT = "[]"  # the step from a container to what it contains
IMPORT = "import"  # begins the name of a module that the code imports itself
PACKED = "()"  # the step from a value to a tuple made of it
COMPUTED = "="  # the step from a value to what arithmetic makes of it
APPLIED = "() "  # begins the step from a value to what a function, named after it, makes of it

Path = tuple[str, Steps]  # name of a cell, global or `self`, and the attributes that follow it
Item = frozenset[Path]
UNKNOWN: Item = frozenset()
_MARK: Item = frozenset({("", ())})  # the second slot of a callable on the stack: NULL or a method's `self`
_MARK_FIRST = sys.version_info < (3, 13)
_LONGEST = 8


class Argument(NamedTuple):
    """Where a value goes in a call: by position or keyword, among `count` positional arguments."""

    callees: frozenset[Path]
    place: int | str
    count: int


class Use(NamedTuple):
    """A chain of names and what happens to its value.

    `how`: "scalar" (arithmetic, comparison, truth), "neutral" (returned, stored in a variable that is
    followed, compared with `None`, taken apart), "called", "argument" (see `argument`), "written" (an element
    or attribute of it gets a value), "updated" (by `+=` and the like), "matched" (a class, by `case C():`),
    "whole" (anything else).
    """

    path: Path
    how: str
    argument: Argument | None = None


def parameters(code: CodeType) -> tuple[str, ...]:
    """Names of all parameters, `*rest` and `**keywords` last."""
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    return code.co_varnames[:count]


class Stack:
    """`aliases`: what local variables hold; `stored` collects it for the next pass, `found` the uses,
    `identities` where it matters which object a value is."""

    def __init__(self, code: CodeType, aliases: dict[str, Item]):
        self.code, self.aliases = code, aliases
        self.instructions = instructions(code)
        self.cells = {*code.co_freevars, *code.co_cellvars}
        self.position = {i.offset: k for k, i in enumerate(self.instructions)}
        self.found: dict[Use, None] = {}
        self.computed: dict[Use, None] = {}
        self.identities: dict[tuple[Path, str], None] = {}
        self.stored: dict[str, Item] = {}
        self.stack: list[Item] = []
        self.keywords: tuple[str, ...] = ()
        self.roots = self._unassigned_parameters()

    def _unassigned_parameters(self) -> set[str]:
        assigned = [name for i in self.instructions for name in assigned_names(i)]
        self.once = {name for name in assigned if assigned.count(name) == 1} - set(parameters(self.code))
        return set(parameters(self.code)) - set(assigned)

    def reassigned(self) -> None:
        """A parameter that gets another value is not followed: anything may happen to it."""
        for name in parameters(self.code):
            if name not in self.roots:
                self.found[Use((name, ()), "whole")] = None

    def handler(self, instruction) -> Callable[[Any], None]:
        return getattr(self, _method(instruction.opname))

    # --- the stack ------------------------------------------------------------------------------------------

    def pop(self) -> Item:
        return self.stack.pop() if self.stack else UNKNOWN

    def _take(self, count: int) -> list[Item]:
        return [self.pop() for _ in range(count)][::-1]

    def use(self, items: Iterable[Item], how: str, argument: Argument | None = None) -> None:
        for item in items:
            for path in sorted(item - _MARK):
                if COMPUTED in path[1]:
                    if how != "whole":  # as what is stored in a variable that is not followed
                        self.computed[Use(path, how, argument)] = None
                elif PACKED in path[1]:
                    path = path[0], path[1][: path[1].index(PACKED)]
                    self.found[Use(path, "neutral" if how == "neutral" else "whole")] = None
                else:
                    self.found[Use(path, how, argument)] = None

    def _extended(self, item: Item, step: str) -> Item:
        item = frozenset(p for p in item if len(p[1]) < _LONGEST or COMPUTED not in p[1])
        long = frozenset(path for path in item if len(path[1]) >= _LONGEST)
        self.use([long], "whole")
        return frozenset((name, (*steps, step)) for name, steps in item - long - _MARK)

    def _computed_from(self, *items: Item) -> Item:
        """What arithmetic makes of values: an array of a captured array."""
        found = frozenset(path for item in items for path in item - _MARK if PACKED not in path[1])
        return frozenset((name, steps if COMPUTED in steps else (*steps, COMPUTED)) for name, steps in found)

    def _unknown_instruction(self, instruction) -> None:
        self.use(self.stack, "whole")
        effect = dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
        depth = max(len(self.stack) + effect, 0)
        self.stack = [*self.stack[:depth], *[UNKNOWN] * (depth - len(self.stack))]
        self.stack[-1:] = [UNKNOWN] * len(self.stack[-1:])

    def _simple(self, instruction) -> None:
        count, how, pushes = SIMPLE[instruction.opname]
        items = self._take(count)
        self.use(items, how)
        if instruction.opname in IDENTITY and not self._is_with_constant(instruction):
            self._asked_which(items, IDENTITY[instruction.opname])
        self.stack += [self._computed_from(*items) if how == "scalar" else UNKNOWN] * pushes

    def _is_with_constant(self, instruction) -> bool:
        """`x is None`, `x == "linear"`; less and greater than are no question of identity."""
        before = self.instructions[self.position[instruction.offset] - 1]
        is_order = instruction.opname == "COMPARE_OP" and instruction.argval not in ("==", "!=")
        return is_order or before.opname.startswith(("LOAD_CONST", "LOAD_SMALL_INT"))

    def _asked_which(self, items: Iterable[Item], how: str) -> None:
        for item in items:
            for path in sorted(item - _MARK):
                if {COMPUTED, PACKED}.isdisjoint(path[1]):
                    self.identities[path, how] = None

    def _raise_varargs(self, instruction) -> None:
        self.use(self._take(instruction.arg), "neutral")

    def _drop(self, instruction) -> None:
        self._take(-dis.stack_effect(instruction.opcode, instruction.arg))

    def _nothing(self, instruction) -> None:
        pass

    # --- loads and stores -----------------------------------------------------------------------------------

    def _name(self, name: str) -> Item:
        if name in self.roots:
            return frozenset({(name, ())})
        # What this pass stored already: code without jumps back is done after two passes.
        return self.aliases.get(name, UNKNOWN) | self.stored.get(name, UNKNOWN)

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
        names = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
        # A cell itself goes into a function defined inside, whose own code tells how it is used.
        self.stack += [UNKNOWN if name in self.cells else self._name(name) for name in names]

    def _load_other(self, instruction) -> None:
        if dis.stack_effect(instruction.opcode, instruction.arg) == 1:
            self.stack.append(UNKNOWN)
        else:
            self._unknown_instruction(instruction)

    def _load_attr(self, instruction) -> None:
        self.stack.append(self._extended(self.pop(), instruction.argval))
        if dis.stack_effect(instruction.opcode, instruction.arg) == 1:
            self.stack.append(_MARK)

    _load_method = _load_attr

    def _push_null(self, instruction) -> None:
        self.stack.append(_MARK)

    def _store(self, name: str) -> None:
        item = self.pop()
        if name in self.once:
            self.use([item], "neutral")
            self.stored[name] = self.stored.get(name, UNKNOWN) | item
        else:
            self.use([item], "whole")

    def _store_fast(self, instruction) -> None:
        names = instruction.argval
        for name in names if isinstance(names, tuple) else (names,):
            self._store(name)

    def _store_fast_load_fast(self, instruction) -> None:
        self._store(instruction.argval[0])
        self.stack.append(self._name(instruction.argval[1]))

    def _copy(self, instruction) -> None:
        depth = instruction.arg
        self.stack.append(self.stack[-depth] if depth <= len(self.stack) else UNKNOWN)

    def _swap(self, instruction) -> None:
        depth = instruction.arg
        if depth <= len(self.stack):
            self.stack[-1], self.stack[-depth] = self.stack[-depth], self.stack[-1]

    def _import_name(self, instruction) -> None:
        self.use(self._take(2), "neutral")
        self.stack.append(frozenset({(f"{IMPORT} {instruction.argval}", ())}))

    def _import_from(self, instruction) -> None:
        self.stack.append(self._extended(self.stack[-1] if self.stack else UNKNOWN, instruction.argval))

    def _store_subscr(self, instruction) -> None:
        value, container, index = self._take(3)
        self.use([value, index], "whole")
        self._asked_which([index], "[]")
        self.use([container], "written")

    def _store_slice(self, instruction) -> None:
        value, container, *limits = self._take(4)
        self.use([value, *limits], "whole")
        self.use([container], "written")

    def _store_attr(self, instruction) -> None:
        value, owner = self._take(2)
        self.use([value], "whole")
        self.use([owner], "written")

    def _delete_subscr(self, instruction) -> None:
        container, index = self._take(2)
        self.use([index], "whole")
        self.use([container], "written")

    def _delete_attr(self, instruction) -> None:
        self.use(self._take(1), "written")

    # --- expressions ----------------------------------------------------------------------------------------

    def _binary_op(self, instruction) -> None:
        if instruction.argrepr == "[]":
            self._binary_subscr(instruction)
            return
        left, right = self._take(2)
        self.use([left, right], "whole" if "@" in instruction.argrepr else "scalar")
        if instruction.argrepr.endswith("="):
            self.use([left], "updated")
        computed = self._computed_from(left, right)
        if "@" in instruction.argrepr:
            self.use([computed], "array")
        self.stack.append(UNKNOWN if "@" in instruction.argrepr else computed)

    def _binary_subscr(self, instruction) -> None:
        container, index = self._take(2)
        self.use([index], "whole")
        self._asked_which([index], "[]")
        self._open(container, 1)

    def _binary_slice(self, instruction) -> None:
        container, *limits = self._take(3)
        self.use(limits, "whole")
        self._open(container, 1)

    def _get_iter(self, instruction) -> None:
        self._open(self.pop(), 1)

    def _for_iter(self, instruction) -> None:
        self.stack.append(self.stack[-1] if self.stack else UNKNOWN)

    def _unpack_sequence(self, instruction) -> None:
        self._open(self.pop(), instruction.arg)

    def _open(self, container: Item, count: int) -> None:
        inside = self._extended(container, ELEMENT)
        self.use([inside], "neutral")
        self.stack += [inside] * count

    def _build(self, instruction) -> None:
        count = 1 - dis.stack_effect(instruction.opcode, instruction.arg)
        items = [self._extended(item, PACKED) for item in self._take(count)]
        self.stack.append(frozenset().union(*items))

    def _make(self, instruction) -> None:
        """What it takes goes into a new object; what else waits on the stack is not touched."""
        self.use(self._take(1 - dis.stack_effect(instruction.opcode, instruction.arg)), "whole")
        self.stack.append(UNKNOWN)

    _make_function = _set_function_attribute = _build_slice = _list_to_tuple = _call_function_ex = _make

    def _match_class(self, instruction) -> None:
        subject, cls, names = self._take(3)
        self.use([subject, names], "whole")
        self.use([cls], "matched")
        self.stack.append(UNKNOWN)

    def _list_extend(self, instruction) -> None:
        self.use(self._take(1), "whole")

    # --- calls ----------------------------------------------------------------------------------------------

    def _kw_names(self, instruction) -> None:
        self.keywords = self.code.co_consts[instruction.arg]

    def _call(self, instruction) -> None:
        self._call_with(instruction.arg, self.keywords)
        self.keywords = ()

    def _call_kw(self, instruction) -> None:
        names = self._keywords_before(instruction)
        self.pop()
        self._call_with(instruction.arg, names)

    def _keywords_before(self, instruction) -> tuple[str, ...]:
        constant = self.instructions[self.position[instruction.offset] - 1].argval
        return constant if isinstance(constant, tuple) else ("",) * instruction.arg

    def _call_with(self, total: int, keywords: tuple[str, ...]) -> None:
        arguments = self._take(total)
        first, second = self._take(2)
        callee, leading = (first, []) if second == _MARK else (second, [first] if first != _MARK else [])
        self.use(leading, "whole")
        self.use([callee], "called")
        callee = frozenset(path for path in callee - _MARK if COMPUTED not in path[1])
        for how in IDENTITY_CALLS & {(root, *steps)[-1] for root, steps in callee}:
            self._asked_which(arguments, how)
        count = total - len(keywords)
        for place, item in zip((*range(count), *keywords), arguments, strict=True):
            self.use([item], "argument", Argument(callee, place, count))
        self.stack.append(self._applied(callee, arguments))

    def _applied(self, callee: Item, arguments: Sequence[Item]) -> Item:
        """What a function makes of values that it takes: an array of an array, if it is one of numbers."""
        names = [".".join((root, *steps)) for root, steps in callee]
        items = self._computed_from(*arguments)
        if len(names) != 1 or len(items) > _LONGEST:
            return UNKNOWN
        return self._extended(items, APPLIED + names[0])


@functools.cache
def _method(opname: str) -> str:
    """The name of the method that follows an instruction."""
    own = f"_{opname.lower()}"
    if opname in SIMPLE:
        return "_simple"
    if hasattr(Stack, own):
        return own
    families = (method for prefix, method in FAMILIES if opname.startswith(prefix))
    return next(families, "_unknown_instruction")
