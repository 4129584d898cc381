"""A user's function as a compiled one: what it captures becomes its first arguments.

One pass over Numba's IR replaces the chains that `fwddiff._capture` found: data by arguments (so constants
are never stale, and a new value does not recompile), plain functions by their compiled counterparts, whose
captures are passed on at the call. The compiled stub has the signature `(captured_0, …, *the function's own
arguments)`.

The pass and the way it enters the pipeline use Numba's compiler classes, which are not a stable interface;
nothing else does.
"""

from __future__ import annotations

import dataclasses
import dis
import functools
from types import FunctionType

import numpy as np

import numba
from fwddiff._capture import Function, Path, nested_codes, uses
from fwddiff._capture import plan as capture_plan
from fwddiff._errors import CaptureError
from fwddiff.engines.numba import operations, structs
from fwddiff.engines.numba.options import INTERNAL
from fwddiff.engines.numba.scalars import to_float32, to_float64
from numba.core import bytecode, interpreter, ir
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.untyped_passes import TranslateByteCode

# What user code may name that Numba would compile for bare floats only.
REPLACED = {np.float64: to_float64, np.float32: to_float32}


class Prepared:
    """Compiled counterparts of one function and of all that it calls; one per set of argument types'
    owner."""

    def __init__(self, plan: Function):
        self.plan = plan
        self.dispatchers: dict[tuple[int, int], object] = {}
        self.entry = self.dispatcher(plan)
        plan.checks += _frozen_values(plan)

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

    def has_loops(self) -> bool:
        """Whether the function, or one that it calls, jumps backwards."""
        return any(
            "JUMP_BACKWARD" in i.opname or i.opname == "FOR_ITER"
            for function in self.plan.reached()
            for i in dis.get_instructions(function.__code__)
        )

    def dispatcher(self, node: Function):
        key = id(node.function), id(node.bound)
        if key not in self.dispatchers:
            stub = _stub(node)
            stub.__fwddiff_node__ = node, self
            self.dispatchers[key] = numba.njit(stub, pipeline_class=_Compiler, **INTERNAL)
        return self.dispatchers[key]


structs.compile_plan = lambda plan: Prepared(plan).entry


def _frozen_values(plan: Function) -> list:
    """(reader, value) of the globals that functions defined inside refer to.

    Numba compiles them as constants: when one changes, the plan is not current any more.
    """
    found = []
    for node in plan.nodes():
        for inner in nested_codes(node.function.__code__):
            for use in uses(inner):
                root = use.path[0]
                if root in node.function.__globals__ and root not in (*inner.co_freevars, *inner.co_varnames):
                    scope = node.function.__globals__
                    found.append((functools.partial(scope.get, root), scope[root]))
    return found


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
        identity = bytecode.FunctionIdentity.from_function(node.function)
        function_ir = interpreter.Interpreter(identity).interpret(bytecode.ByteCode(identity))
        _Rewriter(node, prepared, function_ir).run()
        function_ir.func_id = state.func_id
        function_ir.arg_count = state.func_id.arg_count
        function_ir.arg_names = tuple(state.func_id.arg_names)
        state.func_ir = function_ir
        state.bc = bytecode.ByteCode(identity)
        return True


class _Compiler(CompilerBase):
    def define_pipelines(self):
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes[0] = (_Translate, "fwddiff: captured values become arguments")
        manager._finalized = False
        manager.finalize()
        return [manager]


class _Rewriter:
    """Rewrites the IR of one function in place."""

    def __init__(self, node: Function, prepared: Prepared, function_ir):
        self.node, self.prepared, self.ir = node, prepared, function_ir
        self.paths: dict[str, Path] = {}
        self.called: dict[str, list[int]] = {}
        self.first = ir.Loc(node.function.__code__.co_filename, node.function.__code__.co_firstlineno)

    def run(self) -> None:
        for block in self.ir.blocks.values():
            for statement in block.body:
                if isinstance(statement, ir.Assign):
                    self._assignment(statement)
        self._pass_captures_on()
        self._drop_unused()

    def _assignment(self, statement) -> None:
        value, target = statement.value, statement.target.name
        path = self._path(value) if self._has_one_value(target) else None
        if path is not None:
            self.paths[target] = path
            replacement = self._replacement(path, statement.loc, target)
            if replacement is not None:
                self._set(statement, replacement)
                return
        if isinstance(value, ir.Arg):
            shift = len(self.node.captures) - (self.node.bound is not None)
            if value.name != self.node.self_name:
                self._set(statement, ir.Arg(value.name, value.index + shift, value.loc))
        elif isinstance(value, ir.Var) and value.name in self.called:
            self.called[target] = self.called[value.name]

    def _has_one_value(self, target: str) -> bool:
        """A variable that different branches assign leads to no one object."""
        return len(self.ir._definitions[target]) == 1

    def _set(self, statement, value) -> None:
        statement.value = value
        definitions = self.ir._definitions[statement.target.name]
        definitions[:] = [value]

    def _path(self, value) -> Path | None:
        """The chain of names that this expression continues, if it does."""
        if isinstance(value, ir.Global | ir.FreeVar):
            return value.name, ()
        if isinstance(value, ir.Arg) and value.name == self.node.self_name:
            return value.name, ()
        if isinstance(value, ir.Var):
            return self.paths.get(value.name)
        if isinstance(value, ir.Expr) and value.op == "getattr":
            root = self.paths.get(value.value.name)
            return None if root is None else (root[0], (*root[1], value.attr))
        return None

    def _replacement(self, path: Path, loc, target: str):
        if path in self.node.own:
            return self._argument(self.node.own[path], loc)
        if path in self.node.calls:
            callee, positions = self.node.calls[path]
            taught = operations.TAUGHT.get(callee.original)
            if taught is not None:
                return ir.Global(taught.__name__, taught, loc)
            if callee.captures and not positions:
                positions = list(range(len(callee.captures)))  # recursion: its captures are ours
            self.called[target] = positions
            return ir.Global(callee.function.__name__, self.prepared.dispatcher(callee), loc)
        value = None if path[0] == self.node.self_name else self.node.lookup(path)
        if isinstance(value, type):
            if dataclasses.is_dataclass(value):
                structs.register(value)
            if value in REPLACED:
                return ir.Global(value.__name__, REPLACED[value], loc)
        return None

    def _argument(self, position: int, loc):
        return ir.Arg(f"captured_{position}", position, loc)

    def _pass_captures_on(self) -> None:
        """Calls of functions that capture get the captured values as their first arguments."""
        needed = sorted({position for positions in self.called.values() for position in positions})
        if not needed:
            return
        entry = self.ir.blocks[min(self.ir.blocks)]
        variables = {}
        for position in needed:
            variables[position] = ir.Var(entry.scope, f"$captured_{position}", self.first)
            entry.body.insert(
                0, ir.Assign(self._argument(position, self.first), variables[position], self.first)
            )
            self.ir._definitions[f"$captured_{position}"] = [entry.body[0].value]
        for block in self.ir.blocks.values():
            for statement in block.body:
                expression = getattr(statement, "value", None)
                if (
                    isinstance(expression, ir.Expr)
                    and expression.op == "call"
                    and expression.func.name in self.called
                ):
                    captured = [variables[position] for position in self.called[expression.func.name]]
                    expression.args = [*captured, *expression.args]
                elif isinstance(statement, ir.Assign | ir.Return | ir.Yield):
                    self._refuse_uncalled(statement)

    def _refuse_uncalled(self, statement) -> None:
        for variable in statement.list_vars():
            if self.called.get(variable.name) and not _is_copy(statement):
                root, attributes = self.paths[variable.name]
                raise CaptureError(
                    f"`{'.'.join((root, *attributes))}` captures values and is passed on without "
                    f"being called, in line {statement.loc.line} of {statement.loc.filename}. Call it."
                )

    def _drop_unused(self) -> None:
        """Remove loads of objects whose attributes were replaced: Numba could not type them."""
        while True:
            used = {
                variable.name
                for block in self.ir.blocks.values()
                for statement in block.body
                for variable in _read_variables(statement)
            }
            dropped = False
            for block in self.ir.blocks.values():
                kept = [s for s in block.body if not self._is_dead(s, used)]
                dropped |= len(kept) != len(block.body)
                block.body[:] = kept
            if not dropped:
                return

    def _is_dead(self, statement, used: set[str]) -> bool:
        if isinstance(statement, ir.Del):
            return statement.value not in used and statement.value in self.paths
        if not isinstance(statement, ir.Assign) or statement.target.name in used:
            return False
        return (statement.target.name in self.paths and not isinstance(statement.value, ir.Expr)) or (
            isinstance(statement.value, ir.Expr)
            and statement.value.op == "getattr"
            and statement.target.name in self.paths
        )


def _is_copy(statement) -> bool:
    return isinstance(statement, ir.Assign) and isinstance(statement.value, ir.Var | ir.Global)


def _read_variables(statement) -> list:
    if isinstance(statement, ir.Del):
        return []
    if isinstance(statement, ir.Assign):
        value = statement.value
        return (
            [value]
            if isinstance(value, ir.Var)
            else (value.list_vars() if isinstance(value, ir.Expr) else [])
        )
    return statement.list_vars()
