"""One instruction of a scalar function, done for every lane."""

from __future__ import annotations

import re

from fwddiff.engines.numba.lanes._code import BITS, Instruction, Operand, Refused
from fwddiff.engines.numba.lanes._masks import Text, Value
from fwddiff.engines.numba.target import vector_math

_ARITHMETIC = {"fadd", "fsub", "fmul", "fdiv", "frem", "fneg", "freeze"} | {
    *("add", "sub", "mul", "and", "or", "xor", "shl", "lshr", "ashr")
}
_COMPARISONS = {"icmp", "fcmp"}
_DIVISIONS = {"sdiv", "udiv", "srem", "urem"}
_CASTS = {"sitofp", "uitofp", "fptosi", "fptoui", "fpext", "fptrunc", "sext", "zext", "trunc", "bitcast"}
_CLASSIFICATION = "llvm.is.fpclass"
# LLVM has these for vectors of any length, and knows how to compute them without a library.
_INTRINSIC = re.compile(
    r"llvm\.(fabs|fma|sqrt|copysign|minnum|maxnum|minimum|maximum|floor|ceil|trunc|rint|nearbyint|round|roundeven"
    r"|abs|smin|smax|umin|umax)\.\w+$"
)
_MATH = re.compile(r"llvm\.(\w+)\.f(?:64|32)|(\w+)")
# Functions of the C library without vector versions, which give a value and do nothing else.
_SCALAR = {"lgamma", "tgamma", "fmod", "ldexp"}
OWN = "fwddiff_special_"  # as those of ours
_SUFFIXES = {"double": "f64", "float": "f32"}


class Instructions:
    """Writes instructions into `text`; `declarations` are the functions that they call."""

    def __init__(self, text: Text, divergent: set[str]):
        self.text, self.divergent = text, divergent
        self.declarations: dict[str, str] = {}

    def write(self, i: Instruction) -> None:
        """The value of the instruction, under its name. Raises `Refused`."""
        if not {i.type, *(o.type for o in i.operands if o.kind != "function")} <= BITS.keys():
            raise Refused(i.text)
        wide = i.name in self.divergent
        if i.operation == "call":
            found = self._call(i, wide)
        elif i.operation == "select":
            found = self._select(i, wide)
        else:
            found = self.text.assign(self._plain(i, wide))
        self.text.values[i.name] = Value(found, wide)

    def _plain(self, i: Instruction, wide: bool) -> str:
        first = self.text.type(i.operands[0].type, wide)
        texts = ", ".join(self.text.get(operand, wide) for operand in i.operands)
        known = i.operation in _ARITHMETIC | _COMPARISONS
        if known or (i.operation in _DIVISIONS and _divides_safely(i.operands[1])):
            return f"{i.operation} {i.flags}{first} {texts}"
        if i.operation in _CASTS:
            return f"{i.operation} {i.flags}{first} {texts} to {self.text.type(i.type, wide)}"
        raise Refused(i.text)

    def _select(self, i: Instruction, wide: bool) -> str:
        condition, a, b = i.operands
        mask = Value(*self.text.values[condition.text]) if condition.kind == "value" else None
        if mask is None:
            raise Refused(i.text)
        return self.text.select(mask, a.type, self.text.get(a, wide), self.text.get(b, wide), wide)

    def _call(self, i: Instruction, wide: bool) -> str:
        *arguments, callee = i.operands
        if callee.kind != "function":
            raise Refused(i.text)
        scalars = [False] * len(arguments)
        if callee.text.startswith(_CLASSIFICATION):
            scalars = [False, True]  # the classes
            name = f"{_CLASSIFICATION}.{self._suffix(arguments[0].type, wide)}"
        elif _INTRINSIC.match(callee.text):
            scalars = [o.type == "i1" for o in arguments]  # llvm.abs asks a question that is no operand
            name = f"{callee.text.rpartition('.')[0]}.{self._suffix(i.type, wide)}"
        else:
            version = _vector_version(callee.text, len(arguments), i.type, self.text.lanes)
            if wide and version is None:
                return self._lane_by_lane(i, arguments, callee.text)
            name = version if wide and version is not None else callee.text
        types = [self.text.type(o.type, wide and not one) for o, one in zip(arguments, scalars, strict=True)]
        given = [self.text.get(o, wide and not one) for o, one in zip(arguments, scalars, strict=True)]
        result = self.text.type(i.type, wide)
        if not name.startswith(OWN):
            self.declarations[name] = _declaration(result, name, types)
        passed = ", ".join(f"{kind} {text}" for kind, text in zip(types, given, strict=True))
        return self.text.assign(f"call {result} @{name}({passed})")

    def _lane_by_lane(self, i: Instruction, arguments: list[Operand], name: str) -> str:
        """A function without a vector version does not keep the rest from going side by side."""
        text, kinds = self.text, [o.type for o in arguments]
        given = [text.get(o, True) for o in arguments]
        if not name.startswith(OWN):
            self.declarations[name] = _declaration(i.type, name, kinds)
        result = "poison"
        for lane in range(text.lanes):
            parts = [
                text.assign(f"extractelement {text.type(kind)} {wide}, i32 {lane}")
                for kind, wide in zip(kinds, given, strict=True)
            ]
            passed = ", ".join(f"{kind} {part}" for kind, part in zip(kinds, parts, strict=True))
            one = text.assign(f"call {i.type} @{name}({passed})")
            result = text.assign(f"insertelement {text.type(i.type)} {result}, {i.type} {one}, i32 {lane}")
        return result

    def _suffix(self, scalar: str, wide: bool) -> str:
        return f"v{self.text.lanes}" * wide + _SUFFIXES.get(scalar, scalar)


def _divides_safely(divisor: Operand) -> bool:
    """A lane that is not in the block divides too, and must not trap."""
    return divisor.kind == "constant" and divisor.text.isdigit() and int(divisor.text) != 0


def _declaration(result: str, name: str, types: list[str]) -> str:
    return f"declare {result} @{name}({', '.join(types)}) nounwind willreturn memory(none)"


def _vector_version(name: str, arity: int, scalar: str, lanes: int) -> str | None:
    """Vector version of a function of the C library, or of LLVM's intrinsic for it; `None` where there is
    none. Raises `Refused` for functions that do more than give a value."""
    if name.startswith(OWN):
        return None
    match = _MATH.fullmatch(name)
    if match is None or scalar not in _SUFFIXES:
        raise Refused(f"a call of {name}")
    function = match.group(1) or match.group(2).removesuffix("" if scalar == "double" else "f")
    if (function, arity) not in vector_math.FUNCTIONS.values() and function not in _SCALAR:
        raise Refused(f"a call of {name}")
    versions = {count: version for version, count in vector_math.variants(function, arity, BITS[scalar])}
    return versions.get(lanes)
