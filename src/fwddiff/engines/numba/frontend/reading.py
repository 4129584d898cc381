"""From bytecode to Numba's form of a function, with what Numba's reader lacks: values that are assigned and
used (`:=`), formats in f-strings, functions defined inside that refer to variables without a value yet.
"""

# Private: Numba has no interface for its reader.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import collections
import dis
import functools
from types import FunctionType
from typing import Any

from fwddiff._native.internals import bytecode, interpreter, ir

# What a variable is for a function that is defined before it has a value.
NOT_YET = object()


def read(function: FunctionType) -> tuple[Any, Any]:
    """Numba's form of a function, and its bytecode."""
    identity = bytecode.FunctionIdentity.from_function(function)
    code = bytecode.ByteCode(identity)
    _replace_formats(code)
    return _Interpreter(identity).interpret(code), code


class _Interpreter(interpreter.Interpreter):
    def op_LOAD_CLOSURE(self, inst: Any, res: str) -> None:
        if self._has_no_value_yet(inst):
            self.store(ir.Const(NOT_YET, self.loc), res)
        else:
            super().op_LOAD_CLOSURE(inst, res)

    def op_LOAD_FAST(self, inst: Any, res: str, **how: bool) -> None:
        """From Python 3.13 on, this loads cells too, and Numba says so by `as_load_deref`."""
        if how.get("as_load_deref") and self._has_no_value_yet(inst):
            self.store(ir.Const(NOT_YET, self.loc), res)
        else:
            super().op_LOAD_FAST(inst, res, **how)

    def _has_no_value_yet(self, inst: Any) -> bool:
        name = self.func_id.func.__code__._varname_from_oparg(inst.arg)
        return name in self.code_cellvars and name not in self.definitions

    @functools.cached_property
    def _copies(self) -> bool:
        return any(instruction.opname == "COPY" for instruction in self.bytecode.table.values())

    def _remove_unused_temporaries(self) -> None:
        """Numba takes a temporary away that is assigned to a variable, and it may be used again."""
        if self._copies:
            _keep_what_is_used_again(self.current_block)
        super()._remove_unused_temporaries()


def _keep_what_is_used_again(block: Any) -> None:
    uses = collections.Counter(v.name for s in block.body for v in s.list_vars() if v.is_temp)
    for k in reversed(range(1, len(block.body))):
        given, statement = block.body[k - 1 : k + 1]
        if not isinstance(statement, ir.Assign) or not isinstance(statement.value, ir.Var):
            continue
        name = statement.value.name
        if uses[name] > 2 and isinstance(given, ir.Assign) and given.target.name == name:
            apart = block.scope.redefine("$apart", statement.loc)
            block.body.insert(k, ir.Assign(ir.Const(None, statement.loc), apart, statement.loc))


def _replace_formats(code: Any) -> None:
    """Numba reads no `{x:.3f}` and `{x!r}`, which stand in messages of exceptions above all, and these are
    dropped. What has no meaning for numbers and text stands there instead, and is refused elsewhere."""
    for instruction in code.table.values():
        name, arg = instruction.opname, instruction.arg
        if name == "FORMAT_WITH_SPEC" or (name == "FORMAT_VALUE" and arg & 4):
            _become(instruction, "BINARY_OP", _MATMUL)
        elif name == "CONVERT_VALUE" or (name == "FORMAT_VALUE" and arg):
            _become(instruction, "GET_ITER", 0)


# Numbers of operators, which no stub lists.
_MATMUL = next(k for k, (_, sign) in enumerate(getattr(dis, "_nb_ops")) if sign == "@")  # noqa: B009


def _become(instruction: Any, name: str, arg: int) -> None:
    instruction.opcode, instruction.opname, instruction.arg = dis.opmap[name], name, arg
