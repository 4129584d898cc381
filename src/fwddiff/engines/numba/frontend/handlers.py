"""Functions with `try`: what arithmetic raises in Python has to raise there too, or the handler is missed.

Kernels divide floats as arrays do, and `math.log(-1.0)` is nan. That is no matter where an exception would
end the call; where it is caught, the function would have another value.
"""

from __future__ import annotations

import dis
import math
from collections.abc import Sequence
from types import BuiltinFunctionType, CodeType
from typing import Any

from fwddiff._capture import Function, catches, instructions, nested_codes
from fwddiff._errors import PythonOnlyError

# Of `math`: what raises outside of its domain or range.
_RAISING = {
    *("acos", "acosh", "asin", "atanh", "cosh", "exp", "exp2", "expm1", "fmod", "gamma", "ldexp", "lgamma"),
    *("log", "log10", "log1p", "log2", "pow", "remainder", "sinh", "sqrt", "tan"),
}
_FUNCTIONS = {getattr(math, name) for name in _RAISING}
_DIVISIONS = ("/", "//", "%")


def refuse_what_raises(plan: Function) -> None:
    """Raises where a `try` surrounds what raises in Python alone, in a helper that is called there too.

    A helper with a `raise` of its own is trusted to ask first, as `if x < 0: raise ...; return math.sqrt(x)`.
    """
    for node in plan.nodes():
        for code in (node.function.__code__, *nested_codes(node.function.__code__)):
            guarded = _guarded(code)
            what = guarded and (_raising(node, code, guarded) or _raised_by_helpers(node, guarded))
            if what:
                raise PythonOnlyError(
                    f"`{plan.function.__name__}` has a `try`, and {what} raises in Python and not in "
                    "compiled code, which would miss the handler. Use engine='auto' or 'numpy', which run "
                    "the function as Python, or ask by `if`."
                )


def _guarded(code: CodeType) -> list[dis.Instruction]:
    """Instructions of which an exception is looked at by a handler."""
    if not catches(code):
        return []
    taking = {i.offset for i in instructions(code) if i.opname == "PUSH_EXC_INFO"}
    bytecode: Any = dis.Bytecode(code)  # whose `exception_entries` no stub lists
    entries = [e for e in bytecode.exception_entries if e.target in taking and not e.lasti]
    return [i for i in instructions(code) if any(e.start <= i.offset < e.end for e in entries)]


def _raised_by_helpers(node: Function, guarded: list[dis.Instruction]) -> str | None:
    """What raises in functions that are called by these instructions, and in what those call."""
    names = {i.argval for i in guarded if isinstance(i.argval, str)}
    for (name, _), (callee, _) in node.calls.items():
        for helper in callee.nodes() if name in names else ():
            code = helper.function.__code__
            if any(i.opname == "RAISE_VARARGS" for i in instructions(code)):
                continue
            what = _raising(helper, code, instructions(code))
            if what is not None:
                return f"{what} in `{helper.function.__name__}`"
    return None


def _raising(node: Function, code: CodeType, guarded: Sequence[dis.Instruction]) -> str | None:
    """What raises in these instructions, in words."""
    names = set(code.co_names) | set(code.co_freevars)
    objects = {name: node.lookup((name, ())) for name in names}
    has_math = any(value is math for value in objects.values())
    before: dis.Instruction | None = None
    for i in guarded:
        if i.opname == "BINARY_OP" and not _is_safe(i.argrepr.rstrip("="), before):
            return f"`{i.argrepr}`"
        name = i.argval if isinstance(i.argval, str) else ""
        value = objects.get(name)
        is_function = isinstance(value, BuiltinFunctionType) and value in _FUNCTIONS
        if is_function or (has_math and value is None and name in _RAISING):
            return f"`math.{getattr(value, '__name__', name)}`"
        before = i
    return None


def _is_safe(operator: str, operand: dis.Instruction | None) -> bool:
    """Whether an operator cannot raise, for what the instruction before it says of its second operand."""
    if operator not in ("**", *_DIVISIONS):
        return True
    loads = operand is not None and operand.opname in ("LOAD_CONST", "LOAD_SMALL_INT")
    constant = operand.argval if operand is not None and loads else None
    return isinstance(constant, int | float) and (constant > 0 or (constant < 0 and operator != "**"))
