"""What types of arguments decide before inference: `prev is None`, `isinstance(x, C)`, `type(x) is C`.

Numba drops the branches that cannot be taken then, and so never sees `x[0]` of a number.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fwddiff._native.internals import FunctionPass, errors, get_definition, guard, ir, register_pass
from fwddiff.engines.numba.frontend import structs
from fwddiff.engines.numba.frontend.inner import means
from numba import types

_MAY_BE_NONE = (types.NoneType, types.Omitted, types.Optional)
_IS, _IS_NOT = (operator.is_, operator.eq), (operator.is_not, operator.ne)


class _Unknown(Exception):
    """Not an argument, or no class that is known here: Numba's to answer."""


@register_pass(mutates_CFG=False, analysis_only=False)
class AnswerQuestions(FunctionPass):
    _name = "fwddiff_answer_questions"

    def __init__(self):
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        return _Questions(state).answer_all()


class _Questions:
    """Of one function and the types of its arguments."""

    def __init__(self, state: Any):
        self.ir, self.arguments = state.func_ir, state.args

    def answer_all(self) -> bool:
        needless: set[str] = set()
        for block in self.ir.blocks.values():
            for statement in block.find_insts(ir.Assign):
                answer = self._answer(statement.value)
                if answer is not None:
                    self._add_what_it_reads(statement.value, needless)
                    statement.value = ir.Const(answer, statement.loc)
                    self.ir._definitions[statement.target.name] = [statement.value]
        if needless:
            drop_unread(self.ir, needless)
        return bool(needless)

    def _add_what_it_reads(self, value: Any, names: set[str]) -> None:
        """Numba has no type for some classes: loads of these go with the question."""
        for variable in value.list_vars():
            names.add(variable.name)
            found = self._definition(variable)
            if isinstance(found, ir.Expr):
                self._add_what_it_reads(found, names)

    def _answer(self, value: Any) -> bool | None:
        if not isinstance(value, ir.Expr) or value.op not in ("binop", "call"):
            return None
        try:
            return self._compared(value) if value.op == "binop" else self._asked(value)
        except _Unknown:
            return None

    def _compared(self, value: Any) -> bool | None:
        """`x is None`, and `type(x) is C`, which would compare what Numba has for classes."""
        sides = [self._definition(side) for side in (value.lhs, value.rhs)]
        if self._is_call_of(sides[0], np.ndim) and isinstance(sides[1], ir.Const):
            kind = self._kind(sides[0].args[0])
            return None if not _is_number(kind) else value.fn(0, sides[1].value)
        if value.fn is operator.contains:
            return self._has_key(value.lhs, sides[1])
        if value.fn not in (*_IS, *_IS_NOT):
            return None
        asked = [k for k, side in enumerate(sides) if self._is_call_of(side, type)]
        if asked:
            kind = self._kind(sides[asked[0]].args[0])
            if kind is None:
                raise errors.UnsupportedError("`type(...)` of what is no argument", value.loc)
            cls = self._class((value.rhs, value.lhs)[asked[0]])
            return _is_of(kind, [cls], operator.is_, value.loc) == (value.fn in _IS)
        others = [s for s in sides if not (isinstance(s, ir.Const | ir.Global) and s.value is None)]
        if value.fn not in (operator.is_, operator.is_not) or len(others) != 1:
            return None
        if not isinstance(others[0], ir.Arg) or isinstance(self.arguments[others[0].index], _MAY_BE_NONE):
            return None
        return value.fn is operator.is_not

    def _has_key(self, variable: Any, key: Any) -> bool | None:
        """`"x" in d`, of a dict that is an argument or is written in the function."""
        found = self._definition(variable)
        is_made = isinstance(found, ir.Expr) and found.op == "call"
        names = getattr(self._object(found.func) if is_made else self._kind(variable), "keys_of_dict", None)
        is_text = isinstance(key, ir.Const | ir.Global) and isinstance(key.value, str)
        return key.value in names if names is not None and is_text else None

    def _asked(self, value: Any) -> bool | None:
        """`isinstance(x, C)` and `np.isscalar(x)`."""
        kind = self._kind(value.args[0]) if value.args else None
        if kind is not None and self._is_call_of(value, np.isscalar):
            return _is_number(kind) or _class_of(kind) is str
        if kind is None or len(value.args) != 2 or not self._is_call_of(value, isinstance):
            return None
        return _is_of(kind, self._classes(value.args[1]), issubclass, value.loc)

    # --- what variables stand for ---------------------------------------------------------------------------

    def _definition(self, variable: Any) -> Any:
        return guard(get_definition, self.ir, variable)

    def _is_call_of(self, value: Any, function: Any) -> bool:
        is_call = isinstance(value, ir.Expr) and value.op == "call"
        return is_call and self._object(value.func) is function

    def _object(self, variable: Any) -> Any:
        """A global, or an attribute of a module."""
        found = self._definition(variable)
        if isinstance(found, ir.Expr) and found.op == "getattr":
            return getattr(self._object(found.value), found.attr, None)
        return getattr(found, "value", None) if isinstance(found, ir.Global | ir.FreeVar) else None

    def _kind(self, variable: Any) -> Any:
        """Numba's type of a variable that is an argument."""
        found = self._definition(variable)
        return self.arguments[found.index] if isinstance(found, ir.Arg) else None

    def _classes(self, variable: Any) -> list[type]:
        """Of `C`, `(A, B)` and `A | B`."""
        found = self._definition(variable)
        if isinstance(found, ir.Global | ir.FreeVar) and isinstance(found.value, tuple):
            return list(found.value)
        if isinstance(found, ir.Expr) and found.op == "build_tuple":
            return [cls for item in found.items for cls in self._classes(item)]
        if isinstance(found, ir.Expr) and found.op == "binop" and found.fn is operator.or_:
            return [*self._classes(found.lhs), *self._classes(found.rhs)]
        return [self._class(variable)]

    def _class(self, variable: Any) -> type:
        found = self._definition(variable)
        if self._is_call_of(found, type) and getattr(self._definition(found.args[0]), "value", 0) is None:
            return type(None)
        value = structs.class_made(self._object(variable))
        if value is None and isinstance(found, ir.Const | ir.Global) and found.value is None:
            return type(None)
        if not isinstance(value, type):
            raise _Unknown
        return value


def _is_of(kind: Any, classes: list[type], relation: Callable[[type, type], bool], loc: Any) -> bool:
    """Whether the class of values of this type has the relation to one of the classes."""
    own = _class_of(kind)
    if own is None:
        raise _Unknown
    if own in (float, int, bool) and any(issubclass(cls, np.generic) for cls in classes):
        raise errors.UnsupportedError("a question whether a number is one of NumPy's", loc)
    answers = {any(relation(own, cls) for cls in classes)}
    if own is tuple and means().takes_lists:
        answers.add(any(relation(list, cls) for cls in classes))
    if len(answers) > 1:
        raise errors.UnsupportedError("a question whether an argument is a list or a tuple", loc)
    return answers.pop()


def _is_number(kind: Any) -> bool:
    return isinstance(kind, types.Number | types.Boolean)


def _class_of(kind: Any) -> type | None:
    """Python's class of the values of a type."""
    if isinstance(kind, types.BaseNamedTuple):
        return getattr(kind, "instance_class")  # noqa: B009 - of named tuples, which no stub has
    if isinstance(kind, structs.StructType):
        return kind.cls
    return next((cls for numba_class, cls in _CLASSES.items() if isinstance(kind, numba_class)), None)


_CLASSES = {
    types.Float: float,
    types.Boolean: bool,
    types.Integer: int,
    types.BaseTuple: tuple,
    types.Array: np.ndarray,
    types.List: list,
    types.NoneType: type(None),
    types.UnicodeType: str,
    types.StringLiteral: str,
}


def drop_unread(function_ir: Any, names: set[str]) -> None:
    """Takes assignments of these variables away that nothing reads, again and again."""
    while True:
        statements = [s for block in function_ir.blocks.values() for s in block.body]
        read = {v.name for s in statements if not isinstance(s, ir.Del) for v in _read(s)}
        unread = {_target(s) for s in statements} & names - read
        if not unread:
            return
        for block in function_ir.blocks.values():
            block.body[:] = [s for s in block.body if _target(s) not in unread]


def _target(statement: Any) -> str:
    if isinstance(statement, ir.Del):
        return statement.value
    return statement.target.name if isinstance(statement, ir.Assign) else ""


def _read(statement: Any) -> list[Any]:
    if not isinstance(statement, ir.Assign):
        return statement.list_vars()
    value = statement.value
    return value.list_vars() if isinstance(value, ir.Expr) else [value] if isinstance(value, ir.Var) else []
