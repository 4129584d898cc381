"""Bad input: each error says what happened, to which argument or line, and what to do."""

import re

import numpy as np
import pytest

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
