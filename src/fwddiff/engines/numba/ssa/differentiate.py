"""Forward mode on code: every float that depends on an input gets its partials written beside it.

A sum has the sum of the partials, a product two terms, a function of the rules table its row's slopes, a
choice (phi, select) the same choice among partials; integers, comparisons and branches stay. What comes out
is code of the same form, so second derivatives are this transformation of its own result. Common
subexpressions, partials that nobody uses and constant folding are LLVM's work.

*Exact* code tells a partial that is zero because the value does not depend on that input from one that was
computed: the first is -0.0, and no computed partial ever is (sums of them keep that by themselves: -0.0 +
-0.0 = -0.0, no other sum is). Under an infinite slope the first stays, the second becomes nan: `cbrt(x**3)`
at 0 has the slope 1, which `inf * 0` cannot know. Exact code is slower, so it runs only where ordinary code
has found a nan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fwddiff import rules
from fwddiff.engines.numba.ssa import expressions, vectors
from fwddiff.engines.numba.ssa.activity import CLASSIFICATION, LOCALLY_CONSTANT, Activity
from fwddiff.engines.numba.ssa.code import (
    RETURN,
    Block,
    Code,
    Instruction,
    Refused,
    Value,
    element,
    is_float,
    lanes,
    vector,
)
from fwddiff.engines.numba.ssa.functions import meaning, memory_function, row_of
from fwddiff.engines.numba.ssa.shadows import Shadows
from fwddiff.engines.numba.ssa.writer import PURE, Writer, number

Partials = Mapping[int, Value]  # by position; a position that is missing has the partial 0
Returned = Callable[["Writer", Sequence[Value], Sequence[Partials]], None]

_LINEAR = {"fadd": ("1", "1"), "fsub": ("1", "-1"), "fneg": ("-1",)}
_ROWS = {"fmul": "multiply", "fdiv": "divide", "frem": "fmod"}
_PASSED = ("fpext", "fptrunc", "freeze")
# Value and slopes may be fused in partials, which have no bits of their own to keep.
_FUSED = "contract "


def differentiate(
    code: Code,
    arguments: Mapping[str, int],
    seeds: Callable,
    returned: Returned,
    exact: bool,
    width: int = 0,
    extents: Mapping[str, Any] | None = None,
) -> Writer:
    """The code with partials, in the lines of a writer.

    `arguments` says by name which inputs (bits) an argument carries; `seeds(writer)` writes, where the
    function begins, what gives them: name → position → partial, or shadow of a pointer.
    `returned(writer, results, partials)` writes what is returned.

    `width`: there is one position, 0, and its partials are vectors of so many lanes, side by side in memory.
    `extents` are the arrays behind pointers that are arguments, by name.
    """
    made = Differentiated(code, arguments, exact, width, extents or {})
    made.write(seeds, returned)
    return made.writer


class Differentiated:
    def __init__(self, code: Code, arguments: Mapping[str, int], exact: bool, width: int, extents):
        self.code, self.exact, self.width = code, exact, width
        self.active = Activity(code, arguments)
        self.writer = Writer(code.outside)
        self.partials: dict[str, Partials] = {}
        self.shadows = Shadows(self, extents)
        self._late: list[tuple[int, Instruction, int, Value]] = []

    def write(self, seeds: Callable, returned: Returned) -> None:
        for k, block in enumerate(self.code.blocks):
            self.writer.label(block.name)
            self._phis(block)
            if k == 0:
                self._begin(seeds(self.writer))
            for instruction in block.body:
                if instruction.callee == RETURN:
                    results = instruction.operands
                    returned(self.writer, results, [self.parts(r) for r in results])
                else:
                    self._instruction(instruction)
            if block.end.startswith("ret "):
                self.shadows.end()
            self.writer.line(block.end)
        for place, phi, k, partial in self._late:
            self.writer.lines[place] = f"  {self._phi(phi, k, partial)}"

    def _begin(self, given: Mapping[str, Partials]) -> None:
        pointers = {a.text for a in self.code.arguments if a.type == "ptr"}
        self.partials |= {name: found for name, found in given.items() if name not in pointers}
        self.shadows.begin({name: found for name, found in given.items() if name in pointers})

    def lifted(self, kind: str) -> str:
        """The type of partials of values of this type."""
        return vector(element(kind), lanes(kind) * self.width) if self.width else kind

    def spread(self, value: Value) -> Value:
        """A value (a slope, a condition) for each of the partials that it meets."""
        return self.writer.spread(value, self.width)

    def positions(self, value: Value) -> list[int]:
        mask, found = self.active.of(value), []
        while mask:
            found.append((mask & -mask).bit_length() - 1)
            mask &= mask - 1
        return found

    def parts(self, value: Value) -> Partials:
        """The partials of a value. What depends on an input and has none is nothing that is known here."""
        found = self.partials.get(value.text, {})
        if not found and self.active.of(value):
            raise Refused(f"a derivative of {value}")
        return found

    def partial(self, value: Value, k: int) -> Value:
        found = self.parts(value).get(k)
        return number(self.lifted(value.type), self.absent) if found is None else found

    @property
    def absent(self) -> float:
        """A partial that is zero for want of dependence."""
        return -0.0 if self.exact else 0.0

    # --- phis -----------------------------------------------------------------------------------------------

    def _phis(self, block: Block) -> None:
        """Their partials have names, and a place; what comes in is known once everything is written."""
        for phi in block.phis:
            self.writer.line(phi.text)
        for phi in block.phis:
            result = self._result(phi)
            is_pointer = result.type == "ptr"
            if not is_pointer and not is_float(result.type):
                continue
            kind = "ptr" if is_pointer else self.lifted(result.type)
            found = {k: self.writer.fresh(kind) for k in self.positions(result)}
            (self.shadows.of if is_pointer else self.partials)[result.text] = found
            for k, partial in found.items():
                self._late.append((len(self.writer.lines), phi, k, partial))
                self.writer.lines.append("")

    def _phi(self, phi: Instruction, k: int, partial: Value) -> str:
        given = [self.shadows.at(o, k) if o.type == "ptr" else self.partial(o, k) for o in phi.operands]
        ways = [f'[ {v.text}, %"{block}" ]' for v, block in zip(given, phi.incoming, strict=True)]
        return f"{partial.text} = phi {partial.type} {', '.join(ways)}"

    def _result(self, i: Instruction) -> Value:
        assert i.result is not None
        return i.result

    # --- instructions ---------------------------------------------------------------------------------------

    def _instruction(self, i: Instruction) -> None:
        memory = memory_function(i.callee)
        if i.result is not None and i.result.type == "ptr":
            self.shadows.pointer(i, i.result)
        elif memory is not None:
            self.shadows.call(i, memory)
        elif i.operation == "call":
            self._call(i)
        elif i.operation == "store":
            self.shadows.store(i)
        else:
            self.writer.line(i.text)
            if i.result is not None and is_float(i.result.type) and self.active.of(i.result):
                self.partials[i.result.text] = self._partials(i, i.result)

    def _partials(self, i: Instruction, y: Value) -> Partials:
        positions, operands = self.positions(y), i.operands
        if i.operation in _LINEAR:
            return self._chain(y, [(o, s, None) for o, s in zip(operands, _LINEAR[i.operation], strict=True)])
        if i.operation in _ROWS:
            return self._row(_ROWS[i.operation], operands, y)
        if i.operation == "select":
            choice, a, b = operands
            if choice.type[0] == "<":
                choice = self.spread(choice)
            return {k: self.writer.select(choice, self.partial(a, k), self.partial(b, k)) for k in positions}
        if i.operation in _PASSED:
            kind = self.lifted(y.type)
            return {k: self._passed(i, self.partial(operands[0], k), kind) for k in positions}
        if i.operation == "load":
            return self.shadows.loaded(i, y)
        if i.operation in vectors.OPERATIONS:
            return {k: vectors.moved(self, i, k) for k in positions}
        raise Refused(i.text)

    def _passed(self, i: Instruction, partial: Value, kind: str) -> Value:
        if i.operation == "freeze":
            return self.writer.assign(kind, f"freeze {partial}")
        return self.writer.convert(partial, kind)

    # --- the chain rule -------------------------------------------------------------------------------------

    def _row(self, name: str, arguments: Sequence[Value], y: Value) -> Partials:
        """By the slopes of a row of the table."""
        row = row_of(name)
        assert row is not None
        if lanes(y.type) > 1 and name != "multiply":
            raise Refused(f"{name} of a vector")
        names = dict(zip(row.arguments, arguments, strict=True)) | {"y": y}
        terms = []
        for argument, text in zip(arguments, row.partials, strict=True):
            if expressions.is_zero(text) or not self.parts(argument):
                continue
            if text is None:
                raise Refused(f"{name}, whose code is not there")
            plain = text.strip() in ("1", "-1")
            slope = None if plain else expressions.written(self.writer, text, names, y.type, name)
            terms.append((argument, text.strip(), slope))
        return self._chain(y, terms, name in rules.SELECTIONS)

    def _chain(self, y: Value, terms: Sequence[tuple], selects: bool = False) -> Partials:
        """Sum of slope * partial over the arguments (value, "1" or "-1" or any text, slope)."""
        found: dict[int, Value] = {}
        for argument, text, slope in terms:
            for k, partial in self.parts(argument).items():
                if slope is None:
                    term = partial if text == "1" else self._opposite(partial)
                else:
                    term = self._product(self.spread(slope), partial, selects)
                found[k] = self._sum(found[k], term) if k in found else term
        return found

    def _sum(self, a: Value, b: Value) -> Value:
        return self.writer.binary("fadd" if self.exact else f"fadd {_FUSED}".strip(), a, b)

    def _product(self, slope: Value, partial: Value, selects: bool) -> Value:
        """`selects`: a slope 0 says that the argument is not there at all."""
        if not self.exact:
            return self.writer.binary(f"fmul {_FUSED}".strip(), slope, partial)
        absent = self._is_absent(partial)
        if selects:
            absent = self.writer.binary(
                "or", absent, self.writer.compare("oeq", slope, number(slope.type, 0))
            )
        return self._unless(absent, self.writer.binary("fmul", slope, partial))

    def _opposite(self, partial: Value) -> Value:
        opposite = self.writer.negative(partial)
        return self._unless(self._is_absent(partial), opposite) if self.exact else opposite

    def _unless(self, absent: Value, computed: Value) -> Value:
        """A partial that is computed is never -0.0."""
        positive = self.writer.binary("fadd", computed, number(computed.type, 0.0))
        return self.writer.select(absent, number(computed.type, -0.0), positive)

    def _is_absent(self, partial: Value) -> Value:
        return is_absent(self.writer, partial)

    # --- calls ----------------------------------------------------------------------------------------------

    def _call(self, i: Instruction) -> None:
        name = meaning(i.callee)
        if name in ("magnitude", "magnitude2", "seed"):
            self._with_partials(i, name)
            return
        if name in ("held", "united") and i.result is not None:
            self.writer.line(f"{i.result.text} = freeze {i.operands[0]}")
        else:
            self.writer.line(i.text)
        given = [o for o in i.operands if self.active.of(o)]
        if not given or name in LOCALLY_CONSTANT or i.callee.startswith(CLASSIFICATION):
            return
        if name is None or i.result is None or not is_float(i.result.type):
            raise Refused(i.text)
        self.partials[i.result.text] = self._of_function(name, i, i.result)

    def _of_function(self, name: str, i: Instruction, y: Value) -> Partials:
        if name == "powi":
            return self._chain(y, [(i.operands[0], "", self._slope_of_power(*i.operands))])
        if name in ("float32", "float64"):
            partials = self.parts(i.operands[0])
            if self.width:
                return {
                    k: vectors.each(self.writer, p, lambda x: self.writer.call(i.callee, y.type, [x]))
                    for k, p in partials.items()
                }
            return {k: self.writer.call(i.callee, y.type, [p]) for k, p in partials.items()}
        if name in ("graft", "united"):
            return self._chain(y, [(i.operands[1], "1", None)])
        if name == "skipped":
            return self._row("multiply", i.operands, y)
        if name.startswith("weighted"):
            return self._weighted(name, *i.operands)
        return self._row(name, i.operands, y)

    def _slope_of_power(self, x: Value, n: Value) -> Value:
        """n x**(n - 1): no logarithm, right at x <= 0, and 0 for n = 0 even at x = 0."""
        w = self.writer
        less = w.binary("sub", n, number(n.type, 1))
        slope = w.binary("fmul", w.convert(n, x.type), w.table("powi", [x, less], x.type))
        return w.select(w.assign("i1", f"icmp eq {n}, 0"), number(x.type, 0.0), slope)

    def _weighted(self, name: str, c: Value, p: Value) -> Partials:
        """cotangent * partial of exact code, by the product rule.

        `weighted<strong><marked>`: a cotangent of zero is a question that was not asked, if it is `strong`;
        partials of cotangents are not. `marked`: the result is a partial, so -0.0 says "does not depend".
        """
        found: dict[int, Value] = {}
        by_p = f"{name[:-1]}1"
        for k, partial in self.parts(c).items():
            found[k] = self.writer.table("weighted01", [partial, self.spread(p)])
        for k, partial in self.parts(p).items():
            term = self.writer.table(by_p, [self.spread(c), partial])
            found[k] = self._sum(found[k], term) if k in found else term
        return found

    def _with_partials(self, i: Instruction, name: str) -> None:
        """Functions that look at the partials of their arguments too."""
        y = self._result(i)
        if lanes(y.type) > 1:
            raise Refused(i.text)
        arguments = list(i.operands)
        if name == "magnitude2":
            for x, scale in zip(i.operands[::2], i.operands[1::2], strict=True):
                for k in sorted({*self.positions(x), *self.positions(scale)}):
                    pairs = zip(self._numbers(x, k), self._numbers(scale, k), strict=True)
                    arguments += [part for pair in pairs for part in pair]
        else:
            looked_at = i.operands if name == "magnitude" else i.operands[:1]
            arguments += [p for x in looked_at for k in self.positions(x) for p in self._numbers(x, k)]
        listing = ", ".join(map(str, arguments))
        callee = f"fwddiff.{name}.{len(arguments)}{'.f32' * (y.type == 'float')}"
        kinds = ", ".join(a.type for a in arguments)
        self.writer.outside.setdefault(callee, f'declare {y.type} @"{callee}"({kinds}) {PURE}')
        self.writer.line(f'{y.text} = call {y.type} @"{callee}"({listing})')
        if name == "seed":
            self.partials[y.text] = self.parts(i.operands[0])

    def _numbers(self, value: Value, k: int) -> list[Value]:
        """Partials one by one."""
        found = self.partial(value, k)
        return [self.writer.lane(found, n) for n in range(self.width)] if self.width else [found]


def is_absent(writer: Writer, partial: Value) -> Value:
    """Whether a partial of exact code is -0.0; of a vector, lane by lane."""
    width = 64 if element(partial.type) == "double" else 32
    kind, truth, mark = f"i{width}", "i1", str(-(1 << (width - 1)))
    if partial.type[0] == "<":
        count = lanes(partial.type)
        mark = f"<{', '.join([f'{kind} {mark}'] * count)}>"
        kind, truth = vector(kind, count), vector(truth, count)
    bits = writer.assign(kind, f"bitcast {partial} to {kind}")
    return writer.assign(truth, f"icmp eq {bits}, {mark}")
