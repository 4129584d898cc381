"""From the texts of many functions to one function without calls of others.

What LLVM may do to numbers here is limited: no pass reorders arithmetic, unrolls or vectorises, and what a
comparison tells is not used (`fwddiff.value` stands before its operands: else `if x == 2.0: return x * x`
would become 4.0, which has no derivative).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Any

import llvmlite.binding as llvm

from fwddiff.engines.numba.language._refused import Refused

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
         "llvm.scmp.", "llvm.ucmp.", "llvm.memset.", "llvm.memcpy.", "llvm.memmove.", "llvm.smul.with.overflow.", "llvm.sadd.with.overflow.",
         "llvm.ssub.with.overflow.", "llvm.umul.with.overflow.", "ilogb")  # fmt: skip
_ASSUMPTIONS = ("llvm.assume", "llvm.lifetime.", "llvm.dbg.", "llvm.experimental.noalias.scope.decl")
_ATTRIBUTES = "readnone nounwind willreturn speculatable"

_COMPARISON = re.compile(
    r"^(\s*%\S+ = fcmp (?:(?:fast|nnan|ninf|nsz|arcp|contract|afn|reassoc) )*\w+ double) (\S+), (\S+)$",
    re.MULTILINE,
)
_FUNCTION = re.compile(r"^define .*?^}$", re.MULTILINE | re.DOTALL)
_ALLOCATION = re.compile(r"^\s*%\S+ = alloca [^%\n]+\n", re.MULTILINE)
_ENTRY = re.compile(r"^\S+:\n", re.MULTILINE)
_CALLED = re.compile(r"(\b(?:call|declare)\b[^@\n]*@)(\"?)([\w.]+)\2(?=\()")
_SINGLE = re.compile(r"\bfloat\b(?![\w.\"])")
_NAME = re.compile(r'@("[^"]+"|[\w.$-]+)')


def one_function(texts: Iterable[str], symbol: str) -> str:
    """Text of a module with the function `symbol` alone, into which all that it calls is put."""
    module: Any = None
    for text in texts:
        part = llvm.parse_assembly(_protected(_renamed(_FUNCTION.sub(_allocating_first, text))))
        if module is None:
            module = part
        else:
            module.link_in(part)
    for function in module.functions:
        if not function.is_declaration and function.name != symbol:
            function.linkage = "internal"
            function.add_function_attribute("alwaysinline")
    for variable in module.global_variables:
        if not variable.is_declaration:
            variable.linkage = "internal"
    _simplify(module)
    return _checked(module, symbol)


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

    changed = _COMPARISON.sub(replace, text)
    return f'{changed}\ndeclare double @"fwddiff.value"(double) {_ATTRIBUTES}\n' if count else text


def _allocating_first(found: Any) -> str:
    """A function that takes its memory where it begins: only then is it turned into values."""
    text = found.group(0)
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
    for _ in range(2):  # pointers that stand in structures are found in the second round
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_jump_threading_pass()  # statuses of calls that are here now
        passes.add_simplify_cfg_pass()
    passes.add_aggressive_dce_pass()
    passes.add_simplify_cfg_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_strip_dead_prototype_pass()
    passes.add_lower_switch_pass()
    passes.add_loop_simplify_pass()
    passes.add_instruction_namer_pass()
    passes.run(module, llvm.create_pass_builder(machine, options))


def _checked(module: Any, symbol: str) -> str:
    """The text; raises `Refused` where the function needs what is not in it."""
    constants = {v.name for v in module.global_variables if " constant [" in str(v)}
    for name in _named(str(module.get_function(symbol))):
        if name in constants:
            continue
        if name != symbol and not name.startswith(("fwddiff.", *PLAIN, *_ASSUMPTIONS)):
            raise Refused(f"it needs `{name}`")
    text = str(module)
    if _SINGLE.search(text):
        raise Refused("it makes arrays of single precision")
    return text


def _named(text: str) -> Iterator[str]:
    for found in _NAME.finditer(text):
        yield found.group(1).strip('"')
