"""Compiled C functions as object code, and back.

Object code is loaded into an execution engine of its own: symbols of one kernel never meet those of another,
whatever Numba called them. It may refer to functions outside by name only (C library, vector math, Numba's
run-time); what holds an address of this process is refused.
"""

# Numba's modules export what no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import llvmlite.binding as llvm

from fwddiff._native import exported
from fwddiff._native.internals import config, cpu_target, get_host_cpu_features, global_compiler_lock, rtsys

# A constant integer made a pointer, as `ctypes` functions and Python objects become.
_ADDRESS = re.compile(r"inttoptr \(?i\d+ -?[1-9]")


class Code(NamedTuple):
    """A loaded C function; `owner` keeps its machine code alive. `polls`: whether it looks for Ctrl-C."""

    address: int
    owner: Any
    polls: bool = False


class Object(NamedTuple):
    """Object code, the symbol of the function in it, and the symbols that it needs from outside."""

    symbol: str
    needs: tuple[str, ...]
    content: bytes


def holds_addresses(text: str) -> bool:
    """Whether a module's text has addresses of this process in it."""
    return _ADDRESS.search(text) is not None


def needs_of(module: Any) -> tuple[str, ...]:
    """Names that a module declares and does not define."""
    functions = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    return (*functions, *[g.name for g in module.global_variables if g.is_declaration])


@global_compiler_lock
def load(code: Object) -> Code | None:
    """The function, ready to be called; `None` if something that it needs is missing here."""
    exported.provide(code.needs)
    if not _available(code.needs):
        rtsys.initialize(cpu_target.target_context)
        if not _available(code.needs):
            return None
    engine = new_engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.content))
    engine.finalize_object()
    return Code(engine.get_function_address(code.symbol), engine)


def _available(names: Sequence[str]) -> bool:
    return all(llvm.address_of_symbol(name) is not None for name in names)


def new_engine(text: str = "") -> llvm.ExecutionEngine:
    """Engine for machine code, with that of a module of LLVM's text."""
    module = llvm.parse_assembly(text or f'target triple = "{llvm.get_process_triple()}"')
    return llvm.create_mcjit_compiler(
        module, new_target_machine(), use_lmm=config.USE_LLVMLITE_MEMORY_MANAGER
    )


def new_target_machine() -> llvm.TargetMachine:
    """What emits code for this processor, to be loaded into this process, as Numba does."""
    return _target().create_target_machine(
        cpu=processor(),
        features=features(),
        opt=int(config.OPT),
        reloc="static",
        codemodel="jitdefault",
        jit=True,
    )


@functools.cache
def _target() -> llvm.Target:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(llvm.get_process_triple())


def processor() -> str:
    """The processor that Numba compiles for."""
    return config.CPU_NAME or llvm.get_host_cpu_name()


def features() -> str:
    """Instruction sets that Numba uses on it."""
    return get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
