"""Functions that call themselves, before anything else is done with their code: which they are, and what
their calls and returns are by the names of functions of nobody's (`_frames` says what these mean).

    i32 @fwddiff.again(arguments…)     runs the function once more; its status
    @fwddiff.result.k()                 the k-th number that the last run returned
    @fwddiff.returned(numbers…)         what this run returns, ahead of its `ret`

LLVM knows nothing of these and moves none of them across another; but it sees that no memory stands between
a call's results and their uses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import llvmlite.binding as llvm

from fwddiff.engines.numba.language._frames import AGAIN, RESULT, RETURNED, Result, as_loop
from fwddiff.engines.numba.ssa.code import Code, Instruction, Refused, Value, parts_of, read, written
from fwddiff.engines.numba.ssa.function import BYTES

_NAME = r'"?([\w.$-]+)"?'
_DEFINED = re.compile(rf"^define [^@\n]*@{_NAME}\(.*?^\}}$", re.M | re.S)
_CALLED = re.compile(rf"\bcall [^@\n]*@{_NAME}\(")
_ARRAY = re.compile(r"\[(\d+) x (.*)\]$")


def circular(texts: Sequence[str]) -> list[str]:
    """Functions through which all circles of calls go, those that are called before those that call them."""
    bodies = {found.group(1): found.group() for text in texts for found in _DEFINED.finditer(text)}
    calls = {name: set(_CALLED.findall(body)) & set(bodies) for name, body in bodies.items()}
    chosen: list[str] = []
    while found := [name for name in calls if name not in chosen and name in _reached(name, calls, chosen)]:
        chosen.append(min(found, key=lambda name: (name not in calls[name], name)))
    reached = {name: _reached(name, calls, []) & set(chosen) for name in chosen}
    if any(name in reached[other] and other in reached[name] for name in chosen for other in {*chosen} - {name}):
        raise Refused("functions call each other and themselves")
    return sorted(chosen, key=lambda name: len(reached[name]))


def _reached(name: str, calls: dict[str, set[str]], without: Sequence[str]) -> set[str]:
    found: set[str] = set()
    pending = [name]
    while pending:
        new = calls[pending.pop()] - found - set(without)
        found |= new
        pending += new
    return found


def without_recursion(module: Any, name: str, simplify: Callable[[Any], None]) -> Any:
    """The module with a loop for a function that calls itself, and nothing else that is in the module."""
    text = str(module)
    code = read(text, name)
    results = _results(code, name)
    prepared = llvm.parse_assembly(_with_places(code, name, results))
    simplify(prepared)
    loop, outside = as_loop(read(str(prepared), name), name, code.arguments, results)
    kept = _DEFINED.sub(lambda found: loop if found.group(1) == name else found.group(), text)
    missing = [line for callee, line in outside.items() if not _is_declared(callee, text)]
    return llvm.parse_assembly("\n".join([kept, *missing]))


def _is_declared(name: str, text: str) -> bool:
    return re.search(rf'^(?:declare|define) [^@\n]*@"?{re.escape(name)}"?\(', text, re.M) is not None


# --- results ------------------------------------------------------------------------------------------------


def _results(code: Code, name: str) -> list[Result]:
    """What the function returns: the type of the memory that its own calls have for that."""
    rooms = {i.operands[0].text for i in code.instructions if i.callee == name}
    kinds = {_allocated(i) for i in code.instructions if i.result is not None and i.result.text in rooms}
    if len(kinds) != 1:
        raise Refused(f"what {name} returns")
    (whole,) = kinds
    return [Result(kind, place) for kind, place in _numbers(whole, f"{whole}, ptr %s, i32 0")]


def _allocated(i: Instruction) -> str:
    if i.operation != "alloca":
        raise Refused(i.text)
    return parts_of(i.text.split(" alloca ", 1)[1])[0]


def _numbers(kind: str, place: str) -> Iterator[tuple[str, str]]:
    """The numbers of a type, and what leads to each, as `getelementptr` wants it."""
    if found := _ARRAY.match(kind):
        inner = [found.group(2)] * int(found.group(1))
    elif kind.startswith("{"):
        inner = parts_of(kind[1:-1].strip())
    elif kind in BYTES or kind == "ptr":
        yield kind, place
        return
    else:
        raise Refused(f"a result {kind}")
    for k, part in enumerate(inner):
        yield from _numbers(part, f"{place}, i32 {k}")


# --- the function with its calls and returns by these names -------------------------------------------------


def _with_places(code: Code, name: str, results: Sequence[Result]) -> str:
    """Text of a module with the function of its arguments alone."""
    returned, exception, *arguments = code.arguments
    whole = results[0].place.split(", ptr", 1)[0] if results else "i8"
    for block in code.blocks:
        block.body = [line for i in block.body for line in _replaced(i, name, results)]
        if block.end.startswith("ret "):
            block.body += _taken(results, returned)
    code.blocks[0].body[:0] = [
        Instruction("alloca", returned, [], f"{returned.text} = alloca {whole}, align 8"),
        Instruction("alloca", exception, [], f"{exception.text} = alloca ptr, align 8"),
    ]
    kinds = ", ".join(a.type for a in arguments)
    lines = [f'declare i32 @"{AGAIN}"({kinds})']
    lines.append(f'declare void @"{RETURNED}"({", ".join(r.kind for r in results)})')
    lines += [f'declare {r.kind} @"{RESULT}{k}"()' for k, r in enumerate(results)]
    return "\n".join([written(code, f'define i32 @"{name}"({", ".join(map(str, arguments))})'), *lines])


def _replaced(i: Instruction, name: str, results: Sequence[Result]) -> Iterator[Instruction]:
    if i.callee != name:
        yield i
        return
    room, _, *given = i.operands
    assert i.result is not None
    yield _call(i.result, AGAIN, given)
    for k, result in enumerate(results):
        value = Value(result.kind, f'%"{RESULT}{k}.of.{i.result.text.strip("%").strip(chr(34))}"')
        yield _call(value, f"{RESULT}{k}", [])
        yield from _stored(result, value, room)


def _call(result: Value | None, name: str, given: Sequence[Value]) -> Instruction:
    head = "call void" if result is None else f"{result.text} = call {result.type}"
    return Instruction("call", result, list(given), f'{head} @"{name}"({", ".join(map(str, given))})', name)


_places = iter(range(10**9))


def _place(result: Result, room: Value) -> Instruction:
    place = Value("ptr", f'%"fwddiff.place.{next(_places)}"')
    return Instruction("getelementptr", place, [room], f"{place.text} = getelementptr {result.place % room.text}")


def _stored(result: Result, value: Value, room: Value) -> Iterator[Instruction]:
    place = _place(result, room)
    assert place.result is not None
    yield place
    yield Instruction("store", None, [value, place.result], f"store {value}, {place.result}")


def _taken(results: Sequence[Result], room: Value) -> Iterator[Instruction]:
    found = []
    for result in results:
        place = _place(result, room)
        value = Value(result.kind, f'%"fwddiff.value.{next(_places)}"')
        yield place
        yield Instruction("load", value, [], f"{value.text} = load {value.type}, {place.result}")
        found.append(value)
    yield _call(None, RETURNED, found)
