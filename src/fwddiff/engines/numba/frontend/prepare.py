"""A user's function as a compiled one: what it captures becomes its first arguments.

One pass over Numba's IR replaces the chains that `fwddiff._capture` found: data by arguments (so constants
are never stale, and a new value does not recompile), plain functions by their compiled counterparts, whose
captures are passed on at the call. The compiled stub has the signature `(captured_0, …, *the function's own
arguments)`.

The pass and the way it enters the pipeline use Numba's compiler classes, which are not a stable interface;
nothing else does.
"""

from __future__ import annotations

import functools
import sys
from types import CodeType, FunctionType
from typing import Any

from fwddiff._capture import Function, nested_codes
from fwddiff._capture import plan as capture_plan
from fwddiff._errors import CaptureError, PythonOnlyError
from fwddiff._native.internals import (
    FunctionPass,
    InlineClosureLikes,
    NopythonTypeInference,
    ReconstructSSA,
    TranslateByteCode,
    register_pass,
)
from fwddiff.engines.numba.frontend.cells import CheckCells
from fwddiff.engines.numba.frontend.closures import InlineClosures
from fwddiff.engines.numba.frontend.cost import loops
from fwddiff.engines.numba.frontend.handlers import refuse_what_raises
from fwddiff.engines.numba.frontend.inner import InnerCompiler, compiled, means
from fwddiff.engines.numba.frontend.lifting import Inner, Lifter
from fwddiff.engines.numba.frontend.literals import dicts_to_structs
from fwddiff.engines.numba.frontend.options import INLINED, INTERNAL
from fwddiff.engines.numba.frontend.questions import AnswerQuestions
from fwddiff.engines.numba.frontend.reading import read
from fwddiff.engines.numba.frontend.rewrite import Rewriter, drop_messages
from fwddiff.engines.numba.polls import Polls

OURS = "fwddiff.special."


class Prepared:
    """Compiled counterparts of one function and of all that it calls; one per set of argument types'
    owner. `has_rules`: whether rows of the user's functions count, as they do not for values. `is_helper`:
    the function is one that others call."""

    def __init__(self, plan: Function, has_rules: bool = True, is_helper: bool = False):
        refuse_python_only(plan)
        refuse_what_raises(plan)
        self.plan, self.has_rules, self.is_helper = plan, has_rules, is_helper
        self.dispatchers: dict[tuple, object] = {}
        self._inner: dict[tuple[Function, CodeType], Inner] = {}
        self.entry = self.dispatcher(plan)

    @staticmethod
    def of(function, owned):
        """Compiled form of a function that is itself an argument; it may not capture data."""
        plan = capture_plan(function, owned)
        if plan.captures:
            raise CaptureError(
                f"the function argument `{plan.function.__name__}` captures `{plan.captures[0].name}`. "
                "Pass that value as an argument of its own."
            )
        return Prepared(plan).entry

    def _is_inlined(self, node: Function) -> bool:
        """The function itself and helpers without loops; not what calls itself."""
        is_outermost = node is self.plan and not self.is_helper
        return not node.calls_itself and (is_outermost or not loops(node.function))

    def dispatcher(self, node: Function):
        key = node.identity
        if key not in self.dispatchers:
            self.dispatchers[key] = self._made(node)
        return self.dispatchers[key]

    def inner(self, outer: Function, code: CodeType, path: tuple[CodeType, ...]) -> Inner:
        """A function defined inside of `outer` that is used as a value; one for each code."""
        if (outer, code) not in self._inner:
            self._inner[outer, code] = Inner(outer, code, path)
        return self._inner[outer, code]

    def _made(self, node: Function):
        if node.row is not None and self.has_rules:
            return self._with_row(node)
        if node is not self.plan and _is_part_of_ours(node):
            return _shared(node.live, means().decorator)
        return self._compiled(node)

    def _with_row(self, node: Function):
        return means().with_row(node, self._of_values.dispatcher(node), _stub(node))

    @functools.cached_property
    def _of_values(self) -> Prepared:
        """The same functions without rules: what gives the value of a function with a row calls these."""
        return Prepared(self.plan, has_rules=False)

    def _compiled(self, node: Function):
        stub = _stub(node)
        stub.__fwddiff_node__ = node, self
        ordinary = INLINED if self._is_inlined(node) else INTERNAL
        options: dict[str, Any] = {**ordinary, "pipeline_class": _Compiler}
        return compiled(stub, **options)


@functools.cache
def _shared(function: FunctionType, decorator: Any):
    """A helper of special functions, compiled once for all of these: they call the same ones, and Numba takes
    as long for each as for the function that calls it. `decorator`: that of the target."""
    return Prepared(capture_plan(function), is_helper=True).entry


def _is_part_of_ours(node: Function) -> bool:
    """Whether the function never changes: it stands in a module of special functions and captures nothing."""
    own = node.live.__module__.startswith(OURS)
    found = own and vars(sys.modules[node.live.__module__]).get(node.live.__name__)
    return found is node.live and not node.captures and node.row is None and not node.calls_itself


def refuse_python_only(plan: Function) -> None:
    """Raises where compiled code would ignore a rule or an option of a wrapped function."""
    reason = next((node.python_only for node in plan.nodes() if node.python_only), None)
    if reason is not None:
        raise PythonOnlyError(
            f"`{plan.function.__name__}` {reason}: it cannot be compiled. Use engine='auto' or 'numpy', "
            "which run it as Python."
        )


def _stub(node: Function) -> FunctionType:
    """An empty function with the arguments of the compiled one; its defaults are the user's numbers."""
    own = _parameters(node)
    names = [f"captured_{k}" for k in range(len(node.captures))] + own
    namespace: dict[str, FunctionType] = {}
    name = node.function.__name__ if node.function.__name__.isidentifier() else "function"
    exec(f"def {name}({', '.join(names)}): pass", namespace)
    # With the user's globals: functions defined inside look names up there.
    stub = FunctionType(namespace[name].__code__, node.function.__globals__, name)
    code = node.function.__code__
    keyword_only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    defaults = (
        *(node.function.__defaults__ or ()),
        *((node.function.__kwdefaults__ or {}).get(k) for k in keyword_only),
    )
    stub.__defaults__ = defaults[-len(own) :] if own and defaults else None
    stub.__module__ = node.function.__module__
    return stub


def _parameters(node: Function) -> list[str]:
    """Parameters of the function, without a bound `self`; `*rest` keeps its star."""
    code = node.function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    names = list(code.co_varnames[:count])
    if code.co_flags & 0x04:
        names.append("*" + code.co_varnames[count])
    return names[1:] if node.bound is not None else names


@register_pass(mutates_CFG=True, analysis_only=False)
class _Translate(TranslateByteCode):
    _name = "fwddiff_translate"

    def run_pass(self, state):
        node, prepared = state.func_id.func.__fwddiff_node__
        function_ir, code = read(node.function)
        state.metadata["fwddiff"] = rewriter = Rewriter(node, prepared.dispatcher, function_ir)
        rewriter.run()
        dicts_to_structs(function_ir)
        drop_messages(function_ir)
        function_ir.func_id = state.func_id
        function_ir.arg_count = state.func_id.arg_count
        function_ir.arg_names = tuple(state.func_id.arg_names)
        state.func_ir = function_ir
        state.bc = code
        return True


@register_pass(mutates_CFG=False, analysis_only=False)
class _TranslateInlined(FunctionPass):
    _name = "fwddiff_translate_inlined"

    def __init__(self):
        FunctionPass.__init__(self)

    def run_pass(self, state):
        rewriter, (_, prepared) = state.metadata.pop("fwddiff"), state.func_id.func.__fwddiff_node__
        if any(nested_codes(rewriter.node.function.__code__)):
            rewriter.run_inlined(state.func_ir)
            lifter = Lifter(rewriter, state.func_ir, prepared.inner, prepared.dispatcher)
            state.metadata["fwddiff_rebound"] = lifter.run()
        return True


class _Compiler(InnerCompiler):
    def define_pipelines(self):
        (manager,) = super().define_pipelines()
        node, _ = self.state.func_id.func.__fwddiff_node__
        if node.calls_itself:  # and is found by the address of its machine code
            self.state.library = None
        manager.passes[0] = (_Translate, "fwddiff: captured values become arguments")
        manager.passes = [
            (InlineClosures, done) if step is InlineClosureLikes else (step, done)
            for step, done in manager.passes
        ]
        manager.add_pass_after(_TranslateInlined, InlineClosures)
        manager.add_pass_after(Polls, _TranslateInlined)
        manager.add_pass_after(AnswerQuestions, ReconstructSSA)
        manager.add_pass_after(CheckCells, NopythonTypeInference)
        manager._finalized = False
        manager.finalize()
        return [manager]
