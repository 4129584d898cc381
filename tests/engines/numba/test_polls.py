"""Where kernels look for Ctrl-C: in each loop that may not end, nowhere else. (`test_interrupts.py` stops
them.)"""

import ctypes
import math
import os
import struct

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff._native import interrupts

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


def kernels(function, x=X):
    """The kernels of the function's values and of its pullback, compiled, on contiguous elements."""
    wrapped = fwddiff(function, engine="numba")
    y, pullback = fd.rrule(wrapped.broadcast, x)
    np.testing.assert_array_equal(y, np.vectorize(function)(x))
    fd.unthunk(pullback(np.ones_like(y))[0])
    rule = wrapped.broadcast.prepare(x).rule
    return [*rule._kernels.values(), *rule._derived("pullback", (0,))._kernels.values()]


@pytest.mark.parametrize(("function", "polls"), CASES, ids=lambda case: getattr(case, "__name__", None))
def test_where_polls_are(function, polls):
    found = kernels(function)
    assert len(found) == 2
    for kernel in found:
        assert kernel.polls is polls
        assert (interrupts.WORD in kernel.assembly()) is polls
        assert interrupts.POLL not in kernel.assembly()  # it is inlined


@pytest.mark.parametrize("x", [X, X[:1].reshape(()), X[::2]], ids=["lanes", "one", "strided"])
def test_a_kernel_that_finds_the_word_set_says_so(x):
    """As after a SIGINT in the call; `other` sets the word ahead of it."""
    for kernel in kernels(newton, x):
        assert kernel.polls
    wrapped = fwddiff(newton, engine="numba")
    wanted = wrapped.broadcast(x)
    launch = wrapped.broadcast.prepare(x).rule.launcher((0, (x.shape, x.strides)))
    out = np.zeros(x.shape)
    direct = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64)(launch.kernel.address)
    pointers = struct.pack("2q", x.ctypes.data, out.ctypes.data)
    layout = launch._table.ctypes.data + 8 * launch._undivided
    assert direct(pointers, layout) == 0
    np.testing.assert_array_equal(out, wanted)
    interrupts._cells[0] = 1
    try:
        assert direct(pointers, layout) == interrupts.INTERRUPTED
        if launch.tasks == 1:
            assert launch._call(pointers, layout) == interrupts.STALE
        out[...] = 0.0
        assert launch(x.ctypes.data, out.ctypes.data)  # nothing is pending: the call is made
        np.testing.assert_array_equal(out, wanted)
        assert interrupts._cells[0] == 0
    finally:
        interrupts._cells[0] = 0
