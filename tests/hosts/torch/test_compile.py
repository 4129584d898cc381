"""`torch.compile(fullgraph=True)` of calls as users write them: structs, captured values, `torch.func`."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.func import grad, hessian, jvp, vmap  # noqa: E402

from fwddiff import fwddiff  # noqa: E402

F64 = torch.float64
X = torch.linspace(0.6, 1.9, 5, dtype=F64)
T = torch.linspace(1.5, 0.7, 5, dtype=F64)
WEIGHT = torch.tensor(1.5, dtype=F64, requires_grad=True)
TABLE = np.array(3.0)
SCALE = 2.0

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@dataclasses.dataclass
class Exponential:
    theta: Any


@dataclasses.dataclass(frozen=True)
class Pair:
    first: Any
    second: Any


class Named(NamedTuple):
    first: Any
    second: Any


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(1.5, dtype=F64))
        self.wrapped = fwddiff(self.square)

    def square(self, x):
        return x * self.weight * self.weight

    @fwddiff
    def decorated(self, x):
        return x * self.weight * self.weight


flat = fwddiff(lambda t, x: -math.log(t) - x / t)
struct = fwddiff(lambda model, x: -math.log(model.theta) - x / model.theta)
named = fwddiff(lambda pair: -math.log(pair.first) - pair.second / pair.first)
chosen = fwddiff(lambda nothing, t, flag, x: t * x if nothing is None and flag else x)
several = fwddiff(lambda t, x: (Named(-math.log(t), Pair(x, t)), t * x))
pairs = fwddiff(lambda t, x: (Pair(-math.log(t), x / t), t * x))
captured = fwddiff(lambda x: x * WEIGHT * WEIGHT)
scaled = fwddiff(lambda x: x * TABLE * SCALE)
LAYER = Layer()


def native(t, x):
    return -torch.log(t) - x / t


def from_pair(t, x):
    pair, product = pairs.broadcast(t, x)
    return pair.first - pair.second + 0 * product


def from_named(t, x):
    (first, pair), product = several.broadcast(t, x)
    return first - pair.first / pair.second + 0 * product


CALLS = {
    "arguments": (lambda t, x: flat.broadcast(t, x), native),
    "dataclass": (lambda t, x: struct.broadcast(Exponential(t), x), native),
    "NamedTuple": (lambda t, x: named.broadcast(Named(t, x)), native),
    "dataclass out": (from_pair, native),
    "NamedTuple out": (from_named, native),
    "None and bool": (lambda t, x: chosen.broadcast(None, t, True, x), lambda t, x: t * x),
    "sum": (lambda t, x: flat.sum(t, x) + x, lambda t, x: native(t, x).sum() + x),
    "whole": (lambda t, x: flat(t[0], x[1]) + x, lambda t, x: native(t[0], x[1]) + x),
    "keyword": (lambda t, x: flat.broadcast(x=x, t=t), native),
    "float": (lambda t, x: flat.broadcast(t, 2.5) * x, lambda t, x: native(t, 2.5) * x),
    "floats alone": (lambda t, x: flat(1.5, 2.5) * x * t, lambda t, x: (-math.log(1.5) - 2.5 / 1.5) * x * t),
    "captured tensor": (lambda t, x: captured.broadcast(x) * t, lambda t, x: x * WEIGHT * WEIGHT * t),
    "captured NumPy": (lambda t, x: scaled.broadcast(x) * t, lambda t, x: x * 6.0 * t),
    "method of a module": (
        lambda t, x: LAYER.wrapped.broadcast(x) * t,
        lambda t, x: x * LAYER.weight * LAYER.weight * t,
    ),
    "decorated method": (
        lambda t, x: LAYER.decorated.broadcast(x) * t,
        lambda t, x: x * LAYER.weight * LAYER.weight * t,
    ),
}
SHARED = (WEIGHT, LAYER.weight)


def gradients(call):
    """Value, gradients of the arguments and of everything captured."""
    t, x = T.clone().requires_grad_(), X.clone().requires_grad_()
    value = call(t, x)
    found = torch.autograd.grad((value * x).sum(), (t, x, *SHARED), allow_unused=True, materialize_grads=True)
    return value.detach(), *found


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("backend", [pytest.param("eager", marks=pytest.mark.slow), "aot_eager"])
@pytest.mark.every(2)
def test_call(call, backend):
    LAYER.decorated.broadcast(X)
    torch._dynamo.reset()
    ours, theirs = CALLS[call]
    compiled = torch.compile(ours, fullgraph=True, backend=backend)
    for _ in range(2):
        torch.testing.assert_close(gradients(compiled), gradients(theirs))


@pytest.mark.parametrize("call", ["dataclass", "captured tensor"])
def test_inductor(call):
    torch._dynamo.reset()
    ours, theirs = CALLS[call]
    torch.testing.assert_close(gradients(torch.compile(ours, fullgraph=True)), gradients(theirs))


INSIDE = {
    "grad": lambda f: lambda t, x: grad(lambda t: f(t, x).sum())(t),
    "jvp": lambda f: lambda t, x: jvp(lambda t: f(t, x), (t,), (x,))[1],
    "vmap": lambda f: lambda t, x: vmap(f, (0, None))(t, x),
    "vmap of grad": lambda f: lambda t, x: vmap(grad(lambda t, x: f(t, x).sum()))(t, x),
    "hessian": lambda f: lambda t, x: hessian(lambda t: f(t, x).sum())(t),
}


@pytest.mark.parametrize("call", ["dataclass", "sum", "captured tensor"])
@pytest.mark.parametrize("transformation", INSIDE)
@pytest.mark.few(call=["sum"], transformation=["grad", "vmap"])
def test_transformation_inside(call, transformation):
    torch._dynamo.reset()
    ours, theirs = map(INSIDE[transformation], CALLS[call])
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(T, X), theirs(T, X))


def test_dynamic_shapes():
    torch._dynamo.reset()
    compiled = torch.compile(CALLS["dataclass"][0], fullgraph=True, backend="aot_eager", dynamic=True)
    for size in (3, 5, 8):
        t, x = torch.linspace(1, 2, size, dtype=F64).requires_grad_(), torch.rand(size, 1, dtype=F64)
        with torch._dynamo.config.patch(error_on_recompile=True):
            ours = torch.autograd.grad(compiled(t, x).sum(), t)
        torch.testing.assert_close(ours, torch.autograd.grad(native(t, x).sum(), t))


def test_what_changes_between_calls_is_noticed():
    """A captured number, a helper, and the function itself: each would be frozen in the graph otherwise."""
    torch._dynamo.reset()
    number, power = 2.0, lambda x: x * x

    def f(x):
        return power(x) * number

    wrapped = fwddiff(f)
    compiled = torch.compile(lambda g, x: g.broadcast(x), fullgraph=True, backend="aot_eager")
    for number in (2.0, 3.0, 4.0):
        torch.testing.assert_close(compiled(wrapped, X), X * X * number)
    power = lambda x: x * x * x  # noqa: E731
    torch.testing.assert_close(compiled(wrapped, X), X * X * X * number)
    torch.testing.assert_close(compiled(fwddiff(lambda x: x + 1), X), X + 1)


def test_method_of_an_unused_object_raises():
    torch._dynamo.reset()
    layer = Layer()
    with pytest.raises(Exception, match="call it once on this object before compiling"):
        torch.compile(lambda x: layer.decorated.broadcast(x), fullgraph=True, backend="eager")(X)


def test_first_call_is_compiled():
    """Nothing was called before: host, kernel and plan come into being while Dynamo traces."""
    torch._dynamo.reset()
    fresh = fwddiff(lambda x: math.sin(x) * WEIGHT)
    result = torch.compile(lambda x: fresh.broadcast(x), fullgraph=True, backend="aot_eager")(X)
    (gradient,) = torch.autograd.grad(result.sum(), WEIGHT)
    torch.testing.assert_close(gradient, torch.sin(X).sum())
