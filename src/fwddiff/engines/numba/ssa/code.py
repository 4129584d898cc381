"""LLVM's code of one function of numbers, as data: static single assignment, one definition for every value.

Numba's front end compiles the user's function on plain floats; what is read here is that code, inlined into
one function and simplified. It returns by calling `fwddiff.return(outputs…)`, in one place or several: no
memory stands between the results and their partials.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from fwddiff.engines.numba.ssa.graph import reverse_postorder

RETURN = "fwddiff.return"
FLOATS = ("double", "float")
UNKNOWN = "?"
_ATTACHED = re.compile(r"(, ![\w.]+ ![\w.]+)+$| #\d+(?=$|,)")
_NAME = r'(?:"[^"]*"|[\w.$-]+)'
_OUTSIDE = re.compile(rf"^(?:declare [^@]*|(?=@))@({_NAME})(?:\(.*| = .*)$", re.M)
_LABEL = re.compile(rf"^({_NAME}):")
_LINE = re.compile(rf"(?:%({_NAME}) = )?(?:tail |musttail |notail )?(\w+) ?(.*)$")
_TARGET = re.compile(rf"label %({_NAME})")
_WAY = re.compile(rf"\[ (.*?), %({_NAME}) \](?=,|$)")
_CALL = re.compile(rf"(?P<before>(?:[^@()]|\([^()]*\))*?)@(?P<name>{_NAME})\((?P<arguments>.*)\)[^()]*$")
# What may stand between an operation and its first type.
_FLAGS = re.compile(
    r"(?:(?:nuw|nsw|exact|disjoint|nneg|samesign|inbounds|nusw|fast|nnan|ninf|nsz|arcp|contract|afn|reassoc"
    r"|volatile|fastcc|ccc|coldcc|noundef|nonnull|noalias|signext|zeroext|inrange\([^)]*\)|range\([^)]*\)"
    r"|nofpclass\([^)]*\)|dereferenceable\(\d+\)|align \d+|immarg|returned|captures\([^)]*\)|nocapture"
    r"|readonly|writeonly|readnone|inreg|dead_on_return) )*"
)
_TYPES = ("double ", "float ", "ptr ", "i1 ", "i8 ", "i32 ", "i64 ")
_OPENING, _CLOSING = "([{<", ")]}>"


_VECTOR_CONSTANT = re.compile(r"splat \(|<(?!\d+ x )")
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

    @functools.cached_property
    def has_loop(self) -> bool:
        position = {block.name: k for k, block in enumerate(self.blocks)}
        return any(position[s] <= position[b.name] for b in self.blocks for s in b.successors)

    @property
    def instructions(self) -> list[Instruction]:
        return [i for block in self.blocks for i in (*block.phis, *block.body)]


def name_of(text: str) -> str:
    """A local value's name as this package writes it: always in quotes."""
    return f"%{text}" if text.startswith('"') else f'%"{text}"'


def read(text: str, symbol: str) -> Code:
    """The function `symbol` of a module's text, as LLVM prints it; all values have names.

    Raises `Refused` for what is not known here: nothing is guessed.
    """
    found = re.search(
        rf'^define [^@]*@"?{re.escape(symbol)}"?\(([^\n]*)\)[^()\n]*\{{\n(.*?)^\}}', text, re.M | re.S
    )
    if found is None:
        raise Refused(f"no function {symbol}")
    arguments = [value(part) for part in parts_of(found.group(1))]
    outside = {m.group(1).strip('"'): _without_attributes(m.group()) for m in _OUTSIDE.finditer(text)}
    return Code(arguments, _ordered(list(_blocks(found.group(2)))), outside)


def _without_attributes(text: str) -> str:
    """A declaration of its own, for a module that has other groups of attributes."""
    return re.sub(r" #\d+$", "", text)


def _blocks(text: str) -> Iterator[Block]:
    block = None
    for line in text.splitlines():
        if label := _LABEL.match(line):
            if block is not None:
                yield block
            block = Block(label.group(1).strip('"'), [], [], "", [])
        elif line.strip() and block is not None and "llvm.experimental.noalias.scope.decl" not in line:
            _read_line(block, _ATTACHED.sub("", line.strip()) if "!" in line or "#" in line else line.strip())
    if block is not None:
        yield block


def _read_line(block: Block, line: str) -> None:
    found = _LINE.match(line)
    if found is None:
        raise Refused(line)
    name, operation, rest = found.groups()
    # An address: means nothing elsewhere, and who knows what is there. Comparisons ask if arrays overlap.
    if "inttoptr" in line and operation != "icmp":
        raise Refused(line)
    if operation in ("br", "ret", "unreachable"):
        block.end = line
        block.successors = [target.strip('"') for target in _TARGET.findall(rest)]
    elif operation == "phi":
        block.phis.append(_phi(line, name_of(name), rest))
    elif operation in ("switch", "indirectbr", "invoke", "callbr", "resume"):
        raise Refused(line)
    elif operation == "call":
        block.body.append(_call(line, name and name_of(name), rest))
    else:
        block.body.append(_instruction(line, operation, name and name_of(name), rest))


def _phi(line: str, name: str, rest: str) -> Instruction:
    kind, ways = _typed(_FLAGS.sub("", rest, count=1))
    pairs = [(value, source.strip('"')) for value, source in _WAY.findall(ways)]
    operands = [Value(kind, _text(value)) for value, _ in pairs]
    return Instruction("phi", Value(kind, name), operands, line, "", tuple(source for _, source in pairs))


def _call(line: str, name: str | None, rest: str) -> Instruction:
    found = _CALL.match(rest)
    if found is None:
        raise Refused(line)
    kind, _ = _typed(_FLAGS.sub("", found["before"], count=1))
    operands = [value(part) for part in parts_of(found["arguments"])]
    return Instruction("call", name and Value(kind, name), operands, line, found["name"].strip('"'))  # pyright: ignore[reportArgumentType]


_PARSED = {
    *("fadd", "fsub", "fmul", "fdiv", "frem", "fneg", "freeze", "add", "sub", "mul", "sdiv", "udiv", "srem"),
    *("urem", "and", "or", "xor", "shl", "lshr", "ashr", "icmp", "fcmp", "select", "load", "store", "alloca"),
    *("getelementptr", "ptrtoint", "insertvalue", "insertelement", "extractelement", "shufflevector"),
}
_CASTS = ("sitofp", "uitofp", "fptosi", "fptoui", "fpext", "fptrunc", "sext", "zext", "trunc", "bitcast")


def _instruction(line: str, operation: str, name: str | None, rest: str) -> Instruction:
    if operation not in _PARSED and operation not in _CASTS:
        return _unknown(line, operation, name, rest)
    if not rest.startswith(_TYPES):
        rest = _FLAGS.sub("", rest, count=1)
    if operation in ("icmp", "fcmp"):
        rest = _FLAGS.sub("", rest.split(" ", 1)[1], count=1)
    source = ""
    if operation in _CASTS or operation == "ptrtoint":
        rest, source = rest.rsplit(" to ", 1)
    listed = parts_of(rest)
    if operation in ("load", "getelementptr", "alloca"):
        source, listed = listed[0], [p for p in listed[1:] if not p.startswith("align ")]
    elif operation == "store":
        listed = [p for p in listed if not p.startswith("align ")]
    operands = [value(listed[0])] if listed else []
    for part in listed[1:]:
        bare = part.startswith("%") or " " not in part or _VECTOR_CONSTANT.match(part) is not None
        operands.append(Value(operands[0].type, _text(part)) if bare else value(part))
    kind = _result(operation, source, operands)
    return Instruction(operation, name and Value(kind, name), operands, line)  # pyright: ignore[reportArgumentType]


def _result(operation: str, source: str, operands: list[Value]) -> str:
    if operation in ("icmp", "fcmp"):
        count = lanes(operands[0].type)
        return vector("i1", count) if operands[0].type.startswith("<") else "i1"
    if operation in ("getelementptr", "alloca"):
        return "ptr"
    if operation == "select":
        return operands[1].type
    if operation in ("load", "ptrtoint", *_CASTS):
        return source
    if operation == "shufflevector":
        return vector(element(operands[0].type), lanes(operands[2].type))
    if operation == "extractelement":
        return operands[0].type.split(" x ", 1)[1].rstrip(">")
    return operands[0].type if operands else "void"


def _unknown(line: str, operation: str, name: str | None, rest: str) -> Instruction:
    """What reads values, whatever it does with them; only code that is not active may have it."""
    operands = [Value(UNKNOWN, name_of(n)) for n in re.findall(rf"%({_NAME})", rest)]
    return Instruction(operation, name and Value(UNKNOWN, name), operands, line)  # pyright: ignore[reportArgumentType]


def parts_of(text: str) -> list[str]:
    """What stands between commas outside of brackets."""
    if not any(bracket in text for bracket in _OPENING):
        return text.split(", ") if text else []
    found, depth, start = [], 0, 0
    for k, letter in enumerate(text):
        if letter in _OPENING:
            depth += 1
        elif letter in _CLOSING:
            depth -= 1
        elif letter == "," and depth == 0:
            found.append(text[start:k].strip())
            start = k + 1
    return [*found, text[start:].strip()] if text else []


def _typed(text: str) -> tuple[str, str]:
    """A type and what follows it."""
    if text[:1] not in ("<", "[", "{"):
        kind, _, rest = text.partition(" ")
        return kind, rest
    depth = 0
    for k, letter in enumerate(text):
        depth += (letter in _OPENING) - (letter in _CLOSING)
        if depth == 0:
            return text[: k + 1], text[k + 1 :].strip()
    raise Refused(text)


def value(text: str) -> Value:
    """`double %x` and the like, as a value."""
    kind, rest = _typed(text)
    return Value(kind, _text(rest if rest.startswith("%") else _FLAGS.sub("", rest, count=1)))


def _text(text: str) -> str:
    return name_of(text[1:]) if text.startswith("%") else text


def _ordered(blocks: list[Block]) -> list[Block]:
    by_name = {block.name: block for block in blocks}
    order = reverse_postorder(blocks[0].name, {block.name: block.successors for block in blocks})
    return [by_name[name] for name in order]
