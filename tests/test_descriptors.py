"""Class methods and static methods, in either order of the decorators."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

x = np.array([0.5, 2.0])


class Base:
    k = 3.0

    @classmethod
    @fwddiff
    def inner(cls, x):
        return cls.k * x * x

    @fwddiff
    @classmethod
    def outer(cls, x):
        return cls.k * x * x

    @staticmethod
    @fwddiff
    def inner_static(x):
        return 3.0 * x * x

    @fwddiff(wrt="x")
    @staticmethod
    def outer_static(x, n=2):
        return 3.0 * x**n


class Derived(Base):
    k = 5.0


def gradient(operation):
    y, back = fd.rrule(operation, x)
    return fd.unthunk(back(np.ones_like(y))[0])


# Python 3.13 binds what a classmethod holds as it binds a plain function.
inner = pytest.mark.skipif(sys.version_info >= (3, 13), reason="classmethod asks no descriptor")


@pytest.mark.parametrize("name", [pytest.param("inner", marks=inner), "outer"])
def test_class_methods_belong_to_their_class(name):
    base, derived = getattr(Base, name), getattr(Derived, name)
    assert getattr(Base, name) is base
    assert getattr(Base(), name) is base
    np.testing.assert_allclose(gradient(base.broadcast), 6 * x)
    np.testing.assert_allclose(gradient(derived.broadcast), 10 * x)
    np.testing.assert_allclose(derived(2.0), 20.0)


@inner
def test_class_attributes_are_read_anew():
    class Own(Base):
        k = 2.0

    np.testing.assert_allclose(gradient(Own.inner.broadcast), 4 * x)
    Own.k = np.array(7.0)
    np.testing.assert_allclose(gradient(Own.inner.broadcast), 14 * x)


@inner
@pytest.mark.parametrize("protocol", [2, 5])
def test_class_methods_are_pickled_by_name(protocol):
    again = pickle.loads(pickle.dumps(Derived.inner.broadcast, protocol))
    np.testing.assert_allclose(gradient(again), 10 * x)


@pytest.mark.parametrize("name", ["inner_static", "outer_static"])
@pytest.mark.parametrize("owner", [Base, Base()])
def test_static_methods(name, owner):
    np.testing.assert_allclose(gradient(getattr(owner, name).broadcast), 6 * x)


def test_a_metaclass_may_forbid_attributes():
    class Closed(type):
        def __setattr__(cls, name, value):
            raise AttributeError(name)

    class Own(Base, metaclass=Closed):
        k = 2.0

    np.testing.assert_allclose(gradient(Own.outer.broadcast), 4 * x)
