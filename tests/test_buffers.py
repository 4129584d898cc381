"""Buffers: `fd.DiffCache`, `fd.get_tmp`, `fd.LazyBufferCache`, in both engines, in threads and from hosts."""

from __future__ import annotations

import copy
import ctypes
import dataclasses
import math
import pickle
import re
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff._capture import plan, refers_to_us

mpmath = pytest.importorskip("mpmath")

ENGINES = ("numba", "numpy")
engines = pytest.mark.parametrize("engine", ENGINES)
POINT = np.array([1.3, 0.7, 2.1])
SMALL = fd.DiffCache(np.zeros(4))
LARGE = fd.DiffCache(np.empty(300))


def products(x):
    """x₀⁴ x₁² + x₀ x₂², by a buffer."""
    b = fd.get_tmp(SMALL, x)
    for i in range(3):
        b[i] = x[i] ** 2 * x[0]
    return b[0] * b[1] + b[2]


def products_gradient(x):
    a, b, c = x
    return np.array([4 * a**3 * b**2 + c**2, 2 * a**4 * b, 2 * a * c])


def products_hessian(x):
    a, b, c = x
    return np.array([
        [12 * a**2 * b**2, 8 * a**3 * b, 2 * c], [8 * a**3 * b, 2 * a**4, 0.0], [2 * c, 0.0, 2 * a],
    ])  # fmt: skip


def long(x, y):
    """A recurrence with constant factor, in a buffer that is too large for the stack."""
    b = fd.get_tmp(LARGE, x)
    b[0] = x * y
    for i in range(1, len(b)):
        b[i] = 0.9 * b[i - 1] + y * math.sin(x)
    return b[len(b) - 1]


def long_slopes(x, y):
    """b_n = 0.9ⁿ x y + (1 - 0.9ⁿ) / 0.1 · y sin x."""
    kept = 0.9**299
    added = (1 - kept) / 0.1
    return kept * y + added * y * np.cos(x), kept * x + added * np.sin(x)


# --- the array in a plain call, room for derivatives inside them --------------------------------------------


def test_a_plain_call_gets_the_very_array():
    array = np.zeros(3)
    cache = fd.DiffCache(array)
    for x in (1.0, 2, POINT, np.float32(1.0), [1.0, POINT], {"a": 2.0}, None):
        assert fd.get_tmp(cache, x) is array
    fd.get_tmp(cache, 1.0)[1] = 5.0
    assert_array_equal(array, [0.0, 5.0, 0.0])


@engines
def test_first_and_second_derivatives(engine):
    assert_allclose(fd.gradient(products, POINT, backend=engine), products_gradient(POINT), rtol=1e-13)
    assert_allclose(fd.hessian(products, POINT, backend=engine), products_hessian(POINT), rtol=1e-13)
    assert_allclose(
        fd.hvp(products, POINT, POINT, backend=engine), products_hessian(POINT) @ POINT, rtol=1e-13
    )


def test_operators_nest_through_a_buffer():
    nested = fd.jacobian(lambda x: fd.gradient(products, x), POINT)
    assert_allclose(nested, products_hessian(POINT), rtol=1e-13)
    third = fd.jacobian(lambda x: fd.hessian(products, x), POINT)
    assert_allclose(third[0, 0], [24 * 1.3 * 0.49, 24 * 1.69 * 0.7, 0.0], rtol=1e-13)


@pytest.mark.parametrize("backend", ["auto", "numpy"])
def test_a_derivative_inside_leaves_the_buffer_around_it_alone(backend):
    def inner(y):
        b = fd.get_tmp(SMALL, y)
        b[0] = y**3
        return b[0]

    def outer(x):
        b = fd.get_tmp(SMALL, x)
        b[0] = 5 * x
        slope = fd.derivative(inner, x, backend=backend)  # 3 x²
        return b[0] * slope

    assert outer(2.0) == pytest.approx(120.0)
    assert fd.derivative(outer, 2.0) == pytest.approx(45 * 4.0)


@engines
def test_evaluations_do_not_see_each_other(engine):
    """A buffer that is large, over many elements and calls."""
    x, y = np.linspace(0.1, 2.0, 3), np.linspace(1.0, 3.0, 3)
    operation = fwddiff(long, engine=engine).broadcast
    for _ in range(2):
        _, pullback = fd.rrule(operation, x, y)
        assert_allclose([fd.unthunk(t) for t in pullback(np.ones(3))], long_slopes(x, y), rtol=1e-12)


@engines
def test_rows(engine):
    def squares(row):
        b = fd.get_tmp(SMALL, row)
        for i in range(4):
            b[i] = row[i] ** 2
        return b

    rows = np.arange(12.0).reshape(3, 4)
    y, pullback = fd.rrule(lambda r: fwddiff(squares, engine=engine).broadcast(r, signature="(n)->(n)"), rows)
    assert_array_equal(y, rows**2)
    assert_array_equal(fd.unthunk(pullback(np.ones((3, 4)))[0]), 2 * rows)


@engines
def test_results_are_no_views_of_the_buffer(engine):
    def filled(x):
        b = fd.get_tmp(SMALL, x)
        b[:] = x
        return b, b[1:3]

    first = fd.value_and_pullback(filled, 2.0, (np.ones(4), np.ones(2)), backend=engine)
    fd.value_and_pullback(filled, 3.0, (np.ones(4), np.ones(2)), backend=engine)
    assert_array_equal(first[0][0], [2.0] * 4)
    assert_array_equal(first[0][1], [2.0] * 2)
    assert first[1] == 6.0

    def twice(x):
        first, _ = fd.value_and_pushforward(filled, x, 1.0)
        second, _ = fd.value_and_pushforward(filled, 2 * x, 1.0)
        return first[0][0] * second[0][0]

    assert fd.derivative(twice, 3.0) == 12.0


@engines
@pytest.mark.few(engine=["numpy"])
def test_matrices_and_views(engine):
    cache = fd.DiffCache(np.empty((3, 3)))

    def f(x):
        b = fd.get_tmp(cache, x)
        for i in range(3):
            b[i, :] = x[i] * x
        b += 1.0
        b[1, :] *= x[0]
        return b[:, 1:].sum() + b[2].sum()

    def closed(x):
        b = [[x[i] * x[j] + 1 for j in range(3)] for i in range(3)]
        b[1] = [v * x[0] for v in b[1]]
        return sum(b[i][1] + b[i][2] for i in range(3)) + sum(b[2])

    expected = [
        float(mpmath.diff(lambda *x: closed(x), tuple(POINT), tuple(np.eye(3, dtype=int)[k])))
        for k in range(3)
    ]
    assert_allclose(fd.gradient(f, POINT, backend=engine), expected, rtol=1e-12)


# --- what a buffer holds at first ---------------------------------------------------------------------------


def fill_first(x):
    b = fd.get_tmp(SMALL, x)
    b[0] = x * x


@engines
def test_one_cache_is_one_memory_within_an_evaluation(engine):
    def f(x):
        fill_first(x)
        return fd.get_tmp(SMALL, x)[0] * x

    assert fd.derivative(f, 1.5, backend=engine) == pytest.approx(3 * 1.5**2)


@engines
def test_which_arguments_are_one_cache_is_part_of_a_call(engine):
    def f(x, a, b):
        p, q = fd.get_tmp(a, x), fd.get_tmp(b, x)
        p[0] = x
        q[0] = x * x
        return p[0] * q[0]

    first, second, third = (fd.DiffCache(np.zeros(1)) for _ in range(3))
    for _ in range(2):
        assert fd.derivative(f, 3.0, first, first, backend=engine) == pytest.approx(4 * 27)
        assert fd.derivative(f, 3.0, first, second, backend=engine) == pytest.approx(27)
        assert fd.derivative(f, 3.0, second, third, backend=engine) == pytest.approx(27)


@engines
def test_a_buffer_starts_with_its_one_number_or_with_nan(engine):
    def f(x, cache):
        b = fd.get_tmp(cache, x)
        b[0] = x * b[1]
        return b[0] + b[2]

    ones = np.ones(3)
    cache = fd.DiffCache(ones)
    assert fd.value_and_derivative(f, 2.0, cache, backend=engine) == (3.0, 1.0)
    ones[:] = 7.0  # what is in the array later belongs to plain calls
    assert fd.value_and_derivative(f, 2.0, cache, backend=engine) == (3.0, 1.0)
    value, slope = fd.value_and_derivative(f, 2.0, fd.DiffCache(np.array([1.0, 2.0, 3.0])), backend=engine)
    assert math.isnan(value)
    assert math.isnan(slope)


@engines
@pytest.mark.parametrize("size", [3, 40, 400])
def test_what_was_never_written_depends_on_nothing(engine, size):
    """Also if its value is nan: a compiler that knows this must not take slopes for gone."""

    def f(x, cache):
        b = fd.get_tmp(cache, x)
        b[0] = x * x
        return b[0] + b[2]

    for start in (np.zeros(size), np.ones(size), np.arange(float(size))):
        assert fd.derivative(f, 3.0, fd.DiffCache(start), backend=engine) == 6.0


@engines
def test_an_infinite_slope_meets_only_what_depends(engine):
    """sqrt of what an earlier evaluation left with partials, and of a constant, at 0."""

    def f(x, cache):
        b = fd.get_tmp(cache, x)
        b[0] = x if x > 0 else 0.0
        return math.sqrt(b[0]) + x

    cache = fd.DiffCache(np.zeros(2))
    assert fd.derivative(f, 4.0, cache, backend=engine) == 1.25
    assert fd.derivative(f, -1.0, cache, backend=engine) == 1.0


# --- where a cache may be -----------------------------------------------------------------------------------


class Model:
    def __init__(self):
        self.cache, self.rate = fd.DiffCache(np.zeros(2)), 2.0

    def value(self, x):
        b = fd.get_tmp(self.cache, x)
        b[0] = x * self.rate
        b[1] = b[0] ** 2
        return b.sum()


@dataclasses.dataclass
class Parameters:
    scale: float
    weights: np.ndarray
    cache: fd.DiffCache


def weighted(p, x):
    b = fd.get_tmp(p.cache, x)
    b[:] = p.weights * x
    return b.sum() * p.scale


@engines
def test_in_self(engine):
    assert fd.derivative(Model().value, 3.0, backend=engine) == 26.0


@engines
def test_in_a_struct_that_is_differentiated(engine):
    p = Parameters(2.0, np.arange(3.0), fd.DiffCache(np.empty(3)))
    found = fd.gradient(weighted, p, 3.0, backend=engine)
    assert (found.scale, found.cache) == (9.0, None)
    assert_array_equal(found.weights, [6.0] * 3)
    assert fd.derivative(lambda x: weighted(p, x), 3.0, backend=engine) == 6.0


@engines
def test_in_containers_and_functions_defined_inside(engine):
    caches = {"a": fd.DiffCache(np.empty(1)), "b": fd.DiffCache(np.empty(1))}

    def f(x):
        def cube(y):
            b = fd.get_tmp(SMALL, y)
            b[2] = y**3
            return b[2]

        first, second = fd.get_tmp(caches["a"], x), fd.get_tmp(caches["b"], x)
        first[0], second[0] = x, 2 * x
        return cube(x) * first[0] * second[0]

    assert fd.derivative(f, 2.0, backend=engine) == pytest.approx(10 * 16)


def test_recursion_runs_as_python_where_no_kernel_can(caplog):
    def f(x, n):
        b = fd.get_tmp(SMALL, x)
        b[0] = x
        return b[0] if n == 0 else x * f(x, n - 1)

    assert fd.derivative(f, 2.0, 3) == pytest.approx(4 * 8)


def test_get_tmp_does_not_keep_a_function_from_being_compiled():
    assert not refers_to_us(plan(products))


def test_a_cache_is_no_input():
    assert [
        slot.core_ndim
        for slot in fwddiff(products, engine="numba").operation("whole").prepare(POINT).rule.inputs
    ] == [1]


def test_caches_of_one_form_share_kernels():
    def f(x, cache):
        b = fd.get_tmp(cache, x)
        b[0] = x * x
        return b[0]

    wrapped = fwddiff(f)
    rules = [wrapped.operation("whole").prepare(1.0, fd.DiffCache(np.zeros(2))).rule for _ in range(3)]
    assert rules[0] is rules[1] is rules[2]
    assert wrapped.operation("whole").prepare(1.0, fd.DiffCache(np.zeros(3))).rule is not rules[0]


def test_kernels_are_kept_on_disk_by_the_form_of_their_caches():
    def describe(*caches):
        def f(x, a, b):
            return fd.get_tmp(a, x)[0] * fd.get_tmp(b, x)[0]

        problem = fwddiff(f, engine="numba").operation("whole").prepare(1.0, *caches).rule.problem
        description = problem.describe()
        return description.digest(), description.unknown

    a, b, c, larger = (fd.DiffCache(np.zeros(n)) for n in (2, 2, 2, 3))
    (first, unknown), (second, _) = describe(a, b), describe(b, c)
    assert first == second
    assert unknown == []
    assert len({first, describe(a, a)[0], describe(a, larger)[0]}) == 3


def test_copies():
    cache = fd.DiffCache(np.zeros(3))
    fd.get_tmp(cache, 1.0)[0] = 4.0
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert_array_equal(other.array, [4.0, 0.0, 0.0])
        assert other.array is not cache.array
        assert other.start == 0.0
    assert repr(cache) == "DiffCache(float64[3])"


# --- dtypes -------------------------------------------------------------------------------------------------


def total(x, cache):
    b = fd.get_tmp(cache, x)
    b[:] = x * x
    return b.sum()


@engines
@pytest.mark.parametrize("own", [np.float32, np.float64])
@pytest.mark.few(own=["float32"], engine=["numpy"])
def test_float32_stays_float32(engine, own):
    x = np.arange(3, dtype=np.float32)
    found = fd.gradient(total, x, fd.DiffCache(np.empty(3, own)), backend=engine)
    assert found.dtype == np.float32
    assert_array_equal(found, 2 * x)


def test_a_buffer_of_less_precision_than_the_arguments():
    """Rounds, as it does in a plain call, in Python; no kernel does."""
    x, cache = np.array([0.1, 0.2, 0.3]), fd.DiffCache(np.empty(3, np.float32))
    assert_allclose(fd.gradient(total, x, cache), 2 * x, rtol=1e-7)
    with pytest.raises(fd.CompileError, match="precision of the arguments"):
        fd.gradient(total, x, cache, backend="numba")


@engines
def test_integers(engine):
    assert fd.derivative(lambda x: total(x, SMALL), 3, backend=engine) == 24.0
    assert fd.get_tmp(SMALL, 3) is SMALL.array
    with pytest.raises(fd.ArgumentError, match="float64 or float32, not of int64"):
        fd.DiffCache(np.zeros(3, np.int64))


# --- mistakes -----------------------------------------------------------------------------------------------


def read_only():
    array = np.zeros(2)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: fd.DiffCache([0.0, 1.0]), "takes a NumPy array"),  # type: ignore[arg-type]
        (lambda: fd.DiffCache(8), "takes a NumPy array"),  # type: ignore[arg-type]
        (lambda: fd.DiffCache(np.zeros(2, complex)), "float64 or float32"),
        (lambda: fd.DiffCache(np.zeros(2, np.float16)), "float64 or float32"),
        (lambda: fd.DiffCache(read_only()), "read-only"),
        (lambda: fd.get_tmp(np.zeros(2), 1.0), "make it once, outside of the function"),  # type: ignore[arg-type]
        (lambda: fd.LazyBufferCache(3), "DiffCache"),  # type: ignore[arg-type]
        (lambda: fd.get_tmp(fd.LazyBufferCache(), [1.0]), "needs a number or an array"),
        (lambda: fd.get_tmp(fd.LazyBufferCache(lambda shape: -1), 1.0), "not a shape"),
        (lambda: fd.get_tmp(fd.LazyBufferCache(lambda shape: "a"), 1.0), "not a shape"),  # type: ignore[arg-type]
    ],
)
def test_wrong_caches(wrong, message):
    with pytest.raises(fd.FwdDiffError, match=message):
        wrong()


@engines
def test_a_buffer_of_the_wrong_size(engine):
    def f(x, n):
        b = fd.get_tmp(SMALL, x)
        b[n] = x
        return b[n]

    assert fd.derivative(f, 1.0, 3, backend=engine) == 1.0
    with pytest.raises(IndexError):
        fd.derivative(f, 1.0, 4, backend=engine)
    if engine == "numpy":
        with pytest.raises(ValueError, match="broadcast"):
            fd.gradient(total, np.ones(5), fd.DiffCache(np.empty(3)), backend=engine)


PLAIN = np.zeros(3)


def stores_a_number(x):
    PLAIN[0] = x
    return PLAIN[0]


def stores_in_a_loop(x, buffer):
    for i in range(3):
        buffer[i] = x
    return buffer[0]


def stores_in_what_a_library_made(x):
    b = np.linspace(0.0, 1.0, 3)
    b[0] = x
    return b[0]


def adds_to_what_a_library_made(x):
    b = np.linspace(0.0, 1.0, 3)
    b += x
    return b.sum()


@engines
@pytest.mark.parametrize(
    ("f", "constants"),
    [(stores_a_number, ()), (stores_in_a_loop, (np.zeros(3),))],
    ids=["captured", "argument"],
)
def test_storing_in_a_plain_array_names_the_cache(engine, f, constants):
    with pytest.raises(fd.FwdDiffError, match=r"fd\.DiffCache"):
        fd.derivative(f, 1.0, *constants, backend=engine)


@pytest.mark.parametrize("f", [stores_in_what_a_library_made, adds_to_what_a_library_made])
def test_duals_in_arrays_without_room_name_the_cache(f):
    with pytest.raises(fd.DerivativeError, match=r"fd\.DiffCache"):
        fd.derivative(f, 1.0, backend="numpy")


# --- caches of shapes found later ---------------------------------------------------------------------------


def test_lazy_caches():
    cache = fd.LazyBufferCache(lambda shape: 2 * shape[0])

    def f(x):
        b = fd.get_tmp(cache, x)
        n = len(x)
        b[:n] = x * x
        b[n:] = np.sin(x)
        return b.sum()

    for x in (POINT, np.linspace(0.0, 1.0, 5)):
        assert f(x) == pytest.approx(np.sum(x * x + np.sin(x)))
        assert_allclose(fd.gradient(f, x), 2 * x + np.cos(x), rtol=1e-14)
        assert_allclose(fd.hessian(f, x), np.diag(2 - np.sin(x)), rtol=1e-13)
    assert fd.get_tmp(cache, POINT) is fd.get_tmp(cache, 2 * POINT)
    assert fd.get_tmp(cache, POINT) is not fd.get_tmp(cache, POINT[:2])
    assert fd.get_tmp(cache, POINT.astype(np.float32)).dtype == np.float32
    assert fd.get_tmp(cache, np.arange(3)).dtype == np.float64
    assert fd.get_tmp(fd.LazyBufferCache(), POINT).shape == (3,)


def test_lazy_caches_are_not_compiled():
    cache = fd.LazyBufferCache()
    with pytest.raises(fd.FwdDiffError, match="LazyBufferCache"):
        fd.gradient(lambda x: total(x, cache), POINT, backend="numba")


# --- threads, and no allocation after the first call --------------------------------------------------------


@engines
def test_threads_have_memory_of_their_own(engine):
    size = 400 if engine == "numba" else 3
    x, y = np.linspace(0.1, 2.0, size), np.linspace(1.0, 2.0, size)
    operation = fwddiff(long, engine=engine).broadcast
    fd.rrule(operation, x, y)
    found: list = [None] * 4

    def work(k):
        _, pullback = fd.rrule(operation, x + k, y)
        found[k] = [fd.unthunk(t) for t in pullback(np.ones(size))]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        assert_allclose(found[k], long_slopes(x + k, y), rtol=1e-10)


def test_plain_calls_of_other_threads_leave_the_array_alone():
    cache = fd.DiffCache(np.zeros(3))
    found = []

    def work():
        b = fd.get_tmp(cache, 1.0)
        b[:] = 5.0
        found.append((b, fd.get_tmp(cache, 1.0) is b))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert_array_equal(cache.array, np.zeros(3))
    assert_array_equal(found[0][0], np.full(3, 5.0))
    assert found[0][1]


def test_python_allocates_once():
    """The second derivative asks for no memory of the buffer's size, of which the first takes several."""
    size = 100_000
    cache = fd.DiffCache(np.zeros(size))

    def f(x):
        b = fd.get_tmp(cache, x)
        b[3] = x * x
        return b[3] * x

    def peak():
        tracemalloc.start()
        assert fd.derivative(f, 2.0, backend="numpy") == 12.0
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak() > size * 8
    assert peak() < size * 8 / 4


def test_kernels_allocate_once():
    """Counted: kernels of this test find a `malloc` that counts."""
    llvm = pytest.importorskip("llvmlite.binding")
    program = ctypes.CDLL(None)
    program.malloc.restype, program.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    count = 0

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)
    def malloc(size):
        nonlocal count
        count += 1
        return program.malloc(size)

    def made_inside(x):
        b = np.empty(300)
        b[0] = x
        for i in range(1, len(b)):
            b[i] = 0.5 * b[i - 1]
        return b[3]

    def borrowed(x):
        b = fd.get_tmp(LARGE, x)
        b[0] = x
        for i in range(1, len(b)):
            b[i] = 0.5 * b[i - 1]
        return b[3]

    x = np.linspace(1.0, 2.0, 10)
    counts = {}
    llvm.add_symbol("malloc", ctypes.cast(malloc, ctypes.c_void_p).value)
    try:
        for f in (made_inside, borrowed):
            operation = fwddiff(f, engine="numba").broadcast
            for _ in range(2):
                count = 0
                _, pullback = fd.rrule(operation, x)
                assert_array_equal(fd.unthunk(pullback(np.ones(10))[0]), np.full(10, 0.125))
            counts[f.__name__] = count
        kept = operation, pullback  # noqa: F841 - loaded code refers to the counter
    finally:
        llvm.add_symbol("malloc", ctypes.cast(program.malloc, ctypes.c_void_p).value)
        _KEPT_ALIVE.append(malloc)
    assert counts == {"made_inside": 20, "borrowed": 0}


_KEPT_ALIVE: list = []


# --- examples of PreallocationTools.jl's documentation ------------------------------------------------------

UNIFORM = np.random.default_rng(1).uniform(0.05, 0.95, (6, 2))


def clayton_sample(cache, tau, alpha, uniform):
    """Pairs of uniform numbers whose dependence is Clayton's copula: by inversion of the conditional."""
    sample = fd.get_tmp(cache, (tau, alpha))
    for i in range(len(uniform)):
        v, u = uniform[i, 0], uniform[i, 1]
        sample[i, 0] = v
        sample[i, 1] = (1 - v ** (-tau) + v ** (-tau) * u ** (-tau / (1 + tau))) ** (-1 / tau) * alpha
    return sample


def clayton_logpdf(theta, pairs, cache):
    """Sum of log c(u, v), c = (1 + θ) (u v)^(-1-θ) (u^-θ + v^-θ - 1)^(-2-1/θ), by a buffer."""
    b = fd.get_tmp(cache, theta)
    found = 0.0
    for i in range(len(pairs)):
        b[0], b[1] = pairs[i, 0] ** (-theta), pairs[i, 1] ** (-theta)
        b[2] = math.log(b[0] + b[1] - 1)
        found += math.log1p(theta) - (1 + theta) * math.log(pairs[i, 0] * pairs[i, 1])
        found -= (2 + 1 / theta) * b[2]
    return found


def clayton_density(theta):
    total = mpmath.mpf(0)
    for u, v in UNIFORM.tolist():
        u, v = mpmath.mpf(u), mpmath.mpf(v)
        inner = u ** (-theta) + v ** (-theta) - 1
        total += mpmath.log((1 + theta) * (u * v) ** (-1 - theta) * inner ** (-2 - 1 / theta))
    return total


@engines
def test_clayton_sample(engine):
    cache = fd.DiffCache(UNIFORM.copy())

    def exact(i, tau, alpha):
        v, u = map(mpmath.mpf, UNIFORM[i].tolist())
        return (1 - v ** (-tau) + v ** (-tau) * u ** (-tau / (1 + tau))) ** (-1 / tau) * alpha

    found = fd.derivative(lambda tau: clayton_sample(cache, tau, 1.5, UNIFORM), 0.3, backend=engine)
    assert_array_equal(found[:, 0], np.zeros(6))
    expected = [float(mpmath.diff(lambda t, i=i: exact(i, t, 1.5), 0.3)) for i in range(6)]
    assert_allclose(found[:, 1], expected, rtol=1e-11)
    both = fd.jacobian(
        lambda p: clayton_sample(cache, p[0], p[1], UNIFORM), np.array([0.3, 1.5]), backend=engine
    )
    assert both.shape == (6, 2, 2)
    assert_allclose(both[:, 1, 0], expected, rtol=1e-11)
    assert_allclose(both[:, 1, 1], [float(exact(i, 0.3, 1)) for i in range(6)], rtol=1e-12)


@engines
def test_clayton_density(engine):
    cache = fd.DiffCache(np.empty(3))
    with mpmath.workdps(30):
        first, second = (float(mpmath.diff(clayton_density, 0.8, n)) for n in (1, 2))
    assert fd.derivative(clayton_logpdf, 0.8, UNIFORM, cache, backend=engine) == pytest.approx(
        first, rel=1e-12
    )
    assert fd.hessian(clayton_logpdf, 0.8, UNIFORM, cache, backend=engine) == pytest.approx(second, rel=1e-10)


def linear_rate(du, u, a, cache):
    """du = u + A u, as in the example of an ODE with a temporary."""
    tmp = fd.get_tmp(cache, u)
    n = len(u)
    for i in range(n):
        tmp[i] = 0.0
        for j in range(n):
            tmp[i] += a[i, j] * u[j]
    for i in range(n):
        du[i] = u[i] + tmp[i]


def euler(u0, a, steps, cache, rate):
    u, du = np.zeros(2), fd.get_tmp(rate, u0)
    for i in range(2):
        u[i] = u0[i]
    for _ in range(steps):
        linear_rate(du, u, a, cache)
        for i in range(2):
            u[i] += 0.1 * du[i]
    return u


@engines
def test_an_ode_with_buffers(engine):
    a, u0 = np.array([[-1.0, 0.4], [0.3, -2.0]]), np.array([1.0, 2.0])
    caches = fd.DiffCache(np.empty(2)), fd.DiffCache(np.empty(2))
    step = np.eye(2) + 0.1 * (np.eye(2) + a)
    found = fd.jacobian(euler, u0, a, 5, *caches, backend=engine)
    assert_allclose(found, np.linalg.matrix_power(step, 5), rtol=1e-13)
    by_number = fd.jacobian(lambda a: euler(u0, a, 1, *caches), a, backend=engine)
    assert_allclose(by_number, 0.1 * np.einsum("ij,k->ijk", np.eye(2), u0), rtol=1e-13)


# --- the documentation --------------------------------------------------------------------------------------


def test_the_page_of_the_documentation():
    """Its code runs, and does what it says."""
    text = (Path(__file__).parents[1] / "docs" / "buffers.md").read_text()
    space: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, space)
    x = space["x"]
    assert_allclose(fd.gradient(space["f"], x), [25.0, 4.0, 6.0])
    assert_allclose(fd.gradient(space["h"], x), 2 * x + np.cos(x))
    assert_allclose(space["out"], [1.3 * 0.7, math.sin(0.7), 1.69])


# --- hosts --------------------------------------------------------------------------------------------------


@pytest.fixture
def slopes():
    x, y = np.linspace(0.1, 2.0, 3), np.linspace(1.0, 3.0, 3)
    return x, y, long_slopes(x, y)[0]


@engines
def test_torch(engine, slopes):
    torch = pytest.importorskip("torch")
    x, y, expected = slopes
    given = torch.tensor(x, requires_grad=True)
    operation = fwddiff(long, engine=engine).broadcast
    operation(given, torch.tensor(y)).sum().backward()
    assert_allclose(given.grad.numpy(), expected, rtol=1e-12)
    with pytest.raises(fd.ArgumentError, match="Call the function through fwddiff"):
        long(given[0], 1.0)


def test_torch_compile(slopes):
    torch = pytest.importorskip("torch")
    x, y, expected = slopes
    operation, factors = fwddiff(long).broadcast, torch.tensor(y)
    given = torch.tensor(x, requires_grad=True)
    compiled = torch.compile(lambda t: operation(t, factors) * 2, fullgraph=True, backend="eager")
    compiled(given).sum().backward()
    assert_allclose(given.grad.numpy(), 2 * expected, rtol=1e-12)


@engines
def test_jax_under_jit(engine, slopes):
    jax = pytest.importorskip("jax")
    x, y, expected = slopes
    operation = fwddiff(long, engine=engine).broadcast
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        found = jax.jit(jax.grad(lambda x: operation(x, jax.numpy.array(y)).sum()))(jax.numpy.array(x))
        second = jax.jit(jax.hessian(lambda x: fwddiff(long, engine=engine)(x, 2.0)))(jax.numpy.array(1.3))
    assert_allclose(found, expected, rtol=1e-12)
    assert_allclose(second, -(1 - 0.9**299) / 0.1 * 2.0 * math.sin(1.3), rtol=1e-12)


@engines
def test_autograd(engine, slopes):
    autograd = pytest.importorskip("autograd")
    x, y, expected = slopes
    operation = fwddiff(long, engine=engine).broadcast
    found = autograd.grad(lambda x: autograd.numpy.sum(operation(x, y)))(x)
    assert_allclose(found, expected, rtol=1e-12)
