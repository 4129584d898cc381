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

from fwddiff.engines.numba.language._frames import RESULT, RETURNED, Result, as_loop, thrown
from fwddiff.engines.numba.language._turns import AGAIN
from fwddiff.engines.numba.ssa.code import Code, Instruction, Refused, Value, parts_of, read
from fwddiff.engines.numba.ssa.function import BYTES
from fwddiff.engines.numba.ssa.writer import Writer

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
    if any(
        name in reached[other] and other in reached[name] for name in chosen for other in {*chosen} - {name}
    ):
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
    prepared = llvm.parse_assembly(_renamed(code, name, results))
    simplify(prepared)
    loop, outside = as_loop(read(str(prepared), name), name, code.arguments, results)
    kept = _DEFINED.sub(lambda found: loop if found.group(1) == name else found.group(), text)
    missing = [line for callee, line in outside.items() if not _is_declared(callee, text)]
    return llvm.parse_assembly("\n".join([kept, *missing]))


def _is_declared(name: str, text: str) -> bool:
    return re.search(rf'^(?:(?:declare|define) [^@\n]*)?@"?{re.escape(name)}"?[( ]', text, re.M) is not None


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


def _renamed(code: Code, name: str, results: Sequence[Result]) -> str:
    """Text of a module with the function of its arguments alone."""
    w = Writer(code.outside)
    returned, exception, *arguments = code.arguments
    for k, block in enumerate(code.blocks):
        w.label(block.name)
        if k == 0:
            whole = results[0].place.split(", ptr", 1)[0] if results else "i8"
            w.line(f"{returned.text} = alloca {whole}, align 8")
            w.line(f"{exception.text} = alloca ptr, align 8")
        for i in (*block.phis, *block.body):
            if i.callee == name:
                _call(w, i, results)
            else:
                w.line(i.text)
        if block.end.startswith("ret "):
            numbers = [w.assign(r.kind, f"load {r.kind}, {_place(w, r, returned)}") for r in results]
            w.line(f'call void @"{RETURNED}"({", ".join(map(str, numbers))})')
        w.line(block.end)
    w.outside[AGAIN] = f'declare i32 @"{AGAIN}"({", ".join(a.type for a in arguments)})'
    w.outside[RETURNED] = f'declare void @"{RETURNED}"({", ".join(r.kind for r in results)})'
    head = f'define i32 @"{name}"({", ".join(map(str, arguments))}) {{'
    return "\n".join([head, *w.lines, "}", *w.outside.values()])


def _call(w: Writer, i: Instruction, results: Sequence[Result]) -> None:
    room, exception, *given = i.operands
    assert i.result is not None
    w.line(f'{i.result.text} = call i32 @"{AGAIN}"({", ".join(map(str, given))})')
    w.line(f"store {thrown(w, i.result)}, {exception}")
    for k, result in enumerate(results):
        w.outside[f"{RESULT}{k}"] = f'declare {result.kind} @"{RESULT}{k}"()'
        value = w.assign(result.kind, f'call {result.kind} @"{RESULT}{k}"()')
        w.line(f"store {value}, {_place(w, result, room)}")


def _place(w: Writer, result: Result, room: Value) -> Value:
    return w.assign("ptr", f"getelementptr {result.place % room.text}")
