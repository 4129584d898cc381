"""Wrapping again: the same object for the same function and options, never for another."""

import functools
import gc
import pickle
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np

from fwddiff import fwddiff

X = np.array([0.5, 1.5])


def square(x, factor=1.0):
    return factor * x * x


@dataclass
class Box:
    content: Any


def test_the_same_function_is_wrapped_once():
    assert fwddiff(square) is fwddiff(square)
    assert fwddiff(square, mode="store") is fwddiff(square, mode="store")
    assert fwddiff(square) is not fwddiff(square, mode="store")
    assert fwddiff(Box) is fwddiff(Box)


def test_a_program_that_wraps_in_a_loop_prepares_one_rule():
    rules = {id(fwddiff(square).broadcast.prepare(X).rule) for _ in range(3)}
    assert len(rules) == 1


def test_copied_attributes_do_not_lead_to_another_function():
    fwddiff(square)

    @functools.wraps(square)
    def cube(x, factor=1.0):
        return factor * x * x * x

    np.testing.assert_allclose(fwddiff(cube).broadcast(X), X**3)
    np.testing.assert_allclose(fwddiff(square).broadcast(X), X**2)


def test_replaced_defaults_and_code_are_seen():
    def scaled(x, factor=1.0):
        return factor * x

    fwddiff(scaled)
    scaled.__defaults__ = (3.0,)
    np.testing.assert_allclose(fwddiff(scaled).broadcast(X), 3 * X)
    scaled.__code__ = square.__code__
    np.testing.assert_allclose(fwddiff(scaled).broadcast(X), 3 * X**2)


def test_subclasses_are_wrapped_apart():
    @dataclass
    class Wider(Box):
        more: Any = 1.0

    assert fwddiff(Wider) is not fwddiff(Box)


def test_options_that_cannot_be_hashed_are_fine():
    assert fwddiff(square, wrt=["x"]).broadcast(X).shape == X.shape


def test_wrapping_keeps_no_function_alive():
    gc.freeze()  # what other tests have left need not be looked through

    def use(x):
        return x

    found = weakref.ref(use)
    fwddiff(use)
    del use
    gc.collect()
    gc.unfreeze()
    assert found() is None


def test_wrapped_functions_still_pickle():
    again = pickle.loads(pickle.dumps(fwddiff(square)))
    np.testing.assert_allclose(again.broadcast(X), X**2)
