"""Memory of partials: every place that may hold active numbers has a shadow, every pointer there a pointer
into the shadow.

Where partials are numbers, each position has memory of the same layout. In wide code the partials of an
element are a vector and lie side by side: what is at the byte p has its partials at width * p. A vector of
lanes is loaded from there as one longer vector, so a shadow may have a shadow of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fwddiff.engines.numba.ssa.code import Instruction, Refused, Value, is_float, parts_of
from fwddiff.engines.numba.ssa.function import Argument
from fwddiff.engines.numba.ssa.functions import ALLOCATE, FILL, RELEASE, memory_function
from fwddiff.engines.numba.ssa.protocol import Differentiating
from fwddiff.engines.numba.ssa.writer import Writer, number

_ALIGNMENT = 16
_CONSTANT = re.compile(r"= internal (?:unnamed_addr )?constant \[(\d+) x i8\]")
_INT64 = "i64"
_MEMSET = "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)"


def integer(n: int) -> Value:
    return number(_INT64, n)


def times(writer: Writer, n: Value, factor: int) -> Value:
    """An integer multiple; of a constant, a constant."""
    if factor == 1:
        return n
    return writer.assign(_INT64, f"mul {n}, {factor}") if n.is_name else integer(int(n.text) * factor)


def allocated(writer: Writer, size: Value) -> Value:
    writer.outside[ALLOCATE] = f'declare noalias ptr @"{ALLOCATE}"(i64)'
    return writer.assign("ptr", f'call ptr @"{ALLOCATE}"({size})')


def released(writer: Writer, pointer: Value) -> None:
    writer.outside[RELEASE] = f'declare void @"{RELEASE}"(ptr)'
    writer.line(f'call void @"{RELEASE}"({pointer})')


def cleared(writer: Writer, pointer: Value, size: Value, exact: bool) -> None:
    """Write zeros: those that say "does not depend" in exact code."""
    if exact:
        writer.outside[FILL] = f'declare void @"{FILL}"(ptr, i64)'
        writer.line(f'call void @"{FILL}"({pointer}, {size})')
    else:
        writer.outside["llvm.memset.p0.i64"] = _MEMSET
        writer.line(
            f"call void @llvm.memset.p0.i64(align 8 {pointer}, i8 0, {size}, i1 false)".replace(
                "(align 8 ptr", "(ptr align 8"
            )
        )


class Shadows:
    """`of` are the shadows of pointers, by name and position. `extents` are arrays behind pointers that
    are arguments."""

    def __init__(self, code: Differentiating, extents: Mapping[str, Argument]):
        self.code, self.active, self.writer = code, code.active, code.writer
        self.of: dict[str, dict[int, Value]] = {}
        self._extents, self._own = extents, []
        self.scale = max(code.width, 1)

    def at(self, pointer: Value, k: int) -> Value:
        found = self.of.get(pointer.text, {}).get(k)
        if found is not None:
            return found
        if pointer.text in ("null", "poison", "undef"):
            return pointer
        if pointer.text.startswith("@"):
            return self._of_constants(pointer)
        raise Refused(f"memory behind {pointer.text}, which is not the function's own")

    def _of_constants(self, pointer: Value) -> Value:
        """Numbers that stand in the code depend on nothing."""
        found = _CONSTANT.search(self.writer.outside.get(pointer.text[1:].strip('"'), ""))
        if found is None or int(found.group(1)) % 8:
            raise Refused(f"memory behind {pointer.text}")
        count = int(found.group(1)) // 8 * self.scale
        name = f"fwddiff.absent{'.exact' * self.code.exact}.{count}"
        absent = ", ".join([str(number("double", self.code.absent))] * count)
        self.writer.outside[name] = f'@"{name}" = internal constant [{count} x double] [{absent}], align 8'
        return Value("ptr", f'@"{name}"')

    # --- the beginning and the end --------------------------------------------------------------------------

    def begin(self, given: Mapping[str, Mapping[int, Value]]) -> None:
        """Arguments that share a pointer with active memory get shadows in which nothing depends on
        anything."""
        self.of |= {name: dict(found) for name, found in given.items()}
        for argument in self.code.code.arguments:
            if argument.type != "ptr" or argument.text in self.of:
                continue
            for k in self.code.positions(argument):
                if argument.text not in self._extents:
                    raise Refused(f"memory behind {argument.text}")
                size = self._bytes_behind(self._extents[argument.text])
                shadow = allocated(self.writer, size)
                cleared(self.writer, shadow, size, self.code.exact)
                self._own.append(shadow)
                self.of.setdefault(argument.text, {})[k] = shadow

    def _bytes_behind(self, a: Argument) -> Value:
        assert not isinstance(a.kind, str)
        found = integer(a.kind.size * self.scale)
        for extent in a.extents:
            found = self.writer.assign(_INT64, f"mul {found}, {extent.text}")
        return found

    def end(self) -> None:
        for shadow in self._own:
            released(self.writer, shadow)

    # --- pointers -------------------------------------------------------------------------------------------

    def pointer(self, i: Instruction, result: Value) -> None:
        positions = self.code.positions(result)
        if i.operation == "call" and positions:
            self._allocate(i, result, positions)
            return
        self.writer.line(i.text)
        if not positions:
            return
        right = i.text.split(" = ", 1)[1]
        if i.operation == "alloca":
            self.of[result.text] = {k: self._alloca(i, right) for k in positions}
        elif i.operation == "getelementptr":
            head, _, *indices = parts_of(right)
            tail = ", ".join(indices)
            shadows = {k: self.at(i.operands[0], k) for k in positions}
            self.of[result.text] = self._stepped(i.operands, head, tail, shadows)
        elif i.operation == "select":
            choice, a, b = i.operands
            self.of[result.text] = {
                k: self.writer.select(choice, self.at(a, k), self.at(b, k)) for k in positions
            }
        elif i.operation == "freeze":
            self.of[result.text] = {k: self.at(i.operands[0], k) for k in positions}
        elif i.operation == "load":  # where pointers are, the shadow has pointers to shadows
            self.of[result.text] = {
                k: self.writer.assign("ptr", f"load ptr, {self.at(i.operands[0], k)}, align 8")
                for k in positions
            }
        else:
            raise Refused(i.text)

    def _alloca(self, i: Instruction, right: str) -> Value:
        if self.scale == 1:
            return self.writer.assign("ptr", right)
        kind = right.removeprefix("alloca ").split(", align")[0]
        kind, _, count = (
            kind.rpartition(", i") if ", i" in kind.rsplit("}", 1)[-1].rsplit("]", 1)[-1] else (kind, "", "")
        )
        if count and not count.split()[1].isdigit():
            raise Refused(i.text)
        number_of = int(count.split()[1]) if count else 1
        return self.writer.assign("ptr", f"alloca {kind}, i64 {number_of * self.scale}, align {_ALIGNMENT}")

    def _stepped(
        self, operands: Sequence[Value], head: str, tail: str, shadows: Mapping[int, Value]
    ) -> dict[int, Value]:
        w = self.writer
        if self.scale == 1:
            return {k: w.assign("ptr", f"{head}, {s}, {tail}") for k, s in shadows.items()}
        kind = head.split()[-1]
        if len(operands) == 2 and operands[1].type == "i64" and kind.isalnum():
            step = times(w, operands[1], self.scale)
            return {k: w.assign("ptr", f"getelementptr {kind}, {s}, {step}") for k, s in shadows.items()}
        # From null, the address is the number of bytes.
        plain = "getelementptr " + head.removeprefix("getelementptr ").replace("inbounds ", "").replace(
            "nuw ", ""
        ).replace("nusw ", "")
        bytes_of = w.assign("i64", f"ptrtoint {w.assign('ptr', f'{plain}, ptr null, {tail}')} to i64")
        step = times(w, bytes_of, self.scale)
        return {k: w.assign("ptr", f"getelementptr i8, {s}, {step}") for k, s in shadows.items()}

    def _allocate(self, i: Instruction, result: Value, positions: Sequence[int]) -> None:
        """The shadows are parts of the same allocation, which is freed as a whole."""
        if memory_function(i.callee) != "allocate":
            raise Refused(i.text)
        w, size = self.writer, i.operands[0]
        if size.is_name:
            rounded = w.assign(
                _INT64, f"and i64 {w.assign(_INT64, f'add {size}, {_ALIGNMENT - 1}').text}, {-_ALIGNMENT}"
            )
        else:
            rounded = integer(-(-int(size.text) // _ALIGNMENT) * _ALIGNMENT)
        whole = times(w, rounded, 1 + len(positions) * self.scale)
        given = ", ".join(map(str, (whole, *i.operands[1:])))
        w.line(f'{result.text} = call ptr @"{i.callee}"({given})')
        self.of[result.text] = {
            k: w.assign("ptr", f"getelementptr i8, {result}, {times(w, rounded, 1 + n * self.scale)}")
            for n, k in enumerate(positions)
        }

    # --- loads, stores, and what moves bytes ----------------------------------------------------------------

    def loaded(self, i: Instruction, y: Value) -> dict[int, Value]:
        kind, align = self.code.lifted(y.type), _alignment(i.text)
        shadows = {k: self.at(i.operands[0], k) for k in self.code.positions(y)}
        return {k: self.writer.assign(kind, f"load {kind}, {s}, align {align}") for k, s in shadows.items()}

    def store(self, i: Instruction) -> None:
        self.writer.line(i.text)
        given, pointer = i.operands
        positions = self.code.positions(pointer)
        if self.active.of(given) and not self.active.is_own(pointer):
            raise Refused(i.text)
        if given.type == "ptr":
            for k in positions:
                self.writer.line(f"store {self.at(given, k)}, {self.at(pointer, k)}, align 8")
            return
        if not is_float(given.type):
            if positions:
                self._bytes(i, given, pointer, positions)
            return
        for k in positions:
            partial = self.code.partial(given, k)
            self.writer.line(f"store {partial}, {self.at(pointer, k)}, align {_alignment(i.text)}")

    def _bytes(self, i: Instruction, given: Value, pointer: Value, positions: Sequence[int]) -> None:
        """What is no float: LLVM writes zeros, and copies numbers, as integers where it pleases."""
        if self.active.of(given):
            raise Refused(i.text)
        if given.type == "i64":
            for k in positions:
                absent = self.code.partial(Value("double", "0.0"), k)
                self.writer.line(f"store {absent}, {self.at(pointer, k)}, align 8")
        elif given.type not in ("i1", "i8", "i16", "i32"):
            raise Refused(i.text)

    def call(self, i: Instruction, what: str) -> None:
        self.writer.line(i.text)
        if what in ("retain", "release", "lifetime", "allocate"):
            return
        target = i.operands[0]
        if what in ("memcpy", "memmove") and self.active.of(i.operands[1]) and not self.active.is_own(target):
            raise Refused(i.text)
        for k in self.code.positions(target):
            shadow, size = (
                self.at(target, k),
                times(self.writer, i.operands[-2 if what != "fill" else -1], self.scale),
            )
            if what in ("memset", "fill"):
                if what == "memset" and i.operands[1].text != "0":
                    raise Refused(i.text)
                cleared(self.writer, shadow, size, self.code.exact)
            elif k in self.code.positions(i.operands[1]):
                source = self.at(i.operands[1], k)
                name = f"llvm.{what}.p0.p0.i64"
                self.writer.outside[name] = f"declare void @{name}(ptr, ptr, i64, i1)"
                self.writer.line(
                    f"call void @{name}(ptr align 8 {shadow.text}, ptr align 8 {source.text},"
                    f" {size}, i1 false)"
                )
            else:
                cleared(self.writer, shadow, size, self.code.exact)


def _alignment(text: str) -> int:
    """Of a load or store; elements of shadows are only as aligned as numbers are."""
    given = text.rsplit(", align ", 1)
    return min(int(given[1].split(",")[0]), 8) if len(given) == 2 else 8
