"""Constructors of structs, broadcast: no kernel where nothing is computed, the ordinary way elsewhere."""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff._capture import Description

torch = pytest.importorskip("torch")


@dataclass
class Exponential:
    mean: Any


@dataclass(frozen=True)
class Normal:
    mean: Any
    deviation: Any


class Point(NamedTuple):
    x: Any
    y: Any


@dataclass
class Squared:
    value: Any

    def __post_init__(self):
        self.value = self.value * self.value


@dataclass
class Halved:
    value: Any

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value / 2)


@dataclass(init=False)
class Doubled:
    value: Any

    def __init__(self, value):
        self.value = value * 2


@dataclass  # keeps the `__init__` that is there
class Tripled:
    value: Any

    def __init__(self, value):
        self.value = value * 3


class Reversed(NamedTuple("Pair", [("a", Any), ("b", Any)])):
    def __new__(cls, a, b):
        return super().__new__(cls, b, a)


@dataclass
class Described:
    value: Any = field(default=0.0)

    @property
    def other(self):
        return self.value


X = torch.linspace(0.5, 2, 7, dtype=torch.float64, requires_grad=True)
Y = torch.linspace(1, 3, 7, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("cls", [Normal, Point])
def test_fields_are_the_arrays(cls):
    made = fwddiff(cls).broadcast(X, Y)
    assert type(made) is cls
    first, second = vars(made).values() if cls is Normal else made
    assert first is X
    assert second is Y


def test_one_field_of_a_struct_with_a_property():
    assert fwddiff(Described).broadcast(X).value is X


def test_derivatives_arrive():
    log_density = fwddiff(lambda d, x: -math.log(d.mean) - x / d.mean)
    log_density.broadcast(fwddiff(Exponential).broadcast(X), Y).sum().backward()
    x, y = X.detach(), Y.detach()
    torch.testing.assert_close(X.grad, -1 / x + y / x**2, rtol=1e-14, atol=0)
    torch.testing.assert_close(Y.grad, -1 / x, rtol=1e-14, atol=0)
    X.grad = Y.grad = None


@pytest.mark.parametrize("cls", [Halved, Doubled, Tripled, Squared])
def test_constructors_that_compute_are_not_skipped(cls):
    with pytest.raises(fd.CompileError, match=f"{cls.__name__} has __"):
        fwddiff(cls, engine="numba").broadcast(X)
    for engine in ("auto", "numpy"):
        computed = fwddiff(cls, engine=engine).broadcast(X)
        torch.testing.assert_close(computed.value, cls(X).value)


def test_a_named_tuple_that_changes_its_fields_cannot_be_rebuilt():
    for engine in ("numba", "numpy"):
        for _ in range(2):
            with pytest.raises(fd.FwdDiffError, match="Reversed has __new__"):
                fwddiff(Reversed, engine=engine).broadcast(X, Y)
        with pytest.raises(fd.StructureError, match="Reversed has __new__"):
            fwddiff(lambda p: p.a, engine=engine).broadcast(Reversed(X, Y))


@pytest.mark.parametrize("cls", [Halved, Doubled, Tripled, Squared])
def test_inside_a_function_too(cls):
    def f(x):
        return cls(x).value

    with pytest.raises(fd.CompileError, match=f"{cls.__name__} has __"):
        fwddiff(f, engine="numba").broadcast(X)
    for engine in ("auto", "numpy"):
        torch.testing.assert_close(fwddiff(f, engine=engine).broadcast(X), cls(X).value)


@pytest.mark.parametrize("cls", [Doubled, Tripled, Squared])
def test_arguments_made_by_the_user_are_taken_as_they_are(cls):
    made = cls(X.detach())
    torch.testing.assert_close(fwddiff(lambda d: 3 * d.value).broadcast(made), 3 * made.value)


def test_shapes_that_broadcast():
    made = fwddiff(Normal).broadcast(X, Y[:, None])
    assert made.mean.shape == made.deviation.shape == (7, 7)
    torch.testing.assert_close(made.mean, X.expand(7, 7))


def test_numbers_and_defaults_are_fields_of_every_element():
    made = fwddiff(Normal).broadcast(X, 2.0)
    assert made.deviation.shape == (7,)


def test_arguments_that_are_not_wanted_are_constants():
    made = fwddiff(Normal, wrt="mean").broadcast(X, Y)
    assert torch.autograd.grad((made.mean * made.deviation).sum(), Y, allow_unused=True) == (None,)


def test_results_of_numpy_arrays_are_new():
    x = np.arange(3.0)
    assert fwddiff(Exponential).broadcast(x).mean is not x


def test_what_no_host_can_lend_is_refused():
    with pytest.raises(fd.FwdDiffError, match="mean"):
        fwddiff(Exponential).broadcast(torch.ones(3, dtype=torch.complex128))


def test_kernels_kept_on_disk_are_told_apart_by_construction():
    """A class that was plain when its kernel was kept, and is edited, must not find that kernel."""

    def described(**members):
        cls = dataclass(type("Edited", (), {"__annotations__": {"value": Any}, **members}))
        description = Description()
        description.value(cls)
        return description.digest()

    assert described() == described()
    assert described() != described(__setattr__=Halved.__setattr__)
