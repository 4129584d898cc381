"""Structs, captured values, integers, dtypes, arrays as whole arguments, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor import gradient
from pytensor.graph.replace import vectorize_graph

from fwddiff import ArgumentError, HostError, ShapeError, StructureError, fwddiff

from .comparison import assert_equal_graphs, compiled, random


@dataclasses.dataclass(frozen=True)
class Weibull:
    shape: Any
    scale: Any

    def log_density(self, t):
        z = t / self.scale
        return math.log(self.shape / self.scale) + (self.shape - 1) * math.log(z) - z**self.shape


class Moments(NamedTuple):
    mean: Any
    square: Any
    sign: Any


log_density = fwddiff(lambda model, t: model.log_density(t))


def native_log_density(shape, scale, t):
    return pt.log(shape / scale) + (shape - 1) * pt.log(t / scale) - (t / scale) ** shape


@pytest.mark.parametrize("mode", ["numba", "python"])
def test_struct_of_variables(mode):
    shape, scale, t = pt.dscalar("shape"), pt.dvector("scale"), pt.dvector("t")
    values = [np.array(1.7), random(4), random(4, seed=1)]
    ours = log_density.broadcast(Weibull(shape, scale), t)
    theirs = native_log_density(shape, scale, t)
    wrt = [shape, scale, t]
    assert_equal_graphs(
        wrt,
        values,
        [ours, *pytensor.grad(ours.sum(), wrt)],
        [theirs, *pytensor.grad(theirs.sum(), wrt)],
        mode,
    )
    total = log_density.sum(Weibull(shape, scale), t)
    assert_equal_graphs(wrt, values, pytensor.grad(total, wrt), pytensor.grad(theirs.sum(), wrt), mode)


@pytest.mark.parametrize("mode", ["numba", "python"])
def test_several_results_one_of_them_an_integer(mode):
    moments = fwddiff(lambda x, y: Moments(x * y, x**2 + y, 1 if x > y else -1))
    x, y = pt.dvector("x"), pt.dvector("y")
    values = [random(5), random(5, seed=1)]
    found = moments.broadcast(x, y)
    assert isinstance(found, Moments)
    native = Moments(x * y, x**2 + y, pt.switch(x > y, 1, -1).astype("int64"))
    assert_equal_graphs([x, y], values, list(found), list(native), mode)
    for f in (
        lambda m: (m.mean * pt.exp(m.square)).sum(),
        lambda m: m.square.sum(),
        lambda m: (m.mean * m.sign).sum(),
    ):
        ours, theirs = (pytensor.grad(f(m), [x, y], disconnected_inputs="ignore") for m in (found, native))
        assert_equal_graphs([x, y], values, ours, theirs, mode)
    with pytest.raises((gradient.DisconnectedInputError, TypeError, gradient.NullTypeGradError)):
        pytensor.grad(found.sign.sum().astype("float64"), x)


@pytest.mark.parametrize("mode", ["numba", "python"])
def test_integers_and_none_beside_floats(mode):
    power = fwddiff(lambda x, n, offset: x**n if offset is None else x**n + offset)
    x, n = pt.dvector("x"), pt.lvector("n")
    values = [random(3), np.array([1, 2, 3])]
    for ours, theirs in ((power.broadcast(x, n, None), x**n), (power.broadcast(x, n, 2), x**n + 2)):
        assert_equal_graphs(
            [x, n],
            values,
            [ours, pytensor.grad(ours.sum(), x), gradient.Rop(ours, x, pt.cos(x))],
            [theirs, pytensor.grad(theirs.sum(), x), gradient.Rop(theirs, x, pt.cos(x))],
            mode,
        )
    flagged = fwddiff(lambda x, flag: 2.0 * x if flag else x * x)
    flag = pt.bvector("flag") > 0
    ours, theirs = flagged.broadcast(x, flag), pt.switch(flag, 2.0 * x, x * x)
    assert_equal_graphs(
        [x, flag.owner.inputs[0]],
        [values[0], np.array([0, 1, 0], np.int8)],
        [ours, pytensor.grad(ours.sum(), x)],
        [theirs, pytensor.grad(theirs.sum(), x)],
        mode,
    )


@pytest.mark.parametrize("mode", ["numba", "python"])
def test_float32_stays_float32(mode):
    f = fwddiff(lambda x, y: 2.5 * math.exp(x) * y)
    x, y = pt.fvector("x"), pt.fscalar("y")
    values = [random(4).astype("float32"), np.float32(0.5)]
    for ours, theirs in (
        (f.broadcast(x, y), np.float32(2.5) * pt.exp(x) * y),
        (f.sum(x, y), (np.float32(2.5) * pt.exp(x) * y).sum()),
    ):
        found = [ours, *pytensor.grad((ours**2).sum(), [x, y])]
        expected = [theirs, *pytensor.grad((theirs**2).sum(), [x, y])]
        assert [v.type.dtype for v in found] == ["float32"] * 3
        assert_equal_graphs([x, y], values, found, expected, mode, rtol=2e-6)


def test_float32_beside_float64():
    f = fwddiff(lambda x, y: math.exp(x) * y)
    x, y = pt.fvector("x"), pt.dvector("y")
    ours, theirs = f.broadcast(x, y), pt.exp(x) * y
    values = [random(3).astype("float32"), random(3, seed=1)]
    found = [ours, *pytensor.grad((ours**2).sum(), [x, y])]
    assert [v.type.dtype for v in found] == ["float64", "float32", "float64"]
    expected = [theirs, *pytensor.grad((theirs**2).sum(), [x, y])]
    assert_equal_graphs([x, y], values, found, expected, rtol=2e-6)


def test_float_type_of_pytensor():
    half = fwddiff(lambda n: 0.5 * n)
    n = pt.lvector("n")
    assert half.broadcast(n).type.dtype == "float64"
    with pytensor.config.change_flags(floatX="float32"):
        assert half.broadcast(n).type.dtype == "float32"


@pytest.mark.parametrize("mode", ["numba", "python"])
def test_arrays_as_whole_arguments(mode):
    def energy(position, stiffness):
        total = 0.0
        for i in range(position.shape[0] - 1):
            total += stiffness * (position[i + 1] - position[i]) ** 4
        return total, position * total

    f = fwddiff(energy)
    x, k = pt.dvector("x"), pt.dscalar("k")
    native = (k * (x[1:] - x[:-1]) ** 4).sum()
    ours, theirs = f(x, k), (native, x * native)

    def all_of(pair):
        loss = pair[0] ** 2 + pt.cos(pair[1]).sum()
        first = pytensor.grad(loss, [x, k])
        second = pytensor.grad(sum((g**2).sum() for g in first), [x, k])
        # One at a time: of a list whose outputs depend on each other, PyTensor 2.38 gets its own Rop wrong.
        moved = [gradient.Rop(output, [x, k], [pt.cos(x), k + 1]) for output in pair]
        return [*pair, *first, *second, *moved]

    assert_equal_graphs([x, k], [random(5), np.array(0.6)], all_of(ours), all_of(theirs), mode, rtol=1e-8)
    many = pt.dmatrix("many")
    batched = [vectorize_graph([*pair, pytensor.grad(pair[0], x)], {x: many}) for pair in (ours, theirs)]
    assert_equal_graphs([many, k], [random(3, 5), np.array(0.6)], *batched, mode, rtol=1e-8)
    shape = compiled([x, k], [ours[1].shape, pytensor.grad(ours[0], x).shape], mode)
    assert [tuple(s) for s in shape(random(7), 1.0)] == [(7,), (7,)]


def test_signature_gives_core_axes():
    norm = fwddiff(lambda v, p: math.sqrt(v[0] ** 2 + v[1] ** 2) * p)
    v, p = pt.dmatrix("v"), pt.dvector("p")
    ours = norm.broadcast(v, p, signature="(n),()->()")
    theirs = pt.sqrt(v[:, 0] ** 2 + v[:, 1] ** 2) * p
    found = [ours, *pytensor.grad((ours**2).sum(), [v, p])]
    expected = [theirs, *pytensor.grad((theirs**2).sum(), [v, p])]
    assert_equal_graphs([v, p], [random(4, 2), random(4)], found, expected)


def test_wrt_leaves_the_others_constant():
    f = fwddiff(lambda x, y: x * y, wrt="x")
    x, y = pt.dvector("x"), pt.dvector("y")
    values = [random(3), random(3, seed=1)]
    assert_equal_graphs([x, y], values, pytensor.grad(f.sum(x, y), x), y + 0.0 * x)
    with pytest.raises(gradient.DisconnectedInputError):
        pytensor.grad(f.sum(x, y), y)


def test_constants_get_no_derivative_computed():
    f = fwddiff(lambda x, y: math.exp(x * y))
    x, data = pt.dvector("x"), random(3)
    for ours in (f.broadcast(x, data).sum(), f.sum(x, data)):
        native = pt.exp(x * data).sum()
        assert_equal_graphs([x], [random(3)], pytensor.grad(ours, x), pytensor.grad(native, x))
    derivation = pytensor.grad(f.sum(x, data), x).owner.inputs[-1].owner.op.derivation
    assert derivation.active == (0,)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("mode", ["numba", "python"])
def test_engines(engine, mode):
    f = fwddiff(lambda x, y: math.sin(x) * y, engine=engine)
    x, y = pt.dvector("x"), pt.dscalar("y")
    for ours, theirs in (
        (f.broadcast(x, y), pt.sin(x) * y),
        (f.sum(x, y), (pt.sin(x) * y).sum()),
    ):
        found = [ours, *pytensor.grad((ours**2).sum(), [x, y])]
        expected = [theirs, *pytensor.grad((theirs**2).sum(), [x, y])]
        assert_equal_graphs([x, y], [random(3), np.array(0.4)], found, expected, mode)


# --- what is refused ----------------------------------------------------------------------------------------

twice = fwddiff(lambda x: 2.0 * x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pt.zvector("z"), "complex128"),
        (lambda: pt.tensor("h", dtype="float16", shape=(None,)), "float16"),
        (lambda: pytensor.shared(np.random.default_rng(0)), "only dense tensors"),
        (lambda: pytensor.scalar.float64("s"), "only dense tensors"),
    ],
)
def test_variables_of_other_types(make, message):
    with pytest.raises(HostError, match=message):
        twice.broadcast(make())


def test_sparse_variables():
    import pytensor.sparse

    with pytest.raises(HostError, match="dense_from_sparse"):
        twice.broadcast(pytensor.sparse.csr_matrix("s"))


@pytest.mark.parametrize("mode", ["numba", "python"])
def test_axes_of_size_one_that_pytensor_did_not_know(mode):
    product = fwddiff(lambda x, y: x * y)
    x, y = pt.dvector("x"), pt.dvector("y")
    for outputs in (product.broadcast(x, y), product.sum(x, y), pytensor.grad(product.sum(x, y), x)):
        with pytest.raises((ValueError, ShapeError), match=r"size 1|broadcast|incompatible shape"):
            compiled([x, y], outputs, mode)(random(1), random(3))


def test_shapes_that_cannot_broadcast():
    product = fwddiff(lambda x, y: x * y)
    x, y = (pt.tensor(dtype="float64", shape=(n,)) for n in (2, 3))
    with pytest.raises(ValueError, match=r"2.*3"):
        product.broadcast(x, y)
    with pytest.raises(ShapeError, match=r"2.*3"):
        product.sum(x, y)


@pytest.mark.parametrize("mode", ["numba", "python"])
def test_exceptions_of_the_function_arrive(mode):
    def checked(x):
        if x < 0.0:
            raise ValueError("x must not be negative")
        return math.sqrt(x)

    f, x = fwddiff(checked), pt.dvector("x")
    for outputs in (
        f.broadcast(x),
        f.sum(x),
        pytensor.grad(f.sum(x), x),
        pytensor.grad(f.broadcast(x).sum(), x),
    ):
        call = compiled([x], outputs, mode)
        assert np.isfinite(call(np.array([1.0, 4.0]))).all()
        with pytest.raises(ValueError, match="x must not be negative"):
            call(np.array([1.0, -4.0]))
        assert np.isfinite(call(np.array([1.0, 4.0]))).all()


def test_unsupported_argument_is_named():
    with pytest.raises(ArgumentError, match="argument"):
        fwddiff(lambda x, y: x).broadcast(pt.dvector("x"), object())


@pytest.mark.parametrize("mode", ["numba", "python"])
@pytest.mark.parametrize("size", [None, 3])
def test_sizes_that_only_values_tell(mode, size):
    x = pt.tensor("x", shape=(size,), dtype="float64")
    g = fwddiff(lambda x: x[x > 0.0] * 2.0, engine="numba")
    y = g(x)
    assert y.type.shape in ((None,), (2,))  # the latter if a call has told
    run = compiled([x], [y, pt.grad((y * y).sum(), x), y.shape[0]], mode)
    value, slope, count = run(np.array([1.0, -2.0, 3.0]))
    np.testing.assert_array_equal(value, [2.0, 6.0])
    np.testing.assert_array_equal(slope, [8.0, 0.0, 24.0])
    assert count == 2
    with pytest.raises(StructureError, match="values"):
        run(np.array([1.0, 2.0, 3.0]))
