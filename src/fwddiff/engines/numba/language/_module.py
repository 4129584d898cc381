"""From the texts of many functions to one function without calls of others.

What LLVM may do to numbers here is limited: no pass reorders arithmetic, unrolls or vectorises, and what a
comparison tells is not used (`fwddiff.value` stands before its operands: else `if x == 2.0: return x * x`
would become 4.0, which has no derivative).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import llvmlite.binding as llvm

from fwddiff.engines.numba import polls
from fwddiff.engines.numba.language import _recursion
from fwddiff.engines.numba.language._arguments import SYMBOL
from fwddiff.engines.numba.ssa.code import Refused
from fwddiff.engines.numba.ssa.functions import PRINT

# C's and LLVM's functions by which Numba does what rows of the table say. What is not here is refused, or
# is plain arithmetic for who differentiates (`PLAIN`).
_ROWS = {
    **{f"llvm.{name}.f64": name for name in (
        "exp", "exp2", "log", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh",
        "cosh", "tanh", "sqrt", "pow", "floor", "ceil", "trunc", "rint", "copysign",
    )},
    "llvm.nearbyint.f64": "rint", "llvm.roundeven.f64": "rint",
    **{name: name for name in (
        "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan",
        "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "sqrt", "cbrt", "pow", "hypot", "fmod",
        "floor", "ceil", "trunc", "rint", "copysign", "erf", "erfc", "lgamma",
    )},
    "tgamma": "gamma", "numba_gamma": "gamma", "nearbyint": "rint",
}  # fmt: skip
PLAIN = ("llvm.fabs.", "llvm.abs.", "llvm.smax.", "llvm.smin.", "llvm.umax.", "llvm.umin.", "llvm.ctlz.",
         "llvm.cttz.", "llvm.ctpop.", "llvm.fshl.", "llvm.fshr.", "llvm.bswap.", "llvm.bitreverse.",
         "llvm.scmp.", "llvm.ucmp.", "llvm.memset.", "llvm.memcpy.", "llvm.memmove.",
         "llvm.smul.with.overflow.", "llvm.sadd.with.overflow.",
         "llvm.ssub.with.overflow.", "llvm.umul.with.overflow.", "ilogb")  # fmt: skip
_ASSUMPTIONS = ("llvm.assume", "llvm.lifetime.", "llvm.dbg.", "llvm.experimental.noalias.scope.decl")
_ATTRIBUTES = "readnone nounwind willreturn speculatable"

_COMPARISON = re.compile(
    r"^(\s*%\S+ = fcmp (?:(?:fast|nnan|ninf|nsz|arcp|contract|afn|reassoc) )*\w+ double) +(\S+), +(\S+)$",
    re.MULTILINE,
)
_VALUE = re.compile(r'^declare [^\n]*@"?fwddiff\.value"?\(', re.MULTILINE)
_FUNCTION = re.compile(r"^define .*?^}$", re.MULTILINE | re.DOTALL)
_ALLOCATION = re.compile(r"^\s*%\S+ = alloca [^%\n]+\n", re.MULTILINE)
_HEAD = re.compile(rf"^(define (?!i32 @\"{SYMBOL}\").*\))(?: alwaysinline)?")
_ENTRY = re.compile(r"^\S+:\n", re.MULTILINE)
_CALLED = re.compile(r"(\b(?:call|declare)\b[^@\n]*@)(\"?)([\w.]+)\2(?=\()")
_SINGLE = re.compile(r"\bfloat\b(?![\w.\"])")
_DECLARED = re.compile(r'^declare [^@\n]*@"?([^"(]+)"?\(')
_NAME = re.compile(r'@("[^"]+"|[\w.$-]+)')


def one_function(texts: Iterable[str]) -> str:
    """Text of a module with the core function alone, into which all that it calls is put."""
    module: Any = None
    texts = list(texts)
    circular = _recursion.circular(texts)
    for text in texts:
        inlined = _FUNCTION.sub(functools.partial(_inlined, circular), text)
        part = llvm.parse_assembly(_protected(_renamed(inlined)))
        if module is None:
            module = part
        else:
            module.link_in(part)
    for function in module.functions:
        if not function.is_declaration and function.name != SYMBOL:
            function.linkage = "internal"
    for variable in module.global_variables:
        if not variable.is_declaration:
            variable.linkage = "internal"
    _simplify(module)
    for name in circular:
        try:
            module = _recursion.without_recursion(module, name, _simplify)
        except RuntimeError as error:  # LLVM's: forms of one function for several types that call each other
            raise Refused(f"it needs `{name}`") from error
        _simplify(module)
    return _without_idle_polls(_checked(module))


def simplified(text: str) -> str:
    """The module of a core function, with what is known now about its memory."""
    module = llvm.parse_assembly(text)
    _simplify(module)
    return str(module)


def _protected(text: str) -> str:
    """Operands of comparisons as `fwddiff.value` of themselves: they tell nothing about the number."""
    count = 0

    def replace(found: Any) -> str:
        nonlocal count
        start, *operands = found.groups()
        lines = []
        for k, operand in enumerate(operands):
            if operand.startswith("%"):
                count += 1
                lines.append(f'  %"fwddiff.v{count}" = call double @"fwddiff.value"(double {operand})')
                operands[k] = f'%"fwddiff.v{count}"'
        return "\n".join([*lines, f"{start} {', '.join(operands)}"])

    changed, found = _COMPARISON.subn(replace, text)
    if found != text.count(" fcmp "):
        raise Refused("it compares numbers of another kind")
    if count == 0 or _VALUE.search(changed):
        return changed
    return f'{changed}\ndeclare double @"fwddiff.value"(double) {_ATTRIBUTES}\n'


def _inlined(circular: Sequence[str], found: Any) -> str:
    """A function that is put in the place of its calls, if it may be, and takes its memory where it begins:
    only then is that turned into values."""
    head = found.group(0).split("\n", 1)[0]
    attribute = "noinline" if any(f'@"{name}"(' in head for name in circular) else "alwaysinline"
    text = _HEAD.sub(rf"\1 {attribute}", found.group(0), count=1)
    places = "".join(_ALLOCATION.findall(text))
    return (
        _ENTRY.sub(lambda entry: entry.group(0) + places, _ALLOCATION.sub("", text), count=1)
        if places
        else text
    )


def _renamed(text: str) -> str:
    """Calls of functions that mean a row of the table, by the row's name."""

    def replace(found: Any) -> str:
        before, _, name = found.groups()
        row = _ROWS.get(name)
        return found.group(0) if row is None else f'{before}"fwddiff.{row}"'

    return _CALLED.sub(replace, text)


@functools.cache
def _builder() -> tuple[Any, Any]:
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine()
    return machine, llvm.create_pipeline_tuning_options()


def _simplify(module: Any) -> None:
    machine, options = _builder()
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_global_dead_code_eliminate_pass()
    for _ in range(3):  # what stands behind pointers in structures is found in the second round
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_jump_threading_pass()  # statuses of calls that are here now
        passes.add_simplify_cfg_pass()
    passes.add_aggressive_dce_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_strip_dead_prototype_pass()
    passes.add_lower_switch_pass()
    passes.add_loop_simplify_pass()
    passes.add_instruction_namer_pass()
    passes.run(module, llvm.create_pass_builder(machine, options))


def _without_idle_polls(text: str) -> str:
    """The text without polls if LLVM will unroll all of its loops, as it would not with them."""
    if polls.POLL not in text:
        return text
    bare = polls.never(text)
    module, passes = llvm.parse_assembly(bare), llvm.create_new_module_pass_manager()
    passes.add_sccp_pass()
    passes.add_simplify_cfg_pass()
    for add in (passes.add_loop_rotate_pass, passes.add_loop_unroll_pass):
        passes.add_loop_simplify_pass()
        passes.add_lcssa_pass()
        add()
        passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    machine, options = _builder()
    passes.run(module, llvm.create_pass_builder(machine, options))
    return text if polls.has_loop(str(module)) else bare


def _checked(module: Any) -> str:
    """The text; raises `Refused` where the function needs what is not in it."""
    constants = {v.name for v in module.global_variables if " constant [" in str(v)}
    for name in _named(_renamed(str(module.get_function(SYMBOL)))):
        if name in constants:
            continue
        if name != SYMBOL and not name.startswith(("fwddiff.", PRINT, *PLAIN, *_ASSUMPTIONS)):
            raise Refused(f"it needs `{name}`")
    text = _with_rows(str(module))
    if _SINGLE.search(text):
        raise Refused("it makes arrays of single precision")
    return text


def _with_rows(text: str) -> str:
    """The text without functions that LLVM's simplification made of others (`0.0 * x` is a `copysign`)."""
    renamed = _renamed(text)
    if renamed == text:
        return text
    lines, met = [], set()
    for line in renamed.split("\n"):
        declared = _DECLARED.match(line)
        if declared is None or declared.group(1) not in met:
            lines.append(line)
        if declared is not None:
            met.add(declared.group(1))
    return "\n".join(lines)


def _named(text: str) -> Iterator[str]:
    for found in _NAME.finditer(text):
        yield found.group(1).strip('"')
