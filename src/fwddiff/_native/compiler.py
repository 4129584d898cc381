"""LLVM's text made into object code for this processor.

Each module has a context of its own, and is gone when its object code is there: LLVM gives back the memory of
types, constants and metadata with the context alone.
"""

# llvmlite's modules export what no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

import llvmlite.binding as llvm

from fwddiff._native.internals import config
from fwddiff._native.machine_code import Object, needs_of, new_target_machine

# A target machine serves any module, one at a time. A child that is forked meanwhile would wait for ever.
_compiling = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_compiling.acquire, after_in_parent=_compiling.release, after_in_child=_compiling.release
    )


def compiled(text: str, symbol: str, plain: bool = False) -> Object:
    """Object code of a module's text, which defines the function `symbol`; nothing else in it can be called.

    `plain`: loops stay as they are written, neither unrolled nor vectorised. Raises RuntimeError, with LLVM's
    message, where LLVM does not take the text.
    """
    with _compiling, _optimised(text, symbol, plain) as module:
        return Object(symbol, needs_of(module), _machine().emit_object(module))


def assembly(text: str, symbol: str) -> str:
    """The same as assembler's text, for who wants to see whether a loop is vectorised."""
    with _compiling, _optimised(text, symbol) as module:
        return _machine().emit_assembly(module)


@contextlib.contextmanager
def _optimised(text: str, symbol: str, plain: bool = False) -> Iterator[Any]:
    with contextlib.closing(llvm.create_context()) as context:
        module = llvm.parse_assembly(text, context)
        try:
            module.triple, module.data_layout = llvm.get_process_triple(), _data_layout()
            module.verify()
            _hide_all_but(symbol, module)
            _optimise(module, plain)
            yield module
        finally:
            module.close()


def _hide_all_but(symbol: str, module: Any) -> None:
    """What is inlined everywhere need not be compiled again for callers elsewhere."""
    for function in module.functions:
        if not function.is_declaration and function.name != symbol:
            function.linkage = llvm.Linkage.internal


def _optimise(module: Any, plain: bool) -> None:
    """LLVM's standard pipeline. Numba runs it on each function, on each library and on what is linked
    together: here all is in one module from the start."""
    options = llvm.create_pipeline_tuning_options(1 if plain else int(config.OPT))
    options.loop_unrolling = options.loop_interleaving = not plain
    options.loop_vectorization = bool(config.LOOP_VECTORIZE) and not plain
    options.slp_vectorization = bool(config.SLP_VECTORIZE) and not plain
    # A builder is for one run: llvmlite's leaves callbacks in it whose objects are gone. (It also leaves some
    # 110 KiB per run, which no function of its interface gives back.)
    with llvm.create_pass_builder(_machine(), options) as builder, builder.getModulePassManager() as passes:
        passes.run(module, builder)


@functools.cache
def _machine() -> llvm.TargetMachine:
    return new_target_machine()


@functools.cache
def _data_layout() -> str:
    return str(_machine().target_data)
