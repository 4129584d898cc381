"""Wrapped functions copied, pickled, sent to other processes, and held by objects that are."""

from __future__ import annotations

import copy
import dataclasses
import functools
import io
import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

x = np.array([0.3, 0.7])


@fwddiff
def decorated(x):
    return math.tanh(x) * x


def plain(x):
    return math.exp(x) * x


named = fwddiff(plain)


class Model:
    def __init__(self, k):
        self.k = k
        self.later = fwddiff(self.plain_method)
        self.preset = fwddiff(functools.partial(times, self))

    @fwddiff
    def method(self, x):
        return self.k * x * x

    def plain_method(self, x):
        return self.k * x


@dataclasses.dataclass
class Slotted:
    __slots__ = ("k",)
    k: float

    @fwddiff
    def method(self, x):
        return self.k * x * x


def times(model, x):
    return model.k * x * x * x


def gradient(operation, *args):
    y, back = fd.rrule(operation, *args)
    return np.asarray(fd.unthunk(back(np.ones_like(y))[-1]))


def pickled(value):
    return pickle.loads(pickle.dumps(value))


KINDS = ("whole", "broadcast", "sum")


def pickled_as_torch_does(value):
    return pickle.loads(pickle.dumps(value, 2))


DUPLICATES = [copy.copy, copy.deepcopy, pickled, pickled_as_torch_does]


@pytest.mark.parametrize("duplicate", DUPLICATES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrapped", [decorated, named])
def test_functions_found_by_name_stay_the_same_object(wrapped, kind, duplicate):
    assert duplicate(wrapped) is wrapped
    assert duplicate(getattr(wrapped, kind)) is getattr(wrapped, kind)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_closures_are_not_copied(duplicate):
    k = np.array([1.0, 2.0])
    g = fwddiff(lambda x: k[0] * x)
    assert duplicate(g.broadcast) is g.broadcast


@pytest.mark.parametrize("duplicate", DUPLICATES[1:])
@pytest.mark.parametrize(("name", "slope"), [("method", 2 * x), ("later", 1 + 0 * x)])
def test_methods_belong_to_the_copied_object(name, slope, duplicate):
    model = Model(3.0)
    model.act = getattr(model, name).broadcast
    model.act(x)
    again = duplicate(model)
    again.k = 5.0
    np.testing.assert_allclose(gradient(model.act, x), 3 * slope)
    np.testing.assert_allclose(gradient(again.act, x), 5 * slope)


@pytest.mark.parametrize("duplicate", DUPLICATES[1:])
def test_methods_alone_bring_their_object(duplicate):
    model, slotted = Model(3.0), Slotted(3.0)
    again = duplicate(model.method.broadcast)
    model.k = 5.0
    np.testing.assert_allclose(gradient(again, x), 6 * x)
    np.testing.assert_allclose(gradient(duplicate(slotted.method.sum), x), 6 * x)


@pytest.mark.parametrize("duplicate", DUPLICATES[1:])
def test_presets_are_copied(duplicate):
    k = np.array([3.0])
    g = fwddiff(functools.partial(scaled, k))
    again = duplicate(g.broadcast)
    k[0] = 5.0
    np.testing.assert_allclose(gradient(g.broadcast, x), 5.0)
    np.testing.assert_allclose(gradient(again, x), 3.0)


def scaled(k, x):
    return k * x


@pytest.mark.parametrize("duplicate", DUPLICATES[1:])
def test_options_are_kept(duplicate):
    g = fwddiff(scaled, engine="numpy", wrt=["x"], mode="recompute", passes="per_argument", chunk=2)
    assert duplicate(g.broadcast).wrapped.options == g.options


def seven(x):
    return plain(x), lambda ct: (7.0 * ct,)


def test_custom_rules_keep_their_rule():
    rule = fd.custom_rule(plain, rrule=seven)
    for duplicate in DUPLICATES:
        np.testing.assert_allclose(gradient(duplicate(rule.broadcast), x), 7.0)


def test_a_lambda_cannot_be_pickled_by_name():
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(fwddiff(lambda x: x).broadcast)


def test_processes_started_anew():
    program = Path(__file__).with_name("programs_that_spawn.py")
    run = subprocess.run([sys.executable, program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]


def test_torch_modules():
    torch = pytest.importorskip("torch")

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.tensor([0.3, 0.7], dtype=torch.float64))
            self.act = decorated.broadcast
            self.preset = fwddiff(functools.partial(scaled, self.w)).broadcast

        def forward(self, x):
            return (self.act(self.w * x) + self.preset(x)).sum()

    globals()["Layer"], Layer.__qualname__ = Layer, "Layer"
    one = torch.ones((), dtype=torch.float64)
    module = Layer()
    module(one)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    t = np.tanh(x)
    for again in (copy.deepcopy(module), pickled(module), torch.load(file, weights_only=False)):
        again(one).backward()
        assert module.w.grad is None
        assert again.w is not module.w
        np.testing.assert_allclose(again.w.grad, t + (1 - t * t) * x + 1)
