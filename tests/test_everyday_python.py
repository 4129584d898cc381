"""What people write without thinking of kernels: the same in both engines, and as in plain Python.

The oracle is a central difference of the plain function, which shares no code with any engine.
"""

import collections
import dataclasses
import logging
import math
import typing
import weakref

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff.engines import auto

X = 1.37


class Pair(typing.NamedTuple):
    a: float
    b: float = 2.0

    def total(self, k=1.0):
        return self.a + k * self.b

    @property
    def product(self):
        return self.a * self.b

    @staticmethod
    def twice(x):
        return 2 * x

    @classmethod
    def of(cls, x):
        return cls(x, x * x)


Triple = collections.namedtuple("Triple", "a b c", defaults=[3.0, 4.0])


@dataclasses.dataclass
class Vector:
    a: float
    b: float = 1.0

    @staticmethod
    def square(x):
        return x * x

    @classmethod
    def of(cls, x):
        return cls(x, 2 * x)

    @property
    def norm(self):
        return math.hypot(self.a, self.b)

    def __add__(self, other):
        return Vector(self.a + other.a, self.b + other.b)

    def __mul__(self, k):
        return Vector(self.a * k, self.b * k)

    def __rmul__(self, k):
        return Vector(self.a * k, self.b * k)

    def __neg__(self):
        return Vector(-self.a, -self.b)

    def __sub__(self, other):
        return self + (-other)

    def __lt__(self, other):
        return self.a < other.a

    def __abs__(self):
        return self.norm

    def __len__(self):
        return 2

    def dot(self, other, w=2.0):
        return self.a * other.a + w * self.b * other.b


def tuples(x, y):
    s, w = 0.0, 1.0
    for v in (x, 2, y * y):
        s, w = s + w * v * v, w * 3
    for i, v in enumerate([x, y], start=1):
        s += i * v
    for a, b in zip((x, 1.0, y), (2.0, y, x), strict=False):
        s += a * b * b
    for a, (b, c) in ((x, (1.0, y)), (2.0, (y, 3.0))):
        s += a * b * c
    t = (x, y, 2.0)
    for k in range(3):
        s += t[k] * k
    for v in reversed((x, y)):
        s = s * 0.5 + v
    for k in reversed(range(1, 6, 2)):
        s = s * 0.7 + k * y
    t += (x * y,)
    return s + t[-1] + t[1:][0] + sum((y,) * 3)


def stars(x, y):
    def first(*vs):
        s = 0.0
        for v in vs:
            s = 2 * s + v
        return s * len(vs)

    pair = (x, y)
    return first(x, 2.0, y) + first(*pair) + first() + math.hypot(*pair, 1.0)


def generators(x, y):
    s = sum(x * i for i in range(4)) + sum((y * i for i in range(3)), x)
    s += sum(v * v for v in (x, 2.0, y) if v > 0.5)
    s += max(v * x for v in (1.0, 2.0, 0.5)) - min(v - y for v in (x, 5.0))
    s += sum(sum(x * i * j for j in range(i)) for i in range(4))
    s += math.fsum(y * i for i in range(3)) + math.prod(x + i for i in range(3))
    k = 2.0
    for v in (k * x * i for i in range(3)):
        s += v * y
    if any(v > 1.0 for v in (x, y)) and all(v > 0.0 for v in (x, y)):
        s = s * x
    return s


def builtins(x, y):
    s = min((x, y, 3.0)) + max([x, y, 0.1]) * 2 + sum([x, y], start=x * y) + max([y], default=0.0)
    s += abs(-x) + pow(y, 2) + pow(x, 1.5) + round(x, 1) + float(y)
    q, r = divmod(x, 0.4)
    if any((x > 5, y < 2)) and all([x > 0, y > 0]) and not any(()) and all(()):
        s = s + q * r
    return s + sorted([x, 1.0, y])[2] * x


def several(x, y):
    p, q = (x, y, 1.0), (0.2, x, y)
    s = math.hypot(x, y, 2.0) + math.hypot(x) + math.hypot() + math.dist(p, q) + math.dist([x, y], [y, 2.0])
    s += math.prod((x, y, 2.0)) + math.prod([x, x], start=y) + math.fsum((x, 1.0, y)) + math.fsum([x, y])
    fraction, whole = math.modf(x * 3)
    mantissa, exponent = math.frexp(y * 9)
    s += fraction * y + whole * x + mantissa * exponent * x + math.ldexp(x, 3)
    if math.isclose(x, 1.37, rel_tol=1e-3) and not math.isclose(x, y) and math.isclose(y, 0.6, abs_tol=0.1):
        s = s * y
    return s


def integers(x, y):
    s = x * math.comb(5, 2) + y * math.perm(5, 2) + x * math.perm(4) + math.factorial(5) * y
    s += x * math.gcd(12, 18, 8) + y * math.lcm(4, 6, 10) + x * math.isqrt(17) + y * math.comb(60, 30) * 1e-15
    return (
        s
        + math.trunc(x * 3) * y
        + math.floor(y) * x
        + math.ceil(x) * y
        + math.fmod(x, 0.7)
        + math.remainder(y, 0.7)
    )


def inner_functions(x, y):
    def scaled(z, w=2.0, u=y):
        def product(a, b=2.0):
            return a * b * z

        return product(w, b=3.0) + product(w) * u + product(b=u, a=w)

    power = lambda z, n=3: z**n  # noqa: E731
    k = y
    late = lambda z: z * k  # noqa: E731
    k = x * y
    s = scaled(x) + scaled(x, w=y) + scaled(u=x, z=y) + power(x) + power(n=2, z=y) + late(y)
    for i in range(3):
        s += (lambda z, i=i: z * i)(x)
    return s


def named_tuples(x, y):
    p = Pair(x)
    s = p.a * p.b + p[0] * p[-1] + sum(p) + len(p) + Pair(b=x, a=y).b + Triple(y).c * Triple(x, y).b
    for v in p:
        s += v * v
    a, b = Pair.of(y)
    return s + a * b + p.total() + p.total(k=y) + Pair(x, y).product + Pair.twice(x) + p.twice(y)


def dataclass_operators(x, y):
    v, w = Vector(x), Vector.of(y)
    u = (v + w * 2.0 - x * v) * y
    u += -v
    s = u.a + u.b * x + abs(w) + len(w) + w.norm + Vector.square(x) + v.square(y) + v.of(y).b
    return s + v.dot(w) + v.dot(Vector(b=x, a=y), w=x) if v < w or w < v else s


def asks_for_types(x, y):
    """A dual that were no float would take another branch than the value, silently."""
    if isinstance(x, float) and isinstance(y, (int, float)) and not isinstance(x, str):
        return x * x * y
    return x


def replaced(x, y):
    return Pair(x)._replace(b=y * y).product + dataclasses.replace(Vector(x), b=x * y).norm


def recursive(x, y):
    def power(n):
        return 1.0 if n == 0 else x * power(n - 1)

    return power(3) * y


FUNCTIONS = [
    replaced,
    recursive,
    asks_for_types,
    tuples,
    stars,
    generators,
    builtins,
    several,
    integers,
    inner_functions,
    named_tuples,
    dataclass_operators,
]


def check(f, engine, tolerance=1e-7):
    x, y, h = X, 0.63, 1e-6
    value, pullback = fd.rrule(fwddiff(f, engine=engine), x, y)
    np.testing.assert_allclose(value, f(x, y), 1e-13)
    expected = [(f(x + h, y) - f(x - h, y)) / (2 * h), (f(x, y + h) - f(x, y - h)) / (2 * h)]
    np.testing.assert_allclose([fd.unthunk(t) for t in pullback(1.0)], expected, tolerance, 1e-8)


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("f", FUNCTIONS)
@pytest.mark.few(
    engine=["numpy"],
    f=["replaced", "recursive", "asks_for_types", "tuples", "stars", "several", "integers", "named_tuples"],
)
def test_as_in_plain_python(f, engine):
    check(f, engine)


def test_second_order_in_kernels():
    def f(v):
        pairs = zip((v[0], v[1]), (v[1] ** 2, v[0]), strict=False)
        return sum(a * b for a, b in pairs) + Pair(v[0]).product

    found = fd.hessian(f, np.array([1.5, 2.0]), backend="numba")
    np.testing.assert_allclose(found, [[0.0, 2 * 2.0 + 1.0], [2 * 2.0 + 1.0, 2 * 1.5]], 1e-13)


# --- what kernels cannot do runs in Python, unless they were asked for -------------------------------------


def matched(x, y):
    match (x, y):
        case (a, b) if a > b:
            return a * a * b
        case (a, b):
            return a
    return 0.0


def unpacked(x, y):
    a, *rest = (x, y, x * y)
    return a + rest[1] * len(rest)


def caught(x, y):
    try:
        if x > 1:
            raise ValueError("x")
        s = x
    except ValueError:
        s = x * y
    del y
    return s


def keys(x, y):
    return min([x, y, 2.0], key=lambda v: abs(v - y)) + x * max(x, y, key=lambda v: -v)


def yielding(x, y):
    def parts():
        yield x
        yield from (y, x * y)

    s = 0.0
    for v in parts():
        s += v * v
    return s


def formatted(x, y):
    return x * len(f"{y:.3f}")


def chosen(x, y):
    functions = [lambda z: z * x, lambda z: z * z * y]
    return functions[int(y + 0.5)](x)


IN_PYTHON = [
    matched,
    unpacked,
    caught,
    keys,
    yielding,
    formatted,
    chosen,
]


@pytest.mark.parametrize("f", IN_PYTHON)
def test_without_a_kernel(f, caplog, monkeypatch):
    monkeypatch.setattr(auto, "_told", weakref.WeakSet())  # of each function once in a process
    with caplog.at_level(logging.WARNING, "fwddiff"):
        check(f, "auto")
    assert f"{f.__name__} runs in Python" in caplog.text
    with pytest.raises(fd.CompileError, match="engine='numpy'"):
        fd.rrule(fwddiff(f, engine="numba"), X, 0.63)
    check(f, "numpy")


def test_the_choice_is_told_and_holds_for_broadcasts():
    g, x = fwddiff(matched), np.array([0.5, 1.5])
    assert fd.explain(g.broadcast, x, 1.0).engine == "numpy"
    y, pullback = fd.rrule(g.broadcast, x, 1.0)
    np.testing.assert_allclose(y, [0.5, 2.25])
    np.testing.assert_allclose(fd.unthunk(pullback(np.ones(2))[0]), [1.0, 3.0])
    assert fd.explain(fwddiff(tuples).broadcast, x, 1.0).engine == "numba"


# --- what a user sees of a dual ----------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_print_shows_the_value(engine, capfd):
    def f(x):
        print("x is", x, (x, 2.0))  # noqa: T201
        return x * x

    _, pullback = fd.rrule(fwddiff(f, engine=engine), 1.5)
    assert fd.unthunk(pullback(1.0)[0]) == 3.0
    out = capfd.readouterr().out
    assert "x is 1.5 (" in out


def test_text_of_a_dual_is_that_of_its_value():
    seen = fd.derivative(lambda x: x * len(f"{x}|{x:.2f}|{x!s}"), 1.25, backend="numpy")
    assert seen == len("1.25|1.25|1.25")
