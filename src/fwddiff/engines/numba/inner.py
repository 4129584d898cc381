"""Functions that only kernels call: neither optimised by themselves nor made into machine code, and alone in
seeing what we teach Numba.

Numba does both with everything it compiles, and never gives the machine code's memory back. What is linked
into a kernel is optimised with the kernel, and never called alone: a sixth of the time to compile a kernel.
"""

# Private: Numba chooses the class of a library itself, and has no option for this.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import llvmlite.binding as llvm

import numba
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.registry import cpu_target

_numbers = itertools.count()
_environments: dict[str, tuple[ctypes.c_void_p, object]] = {}


class InnerLibrary(JITCodeLibrary):
    """LLVM's code of a function, to be linked into other libraries."""

    _is_optimised = False

    @classmethod
    def new(cls) -> InnerLibrary:
        return cls(cpu_target.target_context.codegen(), f"fwddiff_inner_{next(_numbers)}")

    @property
    def codegen(self) -> InnerLibrary:
        return self

    def add_ir_module(self, ir_module: Any) -> None:
        """The environment (Python objects, to print and to raise exceptions with) is defined elsewhere."""
        for variable in ir_module.global_values:
            if variable.name.startswith("_ZN08NumbaEnv"):
                variable.linkage, variable.initializer = "external", None
        super().add_ir_module(ir_module)

    def set_env(self, name: str, environment: object) -> None:
        """Every kernel that the function is linked into finds its environment by name, for good."""
        cell = ctypes.c_void_p(id(environment))
        _environments[name] = cell, environment
        llvm.add_symbol(name, ctypes.addressof(cell))

    def optimise(self) -> None:
        """For who reads the code."""
        self._ensure_finalized()
        if not self._is_optimised:
            super()._optimize_final_module()
            self._is_optimised = True

    def refers_to(self, name: str) -> bool:
        """Whether a function outside of this name is called."""
        return any(f.name == name for f in self._final_module.functions if f.is_declaration)

    def _optimize_final_module(self) -> None:
        """Left to the kernel."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0


# What is put into Numba's tables while one of our functions is compiled: hook → function.
HOOKS: dict[str, Any] = {}
# How many of our functions are being compiled, inside each other; Numba's lock lets one thread compile.
_depth = [0]


def is_ours() -> bool:
    """Whether a function of ours is being compiled: what we taught Numba holds for these alone."""
    return _depth[0] > 0


@contextlib.contextmanager
def ours() -> Iterator[None]:
    """What Numba compiles here is ours; the user's own functions are compiled as if we did not exist."""
    table = cpu_target.target_context.special_ops
    before = {name: table.get(name) for name in HOOKS}
    table.update(HOOKS)
    _depth[0] += 1
    try:
        yield
    finally:
        _depth[0] -= 1
        for name, hook in before.items():
            if hook is None:
                del table[name]
            else:
                table[name] = hook


# What makes compiled functions of Python's: Numba's own decorator, or that of numbers without duals.
_decorator: contextvars.ContextVar[Callable[..., Any]] = contextvars.ContextVar(
    "decorator", default=numba.njit
)


def decorator() -> Callable[..., Any]:
    """What `compiled` compiles with in this thread."""
    return _decorator.get()


def compiled(function: Any, **options: Any) -> Any:
    """`numba.njit(function, **options)`, for the kind of numbers that is being compiled for."""
    return decorator()(function, **options)


@contextlib.contextmanager
def compiling_with(other: Callable[..., Any]) -> Iterator[None]:
    """Functions of the user's are compiled for other numbers."""
    token = _decorator.set(other)
    try:
        yield
    finally:
        _decorator.reset(token)


def is_plain() -> bool:
    """Whether numbers are not duals here."""
    return decorator() is not numba.njit


class InnerCompiler(CompilerBase):
    """Numba's compiler of nopython functions, into an `InnerLibrary`, or what the target has in its place."""

    def _compile_core(self):
        with ours():
            return super()._compile_core()

    def define_pipelines(self):
        new = getattr(self.state.targetctx, "inner_library", InnerLibrary.new)
        self.state.library = new()
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]
