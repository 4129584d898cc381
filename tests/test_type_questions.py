"""Functions that ask what their arguments are: both engines answer as Python does for what was passed."""

import dataclasses
import logging
import numbers
import typing

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff


class Pair(typing.NamedTuple):
    a: float
    b: float = 2.0


@dataclasses.dataclass
class Box:
    a: float
    b: float = 3.0


def pulled(g, *arguments):
    value, pullback = fd.rrule(g, *arguments)
    return value, fd.unthunk(pullback(1.0)[0])


def square_or_product(v):
    return v[0] * v[1] if isinstance(v, tuple) else v * v


def by_type(x):
    return x * x if type(x) is float else x


def by_several(x):
    if not isinstance(x, list | tuple | np.ndarray):
        return x * x
    return sum(x)


NUMBERS = {
    "tuple or number": square_or_product,
    "type is": by_type,
    "type ==": lambda x: x * x if type(x) == float else x[0],  # noqa: E721 - as users write it
    "type !=": lambda x: x[0] if type(x) != float else x * x,  # noqa: E721 - as users write it
    "type is not": lambda x: x[0] if type(x) is not float else x * x,
    "several": by_several,
    "array": lambda x: x.sum() if isinstance(x, np.ndarray) else x * x,
    "dataclass": lambda x: x.a if isinstance(x, Box) else x * x,
    "named tuple": lambda x: x.a if isinstance(x, Pair) else x * x,
    "dict": lambda x: x["a"] if isinstance(x, dict) else x * x,
    "union": lambda x: x * x if isinstance(x, int | float) else x[0],
    "abstract": lambda x: x * x if isinstance(x, numbers.Real) else x[0],
    "none": lambda x: x if isinstance(x, type(None)) else x * x,
    "scalar": lambda x: x * x if np.isscalar(x) else x[0],
    "axes": lambda x: x * x if np.ndim(x) == 0 else x[0],
    "attribute": lambda x: x[0] if hasattr(x, "shape") else x * x,
}


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("f", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.every(3)
def test_a_number(f, engine):
    value, slope = pulled(fwddiff(f, engine=engine), 1.5)
    assert (value, slope) == (2.25, 3.0)


STRUCTURES = {
    "tuple": (square_or_product, (1.5, 2.0), 3.0, (2.0, 1.5)),
    "type of a tuple": (lambda p: p[0] * p[1] if type(p) is tuple else p, (1.5, 2.0), 3.0, (2.0, 1.5)),
    "named tuple": (lambda p: p.a * p.b if isinstance(p, Pair) else p, Pair(1.5), 3.0, (2.0, 1.5)),
    "a tuple by its name": (square_or_product, Pair(1.5), 3.0, (2.0, 1.5)),
    "dict": (lambda d: d["a"] ** 2 if isinstance(d, dict) else d, {"a": 1.5}, 2.25, (3.0,)),
}


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize(("f", "x", "value", "slopes"), STRUCTURES.values(), ids=STRUCTURES)
def test_a_structure(f, x, value, slopes, engine):
    found, cotangent = pulled(fwddiff(f, engine=engine), x)
    leaves = cotangent.values() if isinstance(x, dict) else cotangent
    assert (found, tuple(leaves)) == (value, slopes)


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_a_dataclass(engine):
    area = fwddiff(lambda p: p.a * p.b if isinstance(p, Box) else p, engine=engine)
    value, cotangent = pulled(area, Box(1.5))
    assert (value, cotangent.a, cotangent.b) == (4.5, 3.0, 1.5)


LISTS = {
    "list": lambda v: v[0] * v[1] if isinstance(v, list) else v,
    "not a tuple": lambda v: v if isinstance(v, tuple) else v[0] * v[1],
    "type": lambda v: v[0] * v[1] if type(v) is list else v,
}


@pytest.mark.parametrize("f", LISTS.values(), ids=LISTS)
def test_a_list_is_no_tuple(f, caplog):
    """Kernels have lists as tuples: where that would be told apart, the function runs as Python."""
    with caplog.at_level(logging.ERROR, "fwddiff"):
        value, slopes = pulled(fwddiff(f), [1.5, 2.0])
    assert (value, slopes) == (3.0, [2.0, 1.5])
    with pytest.raises(fd.CompileError, match="a list or a tuple"):
        fd.rrule(fwddiff(f, engine="numba"), [1.5, 2.0])


def test_list_or_tuple_alike():
    either = fwddiff(lambda v: v[0] * v[1] if isinstance(v, list | tuple) else v, engine="numba")
    assert pulled(either, [1.5, 2.0]) == (3.0, [2.0, 1.5])
    assert pulled(either, (1.5, 2.0)) == (3.0, (2.0, 1.5))


def test_the_type_of_what_is_no_argument():
    def f(x):
        y = x * x
        return y * x if type(y) is float else y

    assert pulled(fwddiff(f, engine="numpy"), 1.5)[1] == 6.75
    with pytest.raises(fd.CompileError, match="no argument"):
        fd.rrule(fwddiff(f, engine="numba"), 1.5)
