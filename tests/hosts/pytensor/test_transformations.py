"""Every transformation of PyTensor, of several functions and both kinds of calls, against PyTensor's own
graph of the same function."""

from __future__ import annotations

import math

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor import gradient
from pytensor.graph.replace import vectorize_graph

from fwddiff import fwddiff

from .comparison import PYTHON, assert_equal_graphs, random


def smooth(x, y):
    return math.sin(x) * x * y / 2.0 + math.exp(y * x)


def smooth_native(x, y):
    return pt.sin(x) * x * y / 2.0 + pt.exp(y * x)


def branch(x, y):
    if x > y:
        return x * y**2
    return x - math.sin(y) * x**3


def branch_native(x, y):
    return pt.switch(x > y, x * y**2, x - pt.sin(y) * x**3)


def kepler(mean, eccentricity):
    anomaly = mean
    for _ in range(2):
        anomaly = anomaly - (anomaly - eccentricity * math.sin(anomaly) - mean) / (
            1 - eccentricity * math.cos(anomaly)
        )
    return anomaly


def kepler_native(mean, eccentricity):
    mean, eccentricity = pt.broadcast_arrays(mean, eccentricity)
    anomaly = mean
    for _ in range(2):
        anomaly = anomaly - (anomaly - eccentricity * pt.sin(anomaly) - mean) / (
            1 - eccentricity * pt.cos(anomaly)
        )
    return anomaly


FUNCTIONS = {
    "smooth": (fwddiff(smooth), smooth_native),
    "branch": (fwddiff(branch), branch_native),
    "kepler": (fwddiff(kepler), kepler_native),
}
RECOMPUTED = fwddiff(smooth, mode="recompute"), smooth_native
LAZY = fwddiff(smooth, passes="per_argument", mode="recompute"), smooth_native


def third(z, x, y):
    first = pytensor.grad(z.sum(), x)
    second = pytensor.grad((first * y).sum(), y)
    return pytensor.grad((second**2).sum(), [x, y])


def scanned(call, x, y):
    """The recurrence s ← f(s, y), and the gradient of its last state."""
    states = pytensor.scan(
        lambda s, y: call(s, y) / 3.0,
        outputs_info=[x],
        non_sequences=[y],
        n_steps=3,
        return_updates=False,
    )
    return [states, *pytensor.grad(states[-1].sum(), [x, y])]


TRANSFORMATIONS = {
    "value": lambda call, x, y: call(x, y),
    "gradient": lambda call, x, y: pytensor.grad(call(x, y).sum(), [x, y]),
    "value and gradient": lambda call, x, y: [call(x, y), *pytensor.grad((call(x, y) ** 2).sum(), [x, y])],
    "of one argument": lambda call, x, y: pytensor.grad((call(x, y) * x).sum(), y),
    "used twice": lambda call, x, y: pytensor.grad((call(x, y) * call(x * 2, y)).sum(), [x, y]),
    "second": lambda call, x, y: pytensor.grad(
        sum((g**2).sum() for g in pytensor.grad(call(x, y).sum(), [x, y])), [x, y]
    ),
    "third": lambda call, x, y: third(call(x, y), x, y),
    "Lop": lambda call, x, y: gradient.Lop(call(x, y), [x, y], pt.cos(call(x, y))),
    "Rop": lambda call, x, y: gradient.Rop(call(x, y), [x, y], [pt.cos(x), y + 1]),
    "Rop of a gradient": lambda call, x, y: gradient.Rop(pytensor.grad(call(x, y).sum(), y), y, y + 2),
    "jacobian": lambda call, x, y: gradient.jacobian(call(x, y).reshape((-1,)), [x, y]),
    "vectorized jacobian": lambda call, x, y: gradient.jacobian(
        call(x, y).reshape((-1,)), [x, y], vectorize=True
    ),
    "hessian": lambda call, x, y: gradient.hessian((call(x, y) ** 2).sum(), x),
    "hessian vector product": lambda call, x, y: gradient.hessian_vector_product(
        call(x, y).sum(), [x], [pt.cos(x)]
    ),
    "scan": scanned,
    "consider_constant": lambda call, x, y: pytensor.grad(
        (call(x, y) * pt.sin(x)).sum(), x, consider_constant=[y]
    ),
}
SUMMED = [name for name in TRANSFORMATIONS if name not in ("scan", "consider_constant")]


def vector_and_number():
    x, y = pt.dvector("x"), pt.dscalar("y")
    return [x, y], [random(4), np.array(0.7)]


# The other functions differ from the first in their kernels, not in what PyTensor does with them.
CELLS = [
    *((transformation, "smooth", mode) for transformation in TRANSFORMATIONS for mode in ("numba", "python")),
    *(
        (transformation, function, "numba")
        for transformation in ("value and gradient", "second", "hessian", "scan")
        for function in ("branch", "kepler")
    ),
]


@pytest.mark.parametrize(("transformation", "function", "mode"), CELLS)
def test_broadcast(transformation, function, mode):
    wrapped, native = FUNCTIONS[function]
    variables, values = vector_and_number()
    transform = TRANSFORMATIONS[transformation]
    ours, theirs = transform(wrapped.broadcast, *variables), transform(native, *variables)
    assert_equal_graphs(variables, values, ours, theirs, mode)


@pytest.mark.parametrize(
    ("transformation", "function", "mode"), [cell for cell in CELLS if cell[0] in SUMMED]
)
def test_sum(transformation, function, mode):
    wrapped, native = FUNCTIONS[function]
    variables, values = vector_and_number()
    transform = TRANSFORMATIONS[transformation]
    ours = transform(wrapped.sum, *variables)
    theirs = transform(lambda x, y: native(x, y).sum(), *variables)
    assert_equal_graphs(variables, values, ours, theirs, mode)


@pytest.mark.parametrize("options", ["recompute", "per argument"])
@pytest.mark.parametrize(
    "transformation", ["value and gradient", "of one argument", "second", "Rop", "hessian"]
)
def test_modes_and_passes(transformation, options):
    wrapped, native = RECOMPUTED if options == "recompute" else LAZY
    variables, values = vector_and_number()
    transform = TRANSFORMATIONS[transformation]
    for call, reference in ((wrapped.broadcast, native), (wrapped.sum, lambda x, y: native(x, y).sum())):
        ours, theirs = transform(call, *variables), transform(reference, *variables)
        assert_equal_graphs(variables, values, ours, theirs)


@pytest.mark.parametrize("mode", ["NUMBA", "CVM", "FAST_COMPILE", "DEBUG_MODE"])
def test_every_mode_of_pytensor(mode):
    wrapped, native = FUNCTIONS["branch"]
    variables, values = vector_and_number()
    for call, reference in ((wrapped.broadcast, native), (wrapped.sum, lambda x, y: native(x, y).sum())):
        ours = [call(*variables).sum(), *pytensor.grad(call(*variables).sum(), variables)]
        theirs = [reference(*variables).sum(), *pytensor.grad(reference(*variables).sum(), variables)]
        assert_equal_graphs(variables, values, ours, theirs, mode)


SHAPES = {
    "outer": (((3, 1), (None, 1)), ((4,), (None,))),
    "row": (((2, 3), (None, None)), ((3,), (3,))),
    "column": (((2, 3), (None, None)), ((2, 1), (None, 1))),
    "numbers": (((), ()), ((), ())),
    "three axes": (((2, 1, 3), (None, 1, None)), ((4, 1), (None, 1))),
    "static": (((2, 3), (2, 3)), ((1, 3), (1, 3))),
}


@pytest.mark.parametrize(
    ("shapes", "mode"), [*((name, "python") for name in SHAPES), ("outer", "numba"), ("column", "numba")]
)
def test_axes_broadcast_and_cotangents_are_summed(shapes, mode):
    wrapped, native = FUNCTIONS["smooth"]
    variables = [pt.tensor(dtype="float64", shape=static) for _, static in SHAPES[shapes]]
    values = [random(*shape, seed=k) for k, (shape, _) in enumerate(SHAPES[shapes])]

    def all_of(call):
        z = call(*variables)
        first = pytensor.grad((z**2).sum(), variables)
        return [z, *first, *pytensor.grad(sum((g**3).sum() for g in first), variables)]

    assert_equal_graphs(variables, values, all_of(wrapped.broadcast), all_of(native), mode)
    total = all_of(lambda x, y: native(x, y).sum())
    assert_equal_graphs(variables, values, all_of(wrapped.sum), total, mode)


@pytest.mark.parametrize("mode", ["numba", "python"])
@pytest.mark.parametrize("kind", ["broadcast", "sum"])
def test_vectorize_graph(kind, mode):
    wrapped, native = FUNCTIONS["smooth"]
    call = getattr(wrapped, kind)
    reference = native if kind == "broadcast" else lambda x, y: native(x, y).sum()
    (x, y), (_, number) = vector_and_number()
    many, numbers = pt.dmatrix("many"), pt.dvector("numbers")

    def outputs(f):
        z = f(x, y)
        return [z, *pytensor.grad((z**2).sum(), [x, y])]

    for replaced, values in (
        ({x: many}, [random(3, 4), number]),
        ({y: numbers}, [random(4), random(3)]),
        ({x: many, y: numbers}, [random(3, 4), random(3, seed=1)]),
    ):
        variables = [replaced.get(x, x), replaced.get(y, y)]
        ours, theirs = (vectorize_graph(outputs(f), replaced) for f in (call, reference))
        assert_equal_graphs(variables, values, ours, theirs, mode)
        # The batch axis is an axis like others to a second derivative.
        second = [pytensor.grad((found[1] ** 2).sum(), variables) for found in (ours, theirs)]
        assert_equal_graphs(variables, values, *second, mode)


@pytest.mark.parametrize("kind", ["broadcast", "sum"])
def test_verify_grad(kind):
    call = getattr(FUNCTIONS["smooth"][0], kind)
    points = [random(3, 2), random(1, 2, seed=1)]
    gradient.verify_grad(call, points, rng=np.random.default_rng(1), mode=PYTHON)
