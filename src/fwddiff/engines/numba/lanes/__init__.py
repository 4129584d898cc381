"""Functions that loop or branch much, applied to several elements side by side.

LLVM vectorises the loop over elements as long as the function has no loop of its own, and few branches. A
function that iterates would run element by element, with scalar sines and exponentials. Here its compiled,
optimised code is read back, and written again for as many elements as a vector register holds: `_code` reads
it, `_flow` finds what the elements do together and what each for itself, `_writer` (by `_masks`,
`_instructions`) writes it.

What cannot be done so (arrays, calls without a vector version, integer divisions that may trap) is refused,
and the function runs element by element as before.
"""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import dataclasses
import itertools
import logging
import re
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from fwddiff.engines.numba import polls, vector_math
from fwddiff.engines.numba.lanes._code import Refused, read, without_polls
from fwddiff.engines.numba.lanes._writer import written
from fwddiff.engines.numba.types import DualType
from numba.core import cgutils, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.extending import intrinsic

OLDEST_LLVM = 20
# LLVM's loop vectoriser takes five times as long for each further branch on values that elements share: with
# 21 blocks (7 such branches) it was stopped after a minute.
MANY_BLOCKS = 10
_TYPES = {types.float64: "double", types.float32: "float", types.int64: "i64", types.int32: "i32"}
_numbers = itertools.count()
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Lanes:
    """`call(*addresses of inputs, *addresses of outputs) → status` is for code that Numba compiles: it reads
    and writes `count` elements of every operand that varies, one of the others. The status is that of a
    kernel: 0, that an element raised, or that there was a Ctrl-C."""

    count: int
    call: Any
    inputs: tuple[types.Type, ...]
    outputs: tuple[types.Type, ...]


@global_compiler_lock
def has_many_blocks(core: Any, kinds: tuple[types.Type, ...]) -> bool:
    """Whether LLVM must not try to vectorise the loop over elements around `core`; compiles it."""
    compiled = _compiled(core, kinds)
    name, text = re.escape(compiled.fndesc.llvm_func_name), compiled.library.get_llvm_str()
    if compiled.library.refers_to(polls.POLL) and not polls.is_needed(text):
        text = without_polls(text)
    match = re.search(rf'^define [^\n]*@"?{name}"?\(.*?^}}', text, re.M | re.S)
    return match is None or len(re.findall(r"^[^\s;]+:", match.group(), re.M)) > MANY_BLOCKS


@global_compiler_lock
def has_polls(core: Any, kinds: tuple[types.Type, ...]) -> bool:
    """Whether `core` has loops, once optimised, that have to look for Ctrl-C."""
    library = _compiled(core, kinds).library
    return library.refers_to(polls.POLL) and polls.is_needed(library.get_llvm_str())


def _compiled(core: Any, kinds: tuple[types.Type, ...]) -> Any:
    core.compile(kinds)
    compiled = core.overloads[kinds]
    compiled.library.optimise()
    return compiled


@global_compiler_lock
def side_by_side(core: Any, kinds: tuple[types.Type, ...], varying: Sequence[bool]) -> Lanes | None:
    """The function `core` of arguments of these types, of which some vary from element to element.

    `None` where LLVM does it, or where it has to run element by element.
    """
    inputs = [_stored(kind) for kind in kinds]
    if not any(varying) or not _lanes(inputs):
        return None
    compiled = _compiled(core, kinds)
    outputs = [_stored(kind) for kind in compiled.signature.return_type.types]
    count = _lanes([*inputs, *outputs])
    if not count:
        return None
    try:
        code = read(compiled.library.get_llvm_str(), compiled.fndesc.llvm_func_name)
        if not code.loops and len(code.blocks) <= MANY_BLOCKS:
            return None
        name = f"fwddiff_lanes_{next(_numbers)}"
        places = list(zip(_offsets(outputs), [_TYPES[kind] for kind in outputs], strict=True))
        library = _library(name, written(name, code, varying, places, count))
    except Refused as reason:
        _log.debug("%s runs element by element: %s", core, reason)
        return None
    return Lanes(count, _caller(name, library, len(inputs) + len(outputs)), tuple(inputs), tuple(outputs))


def _stored(kind: types.Type) -> types.Type:
    return kind.base if isinstance(kind, DualType) and not kind.layers else kind


def _lanes(kinds: Sequence[types.Type]) -> int:
    """Elements in a vector register, 0 where there are none or not all operands are numbers."""
    features = llvm.get_host_cpu_features()
    bits = 512 if features.get("avx512f", False) else 256 if features.get("avx2", False) else 0
    if vector_math.library() is None or llvm.llvm_version_info[0] < OLDEST_LLVM:
        return 0
    widths = [kind.bitwidth for kind in kinds if isinstance(kind, types.Float)]
    return bits // max(widths) if widths and all(kind in _TYPES for kind in kinds) else 0


def _offsets(kinds: Sequence[types.Type]) -> list[int]:
    """Of the parts of a structure (System V ABI: each at a multiple of its size)."""
    found, end = [], 0
    for kind in kinds:
        size = kind.bitwidth // 8
        found.append(-(-end // size) * size)
        end = found[-1] + size
    return found


def _library(name: str, text: str) -> Any:
    """The function, optimised, to be linked into a kernel."""
    library = cpu_target.target_context.codegen().create_library(name)
    try:
        module = llvm.parse_assembly(f'target triple = "{llvm.get_process_triple()}"\n{text}')
        module.verify()
    except RuntimeError as error:
        raise Refused(f"LLVM does not take what was written: {error}") from error
    library.add_llvm_module(module)
    library.add_linking_library(polls.definition(True))
    library.finalize()
    return library


def _caller(name: str, library: Any, operands: int) -> Any:
    word = ir.IntType(64)
    signature = types.int64(types.UniTuple(types.int64, operands))

    def codegen(context, builder, signature, arguments):
        context.active_code_library.add_linking_library(library)
        places = [
            builder.inttoptr(address, ir.IntType(8).as_pointer())
            for address in cgutils.unpack_tuple(builder, arguments[0])
        ]
        kind = ir.FunctionType(word, [place.type for place in places])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), places)

    return intrinsic(lambda typing_context, addresses: (signature, codegen))
