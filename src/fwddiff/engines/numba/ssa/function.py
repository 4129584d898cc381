"""Functions of numbers between the steps: LLVM text in a form that every step reads and writes.

A *core*, as the schedule around it calls it, is `i32 core(ptr results, ptr exception, arguments…)`: it stores
its results as a struct and returns 0, or raises and returns anything else. In between, a function has no
memory for its results: it calls `fwddiff.return(results…)` and returns 0.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

import llvmlite.binding as llvm

from fwddiff.engines.numba.ssa.code import RETURN, Code, Refused, Value, read
from fwddiff.engines.numba.ssa.writer import Writer

BYTES = {"double": 8, "float": 4, "i64": 8, "i32": 4, "i16": 2, "i8": 1, "i1": 1}
_numbers = itertools.count()


@dataclasses.dataclass(frozen=True)
class Function:
    """`text` is a module; `inputs` and `outputs` are LLVM's types."""

    text: str
    symbol: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @functools.cached_property
    def code(self) -> Code:
        return read(self.text, self.symbol)


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
        start = -(-end // BYTES[kind]) * BYTES[kind]
        yield start
        end = start + BYTES[kind]


def size(kinds: Sequence[str]) -> int:
    """Bytes of such a struct."""
    places = list(offsets(kinds))
    return places[-1] + BYTES[kinds[-1]] if kinds else 1


def argument(k: int, kind: str) -> Value:
    return Value(kind, f'%"in.{k}"')


def parameters(kinds: Sequence[str]) -> str:
    return ", ".join(str(argument(k, kind)) for k, kind in enumerate(kinds))


def returning(text: str, symbol: str, inputs: Sequence[str], outputs: Sequence[str]) -> Function:
    """A core as a function that calls `fwddiff.return`."""
    writer = Writer()
    results = called(writer, symbol, inputs, outputs)
    return_from(writer, results)
    own, body = new_symbol("returning"), "\n".join(writer.lines)
    wrapper = f"define i32 @{own}({parameters(inputs)}) {{\nentry:\n{body}\n}}"
    return simplified(f"{text}\n{wrapper}\n{declared_return(outputs)}\n", own, tuple(inputs), tuple(outputs))


def called(writer: Writer, symbol: str, inputs: Sequence[str], outputs: Sequence[str]) -> list[Value]:
    """The results of a call of a core with the arguments `x0, x1, …`; where it raises, so does the caller."""
    results = writer.assign("ptr", f"alloca [{size(outputs)} x i8], align 8")
    exception = writer.assign("ptr", "alloca ptr, align 8")
    return results_of_call(writer, symbol, results, exception, parameters(inputs), outputs)


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
        writer.assign(kind, f"load {kind}, {place_in(writer, results, offset)}, align {BYTES[kind]}")
        for kind, offset in zip(outputs, offsets(outputs), strict=True)
    ]


def place_in(writer: Writer, base: Value, offset: int) -> Value:
    return writer.assign("ptr", f"getelementptr i8, {base}, i64 {offset}") if offset else base


def return_from(writer: Writer, results: Sequence[Value]) -> None:
    writer.line(f'call void @"{RETURN}"({", ".join(map(str, results))})')
    writer.line("ret i32 0")


def declared_return(outputs: Sequence[str]) -> str:
    return f'declare void @"{RETURN}"({", ".join(outputs)})'


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
            for value, offset in zip(i.operands, offsets(function.outputs), strict=True):
                place = place_in(writer, Value("ptr", "%ret"), offset)
                writer.line(f"store {value}, {place}, align {BYTES[value.type]}")
            lines += writer.lines
        lines.append(f"  {block.end}")
    listing = "".join(f", {a}" for a in function.code.arguments)
    body = "\n".join(lines)
    return (
        f'define {linkage} i32 @"{symbol}"(ptr noalias %ret, ptr %exc{listing}) alwaysinline {{\n{body}\n}}\n'
    )


def simplified(text: str, symbol: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Function:
    """Everything that is called in the place of its calls, memory as values where it can be, and no switches;
    what LLVM proves by equal floats it may not use (`Writer.compare`)."""
    return Function(inlined(text, symbol), symbol, inputs, outputs)


def inlined(text: str, symbol: str) -> str:
    """A module's text with everything that `symbol` calls in the place of its calls."""
    return str(_simplify(text, symbol))


def _simplify(text: str, symbol: str) -> llvm.ModuleRef:
    module = parsed(text)
    module.get_function(symbol).linkage = "external"
    for function in module.functions:
        if not function.is_declaration and function.name != symbol:
            function.linkage = "internal"
            if b"noinline" not in b" ".join(function.attributes):
                function.add_function_attribute("alwaysinline")
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
    return module


@functools.cache
def _machine() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine()


def new_pass_builder() -> llvm.PassBuilder:
    """For one run: it keeps callbacks into what it ran on."""
    return llvm.create_pass_builder(_machine(), llvm.create_pipeline_tuning_options())
