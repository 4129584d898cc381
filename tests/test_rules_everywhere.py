"""Rules and options of a wrapped function hold wherever it is called.

Rules that are wrong on purpose arrive, so the rule is what counts: `base` has the slope 2, its rules say 100.
"""

import dataclasses
import functools
import math

import numba
import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

torch = pytest.importorskip("torch")


def base(x):
    return 2.0 * x + math.exp(0.0 * x) - 1.0


def taught(x):
    return 2.0 * x + math.exp(0.0 * x) - 1.0


@numba.njit
def taught_and_compiled(x):
    return 2.0 * x


BY_FRULE = fd.custom_rule(base, frule=lambda p, t: (base(*p), 100.0 * t[0]))
BY_RRULE = fd.custom_rule(base, rrule=lambda x: (base(x), lambda ct: (100.0 * ct,)))


@pytest.fixture(scope="module", autouse=True)
def scalar_rules():
    fd.scalar_rule(taught, "100")
    fd.scalar_rule(taught_and_compiled, "100")


@dataclasses.dataclass
class Struct:
    a: float

    def apply(self, h, x):
        return h(x) * self.a


class Holder:
    def __init__(self, h):
        self.h, self.several = h, [math.sin, h]

    def call(self, x):
        return self.h(x) * 3.0

    def call_element(self, x):
        return self.several[1](x) * 3.0


def ways(h):
    """Functions of one number that each come to 3 h(x)."""
    hold, several, part = Holder(h), (h, math.sin), functools.partial(h)

    def helper(x):
        return h(x)

    def in_a_function_inside(x):
        def inner(t):
            return h(t)

        return 3.0 * inner(x)

    def in_a_variable(x):
        k = h
        return 3.0 * k(x)

    def as_a_default(x, k=h):
        return 3.0 * k(x)

    def apply(k, x):
        return k(x)

    @fwddiff
    def wrapped(x):
        return h(x)

    return {
        "by name": lambda x: 3.0 * h(x),
        "in a helper": lambda x: 3.0 * helper(x),
        "in a function inside": in_a_function_inside,
        "in a lambda inside": lambda x: 3.0 * (lambda t: h(t))(x),
        "in a comprehension": lambda x: sum([h(x) for _ in range(3)]),
        "in a method": lambda x: hold.call(x),
        "in the method itself": hold.call,
        "as an attribute": lambda x: 3.0 * hold.h(x),
        "in a list of an object": hold.call_element,
        "in a tuple": lambda x: 3.0 * several[0](x),
        "in a variable": in_a_variable,
        "as a default": as_a_default,
        "as an argument": lambda x: 3.0 * apply(h, x),
        "by partial": lambda x: 3.0 * part(x),
        "in a wrapped function": lambda x: 3.0 * wrapped(x),
        "in a method of a struct": lambda x: Struct(3.0).apply(h, x),
    }


WAYS = list(ways(base))
IN_CONTAINERS = ("in a list of an object", "in a tuple", "by partial")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("h", [BY_FRULE, BY_RRULE, taught, taught_and_compiled, fwddiff(BY_RRULE)])
def test_in_python(h, way):
    f = ways(h)[way]
    assert fd.derivative(f, 0.5, backend="numpy") == 300.0
    assert fd.unthunk(fd.rrule(fwddiff(f, engine="numpy"), 0.5)[1](1.0)[0]) == 300.0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.every(2)
def test_compiled(way):
    """A scalar rule holds in compiled code; where it cannot, the call runs as Python."""
    f = ways(taught)[way]
    assert fd.derivative(f, 0.5) == 300.0
    if way in IN_CONTAINERS:
        with pytest.raises(fd.CompileError, match="has a rule of its own"):
            fd.derivative(f, 0.5, backend="numba")


@pytest.mark.parametrize("way", ["by name", "in a function inside", "in a method", "as an argument"])
def test_of_compiled_functions_in_compiled_code(way):
    assert fd.derivative(ways(taught_and_compiled)[way], 0.5, backend="numba") == 300.0


@pytest.mark.parametrize("way", WAYS)
def test_custom_rules_are_never_compiled_away(way):
    f = ways(BY_RRULE)[way]
    x = torch.tensor([0.5, 0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.grad(fwddiff(f).sum(x), x)[0].tolist() == [300.0, 300.0]
    with pytest.raises(fd.FwdDiffError) as caught:
        fd.derivative(f, 0.5, backend="numba")
    assert len(str(caught.value).splitlines()) < 12


def test_custom_rules_among_the_arguments():
    apply = fwddiff(lambda x, h: 3.0 * h(x))
    for h in (BY_RRULE, taught, [taught], functools.partial(taught)):
        call = apply if callable(h) else fwddiff(lambda x, hs: 3.0 * hs[0](x), engine="numpy")
        engine = fwddiff(call.target.original, engine="numpy")
        assert fd.unthunk(fd.rrule(engine, 0.5, h)[1](1.0)[0]) == 300.0
    assert fd.unthunk(fd.rrule(apply, 0.5, BY_RRULE)[1](1.0)[0]) == 300.0


# --- wrt ----------------------------------------------------------------------------------------------------


def product(a, b, *rest):
    return a * b * (1.0 + sum(rest))


def of_two(a, b):
    return a * b


@dataclasses.dataclass
class Pair:
    u: float
    v: float


def of_struct(p, x):
    return p.u * p.v * x


FIRST = fwddiff(of_two, wrt=0)
IN_REST = fwddiff(product, wrt=(1, 2))
OF_STRUCT = fwddiff(of_struct, wrt="x")
PRESET = fwddiff(functools.partial(FIRST, b=5.0))


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize(
    ("f", "first", "second"),
    [
        (lambda z: FIRST(z, z), 2.0, 0.0),
        (lambda z: z * FIRST(a=z, b=z), 8.0, 4.0),
        (lambda z: (lambda t: FIRST(t, z))(z), 2.0, 0.0),
        (lambda z: IN_REST(z, z, z, z), 14.0, 4.0),
        (lambda z: OF_STRUCT(Pair(z, z), z * z), 16.0, 8.0),
        (lambda z: sum([FIRST(z, z) for _ in range(2)]), 4.0, 0.0),
        (lambda z: of_two(z, z) + FIRST(z, z), 6.0, 2.0),
    ],
    ids=["position", "keyword", "inside", "rest", "struct", "comprehension", "beside itself"],
)
def test_wrt(f, first, second, engine):
    """At 2; every argument that is left out counts as the constant 2, at both orders."""
    assert fd.derivative(f, 2.0, backend=engine) == first
    rule = fwddiff(f, engine=engine).whole.prepare(2.0).rule
    assert rule.pullback((0,)).pushforward((0,))([np.array(2.0), np.array(1.0), np.array(1.0)])[0] == second


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_wrt_of_arrays_and_hosts(engine):
    h = fwddiff(lambda a, b: np.sum(a * b), wrt="a")
    v = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(fd.gradient(lambda a: h(a, a), v, backend=engine), v)
    x = torch.tensor([2.0, 3.0], dtype=torch.float64, requires_grad=True)
    y = fwddiff(lambda x: FIRST(x, x) * x, engine=engine).broadcast(x)
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert g.tolist() == [8.0, 18.0]
    assert torch.autograd.grad(g.sum(), x)[0].tolist() == [4.0, 6.0]


class Cell:
    k = 3.0

    @functools.partial(fwddiff, wrt="a")
    def method(self, a, b):
        return self.k * a * b


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_wrt_of_methods_and_presets(engine):
    cell = Cell()
    assert fd.derivative(lambda z: cell.method(z, z), 2.0, backend=engine) == 6.0
    assert fd.derivative(cell.method, 2.0, 2.0, backend=engine) == 6.0
    assert fd.derivative(PRESET, 2.0, backend=engine) == 5.0


def test_wrapped_twice():
    h = fwddiff(fwddiff(of_two, wrt=0))
    assert h(2.0, 3.0) == 6.0
    assert [fd.unthunk(t) for t in fd.rrule(h, 2.0, 3.0)[1](1.0)] == [3.0, None]
    assert [fd.unthunk(t) for t in fd.rrule(fwddiff(FIRST, wrt=1), 2.0, 3.0)[1](1.0)] == [None, None]
    np.testing.assert_array_equal(fwddiff(fwddiff(fwddiff(of_two))).broadcast(np.ones(2), 3.0), [3.0, 3.0])


def test_engine_of_a_wrapped_function():
    h = fwddiff(lambda x: x * x, engine="numpy")
    f = lambda x: h(x) * x  # noqa: E731
    assert fd.derivative(f, 2.0) == 12.0
    with pytest.raises(fd.CompileError, match="engine='numpy'"):
        fd.derivative(f, 2.0, backend="numba")


# --- scalar rules -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_scalar_rule_of_the_function_itself(engine):
    assert fd.derivative(taught, 0.8, backend=engine) == 100.0
    _, pullback = fd.rrule(fwddiff(taught, engine=engine).sum, np.ones(3))
    assert fd.unthunk(pullback(1.0)[0]).tolist() == [100.0] * 3
    assert fd.derivative(taught_and_compiled, 0.8, backend=engine) == 100.0


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_scalar_rule_given_later_and_changed(engine):
    def late(x):
        return math.floor(x) * 1.0

    g = fwddiff(lambda x: late(x) * x, engine=engine)
    x = torch.tensor([2.5], dtype=torch.float64, requires_grad=True)
    for partial, expected in ((None, 2.0), ("1", 4.5), ("3", 9.5)):
        if partial is not None:
            fd.scalar_rule(late, partial)
        assert torch.autograd.grad(g.broadcast(x).sum(), x)[0].item() == expected
        assert fd.unthunk(fd.rrule(g, 2.5)[1](1.0)[0]) == expected


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_two_functions_of_one_name(engine):
    def make(slope):
        def same_name(x):
            return 1.0 * x

        return fd.scalar_rule(same_name, slope)

    one, two = make("10"), make("20 * x / x")
    assert fd.derivative(lambda x: one(x) + two(x), 1.0, backend=engine) == 30.0


SCALE = 2.0


def scaled(x, power=2.0):
    return SCALE * x**power


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_scalar_rule_with_globals_defaults_and_itself(engine, monkeypatch):
    """The rule names the function, so its second derivative is by the rule too."""
    fd.scalar_rule(scaled, "7 * scaled(x, power)", "0")
    f = fwddiff(lambda x: scaled(x) + scaled(x, power=1.0), engine=engine)
    for scale in (2.0, 5.0):
        monkeypatch.setitem(globals(), "SCALE", scale)
        assert fd.unthunk(fd.rrule(f, 3.0)[1](1.0)[0]) == 7 * scale * (9.0 + 3.0)
    rule = fwddiff(lambda x: scaled(x), engine=engine).whole.prepare(3.0).rule
    values = [np.array(v) for v in (3.0, 5.0, 1.0, 1.0)]  # x, SCALE, cotangent, tangent
    assert rule.pullback((0,)).pushforward((0,))(values)[0] == 49 * 5.0 * 9.0


def test_scalar_rule_that_fails_leaves_nothing():
    def unfinished(x, *rest):
        return x

    for arguments in (("1",), ("1", "2"), ("no_such_function(x)",)):
        with pytest.raises(fd.ArgumentError):
            fd.scalar_rule(unfinished, *arguments)
    assert fd.derivative(lambda x: unfinished(x) * x, 3.0) == 6.0


def test_scalar_rule_may_not_lose_a_derivative():
    weight = torch.tensor(2.0, requires_grad=True)

    def weighted(x):
        return x * weight

    fd.scalar_rule(weighted, "1")
    with pytest.raises(fd.CaptureError, match="Pass the array as an argument"):
        fwddiff(lambda x: weighted(x)).broadcast(torch.ones(3))


# --- ufuncs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("ufunc", [np.sin, np.hypot, np.multiply])
def test_ufuncs_as_functions(ufunc, engine):
    g, x, step = fwddiff(ufunc, engine=engine), [0.7, 0.4][: ufunc.nin], 1e-6
    for k, thunk in enumerate(fd.rrule(g, *x)[1](1.0)):
        moved = [[v + s * step * (i == k) for i, v in enumerate(x)] for s in (1, -1)]
        expected = (ufunc(*moved[0]) - ufunc(*moved[1])) / (2 * step)
        np.testing.assert_allclose(fd.unthunk(thunk), expected, rtol=1e-8)
    np.testing.assert_array_equal(g.broadcast(*[np.full(3, v) for v in x]), np.full(3, ufunc(*x)))
