"""Single precision: a function that was compiled on doubles, on the floats that its arguments really are.

Constants and integers are weak, as in NumPy, PyTorch and JAX: they take the precision of what they meet, so
`0.5 * x` is of x's. A value is of single precision if some of what it is made of is, and nothing of double
precision; a value made of weak ones alone stays double until it meets another.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from fwddiff.engines.numba.ssa.code import FLOATS, RETURN, Block, Instruction, Refused, Value
from fwddiff.engines.numba.ssa.function import (
    Array,
    Function,
    Kind,
    declared_return,
    new_symbol,
    numbers_of,
    simplified,
)
from fwddiff.engines.numba.ssa.functions import PRINT, meaning, memory_function
from fwddiff.engines.numba.ssa.places import Places
from fwddiff.engines.numba.ssa.writer import PURE, Writer, number, opaque

WEAK, SINGLE, DOUBLE = range(3)
_BINARY = ("fadd", "fsub", "fmul", "fdiv", "frem")


def narrowed(function: Function, inputs: Sequence[Kind], weak: str) -> Function:
    """The function on inputs of these types; results that are weak become `weak`. Arrays of single precision
    are arrays of doubles still."""
    strength = {"float": SINGLE, "double": DOUBLE}
    arguments = zip(function.arguments[0], inputs, strict=True)
    given = {a.value.text: strength.get(_element(kind), WEAK) for a, kind in arguments}
    return _Narrowed(function, tuple(inputs), given, weak).function()


def _element(kind: Kind) -> str:
    return kind if isinstance(kind, str) else kind.element


class _Narrowed:
    def __init__(self, function: Function, inputs: tuple[Kind, ...], given: dict[str, int], weak: str):
        self.base, self.inputs, self.weak = function, inputs, weak
        self.places = Places(function.code)
        pointers = self.places.arguments
        self.strengths = {name: found for name, found in given.items() if name not in pointers}
        self.memory: dict[str, int] = {name: given.get(name, WEAK) for name in pointers}
        while sum(self._spread(i) for i in function.code.instructions):
            pass
        self.writer = Writer(function.code.outside)
        self.outputs: tuple[Kind, ...] = ()

    def function(self) -> Function:
        """Itself where there is nothing of single precision."""
        returns = [i for i in self.base.code.instructions if i.callee == RETURN]
        self.outputs = self._outputs(returns)
        changed = SINGLE in self.strengths.values() or self.outputs != self.base.outputs
        return self._written() if changed else self.base

    def _outputs(self, returns: Sequence[Instruction]) -> tuple[Kind, ...]:
        kinds, position, places = [], 0, iter(self.base.arguments[1])
        for kind in self.base.outputs:
            if isinstance(kind, Array):
                strength = self.memory.get(next(places).value.text, WEAK)
                kinds.append(kind._replace(element=self._precision(kind.element, strength)))
                continue
            strength = max((self._of(i.operands[position]) for i in returns), default=WEAK)
            kinds.append(self._precision(kind, strength))
            position += 1
        return tuple(kinds)

    def _precision(self, kind: str, strength: int) -> str:
        return (self.weak, "float", "double")[strength] if kind in FLOATS else kind

    # --- what is of which precision -------------------------------------------------------------------------

    def _of(self, value: Value) -> int:
        return self.strengths.get(value.text, WEAK)

    def _spread(self, i: Instruction) -> bool:
        if i.operation == "store":
            return self._stored(i.operands[1], self._of(i.operands[0]))
        if memory_function(i.callee) in ("memcpy", "memmove"):
            return self._stored(i.operands[0], self._held(i.operands[1]))
        if i.result is None or i.result.type not in FLOATS:
            return False
        return self._note(self.strengths, i.result.text, self._strength(i), WEAK)

    def _note(self, table: dict, name: str, found, before) -> bool:
        changed = table.get(name, before) != found
        table[name] = found
        return changed

    def _held(self, pointer: Value) -> int:
        return max((self.memory.get(p, WEAK) for p in self.places.of(pointer)), default=WEAK)

    def _stored(self, pointer: Value, strength: int) -> bool:
        changed = False
        for place in self.places.of(pointer):
            found = max(self.memory.get(place, WEAK), strength)
            changed |= self._note(self.memory, place, found, WEAK)
        return changed

    def _strength(self, i: Instruction) -> int:
        if i.operation == "load":
            return self._held(i.operands[0])
        if i.operation == "call" and meaning(i.callee) in ("float32", "float64"):
            return SINGLE if meaning(i.callee) == "float32" else DOUBLE
        return max((self._of(o) for o in i.operands if o.type in FLOATS), default=WEAK)

    # --- the same code, rewritten ---------------------------------------------------------------------------

    def _written(self) -> Function:
        blocks = [(block, self._block(block)) for block in self.base.code.blocks]
        tails = {block.name: self._conversions_for_phis(block.name) for block, _ in blocks}
        lines = []
        for block, body in blocks:
            lines += [f'"{block.name}":', *body, *tails[block.name], f"  {block.end}"]
        inputs, places = self.base.arguments
        given = [
            v if isinstance(kind, Array) else Value(kind, v.text)
            for a, kind in zip(inputs, self.inputs, strict=True)
            for v in a.values
        ]
        listing = ", ".join(map(str, [*given, *[v for a in places for v in a.values]]))
        self.writer.outside[RETURN] = declared_return(self.outputs)
        symbol, body = new_symbol("narrowed"), "\n".join(lines)
        outside = "\n".join(self.writer.outside.values())
        text = f"define i32 @{symbol}({listing}) {{\n{body}\n}}\n{outside}\n"
        return simplified(text, symbol, self.inputs, self.outputs)

    def _kind(self, value: Value) -> str:
        if value.type not in FLOATS:
            return value.type
        return "float" if self._of(value) == SINGLE else "double"

    def _as(self, value: Value, kind: str) -> Value:
        """The value in this precision."""
        if value.type not in FLOATS:
            return value
        if not value.is_name:
            return self._constant(value, kind)
        return self.writer.convert(Value(self._kind(value), value.text), kind)

    def _constant(self, value: Value, kind: str) -> Value:
        if kind == "double" or value.text in ("poison", "undef"):
            return Value(kind, value.text)
        return number(kind, _double(value.text))

    def _block(self, block: Block) -> list[str]:
        self.writer.lines = []
        for phi in block.phis:
            self._phi(phi, block)
        for i in block.body:
            self._instruction(i)
        return self.writer.lines

    def _phi(self, phi: Instruction, block: Block) -> None:
        result = phi.result
        assert result is not None
        if result.type not in FLOATS:
            self.writer.line(phi.text)
            return
        kind, ways = self._kind(result), []
        for operand, source in zip(phi.operands, phi.incoming, strict=True):
            given = self._constant(operand, kind) if not operand.is_name else operand
            if operand.is_name and self._kind(operand) != kind:
                given = self.writer.fresh(kind)
                self._late.setdefault(source, []).append((given, operand))
            ways.append(f'[ {given.text}, %"{source}" ]')
        self.writer.line(f"{result.text} = phi {kind} {', '.join(ways)}")

    @property
    def _late(self) -> dict[str, list[tuple[Value, Value]]]:
        return vars(self).setdefault("late", {})

    def _conversions_for_phis(self, source: str) -> list[str]:
        lines = []
        for given, operand in self._late.get(source, ()):
            operation = "fpext" if given.type == "double" else "fptrunc"
            lines.append(f"  {given.text} = {operation} {self._kind(operand)} {operand.text} to {given.type}")
        return lines

    def _instruction(self, i: Instruction) -> None:
        if i.callee == RETURN:
            given = [self._as(o, kind) for o, kind in zip(i.operands, numbers_of(self.outputs), strict=True)]
            self.writer.line(f'call void @"{RETURN}"({", ".join(map(str, given))})')
        elif i.callee.startswith(PRINT):
            given = ", ".join(str(self._as(o, "double")) for o in i.operands)
            self.writer.line(f"call void @{i.callee}({given})")
        elif i.operation == "store" and i.operands[0].type in FLOATS:
            text = i.text.split(", ", 1)[1]
            self.writer.line(f"store {self._as(i.operands[0], 'double')}, {text}")
        elif not any(self._of(o) == SINGLE for o in (*i.operands, *filter(None, [i.result]))):
            self.writer.line(i.text)
        else:
            self._narrow(i)

    def _narrow(self, i: Instruction) -> None:
        w, result = self.writer, i.result
        floats = [o for o in i.operands if o.type in FLOATS]
        strongest = max((self._of(o) for o in floats), default=WEAK)
        kind = "float" if strongest == SINGLE else "double"
        if result is None:
            raise Refused(i.text)
        if i.operation == "call":
            self._call(i, result)
        elif i.operation == "load":
            wide = w.assign("double", i.text.split(" = ", 1)[1])
            w.line(f"{result.text} = fptrunc {wide} to float")
        elif i.operation in _BINARY:
            a, b = (self._as(o, kind) for o in i.operands)
            w.line(f"{result.text} = {i.operation} {a}, {b.text}")
        elif i.operation in ("fneg", "freeze"):
            w.line(f"{result.text} = {i.operation} {self._as(i.operands[0], kind)}")
        elif i.operation == "fcmp":
            a, b = (self._as(o, kind) for o in i.operands)
            w.line(f"{result.text} = fcmp {_predicate(i.text)} {a}, {b.text}")
        elif i.operation == "select":
            choice, a, b = i.operands[0], self._as(i.operands[1], kind), self._as(i.operands[2], kind)
            w.line(f"{result.text} = select {choice}, {a}, {b}")
        elif i.operation in ("fptosi", "fptoui"):
            w.line(f"{result.text} = {i.operation} {self._as(i.operands[0], kind)} to {result.type}")
        else:
            raise Refused(i.text)

    def _call(self, i: Instruction, result: Value) -> None:
        name, kind = meaning(i.callee), self._kind(result)
        if name is None:
            raise Refused(i.text)
        if name in ("float32", "float64"):
            given = self._as(i.operands[0], kind)
            # Addition of -0.0 is the identity; it gives the value its name.
            self.writer.line(f"{result.text} = fadd {given}, {number(kind, -0.0).text}")
            return
        arguments = [self._as(o, kind) for o in i.operands]
        callee = opaque(name, [kind])
        if name in ("magnitude2", "magnitude"):
            callee = f"fwddiff.{name}.{len(arguments)}{'.f32' * (kind == 'float')}"
        kinds = ", ".join(a.type for a in arguments)
        self.writer.outside.setdefault(callee, f'declare {kind} @"{callee}"({kinds}) {PURE}')
        self.writer.line(f'{result.text} = call {kind} @"{callee}"({", ".join(map(str, arguments))})')


def _predicate(text: str) -> str:
    return next(
        word
        for word in text.split(" fcmp ", 1)[1].split()
        if (word[0] in "ou" and len(word) == 3) or word in ("uno", "ord")
    )


def _double(text: str) -> float:
    """The number that LLVM writes so."""
    if text.startswith("0x"):
        return struct.unpack(">d", bytes.fromhex(text[2:].rjust(16, "0")))[0]
    return float(text)
