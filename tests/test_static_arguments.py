"""Arguments that are no numbers: members of enums, and functions that Python or NumPy has built in."""

import dataclasses
import enum
import math
import operator

import numpy as np
import pytest
import scipy.special

import fwddiff as fd
from fwddiff import fwddiff

ENGINES = ("numba", "numpy", "auto")


class Link(enum.Enum):
    LINEAR = 1
    SQUARE = 2


class Power(enum.IntEnum):
    ONE = 1
    TWO = 2


class Named(str, enum.Enum):  # noqa: UP042 - as users write it
    LINEAR = "linear"
    SQUARE = "square"


class Mixed(enum.Enum):
    LINEAR = 1
    SQUARE = "square"


@dataclasses.dataclass
class Layer:
    weight: float
    link: Link = Link.LINEAR


def slope(g, *arguments):
    return fd.unthunk(fd.rrule(g, *arguments)[1](1.0)[0])


def by_identity(x, link):
    return 2 * x if link is Link.LINEAR else x * x


def by_value(x, link):
    return 2 * x if link == Link.LINEAR else x * x * link.value / 2


def by_match(x, link):
    match link:
        case Link.LINEAR:
            return 2 * x
        case Link.SQUARE:
            return x * x
    return 0.0


def by_helper(x, link):
    return by_identity(x, link)


FUNCTIONS = (by_identity, by_value, by_match, by_helper)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.every(3)
def test_members_of_enums(f, engine):
    g = fwddiff(f, engine=engine)
    assert slope(g, 3.0, Link.LINEAR) == 2.0
    assert slope(g, 3.0, Link.SQUARE) == 6.0
    assert slope(g.broadcast, np.array([3.0]), Link.SQUARE) is not None
    assert fd.derivative(lambda x: fd.derivative(f, x, Link.SQUARE), 3.0) == 2.0


@pytest.mark.parametrize("engine", ENGINES)
def test_members_in_structs_and_defaults(engine):
    def of_layer(layer):
        return 2 * layer.weight if layer.link is Link.LINEAR else layer.weight**2

    def with_default(x, link=Link.SQUARE):
        return by_identity(x, link)

    g = fwddiff(of_layer, engine=engine)
    assert slope(g, Layer(3.0)).weight == 2.0
    assert slope(g, Layer(3.0, Link.SQUARE)).weight == 6.0
    assert slope(fwddiff(with_default, engine=engine), 3.0) == 6.0
    last = fwddiff(lambda x, links: by_identity(x, links[1]), engine=engine)
    assert slope(last, 3.0, (Link.LINEAR, Link.SQUARE)) == 6.0


@pytest.mark.parametrize("engine", ENGINES)
def test_integers_with_names(engine):
    g = fwddiff(lambda x, p: 2 * x if p is Power.ONE else x**p + Power.TWO * x, engine=engine)
    assert slope(g, 3.0, Power.ONE) == 2.0
    assert slope(g, 3.0, Power.TWO) == 8.0


@pytest.mark.parametrize("cls", [Named, Mixed])
def test_enums_of_other_values_run_as_python(cls):
    g = fwddiff(lambda x, k: 2 * x if k is cls.LINEAR else x * x)
    assert slope(g, 3.0, cls.LINEAR) == 2.0
    assert slope(g, 3.0, cls.SQUARE) == 6.0
    with pytest.raises(fd.CompileError, match="values are of one type"):
        slope(fwddiff(g, engine="numba"), 3.0, cls.LINEAR)


BUILT_IN = {
    "math.sin": (lambda x, h: h(x), math.sin, math.cos(0.7)),
    "np.exp": (lambda x, h: h(x), np.exp, math.exp(0.7)),
    "abs": (lambda x, h: h(-x), abs, 1.0),
    "max": (lambda x, h: h(x, 0.1) * x, max, 1.4),
    "operator.mul": (lambda x, h: h(x, x), operator.mul, 1.4),
    "several": (lambda x, hs: hs[1](hs[0](x)), (math.sin, math.exp), math.cos(0.7) * math.exp(math.sin(0.7))),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("f", "function", "want"), BUILT_IN.values(), ids=BUILT_IN)
@pytest.mark.every(2)
def test_built_in_functions(f, function, want, engine):
    assert slope(fwddiff(f, engine=engine), 0.7, function) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_built_in_functions_of_arrays(engine):
    total = fwddiff(lambda x, h: h(x * x), engine=engine)
    assert slope(total, np.array([1.0, 2.0]), np.sum).tolist() == [2.0, 4.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_built_in_functions_as_defaults(engine):
    def activated(x, activation=math.tanh):
        return activation(x)

    want = 1 - math.tanh(0.7) ** 2
    assert slope(fwddiff(activated, engine=engine), 0.7) == pytest.approx(want, rel=1e-12)


def test_a_function_without_compiled_form_runs_as_python():
    g = fwddiff(lambda x, h: h(x))
    assert slope(g, 0.7, scipy.special.gammaln) == pytest.approx(scipy.special.digamma(0.7), rel=1e-12)
