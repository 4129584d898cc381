"""Attributes of objects whose classes answer in ways of their own, or that hold more than attributes."""

import collections

import pytest

import fwddiff as fd
from fwddiff import fwddiff


class AttrDict(dict):
    """As many programs have it: what is missing is a `KeyError`."""

    __getattr__ = dict.__getitem__


class Odd:
    k = 3.0

    def __getattr__(self, name):
        raise RuntimeError(name)


PARAMETERS = [AttrDict(k=3.0), Odd()]


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("parameters", PARAMETERS, ids=["dict", "object"])
def test_they_are_captured(parameters, engine):
    g = fwddiff(lambda x: x * x * parameters.k, engine=engine)
    assert fd.derivative(g, 2.0) == 12.0
    assert fd.derivative(lambda x: fd.derivative(g, x), 2.0) == 6.0


@pytest.mark.parametrize("parameters", PARAMETERS, ids=["dict", "object"])
def test_they_are_arguments(parameters):
    g = fwddiff(lambda x, parameters: x * x * parameters.k, engine="numpy")
    assert fd.unthunk(fd.rrule(g, 2.0, parameters)[1](1.0)[0]) == 12.0


def test_a_changed_value_is_seen():
    parameters = AttrDict(k=3.0)
    g = fwddiff(lambda x: x * parameters.k)
    assert fd.derivative(g, 2.0) == 3.0
    parameters["k"] = 5.0
    assert fd.derivative(g, 2.0) == 5.0


def test_what_is_missing_is_the_users_error():
    parameters = AttrDict(k=3.0)
    with pytest.raises(KeyError, match="rate"):
        fwddiff(lambda x: x * parameters.rate, engine="numpy")(2.0)


def of(base, *content):
    value = type("Own", (base,), {})(*content)
    value.z = 4.0
    return value


@pytest.mark.parametrize(
    ("held", "read"),
    [
        (of(dict, {"k": 3.0}), lambda v: v["k"] * v.z),
        (of(collections.OrderedDict, {"k": 3.0}), lambda v: v["k"] * v.z),
        (of(collections.defaultdict, float, {"k": 3.0}), lambda v: v["k"] * v.z),
        (of(list, [3.0]), lambda v: sum(v) * v.z),
        (of(tuple, [3.0]), lambda v: sum(v) * v.z),
        (of(set, [3.0]), lambda v: sum(v) * v.z),
        (of(frozenset, [3.0]), lambda v: sum(v) * v.z),
        (of(collections.deque, [1.0, 3.0], 1), lambda v: sum(v) * v.maxlen * v.z),
        (of(str, "abc"), lambda v: len(v) * v.z),
        (of(bytes, b"abc"), lambda v: len(v) * v.z),
    ],
    ids=lambda value: type(value).__bases__[0].__name__,
)
def test_what_built_in_bases_hold_is_kept(held, read):
    """Python code meets a copy of an object of which an attribute is an input: the copies were empty, so the
    sum of a list was 0 and the derivative too."""
    assert fd.derivative(lambda x: x * read(held), 2.0, backend="numpy") == 12.0
