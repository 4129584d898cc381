"""Bad input: each error says what happened, to which argument or line, and what to do."""

import importlib
import math
import re

import numpy as np
import pytest
import scipy.stats

import fwddiff as fd
from fwddiff import fwddiff

X = np.linspace(0.5, 1.5, 3)


def product(x, y):
    return x * y


def opens_a_file(x):
    handle = open("anything")  # noqa: SIM115
    return x + len(handle.name)


def writes_to_its_argument(x):
    x[0] = 1.0
    return x[0]


def branch_dependent(x):
    if x > 1:
        return x, x
    return x


def returns_text(x):
    return "text"


def refusal(call, *args, **kwargs) -> fd.FwdDiffError:
    with pytest.raises(fd.FwdDiffError) as caught:
        call(*args, **kwargs)
    assert len(str(caught.value).splitlines()) < 6, "an error is a sentence, not a traceback"
    assert "nopython" not in str(caught.value)
    return caught.value


def test_a_function_numba_cannot_compile():
    error = refusal(fwddiff(opens_a_file, engine="numba").broadcast, X)
    assert isinstance(error, fd.CompileError)
    assert 'handle = open("anything")' in str(error)
    assert re.search(r"line \d+ of .*test_messages\.py", str(error))
    assert "engine='numpy'" in str(error)
    assert type(error.__cause__).__module__.startswith("numba")


def test_an_in_place_write_to_an_argument():
    error = refusal(fd.rrule, fwddiff(writes_to_its_argument, engine="numba"), X)
    assert "written to in place" in str(error)
    assert "x[0] = 1.0" in str(error)


def test_outputs_whose_structure_depends_on_a_branch():
    error = refusal(fwddiff(branch_dependent).broadcast, X)
    assert isinstance(error, fd.StructureError)
    assert "different structure" in str(error)


def test_results_that_are_no_numbers():
    assert "Return numbers" in str(refusal(fwddiff(returns_text).broadcast, X))


def test_shapes_that_do_not_broadcast():
    error = refusal(fwddiff(product).broadcast, X, np.ones(4))
    assert isinstance(error, fd.ShapeError)
    assert "(3,), (4,)" in str(error)
    assert "do not broadcast" in str(error)


@pytest.mark.parametrize(
    "value", [1j, np.array([1j]), np.array([1.0, None]), np.float16(1.0), np.array(["a"])], ids=repr
)
def test_dtypes_that_are_not_served(value):
    error = refusal(fwddiff(product).broadcast, X, value)
    assert isinstance(error, fd.ArgumentError)
    assert "argument 'y'" in str(error)


def test_wrt_that_names_no_argument():
    assert str(refusal(fwddiff, product, wrt="z")) == (
        "wrt='z' names no argument of product. Its arguments are x, y (positions 0 to 1)."
    )
    assert "wrt=2" in str(refusal(fwddiff, product, wrt=2))


def test_unknown_options():
    assert "'auto', 'numba', 'numpy'" in str(refusal(fwddiff, product, engine="fortran"))
    assert "'store'" in str(refusal(fwddiff, product, mode="keep"))
    assert "'per_argument'" in str(refusal(fwddiff, product, passes="both"))
    assert "positive" in str(refusal(fwddiff, product, chunk=0))
    assert "needs a function" in str(refusal(fwddiff, 3.0))


def test_cotangents_of_the_wrong_structure_or_shape():
    _, pullback = fd.rrule(fwddiff(lambda x, y: (x * y, x)).broadcast, X, X)
    assert isinstance(refusal(pullback, (X, X, X)), fd.StructureError)
    error = refusal(pullback, (X, np.ones(4)))
    assert isinstance(error, fd.ShapeError)
    assert "output 1 has shape (4,), the output (3,)" in str(error)
    assert "complex" in str(refusal(pullback, (X * 1j, X)))


def test_tangents_of_the_wrong_structure_or_shape():
    g = fwddiff(product).broadcast
    assert "2 primals but 1 tangents" in str(refusal(fd.frule, g, (X, X), (X,)))
    assert "shape (4,)" in str(refusal(fd.frule, g, (X, X), (np.ones(4), X)))


def test_no_output_with_a_derivative():
    _, pullback = fd.rrule(fwddiff(lambda x: 3), 1.0)
    assert fd.unthunk(pullback(1)[0]) == 0.0


def test_arrays_of_two_hosts():
    torch = pytest.importorskip("torch")
    jax = pytest.importorskip("jax")
    error = refusal(fwddiff(product).broadcast, torch.ones(3), jax.numpy.ones(3))
    assert isinstance(error, fd.HostError)
    assert "torch" in str(error)
    assert "jax" in str(error)
    assert "product" in str(error)


def test_rrule_on_a_host_array():
    torch = pytest.importorskip("torch")
    assert "torch" in str(refusal(fd.rrule, fwddiff(product), torch.tensor(1.0), 2.0))


def test_signature_errors():
    g = fwddiff(product).broadcast
    assert "has 1 inputs, but product has 2 arguments" in str(refusal(g, X, X, signature="(n)->()"))
    assert "one group of axes per argument" in str(refusal(g, X, X, signature="n,n"))


def test_a_users_exception_arrives_as_it_is():
    def checked(x):
        if x > 1:
            raise ValueError("x is too large")
        return x

    with pytest.raises(ValueError, match="x is too large"):
        fwddiff(checked).broadcast(X)
    with pytest.raises(ValueError, match="x is too large"):
        fd.rrule(checked, 2.0)


# --- the commonest mistakes ---------------------------------------------------------------------------------


def exponential(x):
    return math.exp(x)


def rectified(x):
    return x if x > 1 else 0.0 * x


def largest(x):
    return max(x, 0.0)


def halved(x):
    while abs(x) > 0.1:
        x = x * 0.5
    return x


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("f", [exponential, rectified, largest, halved])
def test_a_function_of_numbers_that_is_called_with_an_array(f, engine):
    g = fwddiff(f, engine=engine)
    for call in (lambda: fd.rrule(g, X), lambda: g(X), lambda: fd.jacobian(g, X)):
        error = refusal(call)
        assert isinstance(error, fd.ShapeError)
        assert ".broadcast(...)" in str(error)
        assert "'x' is an array" in str(error)


def first_times_second(v):
    return v[0] * v[1]


def length(v):
    return 1.0 * len(v)


def unpacked(v):
    a, b = v
    return a * b


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("f", [first_times_second, length, unpacked])
def test_a_function_of_rows_without_signature(f, engine):
    rows = np.ones((5, 2))
    for operation in (fwddiff(f, engine=engine).broadcast, fwddiff(f, engine=engine).sum):
        error = refusal(operation, rows)
        assert "signature='(n)->()'" in str(error)
        assert operation(rows, signature="(n)->()") is not None


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("f", [exponential, lambda x: x * x, lambda x: x + 1.0, lambda x: x.sum()])
def test_a_list_where_an_array_is_meant(f, engine):
    for call in (fwddiff(f, engine=engine).broadcast, fwddiff(f, engine=engine).sum):
        assert "pass `np.array(x)`" in str(refusal(call, [1.0, 2.0]))


def test_what_is_no_mistake_keeps_its_own_error():
    def picky(x):
        if x[0] > 0:
            raise TypeError("not for positive numbers")
        return x[0]

    with pytest.raises(TypeError, match="not for positive numbers") as caught:
        fwddiff(picky)(X)
    assert not isinstance(caught.value, fd.FwdDiffError)
    error = refusal(fd.rrule, fwddiff(lambda m: np.linalg.svd(m)[1][0], engine="numba"), np.eye(2))
    assert "broadcast" not in str(error)


# --- binding, and what cannot be compiled -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((X,), {}, "missing a required argument: 'y'"),
        ((X, X, X), {}, "too many positional arguments"),
        ((X, X), {"z": 1.0}, "unexpected keyword argument 'z'"),
    ],
)
def test_arguments_that_do_not_fit(args, kwargs, words):
    for call in (fwddiff(product), fwddiff(product).broadcast, fwddiff(product).sum):
        error = refusal(call, *args, **kwargs)
        assert isinstance(error, TypeError)
        assert str(error).startswith("product(x, y): ")
        assert words in str(error)


class Plain:
    def __init__(self, x):
        self.x = x


def makes_an_object(x):
    return Plain(x).x


table_of_functions = [math.sin, math.cos]


def picks_a_function(x):
    return table_of_functions[0](x)


def imports(x):
    import math as mathematics

    return mathematics.exp(x)


def catches(x):
    try:
        return x * 2.0
    except ValueError:
        return 0.0


def formats(x):
    return x * len(f"{x:.3f}")


def spreads(x):
    rest = {"y": 2.0}
    return product(x, **rest)


def adds_text(x):
    return x + "a"


def names_nothing(x):
    return x * nothing_of_that_name  # noqa: F821


def fills_a_dict(x):
    d = {}
    d["a"], d["b"] = x, 2 * x
    return d["a"] * d["b"]


def matches(x):
    match (x, 1.0):
        case (a, b):
            return a * b


def takes_the_rest(x):
    a, *b = (x, 2.0, 3.0)
    return a * b[0]


def squares(v, n):
    return v if n == 0 else squares(v * v, n - 1)


def hands_an_array_down(v):
    return squares(v, 3).sum()


FROZEN = scipy.stats.norm(0.0, 1.0)


def is_frozen(x):
    return FROZEN.logpdf(x)


wrapped_product = fwddiff(product)


def maps(x):
    return wrapped_product.sum(X, x)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (makes_an_object, "`Plain` is a class"),
        (picks_a_function, "`table_of_functions` is a list"),
        (imports, "`import` inside"),
        (catches, "`except` of one kind"),
        (formats, "format specification"),
        (spreads, r"`\*\*` of a dict"),
        (adds_text, r"no compiled form for \(float64, str\)"),
        (names_nothing, "`nothing_of_that_name` is not defined.$"),
        (maps, "Call `wrapped_product` itself"),
        (fills_a_dict, "fills a dict item by item"),
        (matches, "uses `match` on a sequence"),
        (takes_the_rest, r"starred name \(`a, \*b = t`\)"),
        (is_frozen, "`FROZEN` is a distribution of scipy.stats.* Name its function with parameters"),
    ],
)
def test_what_cannot_be_compiled_is_said(f, words):
    error = refusal(fd.rrule, fwddiff(f, engine="numba"), 1.5)
    assert isinstance(error, fd.CompileError)
    assert re.search(words, str(error))
    assert re.search(rf"`{f.__name__}` cannot be compiled, line \d+ of .*test_messages\.py", str(error))


def test_arrays_down_a_recursion_are_said():
    error = refusal(fd.rrule, fwddiff(hands_an_array_down, engine="numba"), np.array([1.0, 2.0]))
    assert "calls a function that calls itself, and hands arrays to it" in str(error)
    assert "_ZN" not in str(error)


def test_an_argument_without_meaning_is_named():
    error = refusal(fd.rrule, fwddiff(lambda x, thing: x * thing.k, engine="numba"), 1.5, Plain(1.0))
    assert "argument 'thing' holds a Plain" in str(error)


def test_functions_of_frameworks_inside():
    torch = pytest.importorskip("torch")
    error = refusal(fd.rrule, fwddiff(lambda x: torch.matmul(x, x), engine="numba"), 1.5)
    assert "`torch.matmul` in <lambda> is no function of numbers" in str(error)
    assert "engine='numpy'" not in str(error)  # which could not run it either


def test_failures_of_the_compiler_are_ours(monkeypatch):
    def fails(*_):
        raise RuntimeError("LLVM ERROR: out of registers")

    monkeypatch.setattr(importlib.import_module("fwddiff.engines.numba.pipeline"), "machine_code", fails)
    monkeypatch.setenv("FWDDIFF_CACHE_DIR", "off")
    error = refusal(fwddiff(lambda x: x * 3.0 - 0.125 * x * x, engine="numba").broadcast, X)
    assert isinstance(error, fd.CompileError)
    assert "out of registers" in str(error)
