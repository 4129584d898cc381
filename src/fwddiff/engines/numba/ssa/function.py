"""Functions of numbers and arrays between the steps: LLVM text in a form that every step reads and writes.

A *core*, as the schedule around it calls it, is `i32 core(ptr results, ptr exception, arguments…)`: it stores
its results as a struct and returns 0, or raises and returns anything else. In between, a function has no
memory for its results: it calls `fwddiff.return(results…)` and returns 0.

Arrays are C-contiguous. One that is an argument comes as `ptr data, i64 extent…` in its place among the
arguments. One that is a result is no part of the struct: behind all arguments the function gets, for each
such result, `ptr place, i64 extent…` of what it has to write; where the extents are others it returns
`SHAPE_MISMATCH`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import llvmlite.binding as llvm

from fwddiff.engines.numba.ssa.code import RETURN, Code, Refused, Value, element, lanes, read
from fwddiff.engines.numba.ssa.writer import Writer

BYTES = {"double": 8, "float": 4, "i64": 8, "i32": 4, "i16": 2, "i8": 1, "i1": 1}
SHAPE_MISMATCH = 2
_numbers = itertools.count()
_DEFINITION = re.compile(r"^define [^\n]*\{$", re.M)


class Array(NamedTuple):
    """An array of numbers of an LLVM type; floats of single precision are doubles in memory as well."""

    element: str
    ndim: int

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return max(BYTES[self.element], 8 * (self.element == "float"))


Kind = str | Array  # LLVM's type of a number, or an array


@dataclasses.dataclass(frozen=True)
class Function:
    """`text` is a module."""

    text: str
    symbol: str
    inputs: tuple[Kind, ...]
    outputs: tuple[Kind, ...]

    @functools.cached_property
    def code(self) -> Code:
        return read(self.text, self.symbol)

    @property
    def returned(self) -> tuple[str, ...]:
        """Types of the results that are returned, and not written to a place that is given."""
        return numbers_of(self.outputs)

    @property
    def has_arrays(self) -> bool:
        return any(isinstance(kind, Array) for kind in (*self.inputs, *self.outputs))

    @functools.cached_property
    def arguments(self) -> tuple[list[Argument], list[Argument]]:
        """The inputs, and the places of the outputs that are arrays, as the code names them."""
        left = iter(self.code.arguments)
        inputs = [_take(left, kind) for kind in self.inputs]
        return inputs, [_take(left, kind) for kind in self.outputs if isinstance(kind, Array)]


class Argument(NamedTuple):
    """`value` is the number, or the pointer to the array's elements."""

    kind: Kind
    value: Value
    extents: tuple[Value, ...] = ()

    @property
    def values(self) -> tuple[Value, ...]:
        return (self.value, *self.extents)


def numbers_of(kinds: Sequence[Kind]) -> tuple[str, ...]:
    return tuple(kind for kind in kinds if isinstance(kind, str))


def _take(values: Iterator[Value], kind: Kind) -> Argument:
    first = next(values)
    return Argument(
        kind, first, tuple(next(values) for _ in range(kind.ndim if isinstance(kind, Array) else 0))
    )


def new_symbol(what: str) -> str:
    return f"fwddiff_{what}_{next(_numbers)}"


def parsed(text: str) -> llvm.ModuleRef:
    try:
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise Refused(f"LLVM does not take what was written: {error}") from error
    return module


def offsets(kinds: Sequence[str]) -> Iterator[int]:
    """Of the parts of a struct (System V ABI: each at a multiple of its size)."""
    end = 0
    for kind in kinds:
        item = BYTES[element(kind)]  # vectors are no more aligned than their lanes
        start = -(-end // item) * item
        yield start
        end = start + item * lanes(kind)


def size(kinds: Sequence[str]) -> int:
    """Bytes of such a struct."""
    places = list(offsets(kinds))
    return places[-1] + BYTES[element(kinds[-1])] * lanes(kinds[-1]) if kinds else 1


def argument(k: int, kind: Kind, what: str = "in") -> Argument:
    if isinstance(kind, str):
        return Argument(kind, Value(kind, f'%"{what}.{k}"'))
    extents = [Value("i64", f'%"{what}.{k}.{axis}"') for axis in range(kind.ndim)]
    return Argument(kind, Value("ptr", f'%"{what}.{k}"'), tuple(extents))


def arguments_of(inputs: Sequence[Kind], outputs: Sequence[Kind]) -> tuple[list[Argument], list[Argument]]:
    """What a function of these takes: its inputs, and places for arrays."""
    places = [argument(j, kind, "out") for j, kind in enumerate(outputs) if isinstance(kind, Array)]
    return [argument(k, kind) for k, kind in enumerate(inputs)], places


def parameters(inputs: Sequence[Kind], outputs: Sequence[Kind] = ()) -> str:
    given, places = arguments_of(inputs, outputs)
    return ", ".join(str(value) for a in (*given, *places) for value in a.values)


def returning(text: str, symbol: str, inputs: Sequence[Kind], outputs: Sequence[Kind]) -> Function:
    """A core as a function that calls `fwddiff.return`."""
    writer = Writer()
    results = called(writer, symbol, inputs, outputs)
    return_from(writer, results)
    own, body = new_symbol("returning"), "\n".join(writer.lines)
    wrapper = f"define i32 @{own}({parameters(inputs, outputs)}) {{\nentry:\n{body}\n}}"
    return simplified(f"{text}\n{wrapper}\n{declared_return(outputs)}\n", own, tuple(inputs), tuple(outputs))


def called(writer: Writer, symbol: str, inputs: Sequence[Kind], outputs: Sequence[Kind]) -> list[Value]:
    """The results of a call of a core with the arguments `x0, x1, …`; where it raises, so does the caller."""
    results = writer.assign("ptr", f"alloca [{size(numbers_of(outputs))} x i8], align 8")
    exception = writer.assign("ptr", "alloca ptr, align 8")
    return results_of_call(
        writer, symbol, results, exception, parameters(inputs, outputs), numbers_of(outputs)
    )


def results_of_call(writer, symbol, results: Value, exception: Value, arguments: str, outputs) -> list[Value]:
    listing = ", ".join(filter(None, (str(results), str(exception), arguments)))
    status = writer.assign("i32", f'call i32 @"{symbol}"({listing})')
    raised = writer.assign("i1", f"icmp ne {status}, 0")
    name = f"of.{raised.text[2:-1]}"
    writer.line(f'br {raised}, label %"raised.{name}", label %"done.{name}"')
    writer.label(f"raised.{name}")
    writer.line(f"ret {status}")
    writer.label(f"done.{name}")
    return [
        writer.assign(kind, f"load {kind}, {place_in(writer, results, offset)}, align {BYTES[element(kind)]}")
        for kind, offset in zip(outputs, offsets(outputs), strict=True)
    ]


def place_in(writer: Writer, base: Value, offset: int) -> Value:
    return writer.assign("ptr", f"getelementptr i8, {base}, i64 {offset}") if offset else base


def return_from(writer: Writer, results: Sequence[Value]) -> None:
    writer.line(f'call void @"{RETURN}"({", ".join(map(str, results))})')
    writer.line("ret i32 0")


def declared_return(outputs: Sequence[Kind]) -> str:
    return f'declare void @"{RETURN}"({", ".join(numbers_of(outputs))})'


def as_core(function: Function, symbol: str, linkage: str = "internal") -> str:
    """The function as a core of this name, in text."""
    writer = Writer()
    lines = []
    for block in function.code.blocks:
        lines.append(f'"{block.name}":')
        for i in (*block.phis, *block.body):
            if i.callee != RETURN:
                lines.append(f"  {i.text}")
                continue
            writer.lines.clear()
            for value, offset in zip(i.operands, offsets(function.returned), strict=True):
                place = place_in(writer, Value("ptr", "%ret"), offset)
                writer.line(f"store {value}, {place}, align {BYTES[element(value.type)]}")
            lines += writer.lines
        lines.append(f"  {block.end}")
    # Inputs are only read, and nothing else is where a result is written.
    listing = "".join(f", {a.type}{' noalias' * (a.type == 'ptr')} {a.text}" for a in function.code.arguments)
    body = "\n".join(lines)
    return (
        f'define {linkage} i32 @"{symbol}"(ptr noalias %ret, ptr %exc{listing}) alwaysinline {{\n{body}\n}}\n'
    )


def simplified(text: str, symbol: str, inputs: tuple[Kind, ...], outputs: tuple[Kind, ...]) -> Function:
    """Everything that is called in the place of its calls, memory as values where it can be, and no switches;
    what LLVM proves by equal floats it may not use (`Writer.compare`)."""
    return Function(inlined(text, symbol), symbol, inputs, outputs)


def inlined(text: str, *symbols: str) -> str:
    """A module's text with everything that those of these functions which it has call in the place of its
    calls."""
    return str(_simplify(text, symbols))


def _simplify(text: str, symbols: Sequence[str]) -> llvm.ModuleRef:
    module = parsed(_DEFINITION.sub(lambda found: _to_inline(found.group(), symbols), text))
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "external" if function.name in symbols else "internal"
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_instruction_combine_pass()
    passes.add_new_gvn_pass()
    passes.add_dead_code_elimination_pass()
    passes.add_simplify_cfg_pass()
    passes.add_lower_switch_pass()
    passes.add_instruction_namer_pass()
    passes.run(module, new_pass_builder())
    _refuse_calls(module, symbols)
    return module


def unrolled(text: str) -> str:
    """A module's text without loops of a fixed number of turns."""
    module = parsed(text)
    passes = llvm.create_new_module_pass_manager()
    passes.add_loop_simplify_pass()
    passes.add_loop_rotate_pass()
    passes.add_loop_unroll_pass()
    passes.add_simplify_cfg_pass()
    passes.add_instruction_combine_pass()
    passes.add_lower_switch_pass()
    passes.add_instruction_namer_pass()
    passes.run(module, new_pass_builder())
    return str(module)


def _to_inline(head: str, symbols: Sequence[str]) -> str:
    """In the text: older versions of llvmlite put the attribute elsewhere."""
    own = any(f"@{symbol}(" in head or f'@"{symbol}"(' in head for symbol in symbols)
    kept = own or "noinline" in head or "alwaysinline" in head
    return head if kept else f"{head[:-1].rstrip()} alwaysinline {{"


def _refuse_calls(module: llvm.ModuleRef, symbols: Sequence[str]) -> None:
    """Nothing but what is meant to stay may remain beside the functions: code that calls is not whole."""
    for function in module.functions:
        if not function.is_declaration and function.name not in symbols:
            head = _DEFINITION.search(str(function))
            if head is None or not _stays(function, head.group()):
                raise Refused(f"a call of {function.name}")


def _stays(function: llvm.ValueRef, head: str) -> bool:
    return "noinline" in head or any(b"noinline" in attribute for attribute in function.attributes)


@functools.cache
def _machine() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine()


def new_pass_builder() -> llvm.PassBuilder:
    """For one run: it keeps callbacks into what it ran on."""
    return llvm.create_pass_builder(_machine(), llvm.create_pipeline_tuning_options())
