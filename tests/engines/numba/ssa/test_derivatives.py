"""Derivatives of LLVM's code, against the Python engine's duals and against mpmath."""

import ctypes
import itertools

import llvmlite.binding as llvm
import mpmath
import numpy as np
import pytest

from fwddiff import dual, rules
from fwddiff.engines.numba import ssa
from fwddiff.engines.numba.recorded import body
from fwddiff.engines.numba.ssa.code import Value
from fwddiff.engines.numba.ssa.function import declared_return, new_pass_builder
from fwddiff.engines.numba.ssa.writer import PURE, Writer, number
from fwddiff.engines.numba.target.cpu import compile_module


def function(body: str, *kinds: str, results: tuple[str, ...] = ("double",)) -> ssa.Function:
    """A function of `%x0, %x1, …` whose body ends in a call of `fwddiff.return`."""
    listing = ", ".join(f"{kind} %x{k}" for k, kind in enumerate(kinds))
    names = {line.split('@"')[1].split('"')[0]: line for line in body.splitlines() if '@"fwddiff.' in line}
    declared = [declared_return(results)]
    for name, line in names.items():
        if name != "fwddiff.return":
            inside = line.split("(", 1)[1].rstrip(")").split(", ")
            declared.append(f'declare double @"{name}"({", ".join(a.split()[0] for a in inside)}) {PURE}')
    text = "\n".join([f"define i32 @f({listing}) {{", body, "ret i32 0", "}", *declared])
    return ssa.Function(as_printed(text), "f", kinds, results)


def as_printed(text: str) -> str:
    """The module as LLVM prints it, with names for all values."""
    module = llvm.parse_assembly(text)
    passes = llvm.create_new_module_pass_manager()
    passes.add_instruction_namer_pass()
    passes.run(module, new_pass_builder())
    return str(module)


def of_row(name: str) -> ssa.Function:
    row = rules.TABLE[name]
    whole = rules.INTEGER_ARGUMENTS.get(name, ())
    kinds = ["i64" if k in whole else "double" for k in range(len(row.arguments))]
    listing = ", ".join(f"{kind} %x{k}" for k, kind in enumerate(kinds))
    body = f'%y = call double @"fwddiff.{name}"({listing})\ncall void @"fwddiff.return"(double %y)'
    return function(body, *kinds)


def partials(
    base: ssa.Function, active: tuple[int, ...], exact: bool = False, chunk: int = 0
) -> ssa.Function:
    results = tuple(j for j, kind in enumerate(base.outputs) if kind in ("double", "float"))
    outputs = (*base.outputs, *[base.outputs[j] for j in results for _ in active])
    return ssa.derived(base, ssa.Derivative("partials", active, results, base.inputs, outputs, exact, chunk))


_C = {"double": ctypes.c_double, "float": ctypes.c_float, "i64": ctypes.c_int64}


def run(made: ssa.Function, *arguments: float) -> list[float]:
    text = ssa.lowered(ssa.as_core(made, "core", "") + "\n".join(made.code.outside.values()), body)
    machine = compile_module(text, "core")
    kinds = [_C[kind] for kind in made.inputs]
    call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *kinds)(machine.address)
    layout = np.dtype(
        [(f"f{k}", {"double": "f8", "float": "f4", "i64": "i8"}[t]) for k, t in enumerate(made.outputs)],
        align=True,
    )
    out = np.zeros(1, layout)
    assert call(out.ctypes.data, None, *arguments) == 0
    return [float(v) for v in out[0]]


_POINTS = {
    "acosh": (1.7, 2.5),
    "asin": (0.3, -0.6),
    "acos": (0.3, -0.6),
    "atanh": (0.3, -0.6),
    "log1p": (0.4, 2.0),
}
_DEFAULT = (0.7, 1.9)


def points(row: rules.Row) -> list[tuple]:
    own = _POINTS.get(row.name, _DEFAULT)
    if row.name in rules.INTEGER_ARGUMENTS:
        whole = rules.INTEGER_ARGUMENTS[row.name]
        return [tuple(2 if k in whole else x for k in range(len(row.arguments))) for x in own]
    return list(itertools.product(own, repeat=len(row.arguments)))


@pytest.mark.parametrize("name", [row.name for row in rules.built_in()])
@pytest.mark.parametrize("highest", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_rows_to_third_order_are_those_of_python_duals(name, highest):
    row = rules.TABLE[name]
    active = tuple(k for k in range(len(row.arguments)) if k not in rules.INTEGER_ARGUMENTS.get(name, ()))
    orders = [of_row(name)]
    for _ in range(highest):
        orders.append(partials(orders[-1], active))
    for at in points(row):
        for order in range(highest + 1):
            want = by_duals(row, at, active, order)
            assert run(orders[order], *at) == pytest.approx(want, rel=1e-12, abs=1e-14, nan_ok=True), (
                at,
                order,
            )


def by_duals(row: rules.Row, at, active, order: int) -> list[float]:
    """The same by nested duals of Python: values, then partials, of all that the order before gave."""
    value = eval(f"lambda {', '.join(row.arguments)}: {row.value}", rules.scalar_namespace())

    def on_duals(*x):
        return value(*x) if max(map(dual.level_of, x)) < 0 else dual.apply(row, on_duals, x)

    x: list = list(at)
    for level in range(order):
        for k, a in enumerate(active):
            x[a] = dual.make(x[a], [1.0 * (k == other) for other in range(len(active))], level)
    found = [on_duals(*x)]
    for level in reversed(range(order)):
        parts = [dual.partials(c, level, len(active)) for c in found]
        found = [dual.value_at(c, level) for c in found] + [p for part in parts for p in part]
    return [float(dual.strip(c)) for c in found]


# --- orders, chunks, kinds ----------------------------------------------------------------------------------

_PRODUCT = """%a = fmul double %x0, %x1
%b = fmul double %a, %x2
%c = call double @"fwddiff.exp"(double %x3)
%d = fmul double %b, %c
%e = fdiv double %d, %x4
call void @"fwddiff.return"(double %e)"""
_AT = (1.3, -0.4, 2.1, 0.3, 1.7)


def test_chunks_give_what_one_pass_gives():
    base, active = function(_PRODUCT, *["double"] * 5), (0, 1, 2, 3, 4)
    whole = partials(base, active)
    for chunk in (1, 2, 3, 5, 7):
        first = partials(base, active, chunk=chunk)
        assert run(first, *_AT) == pytest.approx(run(whole, *_AT), rel=1e-14)
        second = partials(first, active, chunk=2)
        assert run(second, *_AT) == pytest.approx(run(partials(whole, active), *_AT), rel=1e-13, abs=1e-15)


def test_second_order_in_chunks_is_the_hessian():
    base, active = function(_PRODUCT, *["double"] * 5), (0, 1, 2, 3, 4)
    got = run(partials(partials(base, active, chunk=2), active, chunk=2), *_AT)
    x = mpmath.matrix(_AT)
    f = lambda *x: x[0] * x[1] * x[2] * mpmath.exp(x[3]) / x[4]  # noqa: E731
    hessian = [
        float(mpmath.diff(f, tuple(x), tuple((i == a) + (j == a) for a in range(5))))
        for i in range(5)
        for j in range(5)
    ]
    assert got[11:] == pytest.approx(hessian, rel=1e-12)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("chunk", [0, 2])
def test_pullback_and_pushforward_are_products_with_the_partials(exact, chunk):
    body = _PRODUCT.replace('(double %e)"', "").replace(
        'call void @"fwddiff.return"(double %e)',
        '%g = call double @"fwddiff.sin"(double %a)\ncall void @"fwddiff.return"(double %e, double %g)',
    )
    base = function(body, *["double"] * 5, results=("double", "double"))
    active, kinds = (0, 1, 2, 3, 4), ("double",) * 5
    slopes = np.reshape(run(partials(base, active), *_AT)[2:], (2, 5))
    cotangents, tangents = (0.7, -2.0), (0.3, -1.0, 0.0, 2.0, 0.5)
    pullback = ssa.derived(
        base, ssa.Derivative("pullback", active, (0, 1), (*kinds, "double", "double"), kinds, exact, chunk)
    )
    pushforward = ssa.derived(
        base, ssa.Derivative("pushforward", active, (0, 1), kinds * 2, ("double",) * 2, exact)
    )
    assert run(pullback, *_AT, *cotangents) == pytest.approx(list(np.array(cotangents) @ slopes), rel=1e-13)
    assert run(pushforward, *_AT, *tangents) == pytest.approx(list(slopes @ np.array(tangents)), rel=1e-13)


# --- loops, choices, memory ---------------------------------------------------------------------------------

_KEPLER = """entry:
br label %loop
loop:
%y = phi double [ %x1, %entry ], [ %next, %loop ]
%n = phi i64 [ 0, %entry ], [ %m, %loop ]
%s = call double @"fwddiff.sin"(double %y)
%c = call double @"fwddiff.cos"(double %y)
%es = fmul double %x0, %s
%r0 = fsub double %y, %es
%r = fsub double %r0, %x1
%ec = fmul double %x0, %c
%slope = fsub double 1.0, %ec
%step = fdiv double %r, %slope
%next = fsub double %y, %step
%m = add i64 %n, 1
%more = icmp slt i64 %m, 30
br i1 %more, label %loop, label %done
done:
call void @"fwddiff.return"(double %next)"""


def test_loops_carry_partials_to_second_order():
    base = function(_KEPLER, "double", "double")
    got = run(partials(partials(base, (0, 1)), (0, 1)), 0.3, 1.1)
    kepler = lambda e, m: mpmath.findroot(lambda y: y - e * mpmath.sin(y) - m, 1.2)  # noqa: E731
    want = [mpmath.diff(kepler, (0.3, 1.1), n) for n in ((0, 0), (1, 0), (0, 1))]
    want += [mpmath.diff(kepler, (0.3, 1.1), n) for n in ((1, 0), (0, 1), (2, 0), (1, 1), (1, 1), (0, 2))]
    assert got == pytest.approx([float(w) for w in want], rel=1e-9)


_TABLE = """%room = alloca [3 x double], align 8
%p1 = getelementptr [3 x double], ptr %room, i64 0, i64 1
%p2 = getelementptr double, ptr %room, i64 2
%square = fmul double %x0, %x0
store double %square, ptr %room, align 8
store double %x1, ptr %p1, align 8
store double 5.0, ptr %p2, align 8
%p = getelementptr [3 x double], ptr %room, i64 0, i64 %x2
%y = load double, ptr %p, align 8
call void @"fwddiff.return"(double %y)"""


@pytest.mark.parametrize("exact", [False, True])
def test_memory_has_a_shadow_for_each_partial(exact):
    base = function(_TABLE, "double", "double", "i64")
    first = partials(base, (0, 1), exact)
    assert run(first, 3.0, 7.0, 0) == [9.0, 6.0, 0.0]
    assert run(first, 3.0, 7.0, 1) == [7.0, 0.0, 1.0]
    assert run(first, 3.0, 7.0, 2) == [5.0, 0.0, 0.0]
    assert run(partials(first, (0,), exact), 3.0, 7.0, 0) == [9.0, 6.0, 0.0, 6.0, 2.0, 0.0]


_JOINED = """entry:
%q = call double @"fwddiff.value"(double %x0)
%c = fcmp ogt double %q, 0.0
br i1 %c, label %a, label %b
a:
%u = fmul double %x0, %x1
br label %b
b:
%v = phi double [ %x0, %entry ], [ %u, %a ]
%w = call double @"fwddiff.sqrt"(double %v)
call void @"fwddiff.return"(double %w)"""


def test_exact_code_tells_no_dependence_from_a_zero():
    base = function(_JOINED, "double", "double")
    value, first, second = run(partials(base, (0, 1)), 0.0, 2.0)
    assert (value, first) == (0.0, np.inf)
    assert np.isnan(second)  # inf * 0: the second argument is not there on this way
    assert run(partials(base, (0, 1), exact=True), 0.0, 2.0) == [0.0, np.inf, 0.0]
    cube = (
        '%a = fmul double %x0, %x0\n%b = fmul double %a, %x0\n%y = call double @"fwddiff.cbrt"(double %b)\n'
    )
    base = function(cube + 'call void @"fwddiff.return"(double %y)', "double")
    assert np.isnan(run(partials(base, (0,), exact=True), 0.0)[1])  # a slope of 1, which nobody can know


def test_equal_floats_do_not_stand_for_each_other():
    """`x * x if x == 2 else 0` has the slope 4 at 2: LLVM must not make it `4 if …`."""
    body = """entry:
%q = call double @"fwddiff.value"(double %x0)
%c = fcmp oeq double %q, 2.0
br i1 %c, label %a, label %b
a:
%u = fmul double %x0, %x0
br label %b
b:
%v = phi double [ 0.0, %entry ], [ %u, %a ]
call void @"fwddiff.return"(double %v)"""
    base = function(body, "double")
    second = partials(partials(base, (0,)), (0,))
    assert run(second, 2.0) == [4.0, 4.0, 4.0, 2.0]
    assert run(second, 3.0) == [0.0, 0.0, 0.0, 0.0]


def test_comparisons_that_slopes_make_hide_their_operands():
    """Without it the second derivative above is 0, in silence."""
    writer = Writer()
    writer.compare("oeq", Value("double", '%"x"'), number("double", 2.0))
    hidden, compared = writer.lines
    assert '@"fwddiff.value"(double %"x")' in hidden
    assert '%"x"' not in compared


# --- single precision ---------------------------------------------------------------------------------------


def test_constants_and_integers_take_the_precision_of_what_they_meet():
    body = """%n = sitofp i64 %x2 to double
%a = fmul double %x0, 0.1
%b = fadd double %a, %n
%c = fmul double %n, 0.1
%d = fadd double %x0, %x1
call void @"fwddiff.return"(double %b, double %c, double %d)"""
    base = function(body, "double", "double", "i64", results=("double",) * 3)
    made = ssa.narrowed(base, ("float", "double", "i64"), "double")
    assert made.outputs == ("float", "double", "double")
    x = np.float32(1.7)
    want = [np.float32(x * np.float32(0.1)) + np.float32(3), 3 * 0.1, float(x) + 0.3]
    assert run(made, 1.7, 0.3, 3) == [float(w) for w in want]
    assert ssa.narrowed(base, ("float", "double", "i64"), "float").outputs == ("float", "float", "double")


def test_derivatives_of_single_precision_stay_single():
    narrow = ssa.narrowed(function(_KEPLER, "double", "double"), ("float", "float"), "float")
    first = partials(narrow, (0, 1))
    assert set(first.outputs) == {"float"}
    want = run(partials(function(_KEPLER, "double", "double"), (0, 1)), 0.3, 1.1)
    assert run(first, 0.3, 1.1) == pytest.approx(want, rel=1e-6)


# --- what is not understood is refused ----------------------------------------------------------------------

_REFUSED = {
    "bits as a float again": "%i = bitcast double %x0 to i64\n%j = and i64 %i, 9223372036854775807\n"
    "%y = bitcast i64 %j to double",
    "parts of a struct": "%s = insertvalue { double, i64 } undef, double %x0, 0\n"
    "%y = extractvalue { double, i64 } %s, 0",
    "a quotient of vectors": "%v = insertelement <2 x double> undef, double %x0, i64 0\n"
    "%w = fdiv <2 x double> <double 1.0, double 1.0>, %v\n%y = extractelement <2 x double> %w, i64 0",
    "a lane found at run time": "%v = insertelement <2 x double> undef, double %x0, i64 0\n"
    "%n = fptosi double %x0 to i64\n%y = extractelement <2 x double> %v, i64 %n",
    "an unknown function": "%y = call double @unknown(double %x0)",
    "an unknown intrinsic": "%y = call double @llvm.canonicalize.f64(double %x0)",
    "memory that is not its own": "store double %x0, ptr @cell\n%y = load double, ptr @cell",
    "an atomic": "%y = atomicrmw fadd ptr @cell, double %x0 seq_cst",
    "a function pointer": "%p = load ptr, ptr @cell\n%y = call double %p(double %x0)",
    "bits in memory as an integer": "%r = alloca double\nstore double %x0, ptr %r\n%i = load i64, ptr %r\n"
    "%y = bitcast i64 %i to double",
    "bytes that are no zeros": "%r = alloca double\nstore double %x0, ptr %r\n"
    "call void @llvm.memset.p0.i64(ptr %r, i8 1, i64 8, i1 false)\n%y = load double, ptr %r",
    "a pointer that nobody put there": "%r = alloca double\n%s = alloca ptr\nstore double %x0, ptr %r\n"
    "%t = load ptr, ptr %s\n%y = load double, ptr %t",
    "a pointer moved as an integer": "%r = alloca double\n%s = alloca ptr\nstore double %x0, ptr %r\n"
    "store ptr %r, ptr %s\n%u = alloca i64\n%i = load i64, ptr %s\nstore i64 %i, ptr %u\n"
    "%t = load ptr, ptr %u\n%y = load double, ptr %t",
    "a pointer that leaves": "%r = alloca double\nstore double %x0, ptr %r\nstore ptr %r, ptr @cell\n"
    "%y = load double, ptr %r",
    "half precision": "%h = fptrunc double %x0 to half\n%y = fpext half %h to double",
    "an address as a number": "%r = alloca double\nstore double %x0, ptr %r\n%a = ptrtoint ptr %r to i64\n"
    "%p = inttoptr i64 %a to ptr\n%y = load double, ptr %p",
}
_OUTSIDE = """@cell = external global double
declare double @unknown(double) memory(none)
declare double @llvm.canonicalize.f64(double)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @"fwddiff.return"(double)"""


@pytest.mark.parametrize("what", _REFUSED)
def test_what_is_not_understood_is_refused(what):
    returned = 'call void @"fwddiff.return"(double %y)\nret i32 0'
    text = f"define i32 @f(double %x0) {{\n{_REFUSED[what]}\n{returned}\n}}\n{_OUTSIDE}"
    with pytest.raises(ssa.Refused):
        partials(ssa.Function(as_printed(text), "f", ("double",), ("double",)), (0,))
