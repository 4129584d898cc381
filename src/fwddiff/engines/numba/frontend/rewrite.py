"""The rewriting of a user's function in Numba's IR: chains of names become arguments and compiled
functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import numpy as np
import optree

from fwddiff import rules
from fwddiff._capture import Function, Path, plan
from fwddiff._errors import CaptureError, CompileError
from fwddiff._native.internals import ir, ir_utils
from fwddiff.engines.numba.frontend import function_values, named_tuples, replacing, structs, tensor_methods
from fwddiff.engines.numba.frontend.array_functions.elementwise import register_special
from fwddiff.engines.numba.frontend.constants import constant, constant_rest
from fwddiff.engines.numba.frontend.function_values import Form
from fwddiff.engines.numba.frontend.numbers import to_float32, to_float64, where
from fwddiff.rules import distribution_function, is_of_arrays, meant_by, recorded

# What user code may name that Numba would compile for bare floats only, or to something else.
_registered: set[Callable] = set()
REPLACED = {np.float64: to_float64, np.float32: to_float32, np.where: where}


class Rewriter:
    """Rewrites the IR of one function in place."""

    def __init__(self, node: Function, dispatcher: Callable[[Function], Any], function_ir):
        self.node, self.dispatcher, self.ir = node, dispatcher, function_ir
        self.paths: dict[str, Path] = {}
        self.called: dict[str, list[int]] = {}
        self._calls: list[Any] = []  # that have their captured values
        self._closures: set[str] = set()  # tuples of what functions defined inside refer to
        self.first = ir.Loc(node.function.__code__.co_filename, node.function.__code__.co_firstlineno)

    def run(self) -> None:
        for statement in self._statements():
            if isinstance(statement, ir.Assign):
                self._assignment(statement)
                if _is(statement.value, "call"):
                    self._bind_builtin(statement.value)
        self._pass_captures_on()
        self._drop_unused()
        if self.node.meaning.wrt is not None:
            self._make_constants(self.node.meaning.wrt)

    def _make_constants(self, wrt: frozenset[int]) -> None:
        """Arguments that are not differentiated become constants where the function begins."""
        for block in self.ir.blocks.values():
            body = []
            for statement in block.body:
                is_argument = isinstance(statement, ir.Assign) and isinstance(statement.value, ir.Arg)
                body += self._as_constant(statement, block.scope, wrt) if is_argument else [statement]
            block.body[:] = body

    def _as_constant(self, statement, scope, wrt: frozenset[int]) -> list:
        code, loc = self.node.function.__code__, statement.loc
        position = statement.value.index - len(self.node.captures)
        count = code.co_argcount + code.co_kwonlyargcount - (self.node.bound is not None)
        if position < 0 or (position in wrt and position != count):
            return [statement]
        function: Any = constant
        if position == count:
            function = constant_rest(frozenset(k - count for k in wrt if k >= count))
        variables, statements = [], []
        for name, value in (
            (f"$constant_{position}", ir.Global("constant", function, loc)),
            (f"$given_{position}", statement.value),
        ):
            variables.append(ir.Var(scope, name, loc))
            statements.append(ir.Assign(value, variables[-1], loc))
            self.ir._definitions[name] = [value]
        call = ir.Expr.call(variables[0], variables[1:], (), loc)
        self._set(statement, call)
        return [*statements, statement]

    def run_inlined(self, function_ir) -> None:
        """Once Numba has put functions defined inside in the place of their calls: what those call."""
        self.ir = function_ir
        for statement in self._statements():
            value = getattr(statement, "value", None)
            if _is(value, "call"):
                self._bind_builtin(value)
            path = self._path_inlined(value)
            if path is not None:
                target = statement.target.name
                self.paths[target] = path
                replacement = self._replacement(path, statement.loc, target)
                if replacement is not None:
                    self._set(statement, replacement)
            elif isinstance(value, ir.Var) and value.name in self.called:
                self._copied(value.name, statement.target.name)
                self.paths[statement.target.name] = self.paths[value.name]
        self._pass_captures_on()
        self._drop_unused()

    def _bind_builtin(self, call) -> None:
        """`enumerate(x, start=1)` and `zip(x, y, strict=False)`, of which Numba takes no keywords."""
        definitions = self.ir._definitions[call.func.name]
        if not definitions:  # of a name that Numba's reader made
            return
        callee = definitions[0]
        if _is(callee, "getattr"):
            self._bind_replacing(call, callee)
        if not call.kws:
            return
        known = callee.value if isinstance(callee, ir.Global) else None
        names = [name for name, _ in call.kws]
        if known is enumerate and names == ["start"]:
            call.args, call.kws = [*call.args, call.kws[0][1]], ()
        elif known is zip and names == ["strict"]:
            given = self.ir._definitions[call.kws[0][1].name]
            if [value.value for value in given if isinstance(value, ir.Const)] == [False]:
                call.kws = ()

    def _bind_replacing(self, call, callee) -> None:
        """`pair._replace(x=1.0)`, `dataclasses.replace(p, x=1.0)` and `pair._asdict()`."""
        names = tuple(name for name, _ in call.kws)
        meant = self.node.lookup(self.paths[call.func.name]) if call.func.name in self.paths else None
        if callee.attr == "_replace" and not call.args and call.vararg is None:
            function, structs_given = replacing.replaced(names, True), [callee.value]
        elif callee.attr == "_asdict" and not call.args and not names:
            function, structs_given = replacing.as_dict, [callee.value]
        elif meant is dataclasses.replace and len(call.args) == 1:
            function, structs_given = replacing.replaced(names, False), [call.args[0]]
        else:
            return
        loads = [s for s in self._statements() if getattr(s, "value", None) is callee]
        self._set(loads[0], ir.Global(function.__name__, function, call.loc))
        call.args, call.kws = [*structs_given, *[value for _, value in call.kws]], ()

    def _path_inlined(self, value) -> Path | None:
        """Of a global that still stands for what the user's name leads to, and of its attributes."""
        if isinstance(value, ir.Global):
            own = value.name in self.node.function.__code__.co_freevars
            return None if own or value.value is not self.node.lookup((value.name, ())) else (value.name, ())
        return self._path(value) if _is(value, "getattr") else None

    def _statements(self) -> Iterator[Any]:
        for block in self.ir.blocks.values():
            yield from block.body

    def _copied(self, source: str, target: str) -> None:
        values = [s for s in self._statements() if isinstance(s, ir.Assign) and s.target.name == target]
        if self.called[source] and len(values) > 1:
            raise CaptureError(
                f"`{self.paths[source][0]}` captures values and is chosen among several functions, in line "
                f"{values[0].loc.line} of {values[0].loc.filename}. Call each in a branch of its own."
            )
        self.called[target] = self.called[source]

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
                # Numba numbers `*rest` before what follows it; code objects keep it last, as we do.
                place = self.node.function.__code__.co_varnames.index(value.name)
                self._set(statement, ir.Arg(value.name, place + shift, value.loc))
        elif isinstance(value, ir.Var) and value.name in self.called:
            self._copied(value.name, target)

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
            _refuse_mixed(callee.function)
            if callee.captures and not positions:
                positions = list(range(len(callee.captures)))  # recursion: its captures are ours
            self.called[target] = positions
            return ir.Global(callee.function.__name__, self.dispatcher(callee), loc)
        own = path[0] == self.node.self_name
        value = None if own and not isinstance(self.node.bound, type) else self.node.lookup(path)
        if isinstance(value, type):
            if dataclasses.is_dataclass(value) or optree.is_namedtuple_class(value):
                structs.refuse_own_construction(value)
            if dataclasses.is_dataclass(value):
                value = structs.constructor(value)
                return ir.Global(value.__name__, value, loc)
            if optree.is_namedtuple_class(value):
                return ir.Global(value.__name__, named_tuples.constructor(value), loc)
        replacement = next((new for old, new in REPLACED.items() if old is value), None)
        if replacement is None:
            replacement = self._special(value) or self._elementwise(value, path)
        if isinstance(value, type) and not self._is_called(target):
            return None  # a dtype
        return None if replacement is None else ir.Global(_name(replacement), replacement, loc)

    def _special(self, value: Any) -> Any:
        """What a special function is compiled as: a row of the table, unless it is made of several, or of
        arrays."""
        own = distribution_function(value) or meant_by(value) or (value if recorded(value) else None)
        if own is None:
            return None
        if is_of_arrays(own):
            return own
        entry = None if recorded(own) is not None else self.dispatcher(plan(own))
        if own not in _registered:
            _registered.add(own)
            register_special(own, entry)
        return own

    def _elementwise(self, value: Any, path: Path) -> Any:
        """What compiled code calls in the place of a framework's function of numbers; `None`: it is none."""
        meaning = rules.elementwise(value)
        if meaning is None and rules.is_frameworks(value):
            raise CompileError(
                f"`{'.'.join((path[0], *path[1]))}` in {self.node.function.__name__} is no function of "
                "numbers: of a framework's functions, compiled code may call elementwise ones. To have the "
                "framework differentiate the whole function, use fd.differentiate_with."
            )
        if meaning is None:
            return None
        replaced = next((new for old, new in REPLACED.items() if old is meaning), None)
        return replaced or self._special(meaning) or tensor_methods.compiled(meaning)

    def _is_called(self, target: str) -> bool:
        calls: Any = (getattr(statement, "value", None) for statement in self._statements())
        return any(_is(value, "call") and value.func.name == target for value in calls)

    def _argument(self, position: int, loc):
        return ir.Arg(f"captured_{position}", position, loc)

    def _pass_captures_on(self) -> None:
        """Calls of functions that capture get the captured values as their first arguments."""
        needed = sorted({position for positions in self.called.values() for position in positions})
        if not needed:
            return
        variables = {position: self.captured(position) for position in needed}
        self._find_closures()
        for statement in list(self._statements()):
            expression: Any = getattr(statement, "value", None)
            is_call = _is(expression, "call") and expression.func.name in self.called
            if is_call and not any(expression is call for call in self._calls):
                captured = [variables[position] for position in self.called[expression.func.name]]
                expression.args = [*captured, *expression.args]
                self._calls.append(expression)
            if isinstance(statement, ir.Assign | ir.Return | ir.Yield):
                self._make_values(statement)

    def captured(self, position: int) -> ir.Var:
        """A variable that is set to the captured value at the function's beginning."""
        entry, name = self.ir.blocks[min(self.ir.blocks)], f"$captured_{position}"
        variable = ir.Var(entry.scope, name, self.first)
        if name not in self.ir._definitions:
            value = self._argument(position, self.first)
            entry.body.insert(0, ir.Assign(value, variable, self.first))
            self.ir._definitions[name] = [value]
        return variable

    def _find_closures(self) -> None:
        for statement in self._statements():
            expression: Any = getattr(statement, "value", None)
            if _is(expression, "make_function"):
                self._closures.add(getattr(expression.closure, "name", ""))

    def _make_values(self, statement) -> None:
        """Functions that capture, passed on without being called: values that hold the captured ones."""
        is_closure = isinstance(statement, ir.Assign) and statement.target.name in self._closures
        if is_closure or _is_copy(statement):
            return
        expression: Any = getattr(statement, "value", None)
        called = expression.func.name if _is(expression, "call") else ""
        for variable in statement.list_vars():
            if variable.name != called and self.called.get(variable.name):
                value = self._value_of(variable, statement)
                ir_utils.replace_vars_stmt(statement, {variable.name: value})

    def _value_of(self, variable, statement) -> Any:
        """A variable that is set to the function as a value at this one's beginning."""
        path = self.paths[variable.name]
        entry, name = self.ir.blocks[min(self.ir.blocks)], f"$value_of_{'.'.join((path[0], *path[1]))}"
        value = ir.Var(entry.scope, name, self.first)
        if name not in self.ir._definitions:
            self._assign_value(value, entry, path, self._plain_parameters(path, statement))
        return value

    def _assign_value(self, value, entry, path: Path, names: tuple[str, ...]) -> None:
        callee, positions = self.node.calls[path]
        positions = positions or list(range(len(callee.captures)))
        captured = [self.captured(position) for position in positions]
        given = callee.function.__defaults__ or ()
        defaults = {entry.scope.redefine("$default", self.first): ir.Const(d, self.first) for d in given}
        form = Form(self.dispatcher(callee), names, names[len(names) - len(given) :])
        parts = [*captured, *defaults]
        made, before = function_values.made(entry.scope, self.first, callee.function.__code__, form, parts)
        assigned = {**defaults, **before, value: made}
        for target, new in assigned.items():
            self.ir._definitions[target.name] = [new]
        known = {v.name for v in captured}
        place = 1 + max(k for k, s in enumerate(entry.body) if getattr(s, "target", value).name in known)
        entry.body[place:place] = [ir.Assign(new, target, self.first) for target, new in assigned.items()]
        structs.refresh()

    def _plain_parameters(self, path: Path, statement) -> tuple[str, ...]:
        """Parameters of a function that is made a value."""
        callee = self.node.calls[path][0]
        code, defaults = callee.function.__code__, callee.function.__defaults__ or ()
        constants = all(d is None or isinstance(d, int | float | str) for d in defaults)
        if code.co_flags & 0x0C or code.co_kwonlyargcount or not constants:
            raise CaptureError(
                f"`{'.'.join((path[0], *path[1]))}` captures values and is passed on without "
                f"being called, in line {statement.loc.line} of {statement.loc.filename}. Call it."
            )
        return code.co_varnames[callee.bound is not None : code.co_argcount]

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


def drop_messages(function_ir: Any) -> None:
    """Takes arguments of exceptions away, and what is computed for them alone, in the block that raises.

    For code that only tells that an exception is raised.
    """
    for block in function_ir.blocks.values():
        raising = [s for s in block.body if isinstance(s, ir.Raise | ir.TryRaise)]
        for statement in raising:
            if statement.exception is not None:
                _drop_arguments(block, statement.exception.name)
        if raising:
            _drop_unread(function_ir, block)


def _drop_arguments(block: Any, name: str) -> None:
    for statement in block.find_insts(ir.Assign):
        if statement.target.name == name and _is(statement.value, "call"):
            statement.value.args, statement.value.kws = [], ()


def _drop_unread(function_ir: Any, block: Any) -> None:
    """Assignments of this block to variables that nothing reads, again and again."""
    while True:
        read = {
            variable.name
            for other in function_ir.blocks.values()
            for statement in other.body
            for variable in _read_variables(statement)
        }
        unread = {s.target.name for s in block.find_insts(ir.Assign)} - read
        if not unread:
            return
        for other in function_ir.blocks.values():
            other.body[:] = [
                s
                for s in other.body
                if not (isinstance(s, ir.Del) and s.value in unread)
                and not (other is block and isinstance(s, ir.Assign) and s.target.name in unread)
            ]


def _refuse_mixed(function: FunctionType) -> None:
    """Compiled functions have no keyword-only parameters: what stands before `*rest` would get its values."""
    if function.__code__.co_kwonlyargcount and function.__code__.co_flags & 0x04:
        raise CompileError(
            f"`{function.__name__}` has both `*rest` and keyword-only parameters, which compiled code cannot "
            "tell apart in a call. Make the parameters ordinary ones, or use engine='numpy'."
        )


def _name(function: Any) -> str:
    return getattr(getattr(function, "py_func", function), "__name__", "function")


def _is(expression: Any, operation: str) -> bool:
    return isinstance(expression, ir.Expr) and expression.op == operation


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
