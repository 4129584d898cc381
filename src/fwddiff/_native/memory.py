"""Memory and machine functions for code that Numba compiles; all addresses are int64."""

# Numba supplies the typing context of an intrinsic itself.
# pyright: reportCallIssue=false

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import extending, types

from fwddiff._native.internals import cgutils

intrinsic: Any = extending.intrinsic  # type checkers do not know that it removes a parameter

WORD = ir.IntType(64)


def _pointer(builder, address, kind: ir.Type = WORD):
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def load(typing_context, address):
    def codegen(context, builder, signature, arguments):
        return builder.load(_pointer(builder, arguments[0]))

    return types.int64(types.int64), codegen


@intrinsic
def store(typing_context, address, value):
    def codegen(context, builder, signature, arguments):
        builder.store(arguments[1], _pointer(builder, arguments[0]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def stack(typing_context, words):
    """Address of so many words on the stack of the calling function."""

    def codegen(context, builder, signature, arguments):
        return builder.ptrtoint(builder.alloca(WORD, arguments[0]), WORD)

    return types.int64(types.int64), codegen


@intrinsic
def interrupt(typing_context, wanted):
    """Raises `KeyboardInterrupt`, for which Numba's `raise` has no room, if that is wanted."""

    def codegen(context, builder, signature, arguments):
        with builder.if_then(arguments[0], likely=False):
            context.call_conv.return_user_exc(builder, KeyboardInterrupt)
        return context.get_dummy_value()

    return types.none(types.boolean), codegen


@intrinsic
def barrier(typing_context):
    """No instruction, but one that LLVM knows nothing of: the loop around it is left as it is written."""

    def codegen(context, builder, signature, arguments):
        builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], side_effect=True)
        return context.get_dummy_value()

    return types.void(), codegen


def _caller(arity: int):
    def codegen(context, builder, signature, arguments):
        kind = ir.FunctionType(WORD, [WORD] * arity)
        return builder.call(_pointer(builder, arguments[0], kind), arguments[1:])

    return codegen


@intrinsic
def call_0(typing_context, function):
    """Call a C function of int64 by its address."""
    return types.int64(types.int64), _caller(0)


@intrinsic
def call_2(typing_context, function, a, b):
    return types.int64(types.int64, types.int64, types.int64), _caller(2)


@intrinsic
def call_4(typing_context, function, a, b, c, d):
    return types.int64(*[types.int64] * 5), _caller(4)


def global_word(symbol: str):
    """Intrinsic `() → int64`: the word that the linker knows by this name (`llvmlite.binding.add_symbol`).

    Machine code cached on disk then holds no address of this process.
    """

    @intrinsic
    def word(typing_context):
        def codegen(context, builder, signature, arguments):
            known = builder.module.globals.get(symbol)
            cell = known or cgutils.add_global_variable(builder.module, WORD, symbol)
            cell.linkage = "external"
            return builder.load(cell)

        return types.int64(), codegen

    return word


def pointer_to(dtype: types.Type):
    """Intrinsic `address → typed pointer`."""

    @intrinsic
    def pointer(typing_context, address):
        result = types.CPointer(dtype)

        def codegen(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(result))

        return result(address), codegen

    return pointer


class Operands:
    """Memory cells of a loop's operands, of which the outputs overlap with nothing else: LLVM need not check.

    The reader or writer of operand k is an intrinsic of an address and an index (`alias.scope` metadata, LLVM
    language reference).
    """

    def __init__(self, inputs: Sequence[types.Type], outputs: Sequence[types.Type]):
        self.kinds, self.n_inputs = (*inputs, *outputs), len(inputs)
        self._name = f"fwddiff {next(_numbers)}"

    def _mark(self, instruction: Any, module: ir.Module, k: int) -> None:
        domain = module.add_metadata([ir.MetaDataString(module, self._name)])
        scopes = [
            module.add_metadata([ir.MetaDataString(module, f"{self._name} {j}"), domain])
            for j in range(len(self.kinds))
        ]
        first = self.n_inputs if k < self.n_inputs else 0
        others = [scope for j, scope in enumerate(scopes) if j >= first and j != k]
        instruction.set_metadata("alias.scope", module.add_metadata([scopes[k]]))
        instruction.set_metadata("noalias", module.add_metadata(others))

    def reader(self, k: int) -> Any:
        """Intrinsic `(address, index) → element`."""
        kind = self.kinds[k]

        def codegen(context, builder, signature, arguments):
            base = _pointer(builder, arguments[0], context.get_data_type(kind))
            found = builder.load(builder.gep(base, [arguments[1]]))
            self._mark(found, builder.module, k)
            return context.data_model_manager[kind].from_data(builder, found)

        return intrinsic(lambda typing_context, address, index: (kind(types.int64, types.int64), codegen))

    def writer(self, k: int) -> Any:
        """Intrinsic `(address, index, element)`."""
        kind = self.kinds[k]

        def codegen(context, builder, signature, arguments):
            base = _pointer(builder, arguments[0], context.get_data_type(kind))
            element = context.data_model_manager[kind].as_data(builder, arguments[2])
            stored = builder.store(element, builder.gep(base, [arguments[1]]))
            self._mark(stored, builder.module, k)
            return context.get_dummy_value()

        return intrinsic(
            lambda typing_context, address, index, element: (
                types.void(types.int64, types.int64, kind),
                codegen,
            )
        )


_numbers = itertools.count()
