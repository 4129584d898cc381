"""Derivatives of LLVM's code of functions with arrays, against closed forms."""

import ctypes

import numpy as np
import pytest

from fwddiff.engines.numba import ssa
from fwddiff.engines.numba.recorded import body
from fwddiff.engines.numba.ssa.function import declared_return
from fwddiff.engines.numba.target.cpu import compile_module

VECTOR, MATRIX = ssa.Array("double", 1), ssa.Array("double", 2)
_DECLARED = """declare ptr @"fwddiff.allocate"(i64)
declare void @"fwddiff.release"(ptr)
declare double @"fwddiff.sqrt"(double) memory(none) nounwind willreturn speculatable
declare double @"fwddiff.exp"(double) memory(none) nounwind willreturn speculatable
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"""


def function(parameters: str, body: str, inputs: tuple, outputs: tuple) -> ssa.Function:
    declared = f"{_DECLARED}\n{declared_return(outputs)}"
    text = f"define i32 @f({parameters}) {{\nentry:\n{body}\nret i32 0\n}}\n{declared}"
    return ssa.Function(text, "f", inputs, outputs)


def run(made: ssa.Function, *arguments, shapes: tuple = ()) -> list:
    """Results, in their order; `shapes` of those that are arrays."""
    text = ssa.lowered(ssa.as_core(made, "core", "") + "\n".join(made.code.outside.values()), body)
    machine = compile_module(text, "core")
    left, kinds, given, kept = iter(shapes), [], [], []
    for kind, x in zip(made.inputs, arguments, strict=True):
        if isinstance(kind, ssa.Array):
            kept.append(np.ascontiguousarray(x, np.float64))
            given += [kept[-1].ctypes.data, *kept[-1].shape]
            kinds += [ctypes.c_void_p, *[ctypes.c_int64] * kind.ndim]
        else:
            given.append(x)
            kinds.append(ctypes.c_double if kind == "double" else ctypes.c_int64)
    found = []
    for kind in made.outputs:
        if isinstance(kind, ssa.Array):
            found.append(np.full(next(left), 7.0))
            given += [found[-1].ctypes.data, *found[-1].shape]
            kinds += [ctypes.c_void_p, *[ctypes.c_int64] * kind.ndim]
        else:
            found.append(None)
    numbers = np.zeros(sum(kind == "double" for kind in made.outputs) + 1)
    call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *kinds)(machine.address)
    assert call(numbers.ctypes.data, None, *given) == 0
    left = iter(numbers.tolist())
    return [next(left) if f is None else f for f in found]


# sum of x[i] * x[i] * c
_SQUARES = """br label %head
head:
%i = phi i64 [ 0, %entry ], [ %j, %body ]
%s = phi double [ 0.0, %entry ], [ %t, %body ]
%more = icmp slt i64 %i, %n
br i1 %more, label %body, label %end
body:
%p = getelementptr double, ptr %x, i64 %i
%v = load double, ptr %p, align 8
%a = fmul double %v, %v
%b = fmul double %a, %c
%t = fadd double %s, %b
%j = add i64 %i, 1
br label %head
end:
call void @"fwddiff.return"(double %s)"""


def squares() -> ssa.Function:
    return function("ptr %x, i64 %n, double %c", _SQUARES, (VECTOR, "double"), ("double",))


def derivative(
    base: ssa.Function, kind: str, active: tuple, outputs: tuple, extra: tuple = (), **options
) -> ssa.Function:
    results = tuple(range(len(base.outputs)))
    return ssa.derived(
        base, ssa.Derivative(kind, active, results, (*base.inputs, *extra), outputs, **options)
    )


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 4, 12])
def test_partials_and_pullback_of_a_number(exact, chunk):
    x, c = np.array([1.5, -2.0, 0.0, 4.0, 0.5]), 3.0
    made = derivative(squares(), "partials", (0, 1), ("double", VECTOR, "double"), exact=exact, chunk=chunk)
    value, by_x, by_c = run(made, x, c, shapes=(5,))
    assert (value, by_c) == (c * x @ x, x @ x)
    np.testing.assert_array_equal(by_x, 2 * c * x)
    made = derivative(
        squares(), "pullback", (0, 1), (VECTOR, "double"), ("double",), exact=exact, chunk=chunk
    )
    by_x, by_c = run(made, x, c, -0.5, shapes=(5,))
    np.testing.assert_array_equal(by_x, -c * x)
    assert by_c == -0.5 * x @ x


@pytest.mark.parametrize("exact", [False, True])
def test_pushforward_of_a_number(exact):
    x, t = np.array([1.5, -2.0, 0.0]), np.array([1.0, 0.0, 2.0])
    made = derivative(squares(), "pushforward", (0, 1), ("double",), (VECTOR, "double"), exact=exact)
    assert run(made, x, 3.0, t, 2.0) == [6.0 * x @ t + 2.0 * x @ x]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("chunks", [(1, 1), (4, 2), (3, 5)])
def test_second_order(exact, chunks):
    x, c, n = np.array([1.5, -2.0, 0.0, 4.0, 0.5]), 3.0, 5
    pullback = derivative(
        squares(), "pullback", (0, 1), (VECTOR, "double"), ("double",), chunk=chunks[0], exact=exact
    )
    outputs = (MATRIX, VECTOR, VECTOR, "double")
    made = derivative(pullback, "jacobian", (0, 1), outputs, chunk=chunks[1], exact=exact)
    xx, xc, cx, cc = run(made, x, c, 1.0, shapes=((n, n), (n,), (n,)))
    np.testing.assert_array_equal(xx, 2 * c * np.eye(n))
    np.testing.assert_array_equal(xc, 2 * x)
    np.testing.assert_array_equal(cx, 2 * x)
    assert cc == 0.0


def test_third_order():
    x, n = np.array([1.5, -2.0, 0.25]), 3
    first = derivative(squares(), "pullback", (0, 1), (VECTOR, "double"), ("double",), chunk=2)
    second = ssa.derived(
        first,
        ssa.Derivative(
            "pullback", (0, 1), (0, 1), (*first.inputs, VECTOR, "double"), (VECTOR, "double"), chunk=2
        ),
    )
    made = ssa.derived(second, ssa.Derivative("jacobian", (0,), (0,), second.inputs, (MATRIX,), chunk=2))
    (got,) = run(made, x, 3.0, 0.5, np.ones(n), 1.5, shapes=((n, n),))
    np.testing.assert_array_equal(got, 2 * 0.5 * 1.5 * np.eye(n))


# y[i] = exp(x[i]) * x[0] by way of an array of its own, which begins as a copy of w
_COPIED = """%bytes = mul i64 %n, 8
%own = call ptr @"fwddiff.allocate"(i64 %bytes)
call void @llvm.memcpy.p0.p0.i64(ptr %own, ptr %w, i64 %bytes, i1 false)
%first = load double, ptr %x, align 8
br label %head
head:
%i = phi i64 [ 1, %entry ], [ %j, %body ]
%more = icmp slt i64 %i, %n
br i1 %more, label %body, label %end
body:
%p = getelementptr double, ptr %x, i64 %i
%v = load double, ptr %p, align 8
%e = call double @"fwddiff.exp"(double %v)
%b = fmul double %e, %first
%q = getelementptr i8, ptr %own, i64 8
%r = getelementptr [8 x i8], ptr %q, i64 %i
%s = getelementptr i8, ptr %r, i64 -8
store double %b, ptr %s, align 8
%j = add i64 %i, 1
br label %head
end:
call void @llvm.memcpy.p0.p0.i64(ptr %y, ptr %own, i64 %bytes, i1 false)
call void @"fwddiff.release"(ptr %own)
call void @"fwddiff.return"()"""


def copied() -> ssa.Function:
    return function("ptr %x, i64 %n, ptr %w, i64 %k, ptr %y, i64 %m", _COPIED, (VECTOR, VECTOR), (VECTOR,))


def jacobian_of_copied(x: np.ndarray) -> np.ndarray:
    want = np.diag(np.exp(x) * x[0])
    want[:, 0] += np.exp(x)
    want[0] = 0.0
    return want


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 4])
def test_an_array_result(exact, chunk):
    x, w, n = np.array([1.5, -2.0, 0.3, 1.0]), np.ones(4), 4
    made = derivative(copied(), "jacobian", (0,), (MATRIX,), exact=exact, chunk=chunk)
    (got,) = run(made, x, w, shapes=((n, n),))
    np.testing.assert_allclose(got, jacobian_of_copied(x), rtol=1e-14, atol=1e-14)
    cotangent = np.array([0.5, 0.0, 2.0, -1.0])
    made = derivative(copied(), "pullback", (0, 1), (VECTOR, VECTOR), (VECTOR,), exact=exact, chunk=chunk)
    by_x, by_w = run(made, x, w, cotangent, shapes=((n,), (n,)))
    np.testing.assert_allclose(by_x, cotangent @ jacobian_of_copied(x), rtol=1e-14, atol=1e-14)
    np.testing.assert_array_equal(by_w, [0.5, 0.0, 0.0, 0.0])
    made = derivative(copied(), "pushforward", (0,), (VECTOR,), (VECTOR,), exact=exact)
    (got,) = run(made, x, w, cotangent, shapes=((n,),))
    np.testing.assert_allclose(got, jacobian_of_copied(x) @ cotangent, rtol=1e-14, atol=1e-14)


def test_second_order_through_memory_of_its_own():
    x, w, n = np.array([1.5, -2.0, 0.3, 1.0]), np.ones(4), 4
    pullback = derivative(copied(), "pullback", (0,), (VECTOR,), (VECTOR,), chunk=3)
    made = ssa.derived(pullback, ssa.Derivative("jacobian", (0,), (0,), pullback.inputs, (MATRIX,), chunk=2))
    (got,) = run(made, x, w, np.ones(n), shapes=((n, n),))
    want = np.diag(np.exp(x) * x[0])
    want[0, 0] = 0.0
    want[0, 1:] = want[1:, 0] = np.exp(x[1:])
    np.testing.assert_allclose(got, want, rtol=1e-14)


# the pointer is that of an argument that is not active, or of memory that is
_MERGED = """%own = alloca [2 x double], align 8
%v = load double, ptr %x, align 8
store double %v, ptr %own, align 8
%c = icmp eq i64 %k, 0
%p = select i1 %c, ptr %w, ptr %own
%a = load double, ptr %p, align 8
%b = fmul double %a, %v
call void @"fwddiff.return"(double %b)"""


@pytest.mark.parametrize("exact", [False, True])
def test_an_argument_that_is_not_active_shares_a_pointer_with_what_is(exact):
    base = function("ptr %x, i64 %n, ptr %w, i64 %m, i64 %k", _MERGED, (VECTOR, VECTOR, "i64"), ("double",))
    made = derivative(base, "partials", (0,), ("double", VECTOR), exact=exact, chunk=2)
    value, slopes = run(made, [3.0, 1.0], [5.0], 0, shapes=(2,))
    assert (value, slopes.tolist()) == (15.0, [5.0, 0.0])
    value, slopes = run(made, [3.0, 1.0], [5.0], 1, shapes=(2,))
    assert (value, slopes.tolist()) == (9.0, [6.0, 0.0])
