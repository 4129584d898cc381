"""Kernels' loops: along any operands, the numbers of the same core called by Python element by element.

A difference can only come from the loop. Sums are compared with `math.fsum`.
"""

import ctypes
import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest

from fwddiff import fwddiff
from fwddiff._native import disk, kept, machine_code
from fwddiff._native.machine_code import Code
from fwddiff._native.status import EXCEPTION, UNDEFINED
from fwddiff.engines.numba import kernel, pipeline, polls, schedule, ssa
from fwddiff.engines.numba.target import cpu

RANDOM = np.random.default_rng(11)
C_TYPES = {
    "double": ctypes.c_double,
    "float": ctypes.c_float,
    "i64": ctypes.c_int64,
    "i32": ctypes.c_int32,
    "i8": ctypes.c_uint8,
}


class Core(NamedTuple):
    """A core's text, its name in it, its slots; the function it is made of."""

    text: str
    symbol: str
    inputs: tuple
    outputs: tuple
    function: ssa.Function


def core_of(rule) -> Core:
    return Core(pipeline.core_text(rule.code, "core"), "core", rule.inputs, rule.outputs, rule.code)


def lanes_of(core: Core, varying):
    """The core on several elements side by side."""
    whole, _ = pipeline._inlined(core.text, core.function)
    assert whole is not None
    info, text = pipeline._side_by_side(whole, core.function, varying)
    assert info is not None
    return text, info


def called(core: Core):
    """The core as a function of Python's: `(status, results)` of one element."""
    text = polls.defined(pipeline.core_text(core.function, "core", "external"))
    made = cpu.compile_module(text, "core")
    kinds = [C_TYPES[schedule.kind_of(slot.dtype)] for slot in core.inputs]
    function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *kinds)(made.address)
    places = list(ssa.offsets(core.function.returned))
    dtypes = [np.dtype(np.uint8) if slot.dtype == bool else slot.dtype for slot in core.outputs]
    out = np.zeros((), np.dtype({"names": list(map(str, places)), "formats": dtypes, "offsets": places}))

    def call(*numbers):
        given = [kind(number.item()) for kind, number in zip(kinds, numbers, strict=True)]
        status = function(out.ctypes.data, None, *given)
        return status, [out[name].copy() for name in map(str, places)]

    call.owner = made  # type: ignore[attr-defined]
    return call


def build(core: Core, pattern, checks=schedule.NO_CHECKS, vectorise=True, side_by_side=False):
    lanes, text = None, core.text
    if side_by_side:
        text, lanes = lanes_of(core, [letter != "0" for letter in pattern[: len(core.inputs)]])
    made = schedule.kernel_text(
        "kernel", core.symbol, core.inputs, core.outputs, pattern, checks, vectorise, lanes
    )
    return kernel_of(cpu.compile_module(polls.defined(text + made), "kernel"))


def kernel_of(code):
    return kernel.Kernel(Code(code.address, code.owner), lambda: "")


def run(made, table, arrays, outputs):
    """The status."""
    addresses = np.array([a.ctypes.data for a in (*arrays, *outputs)], np.int64)
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64)(made.address)
    return call(addresses.tobytes(), table.ctypes.data)


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


def by_python(call, pattern, extents, arrays, n_in, checks):
    """Status and outputs of a loop in Python; nothing is said of outputs where an element raises."""
    outputs = [np.zeros(a.shape, object) if p.isupper() else a.copy() for a, p in
               zip(arrays[n_in:], pattern[n_in:], strict=True)]  # fmt: skip
    terms = [{} for _ in outputs]
    undefined = False
    for index in np.ndindex(*extents):
        at = [_place(letter, index) for letter in pattern]
        status, found = call(*[a[i] for a, i in zip(arrays[:n_in], at, strict=False)])
        if status:
            return EXCEPTION, None
        for j, (number, place) in enumerate(zip(found, at[n_in:], strict=True)):
            undefined |= j in checks.outputs and bool(
                np.isnan(number) or (checks.infinities and np.isinf(number))
            )
            if pattern[n_in + j].isupper():
                terms[j].setdefault(place, []).append(number.item())
            else:
                outputs[j][place] = number
    for j, (array, letter) in enumerate(zip(arrays[n_in:], pattern[n_in:], strict=True)):
        if letter.isupper():
            outputs[j] = _sums(array, terms[j])
    return UNDEFINED if undefined else 0, outputs


def _place(letter, index):
    step = {"c": 1, "s": 3, "0": 0, "z": 0}[letter.lower()]
    outer = [0 if letter.isupper() and axis == 0 else i for axis, i in enumerate(index[:-1])]
    return (*outer, index[-1] * step)


def _sums(array, terms):
    found = np.zeros(array.shape, array.dtype)
    for place, numbers in terms.items():
        if array.dtype.kind == "f":
            found[place] = math.fsum(numbers)
        elif array.dtype == bool:
            found.view(np.uint8)[place] = sum(numbers) % 256
        else:
            found[place] = sum(numbers)
    return found


def compare(core: Core, patterns, extents, checks=schedule.NO_CHECKS, vectorise=True, side_by_side=False):
    n_in, call = len(core.inputs), called(core)
    dtypes = [slot.dtype.name for slot in (*core.inputs, *core.outputs)]
    for pattern in patterns:
        made = build(core, pattern, checks, vectorise, side_by_side)
        for shape in extents:
            arrays, table = operands_of(pattern, shape, dtypes, n_in)
            status, want = by_python(call, pattern, shape, arrays, n_in, checks)
            assert run(made, table, arrays[:n_in], arrays[n_in:]) == status, (pattern, shape)
            for a, b in zip(arrays[n_in:], want or arrays[n_in:], strict=True):
                assert_same(a, b, (pattern, shape))


def assert_same(a, b, what):
    """To some units in the last place: vector versions of functions differ by these, and sums."""
    if a.dtype.kind == "f":
        eps = np.finfo(a.dtype).eps
        np.testing.assert_allclose(a, b, rtol=512 * eps, atol=10_000 * eps, err_msg=str(what))
    else:
        assert a.tobytes() == b.tobytes(), what


SHAPES = [(0,), (1,), (7,), (8,), (255,), (257,), (3, 0), (3, 5), (2, 3, 17), (2, 300)]


def numbers(x, k, flag):
    y = x * k if flag else x + 0.25
    return y, k + 2, flag


@pytest.fixture(scope="module", params=["float64", "float32"])
def mixed(request):
    """A core of floats, integers and bools."""
    integers = np.int64 if request.param == "float64" else np.int32
    x = np.array([1.5], request.param)
    return core_of(fwddiff(numbers).broadcast.prepare(x, np.array([2], integers), np.array([True])).rule)


@pytest.mark.parametrize("inputs", ["".join(p) for p in itertools.product("c0s", repeat=3)])
@pytest.mark.every(5)
def test_elements(mixed, inputs):
    compare(mixed, [inputs + ("ccc" if inputs[0] == "c" else "s0c")], SHAPES)


@pytest.mark.parametrize("outputs", ["".join(p) for p in itertools.product("CZS", repeat=2)])
@pytest.mark.every(3)
def test_accumulated_outputs(mixed, outputs):
    compare(mixed, [("ccc" if outputs[0] == "C" else "0sc") + outputs + "s"], SHAPES)


def test_bools_are_bytes(mixed):
    """Accumulated bools count modulo 256; any byte but 0 is true."""
    compare(mixed, ["cccccZ", "cccccS"], SHAPES)
    arrays, table = operands_of("cccccc", (9,), ["float64", "int64", "bool"] * 2, 3)
    flags = np.arange(9, dtype=np.uint8)
    x, k, *_ = (arrays[j].astype(mixed.inputs[j].dtype) for j in range(3))
    outputs = [np.zeros(9, slot.dtype) for slot in mixed.outputs]
    for column, slot in enumerate((*mixed.inputs, *mixed.outputs)):
        table[3 + column] = slot.dtype.itemsize
    assert run(build(mixed, "cccccc"), table, (x, k, flags), outputs) == 0
    assert outputs[2].view(np.uint8).tolist() == [0] + [1] * 8
    assert outputs[0][0] == x[0] + 0.25


def density(mu, sigma, x):
    """Without logarithm: its vector version and the scalar one, for the last elements, differ by an ulp."""
    z = (x - mu) / sigma
    return -0.5 * z * z - math.sqrt(sigma)


def partials_of(f, *arguments, dtype="float64"):
    given = [np.asarray(a, dtype) for a in arguments]
    return fwddiff(f).broadcast.prepare(*given).rule.partials((0, 1))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("vectorise", [True, False])
def test_partials(dtype, vectorise):
    core = core_of(partials_of(density, 0.5, 1.5, [1.0], dtype=dtype))
    checks = schedule.Checks((1, 2), True)
    compare(core, ["00cccc", "00cZZZ", "ccsCsZ", "0ccZZc"], SHAPES, checks, vectorise)


# --- sums ---------------------------------------------------------------------------------------------------


def product(x, c):
    return x * c


def total_of(values, pattern="c0Z", checks=schedule.NO_CHECKS):
    core = core_of(fwddiff(product).broadcast.prepare(values, values.dtype.type(1)).rule)
    found, one = np.array(7, values.dtype), np.array(1, values.dtype)
    table = np.array([1, len(values), 0, values.itemsize, 0, 0, 1], np.int64)
    status = run(build(core, pattern, checks), table, (values, one), (found,))
    return status, found


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [0, 1, 255, 256, 257, 512, 100_003])
def test_sums(dtype, n):
    terms = np.resize(np.array([1.0, 1e-8, 3.3, 1e5 + 0.1], dtype), n)
    status, found = total_of(terms)
    assert status == 0
    # Of a block, single terms may lose digits; between blocks nothing is lost.
    assert float(found) == pytest.approx(math.fsum(terms), rel=1e-15 if dtype == "float64" else 1e-6, abs=0)


def test_blocks_are_added_with_their_rounding_errors():
    """One large block, many of 256 small terms, the large one taken away again: a plain sum gives 0."""
    terms = np.full(256 * 1002, 2.0**-60)
    terms[:256], terms[-256:] = 2.0**10, -(2.0**10)
    assert total_of(terms)[1] == math.fsum(terms) == 256 * 1000 * 2.0**-60


@pytest.mark.parametrize(
    ("bad", "infinities", "status"),
    [
        (math.nan, False, UNDEFINED),
        (math.inf, False, 0),
        (math.inf, True, UNDEFINED),
        (1.0, True, 0),
    ],
)
@pytest.mark.parametrize("pattern", ["c0Z", "c0c"])
def test_checks(bad, infinities, status, pattern):
    values = np.ones(700)
    values[300] = bad
    core = core_of(fwddiff(product).broadcast.prepare(values, 1.0).rule)
    outputs = np.zeros(700)
    table = np.array([1, 700, 0, 8, 0, 8 if pattern == "c0c" else 0, 1], np.int64)
    for checks, expected in ((schedule.Checks((0,), infinities), status), (schedule.NO_CHECKS, 0)):
        made = build(core, pattern, checks)
        assert run(made, table, (values, np.ones(())), (outputs,)) == expected
        total = outputs[0] if pattern == "c0Z" else outputs.sum()
        np.testing.assert_array_equal(total, values.sum())  # the work is done all the same


# --- exceptions ---------------------------------------------------------------------------------------------


def strict(x, y):
    if x > 5:
        raise ValueError("too large")
    return x * y


@pytest.mark.parametrize("pattern", ["ccc", "c0Z", "scC"])
def test_exceptions(pattern):
    core = core_of(fwddiff(strict).broadcast.prepare(np.ones(3), 1.0).rule)
    compare(core, [pattern], SHAPES)
    dtypes = ["float64"] * 3
    arrays, table = operands_of(pattern, (3, 20), dtypes, 2)
    arrays[0][1, 7] = 6.0
    if pattern[0] == "s":
        arrays[0][1, 6] = 6.0
    assert run(build(core, pattern), table, arrays[:2], arrays[2:]) == EXCEPTION


# --- lanes --------------------------------------------------------------------------------------------------


def newton(x, e):
    anomaly, step = x, 1.0
    while abs(step) > 1e-12:
        step = (anomaly - e * math.sin(anomaly) - x) / (1 - e * math.cos(anomaly))
        anomaly -= step
    return anomaly


@pytest.mark.parametrize("pattern", ["ccccc", "c0ccc", "0scZs", "s0ZcC", "scCZZ", "ccsSc"])
@pytest.mark.parametrize("infinities", [True, False])
@pytest.mark.every(3)
def test_lanes(pattern, infinities):
    core = core_of(partials_of(lambda x, e: newton(x, 0.3 * e), [1.0], [0.5]))
    shapes = [*SHAPES, (9,), (15,), (2, 263)]
    compare(core, [pattern], shapes, schedule.Checks((1, 2), infinities), side_by_side=True)


@pytest.mark.parametrize("pattern", ["ccccc", "sc0ZZ"])
def test_lanes_look_at_results(pattern):
    core = core_of(partials_of(lambda x, e: newton(x, 0.3 * e), [1.0], [0.5]))
    made = build(core, pattern, schedule.Checks((1, 2), False), side_by_side=True)
    for place in (0, 5, 16, 18):
        arrays, table = operands_of(pattern, (19,), ["float64"] * 5, 2)
        assert run(made, table, arrays[:2], arrays[2:]) == 0
        arrays[1][place] = math.nan
        assert run(made, table, arrays[:2], arrays[2:]) == UNDEFINED


def climbing(x, y):
    while x < 4:
        x = x * 1.5
        if x > 3.9:
            raise ValueError("too high")
    return x * y


def test_exceptions_of_lanes():
    core = core_of(fwddiff(climbing).broadcast.prepare(np.ones(3), np.ones(3)).rule)
    made = build(core, "ccc", side_by_side=True)
    x, y, out = np.full(21, 4.5), np.ones(21), np.zeros(21)
    table = np.array([1, 21, 0, 8, 8, 8, 0], np.int64)
    assert run(made, table, (x, y), (out,)) == 0
    np.testing.assert_array_equal(out, x)
    for place in (3, 20):
        x[:] = 4.5
        x[place] = 3.0
        assert run(made, table, (x, y), (out,)) == (EXCEPTION if 3.0 * 1.5 > 3.9 else 0)


# --- machine code -------------------------------------------------------------------------------------------


def kernel_module(pattern="00cccc", **options):
    core = core_of(partials_of(density, 0.5, 1.5, [1.0]))
    made = schedule.kernel_text("kernel", core.symbol, core.inputs, core.outputs, pattern, **options)
    return core.text + made


def test_loops_are_vectorised_unless_told_otherwise():
    made = cpu.assembly(kernel_module(), "kernel")
    assert "ymm" in made or "zmm" in made  # some processors with both prefer the narrower ones
    assert not {"zmm", "ymm"} & set(cpu.assembly(kernel_module(vectorise=False), "kernel").split("%"))


def test_many_branches_are_compiled_soon():
    """LLVM's loop vectoriser does not end on these."""

    def branching(x, s):
        for k in (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6):
            if s < k:
                s = s + 0.3 * np.maximum(-k, s + 0.5) / (
                    k + np.maximum(-k, s + 0.7) * np.maximum(-k, s + 0.7)
                )
        return x * s

    core = core_of(partials_of(branching, [1.0], 0.5))
    compare(core, ["c0ccc"], [(9,)], vectorise=False)


def test_machine_code_is_kept_and_found(tmp_path, monkeypatch):
    monkeypatch.setenv(disk.VARIABLE, str(tmp_path))
    made = cpu.compile_module(kernel_module(), "kernel")
    assert made.is_portable
    kept.keep_object("name", made.code)
    found = kept.recall("name")
    assert found is not None
    arrays, table = operands_of("00cccc", (100,), ["float64"] * 6, 3)
    results = []
    for code in (made, found):
        outputs = [np.zeros(100) for _ in range(3)]
        assert run(kernel_of(code), table, arrays[:3], outputs) == 0
        results.append(outputs)
    np.testing.assert_array_equal(*results)


MISSING = """
declare i64 @no_such_function()
define i64 @kernel() {
  %x = call i64 @no_such_function()
  ret i64 %x
}
"""


def test_what_llvm_does_not_take_is_refused():
    with pytest.raises(RuntimeError, match="parsing error"):
        cpu.compile_module("define i64 @kernel( {", "kernel")
    with pytest.raises(RuntimeError, match="no_such_function"):
        cpu.compile_module(MISSING, "kernel")


def test_addresses_in_the_text_are_noticed():
    text = "define i64 @kernel() {{\n %x = load i64, ptr inttoptr (i64 {0} to ptr)\n ret i64 %x\n}}"
    cell = np.array([12])
    made = cpu.compile_module(text.format(cell.ctypes.data), "kernel")
    assert not made.is_portable
    assert ctypes.CFUNCTYPE(ctypes.c_int64)(made.address)() == 12


def resident() -> int:
    """KiB of this process in memory."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def test_dropped_kernels_give_their_memory_back():
    """Loaded code goes whole; LLVM's pass builder, in llvmlite, keeps some 110 KiB per compilation."""
    text = kernel_module()
    code = cpu.compile_module(text, "kernel").code
    for work, times, most in (
        (lambda: machine_code.load(code), 100, 1),
        (lambda: cpu.compile_module(text, "kernel"), 40, 160),
    ):
        for _ in range(times // 5):
            work()
        before = resident()
        for _ in range(times):
            work()
        assert resident() - before < times * most
