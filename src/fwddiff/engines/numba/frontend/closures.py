"""Functions defined inside, put in the place of their calls.

Numba does it, but binds no keywords, packs no `*rest` and adds all defaults to whatever is given: silently
another call than Python's. Here arguments are bound as Python binds them. A generator expression becomes
the list of what it gives, where nothing can happen in between.
"""

# Private: Numba has no interface for its inliner.
# pyright: reportAttributeAccessIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

import inspect
import math
import types
from typing import Any

import numpy as np

import numba
from fwddiff._native.internals import (
    FunctionPass,
    ReconstructSSA,
    compiler,
    errors,
    fixup_var_define_in_scope,
    inline_closurecall,
    ir,
    ir_utils,
    postproc,
    register_pass,
    rewrites,
    typed_passes,
)
from fwddiff.engines.numba.frontend.cells import is_kept_apart
from fwddiff.engines.numba.frontend.lifting import refers_to_what_comes
from fwddiff.engines.numba.frontend.reading import read
from fwddiff.engines.numba.frontend.rewrite import drop_messages

# What takes all that an iterator gives, at once.
_EAGER = (sum, any, all, min, max, list, tuple, sorted, set, math.fsum, math.prod, np.array)


class _Inliner(inline_closurecall.InlineClosureCallPass):
    def _inline_closure(self, work_list, block, i, func_def):
        ir_utils.require(isinstance(func_def, ir.Expr) and func_def.op == "make_function")
        ir_utils.require(
            not is_kept_apart(func_def.code) and not refers_to_what_comes(self.func_ir, func_def)
        )
        if _is_generator(func_def.code):
            self._refuse_late_reading(block, i, func_def)
        place = self._bind(block, i, func_def)
        bound = ir.Expr.make_function(func_def.name, func_def.code, func_def.closure, None, func_def.loc)
        _inline(
            self.func_ir,
            self.func_ir.func_id.func.__globals__,
            block,
            place,
            bound,
            work_list=work_list,
            callee_validator=inline_closurecall.callee_ir_validator,
        )
        return True

    # --- arguments ------------------------------------------------------------------------------------------

    def _bind(self, block, i: int, function) -> int:
        """Rewrites the call at place `i` to one positional argument per parameter; its place afterwards."""
        call, code = block.body[i].value, function.code
        if code.co_kwonlyargcount or code.co_flags & inspect.CO_VARKEYWORDS:
            raise errors.UnsupportedError(f"{code.co_name} takes keyword-only arguments", call.loc)
        names = code.co_varnames[: code.co_argcount]
        given = [*call.args, *self._unpacked(call.vararg)]
        bound, rest = dict(zip(names, given, strict=False)), given[len(names) :]
        for name, value in call.kws:
            if name in bound or name not in names:
                raise errors.UnsupportedError(f"{code.co_name}() does not take `{name}` here", call.loc)
            bound[name] = value
        defaults = self._defaults(function)
        added: list[Any] = []
        for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=True):
            if name not in bound:
                bound[name] = self._variable(block.scope, default, call.loc, added)
        if len(bound) < len(names) or (rest and not code.co_flags & inspect.CO_VARARGS):
            raise errors.UnsupportedError(f"{code.co_name}() is given {len(given)} arguments", call.loc)
        if code.co_flags & inspect.CO_VARARGS:
            packed = ir.Expr.build_tuple(rest, call.loc)
            bound["*"] = self._variable(block.scope, packed, call.loc, added)
        block.body[i:i] = added
        call.args = [bound[name] for name in (*names, *(["*"] if "*" in bound else []))]
        call.kws, call.vararg = (), None
        return i + len(added)

    def _variable(self, scope, value, loc, added: list) -> ir.Var:
        """The variable itself, or a new one that `added` gives the value."""
        if isinstance(value, ir.Var):
            return value
        variable = scope.redefine("$bound", loc=loc)
        added.append(ir.Assign(value, variable, loc))
        self.func_ir._definitions[variable.name] = [value]
        return variable

    def _unpacked(self, star) -> list:
        if star is None:
            return []
        built = self.func_ir.get_definition(star)
        if not isinstance(built, ir.Expr) or built.op != "build_tuple":
            raise errors.UnsupportedError("`*` of a tuple that is not written there", star.loc)
        return list(built.items)

    def _defaults(self, function) -> list:
        """Variables, which have the values of when the function was defined, and constants."""
        if function.defaults is None:
            return []
        if isinstance(function.defaults, tuple):
            return list(function.defaults)
        built = self.func_ir.get_definition(function.defaults)
        if isinstance(built, ir.Expr) and built.op == "build_tuple":
            return list(built.items)
        return [ir.Const(value, function.loc) for value in built.value]

    # --- generator expressions ------------------------------------------------------------------------------

    def _refuse_late_reading(self, block, i: int, function) -> None:
        """A generator reads variables when it is asked, a list when it is made: where both may differ."""
        if function.code.co_name != "<genexpr>":
            raise errors.UnsupportedError(f"the generator {function.code.co_name}", function.loc)
        if self._goes_into_a_list(block, i):
            return
        for name in function.code.co_freevars:
            if len(self.func_ir._definitions[name]) != 1:
                raise errors.UnsupportedError(f"a generator that reads `{name}` as it changes", function.loc)

    def _goes_into_a_list(self, block, i: int) -> bool:
        target = block.body[i].target.name
        for statement in block.body[i + 1 :]:
            call = getattr(statement, "value", None)
            if isinstance(call, ir.Expr) and call.op == "call" and target in [a.name for a in call.args]:
                callee = ir_utils.guard(ir_utils.get_definition, self.func_ir, call.func)
                return self._is_eager(callee)
        return False

    def _is_eager(self, callee) -> bool:
        if isinstance(callee, ir.Expr) and callee.op == "getattr":
            module = ir_utils.guard(ir_utils.get_definition, self.func_ir, callee.value)
            value = getattr(module.value, callee.attr, None) if isinstance(module, ir.Global) else None
        else:
            value = callee.value if isinstance(callee, ir.Global | ir.FreeVar) else None
        return any(value is known for known in _EAGER)


def _is_generator(code: types.CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_GENERATOR)


def _ir_of_code(namespace: dict, code: types.CodeType) -> Any:
    """As Numba's `get_ir_of_code`, but what is defined inside is left to the caller, who binds as we do."""
    cells = tuple(types.CellType(None) for _ in code.co_freevars)
    function = types.FunctionType(code, namespace, code.co_name, None, cells)
    function_ir, _ = read(function)
    postproc.PostProcessor(function_ir).run()
    drop_messages(function_ir)
    if _is_generator(code):
        _make_list(function_ir)
    state = compiler.StateDict()
    state.typingctx = state.targetctx = state.args = state.typemap = state.return_type = None
    state.calltypes, state.func_ir = None, function_ir
    rewrites.rewrite_registry.apply("before-inference", state)
    ReconstructSSA().run_pass(state)
    typed_passes.PreLowerStripPhis().run_pass(state)
    postproc.PostProcessor(function_ir).run(True)
    return function_ir


def _make_list(function_ir: Any) -> None:
    """A generator expression as a function that returns the list of what it yields."""
    entry = function_ir.blocks[min(function_ir.blocks)]
    scope, loc = entry.scope, entry.loc
    items = scope.redefine("$items", loc=loc)
    for block in function_ir.blocks.values():
        body: list[Any] = []
        for statement in block.body:
            value = getattr(statement, "value", None)
            if isinstance(value, ir.Yield):
                append = scope.redefine("$append", loc=loc)
                body.append(ir.Assign(ir.Expr.getattr(items, "append", loc), append, loc))
                statement = ir.Assign(ir.Expr.call(append, [value.value], (), loc), statement.target, loc)
            elif isinstance(statement, ir.Return):
                statement = ir.Return(items, statement.loc)
            body.append(statement)
        block.body[:] = body
    entry.body.insert(0, ir.Assign(ir.Expr.build_list([], loc), items, loc))
    function_ir._definitions = ir_utils.build_definitions(function_ir.blocks)
    function_ir.generator_info = None


_inline: Any = types.FunctionType(
    inline_closurecall.inline_closure_call.__code__,
    {**vars(inline_closurecall), "get_ir_of_code": _ir_of_code},
    "inline_closure_call",
    inline_closurecall.inline_closure_call.__defaults__,
)


@register_pass(mutates_CFG=True, analysis_only=False)
class InlineClosures(FunctionPass):
    """In the place of Numba's pass of this purpose."""

    _name = "fwddiff_inline_closures"

    def __init__(self):
        FunctionPass.__init__(self)

    def run_pass(self, state):
        typed = not isinstance(state.return_type, numba.types.PyObject)
        replaced = state.parfor_diagnostics.replaced_fns
        _Inliner(state.func_ir, state.flags.auto_parallel, replaced, typed).run()
        postproc.PostProcessor(state.func_ir).run()
        fixup_var_define_in_scope(state.func_ir.blocks)
        return True
