"""Translated cores run: their text is compiled, opaque functions are Python's, by the text of their rows."""

from __future__ import annotations

import ctypes
import functools
import math
import re
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from fwddiff import rules
from fwddiff.engines.numba import language, polls
from fwddiff.engines.numba.ssa import memory
from support.problems import problem_of

_CTYPES = {"double": ctypes.c_double, "i64": ctypes.c_int64, "i32": ctypes.c_int32, "i8": ctypes.c_uint8}
_NUMPY = {"double": np.float64, "i64": np.int64, "i32": np.int32, "i8": np.uint8}
_SPECIAL: dict[str, Callable] = {
    "value": lambda x: x,
    "constant": lambda x: x,
    "magnitude": abs,
    "magnitude2": lambda x, scale: abs(x) / max(1.0, abs(scale)),
    "powi": lambda x, n: np.float64(x) ** np.float64(n),
    "float64": lambda x: x,
    "float32": lambda x: float(np.float32(x)),
}
_kept: list[Any] = []


class Raised(Exception):
    """The core returned a status that is not 0."""


@functools.cache
def _bind() -> None:
    """Give LLVM the opaque functions, as calls of Python."""
    for name, function in _SPECIAL.items():
        kinds = [ctypes.c_double] * (2 if name in ("magnitude2", "powi") else 1)
        _add(name, function, [*kinds[:-1], ctypes.c_int64] if name == "powi" else kinds)
    for row in rules.built_in():
        integers = rules.INTEGER_ARGUMENTS.get(row.name, ())
        kinds = [ctypes.c_int64 if k in integers else ctypes.c_double for k in range(len(row.arguments))]
        text = f"lambda {', '.join(row.arguments)}: {row.value}"
        _add(row.name, eval(text, rules.scalar_namespace()), kinds)


def _add(name: str, function: Callable, kinds: list[Any]) -> None:
    def call(*arguments):
        numbers = [np.float64(a) if isinstance(a, float) else a for a in arguments]
        with np.errstate(all="ignore"):
            try:
                return float(function(*numbers))
            except (ValueError, ZeroDivisionError):
                return math.nan
            except OverflowError:
                return math.inf

    callback = ctypes.CFUNCTYPE(ctypes.c_double, *kinds)(call)
    _kept.append(callback)
    llvm.add_symbol(f"fwddiff.{name}", ctypes.cast(callback, ctypes.c_void_p).value)


def _with_rules(text: str) -> str:
    """Functions that stand for rules of the user's give the value that they are given."""
    for name, kinds in re.findall(r'^declare double @"?fwddiff\.(\w+__\d+)"?\(([^)]*)\)', text, re.M):
        _add(name, lambda value, *rest: value, [_CTYPES[kind.split()[0]] for kind in kinds.split(", ")])
    return text


def _with_memory(text: str) -> str:
    lines = {}
    for name in ("fwddiff.allocate", "fwddiff.retain", "fwddiff.release"):
        declared = re.compile(rf'^declare [^@\n]*@"?{re.escape(name)}"?\(.*\n', re.M)
        if declared.search(text):
            definition, needed = memory.definition(name) or ("", {})
            text = declared.sub("", text) + definition
            lines |= needed
    return "\n".join([polls.never(text), *lines.values()])


def run(core: language.Core, leaves: list[Any]) -> list[Any]:
    """The outputs of a core of numbers as Python's numbers; of arrays, the rest of the engine is needed."""
    if not all(isinstance(kind, str) for kind in (*core.inputs, *core.outputs)):
        raise language.Refused("an array")
    _bind()
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(opt=0, jit=True)
    module = llvm.parse_assembly(_with_memory(_with_rules(core.text)))
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    pointer = ctypes.c_void_p
    kinds = [_CTYPES[kind] for kind in core.inputs]
    function = ctypes.CFUNCTYPE(ctypes.c_int32, pointer, pointer, *kinds)(
        engine.get_function_address(core.symbol)
    )
    out = np.zeros((), np.dtype([(f"o{k}", _NUMPY[kind]) for k, kind in enumerate(core.outputs)], align=True))
    given = [float(x) if kind is ctypes.c_double else int(x) for x, kind in zip(leaves, kinds, strict=True)]
    if function(out.ctypes.data, None, *given) != 0:
        raise Raised
    return [out[name].item() for name in out.dtype.names or ()]


def translated(function: Callable, *arguments: Any, **options: Any) -> tuple[language.Core, list[Any]]:
    """The core of a function for arguments like these, and what it gives for them."""
    problem, leaves = problem_of(function, *arguments, **options)
    core = language.translate(problem)
    if any(leaf.size != 1 for leaf in leaves):
        raise language.Refused("an array")
    return core, run(core, [leaf.item() for leaf in leaves])
