"""Kernels whose loop is LLVM's text: the numbers of the loops that Numba compiles, along any operands.

The cores are those of functions that Numba compiled, so that a difference can only come from the loop around
them. Sums are compared with `math.fsum` too.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff._native import status
from fwddiff._rule import Slot
from fwddiff.engines.numba import kernel, layout, loops, schedule
from fwddiff.engines.numba.lanes import _lanes, _offsets, _stored
from fwddiff.engines.numba.lanes._code import read
from fwddiff.engines.numba.lanes._writer import written
from fwddiff.engines.numba.target import cpu

RANDOM = np.random.default_rng(11)
KINDS = {"float64": "double", "float32": "float", "int64": "i64", "int32": "i32"}


class Core(NamedTuple):
    """A core's text, its name in it, its slots."""

    text: str
    symbol: str
    inputs: tuple
    outputs: tuple
    dispatcher: object
    kinds: tuple


def core_of(rule) -> Core:
    kinds = tuple(map(loops.leaf_type, rule.inputs))
    rule.core.compile(kinds)
    compiled = rule.core.overloads[kinds]
    compiled.library.optimise()
    symbol = f'"{compiled.fndesc.llvm_func_name}"'
    return Core(compiled.library.get_llvm_str(), symbol, rule.inputs, rule.outputs, rule.core, kinds)


def lanes_of(core: Core, varying):
    """The core on several elements side by side, as today's writer has it."""
    compiled = core.dispatcher.overloads[core.kinds]
    stored = [_stored(kind) for kind in core.kinds], [_stored(k) for k in compiled.signature.return_type.types]
    count = _lanes([*stored[0], *stored[1]])
    places = list(zip(_offsets(stored[1]), [KINDS[str(kind)] for kind in stored[1]], strict=True))
    text = written("lanes", read(core.text, core.symbol.strip('"')), varying, places, count)
    names = [tuple(schedule.kind_of(slot.dtype) for slot in slots) for slots in (core.inputs, core.outputs)]
    return text, schedule.LanesInfo(count, "lanes", *names)


def build(core: Core, pattern, checks=schedule.NO_CHECKS, vectorise=True, side_by_side=False):
    lanes, text = None, core.text
    if side_by_side:
        text, lanes = lanes_of(core, [letter != "0" for letter in pattern[: len(core.inputs)]])
    made = schedule.kernel_text(
        "kernel", core.symbol, core.inputs, core.outputs, pattern, checks, vectorise, lanes
    )
    return kernel.Kernel(*cpu.compile_module(text + made, "kernel")[:2], lambda: None)


def run(made, table, arrays, outputs):
    """The status; outputs are filled with what must not be seen afterwards."""
    addresses = np.array([a.ctypes.data for a in (*arrays, *outputs)], np.int64)
    return made.call(addresses.tobytes(), table.ctypes.data)


def operands_of(letters, extents, dtypes, n_in):
    """Arrays whose axes have these extents, the last one along its operand's letter; their table."""
    arrays, columns, sizes = [], [], []
    for k, (letter, dtype) in enumerate(zip(letters, dtypes, strict=True)):
        inner = {"c": 1, "s": 3, "0": 0, "z": 0}[letter.lower()]
        shape = (*extents[:-1], max(extents[-1] * inner, 1))
        values = RANDOM.uniform(0.5, 2.5, shape)
        array = (values > 1.5) if dtype == "bool" else (values * (1 if "float" in dtype else 5)).astype(dtype)
        if k >= n_in:
            array = np.full(shape, 1, dtype) if letter.isupper() else np.full(shape, 0, dtype)
        # An outer axis that an accumulated output does not have: its elements are revisited.
        outer = [0 if letter.isupper() and axis == 0 else s for axis, s in enumerate(array.strides[:-1])]
        arrays.append(array)
        columns += [*outer, inner * array.itemsize]
        sizes.append(array.size if letter.isupper() else 0)
    outer = extents[:-1]
    head = [math.prod(outer) if extents[-1] else 0, extents[-1], len(outer), *outer]
    return arrays, np.array([*head, *columns, *sizes[n_in:]], np.int64)


def compare(core: Core, patterns, extents, checks=schedule.NO_CHECKS, **options):
    """Kernels of both kinds, whose results are the same to the last bit; sums to 2 ulp."""
    n_in = len(core.inputs)
    dtypes = [slot.dtype.name for slot in (*core.inputs, *core.outputs)]
    for pattern in patterns:
        today = kernel.build(core.dispatcher, core.inputs, core.outputs, pattern, options.get("dear", False), checks)
        new = build(core, pattern, checks, options.get("vectorise", True), options.get("side_by_side", False))
        for shape in extents:
            arrays, table = operands_of(pattern, shape, dtypes, n_in)
            found = [[a.copy() for a in arrays[n_in:]] for _ in range(2)]
            statuses = [run(k, table, arrays[:n_in], f) for k, f in zip((today, new), found, strict=True)]
            assert statuses[0] == statuses[1], (pattern, shape)
            for letter, a, b in zip(pattern[n_in:], *found, strict=True):
                if letter == "Z" and a.dtype.kind == "f":
                    np.testing.assert_array_max_ulp(a, b, 2)
                else:
                    assert a.tobytes() == b.tobytes(), (pattern, shape)


def numbers(x, k, flag):
    y = x * k if flag else x + 0.25
    return y, k + 2, flag


def floats(dtype):
    return {"float64": np.float64, "float32": np.float32}[dtype](1.5)


SHAPES = [(0,), (1,), (7,), (8,), (255,), (256,), (257,), (1000,), (3, 0), (3, 5), (2, 3, 17), (4, 300)]


@pytest.fixture(scope="module", params=["float64", "float32"])
def mixed(request):
    """A core of floats, integers and bools."""
    integers = np.int64 if request.param == "float64" else np.int32
    g = fwddiff(numbers)
    x = np.array([1.5], request.param)
    rule = g.broadcast.prepare(x, np.array([2], integers), np.array([True])).rule
    return core_of(rule)


@pytest.mark.parametrize("inputs", ["".join(p) for p in itertools.product("c0s", repeat=3)])
def test_elements(mixed, inputs):
    compare(mixed, [inputs + "ccc", inputs + "s0s"], SHAPES)


@pytest.mark.parametrize("outputs", ["".join(p) for p in itertools.product("CZS", repeat=2)])
def test_accumulated_outputs(mixed, outputs):
    compare(mixed, ["ccc" + outputs + "c", "0sc" + outputs + "s"], SHAPES)
