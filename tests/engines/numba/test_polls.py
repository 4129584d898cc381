"""Where kernels look for Ctrl-C: in each loop that may not end, nowhere else. (`test_interrupts.py` stops
them.)"""

import ctypes
import functools
import itertools
import math
import os
import struct
import types

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff._native import interrupts, status

pytestmark = pytest.mark.skipif(os.name != "posix", reason="no polls elsewhere")


def counted(x):
    s = 0.0
    for i in range(7):
        s = s * x + i
    return s


def over_items(x):
    s = 0.0
    for factor in (x, 2.0, x * x):
        s = s * factor + 1.0
    return s


def unrolled(x):
    i, s = 0, 0.0
    while i < 5:
        s = s * x + 1.0
        i += 1
    return s


def newton(x):
    s, d = x, 1.0
    while abs(d) > 1e-9:
        d = (s * s - x) / (2.0 * s)
        s = s - d
    return s


def nested(x):
    s = x
    while s < 100.0:
        k = 0
        while k < s:
            k += 1
        s = s * 1.5 + k
    return s


def calls(x):
    return newton(x) + math.sqrt(x)


def inside(x):
    def doubled(y):
        while y < 10.0:
            y = y * 2.0
        return y

    return doubled(x)


def in_for(x):
    s = x
    for _ in range(3):
        while s > 1.0:
            s = s / 3.0
    return s


def left_in_the_middle(x):
    s = x
    while True:
        s = s * 0.5
        if s < 0.1:
            break
        if s > 1e6:
            continue
        s = s - 0.01
    return s


CASES = [
    *((f, False) for f in (counted, over_items, unrolled)),
    *((f, True) for f in (newton, nested, calls, inside, in_for, left_in_the_middle)),
]
X = np.linspace(0.4, 3.0, 21)


_copies = itertools.count()


def wrapped_anew(function):
    """A copy has kernels of its own."""
    code = function.__code__.replace(co_name=f"{function.__name__}_{next(_copies)}")
    return fwddiff(types.FunctionType(code, function.__globals__), engine="numba")


def kernels(wrapped, x=X):
    """The kernels of the function's values and of its pullback, compiled, on contiguous elements."""
    y, pullback = fd.rrule(wrapped.broadcast, x)
    fd.unthunk(pullback(np.ones_like(y))[0])
    rule = wrapped.broadcast.prepare(x).rule
    return [*rule._kernels.values(), *rule._derived("pullback", (0,))._kernels.values()]


@pytest.mark.parametrize(("function", "polls"), CASES, ids=lambda case: getattr(case, "__name__", None))
@pytest.mark.every(2)
def test_where_polls_are(function, polls):
    wrapped = wrapped_anew(function)
    found = kernels(wrapped)
    np.testing.assert_array_equal(wrapped.broadcast(X), np.vectorize(function)(X))
    assert len(found) == 2
    for kernel in found:
        assert kernel.polls is polls
        assert (interrupts.WORD in kernel.assembly()) is polls
        assert interrupts.POLL not in kernel.assembly()  # it is inlined


def direct(launch):
    """The kernel's call as a thread of a divided call makes it, without a look ahead of it."""
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64)
    return functools.partial(_undivided, launch, prototype(launch.kernel.address))


def _undivided(launch, call, *arrays):
    pointers = struct.pack(f"{len(arrays)}q", *[array.ctypes.data for array in arrays])
    return call(pointers, launch._table.ctypes.data + 8 * launch._undivided)


@pytest.fixture
def interrupted(monkeypatch):
    """Sets the word, as a SIGINT does."""
    yield lambda: interrupts._cells.__setitem__(0, 1)
    interrupts._cells[0] = 0


@pytest.mark.parametrize("x", [X, X[:1].reshape(()), X[::2]], ids=["lanes", "one", "strided"])
def test_a_kernel_that_finds_the_word_set_says_so(x, interrupted):
    """As after a SIGINT in the call; one ahead of it is found by `launch`."""
    wrapped = wrapped_anew(newton)
    wanted = wrapped.broadcast(x)
    launch = wrapped.broadcast.prepare(x).rule.launcher((0, (x.shape, x.strides)))
    out = np.zeros(x.shape)
    assert direct(launch)(x, out) == 0
    np.testing.assert_array_equal(out, wanted)
    interrupted()
    assert direct(launch)(x, out) == status.INTERRUPTED
    if launch.tasks == 1:
        pointers = struct.pack("2q", x.ctypes.data, out.ctypes.data)
        assert launch._call(pointers, launch._table_address) == status.STALE
    out[...] = 0.0
    assert launch(x.ctypes.data, out.ctypes.data)  # nothing is pending: the call is made
    np.testing.assert_array_equal(out, wanted)
    assert interrupts._cells[0] == 0


def of_many(a, b, c, d, e, f, g, h, i, j, k, m, n, o):
    """More inputs than go in one pass."""
    s = a
    while s < 100.0:
        s = s * 2.0 + abs(b * c + d * e + f * g + h * i + j * k + m * n + o)
    return s


DERIVED = [
    (left_in_the_middle, 1, np.float64, ()),
    (left_in_the_middle, 1, np.float32, ()),
    (left_in_the_middle, 1, np.float64, (("pullback", (0,)),)),
    (left_in_the_middle, 1, np.float32, (("partials", (0,)),)),
    (left_in_the_middle, 1, np.float64, (("pullback", (0,)), ("pushforward", (0, 1)))),
    (of_many, 14, np.float64, (("pullback", tuple(range(14))),)),
    (of_many, 14, np.float64, (("partials", tuple(range(14))),)),
]


@pytest.mark.parametrize("exact", [False, True], ids=["", "exact"])
@pytest.mark.parametrize("n", [1, 19])
@pytest.mark.parametrize(("function", "inputs", "dtype", "orders"), DERIVED)
@pytest.mark.every(3)
def test_derivatives_of_every_order_are_stopped(function, inputs, dtype, orders, n, exact, interrupted):
    x = np.linspace(0.4, 3.0, n, dtype=dtype)
    rule = wrapped_anew(function).broadcast.prepare(*[x] * inputs).rule
    for kind, active in orders:
        rule = rule._derived(kind, active)
    rule = rule.exactly if exact else rule
    arrays = [np.linspace(0.5, 2.0, n, dtype=slot.dtype) for slot in rule.inputs]
    launch = rule.launcher((0, *[(a.shape, a.strides) for a in arrays]))
    arrays += [np.empty(shape, dtype) for shape, dtype in launch.outputs]
    assert direct(launch)(*arrays) == 0
    interrupted()
    assert direct(launch)(*arrays) == status.INTERRUPTED


def test_exceptions_in_loops_that_look_are_the_users():
    def bounded(x):
        while x < 10.0:
            if x < 0.0:
                raise ValueError("below")
            x = x * 2.0
        return x

    wrapped = fwddiff(bounded, engine="numba")
    np.testing.assert_array_equal(wrapped.broadcast(X), np.vectorize(bounded)(X))
    for x in (X - 1.0, np.full((), -1.0)):
        with pytest.raises(ValueError, match="below"):
            wrapped.broadcast(x)
