"""Functions defined inside that are used as values become functions of their own, and values.

What is left of `make_function` once calls have been replaced by bodies: functions that are handed on, stored,
returned, or call themselves. Variables that they refer to become the first parameters of their code, as what
the user's function captures becomes those of its own.
"""

# Private: Numba has no interface for its IR.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CellType, CodeType, FunctionType
from typing import Any

from fwddiff._capture import NOTHING, Function, Path, nested_codes
from fwddiff._native.internals import errors, ir
from fwddiff.engines.numba.frontend import structs
from fwddiff.engines.numba.frontend.cells import is_assigned_often, own_name, rebound, written_inside
from fwddiff.engines.numba.frontend.function_values import Form
from fwddiff.engines.numba.frontend.function_values import made as function_value
from fwddiff.engines.numba.frontend.questions import drop_unread
from fwddiff.engines.numba.frontend.reading import NOT_YET
from fwddiff.engines.numba.frontend.rewrite import Rewriter


def refers_to_what_comes(function_ir: Any, function: Any) -> bool:
    """Whether a `make_function` refers to a variable without a value yet: its own, where it calls itself."""
    return any(_is_not_yet(function_ir, item) for item in _cells(function_ir, function))


def _is_not_yet(function_ir: Any, variable: Any) -> bool:
    given = function_ir._definitions[variable.name]
    return any(isinstance(d, ir.Const) and d.value is NOT_YET for d in given)


def _cells(function_ir: Any, function: Any) -> list[Any]:
    """Variables that hold what a `make_function` refers to, in the order of its `co_freevars`."""
    if function.closure is None:
        return []
    return list(function_ir.get_definition(function.closure).items)


class Inner(Function):
    """A function defined inside, as if it were one that the outer one calls: `cells` are names of variables
    whose values come first among its captures, and `outer` positions of captures of the outer function."""

    def __init__(self, outer: Function, code: CodeType, path: tuple[CodeType, ...]):
        names = {name for inner in (code, *nested_codes(code)) for name in _named(inner)}
        passed = [n for n in code.co_freevars if _is_of_outer(n, outer, path)]
        self.outer_node, self.live, self.passed = outer, _as_function(outer, code, passed), passed
        self.original = self.function = self.live
        self.owned, self.bound, self.meaning, self.row = outer.owned, None, NOTHING, None
        self.python_only, self.held, self.state = None, [], None
        self.shared = {p for p in (*outer.own, *outer.calls) if p[0] in names and not self._is_local(p[0])}
        own = own_name(path[-1], code)
        self.itself = own if own in code.co_freevars else None
        known = {root for root, _ in self.shared} | {self.itself}
        self.cells = [n for n in code.co_freevars if n not in passed and n not in known]
        self.outer = sorted({k for p in self.shared for k in self._needed(p)})
        # Only how many there are is asked: the values are variables of the outer function.
        self.captures = [None] * (len(self.cells) + len(self.outer))  # type: ignore[list-item]
        self.own = {(name, ()): k for k, name in enumerate(self.cells)} | {
            p: self._place(outer.own[p]) for p in self.shared if p in outer.own
        }
        self.calls = {p: self._call(p) for p in self.shared if p in outer.calls}
        if self.itself:
            self.calls[self.itself, ()] = self, []

    @property
    def identity(self) -> tuple:
        return (id(self),)

    @property
    def self_name(self) -> str | None:
        return None

    def lookup(self, path: Path) -> Any:
        return None if self._is_local(path[0]) else self.outer_node.lookup(path)

    def _is_local(self, name: str) -> bool:
        code = self.live.__code__
        own = name in code.co_varnames or name in code.co_cellvars
        return own or (name in code.co_freevars and name not in self.passed)

    def _needed(self, path: Path) -> list[int]:
        """Positions of the outer function's captures that this path of its stands for."""
        if path in self.outer_node.own:
            return [self.outer_node.own[path]]
        callee, positions = self.outer_node.calls[path]
        return positions or list(range(len(callee.captures)))

    def _place(self, position: int) -> int:
        return len(self.cells) + self.outer.index(position)

    def _call(self, path: Path) -> tuple[Function, list[int]]:
        return self.outer_node.calls[path][0], [self._place(k) for k in self._needed(path)]


def _named(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    yield from code.co_freevars


def _is_free(name: str, outer: Function) -> bool:
    """Whether a name of an inner function is one that the outer function has from outside, or its `self`."""
    return name in outer.function.__code__.co_freevars or name == outer.self_name


def _is_of_outer(name: str, outer: Function, path: tuple[CodeType, ...]) -> bool:
    return _is_free(name, outer) and not any(name in code.co_cellvars for code in path[1:])


def _as_function(outer: Function, code: CodeType, passed: list[str]) -> FunctionType:
    names, cells = outer.function.__code__.co_freevars, outer.function.__closure__ or ()
    own = tuple(
        cells[names.index(n)] if n in passed and n in names else CellType(None) for n in code.co_freevars
    )
    name = code.co_name if code.co_name.isidentifier() else "function"
    return FunctionType(code, outer.function.__globals__, name, None, own)


# --- in Numba's form of the outer function ------------------------------------------------------------------


class Lifter:
    """Replaces what is left of `make_function` in one function by calls that make values."""

    def __init__(self, rewriter: Rewriter, function_ir: Any, inner: Callable[..., Inner], dispatcher: Any):
        self.rewriter, self.ir = rewriter, function_ir
        self.node, self.inner, self.dispatcher = rewriter.node, inner, dispatcher
        self.rebound: dict[CodeType, dict[str, str]] = {}

    def run(self) -> dict[CodeType, dict[str, str]]:
        """By the code of functions: variables that these refer to and that may change while they live, with
        what the user calls them."""
        found = [
            (block, statement)
            for block in self.ir.blocks.values()
            for statement in block.body
            if isinstance(statement, ir.Assign) and _is_made(statement.value)
        ]
        needless: set[str] = set()
        for block, statement in found:
            needless |= self._lift(block, statement)
        if found:
            self._drop(needless)
            # The function is half compiled already, and does not know what was made just now.
            structs.refresh()
        return self.rebound

    def _lift(self, block: Any, statement: Any) -> set[str]:
        made, loc = statement.value, statement.loc
        path = self._path_to(made.code)
        inner = self.inner(self.node, made.code, path)
        self._refuse(inner, made, path, loc)
        function = self.dispatcher(inner)
        cells = dict(zip(made.code.co_freevars, _cells(self.ir, made), strict=True))
        values = [cells[n] for n in inner.cells] + [self.rewriter.captured(k) for k in inner.outer]
        defaults = self._defaults(block, statement)
        needless = {v.name for v in cells.values()} | {
            v.name for v in (made.closure, made.defaults) if isinstance(v, ir.Var)
        }
        if not values and not defaults:
            self._replace(statement, ir.Global(inner.function.__name__, function, loc))
            return needless
        names = made.code.co_varnames[made.code.co_argcount - len(defaults) : made.code.co_argcount]
        form = Form(function, made.code.co_varnames[: made.code.co_argcount], names)
        value, before = function_value(block.scope, loc, made.code, form, [*values, *defaults])
        self._insert(block, statement, before)
        self._replace(statement, value)
        return needless

    def _insert(self, block: Any, statement: Any, assigned: dict[Any, Any]) -> None:
        for target, value in assigned.items():
            self.ir._definitions[target.name] = [value]
        place = next(k for k, other in enumerate(block.body) if other is statement)
        block.body[place:place] = [ir.Assign(v, target, statement.loc) for target, v in assigned.items()]

    def _replace(self, statement: Any, value: Any) -> None:
        old = statement.value
        statement.value = value
        definitions = self.ir._definitions[statement.target.name]
        definitions[:] = [value if d is old else d for d in definitions]

    def _path_to(self, code: CodeType) -> tuple[CodeType, ...]:
        """Codes from the function's own to the one that defines this one."""
        pending: list[tuple[CodeType, ...]] = [(self.node.function.__code__,)]
        while pending:
            path = pending.pop()
            inside = [c for c in path[-1].co_consts if isinstance(c, CodeType)]
            if any(c is code for c in inside):
                return path
            pending += [(*path, c) for c in inside]
        raise errors.UnsupportedError(f"the function {code.co_name} is defined elsewhere")

    def _refuse(self, inner: Inner, made: Any, path: tuple[CodeType, ...], loc: Any) -> None:
        code, name = made.code, made.code.co_name
        if code.co_flags & 0x2C or code.co_kwonlyargcount:
            what = "is a generator" if code.co_flags & 0x20 else "takes `*`, `**` or keyword-only parameters"
            raise errors.UnsupportedError(f"{name}, which is handed on as a value, {what}", loc)
        missing = [
            n
            for n, v in zip(code.co_freevars, _cells(self.ir, made), strict=True)
            if n != inner.itself and _is_not_yet(self.ir, v)
        ]
        if missing or (inner.itself and made.defaults and not self._are_constant(inner, made)):
            raise errors.UnsupportedError(
                f"{name} uses `{(missing or [name])[0]}` before it has a value", loc
            )
        written = {*written_inside(path[-1]), *written_inside(code)} & {*code.co_freevars}
        changing = rebound(path[-1])[code] & set(inner.cells)
        here = {n: self._name_here(n, made, path) for n in changing}
        if written or None in here.values():
            raise errors.UnsupportedError(
                f"`{sorted(written | changing)[0]}` changes while {name}, which uses it, may be called", loc
            )
        if changing:
            self.rebound.setdefault(code, {}).update({str(name): n for n, name in here.items()})

    def _are_constant(self, inner: Inner, made: Any) -> bool:
        """Whether the defaults of a function that calls itself are constants, which become its own."""
        built = self.ir.get_definition(made.defaults) if isinstance(made.defaults, ir.Var) else made.defaults
        items = built if isinstance(built, tuple) else getattr(built, "items", None) or built.value
        values = [
            self.ir.get_definition(v) if isinstance(v, ir.Var) else ir.Const(v, made.loc) for v in items
        ]
        if not all(isinstance(value, ir.Const) for value in values):
            return False
        inner.function.__defaults__ = tuple(value.value for value in values)
        return True

    def _name_here(self, name: str, made: Any, path: tuple[CodeType, ...]) -> str | None:
        """The one name of a variable in this function's form; of comprehensions, which are in it, variables
        have others, and several where they are assigned more than once."""
        if len(path) == 1:
            return name
        variable = _cells(self.ir, made)[made.code.co_freevars.index(name)]
        given = self.ir._definitions[variable.name]
        if len(given) != 1 or not isinstance(given[0], ir.Var) or is_assigned_often(path[-1], name):
            return None
        return given[0].name if len(self.ir._definitions[given[0].name]) == 1 else None

    def _defaults(self, block: Any, statement: Any) -> list[Any]:
        """Variables that hold the values of when the function is made."""
        defaults = statement.value.defaults
        if defaults is None or isinstance(defaults, tuple):
            return list(defaults or ())
        built = self.ir.get_definition(defaults)
        if isinstance(built, ir.Expr) and built.op == "build_tuple":
            return list(built.items)
        loc = statement.loc
        assigned = {block.scope.redefine("$default", loc): ir.Const(value, loc) for value in built.value}
        self._insert(block, statement, assigned)
        return list(assigned)

    def _drop(self, needless: set[str]) -> None:
        """What was there for the functions alone."""
        if self.node.self_name:
            needless = needless | {self.node.self_name}
        drop_unread(self.ir, needless)


def _is_made(value: Any) -> bool:
    return isinstance(value, ir.Expr) and value.op == "make_function"
