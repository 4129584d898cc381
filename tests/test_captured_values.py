"""Captured values get their gradient in every host: closures, defaults, partials, `self`, globals, helpers,
tables."""

import functools
import math
import sys

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from gradients import HOSTS, chosen_hosts
from test_catalogue import ENGINES

X = np.array([0.5, 1.0, 2.0])
WEIGHT, OFFSET = np.array(1.5), np.array(0.3)
TABLE_VALUES = np.array([0.2, 0.7, 1.9])
SHARED = None  # a global that tests set to an array of the host


class Model:
    """An object whose attribute is used by a bound method, and by a method that this one calls."""

    def __init__(self, weight, offset):
        self.weight, self.offset = weight, offset

    def predict(self, x):
        return self.scaled(x) + self.offset

    def scaled(self, x):
        return x * self.weight * self.weight


class Callable(Model):
    def __call__(self, x):
        return x * self.weight * self.weight + self.offset


def closure(w, b):
    return lambda x: x * w * w + b


def default(w, b):
    def f(x, w=w, *, b=b):
        return x * w * w + b

    return f


def partial(w, b):
    return functools.partial(lambda w, x, b: x * w * w + b, w, b=b)


def bound_self(w, b):
    return Model(w, b).predict


def callable_object(w, b):
    return Callable(w, b)


def helper_closure(w, b):
    def square():
        return w * w

    def scaled(x):
        return x * square()

    return lambda x: scaled(x) + b


def struct(w, b):
    parameters = (w, (b, 2.0))
    return lambda x: x * parameters[0] ** 2 + parameters[1][0]


def attribute_of_captured_object(w, b):
    model = Model(w, b)
    return lambda x: x * model.weight * model.weight + model.offset


def recursion(w, b):
    """x*w*w + b by three levels of recursion, each of which uses what is captured."""

    def power(n, x):
        return x if n == 0 else power(n - 1, x) * w

    return lambda x: power(2, x) + b


def global_variable(w, b):
    global SHARED
    SHARED = w
    return lambda x: x * SHARED * SHARED + b


def inner_function(w, b):
    def f(x):
        def squared():
            return w * w

        return x * squared() + (lambda t: t)(b)

    return f


WAYS = [
    inner_function,
    closure,
    default,
    partial,
    bound_self,
    callable_object,
    helper_closure,
    struct,
    attribute_of_captured_object,
    recursion,
    global_variable,
]


@pytest.mark.parametrize("host", chosen_hosts())
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.every(3)
def test_gradient_of_captured_values(way, engine, host):
    def model(x, w, b):
        return fwddiff(way(w, b), engine=engine).broadcast(x)

    x_bar, w_bar, b_bar = HOSTS[host][1](model, (X, WEIGHT, OFFSET))
    np.testing.assert_allclose(x_bar, np.full(3, WEIGHT**2), rtol=1e-12)
    np.testing.assert_allclose(w_bar, (2 * WEIGHT * X).sum(), rtol=1e-12)
    np.testing.assert_allclose(b_bar, 3.0, rtol=1e-12)


@pytest.mark.parametrize("host", chosen_hosts())
@pytest.mark.parametrize("engine", ENGINES)
def test_a_table_is_a_whole_argument(engine, host):
    indices = np.array([2, 0, 2])

    def model(x, table):
        return fwddiff(lambda x, i: x * table[i] ** 2, engine=engine).broadcast(x, indices)

    x_bar, table_bar = HOSTS[host][1](model, (X, TABLE_VALUES))
    np.testing.assert_allclose(x_bar, TABLE_VALUES[indices] ** 2, rtol=1e-12)
    wanted = np.zeros(3)
    np.add.at(wanted, indices, 2 * X * TABLE_VALUES[indices])
    np.testing.assert_allclose(table_bar, wanted, rtol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_captured_number_is_read_at_every_call(engine):
    scale = 2.0
    g = fwddiff(lambda x: x * scale, engine=engine)
    assert g.broadcast(X).tolist() == [1.0, 2.0, 4.0]
    rules = dict(g.caller.find()[0].recipes)
    scale = 10.0
    assert g.broadcast(X).tolist() == [5.0, 10.0, 20.0]
    assert dict(g.caller.find()[0].recipes) == rules, "a new value is no new rule"


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_helper_of_an_inner_function_captures_is_read_at_every_call(engine):
    scale = 2.0

    def scaled(x):
        return x * scale

    g = fwddiff(lambda x: (lambda t: scaled(t))(x) + sum([scaled(t) for t in (x, 2 * x)]), engine=engine)
    assert g.broadcast(X).tolist() == [4.0, 8.0, 16.0]
    scale = 10.0
    assert g.broadcast(X).tolist() == [20.0, 40.0, 80.0]


@pytest.mark.parametrize("inside", [False, True])
def test_helpers_chosen_at_run_time_do_not_get_each_others_captured_values(inside):
    a, b = 2.0, 30.0

    def first(u):
        return u * a

    def second(u):
        return u * b

    chosen = lambda x: (first if x > 0 else second)(x)  # noqa: E731 - one of two lambdas
    within = lambda x: (lambda u: (first if u > 0 else second)(u))(x)  # noqa: E731 - the other
    f = within if inside else chosen
    if sys.version_info >= (3, 12):  # whose compiler writes a call of each
        assert fwddiff(f).broadcast(X).tolist() == [1.0, 2.0, 4.0]
    else:
        with pytest.raises(fd.CaptureError, match="chosen among several"):
            fwddiff(f).broadcast(X)
    assert fwddiff(f, engine="numpy").broadcast(X).tolist() == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_inner_function_that_is_passed_on_does_not_lose_what_its_helper_captures(engine):
    """The call has two arguments, as many as the compiled helper needs: the captured value and `a`."""
    scale = 2.0

    def scaled(a, b=1.0):
        return a * scale + b

    def applied(f, x):
        return f(x)

    def passing(x):
        inner = lambda t: scaled(t, 3.0)  # noqa: E731 - a lambda with a name
        return applied(inner, x)

    assert fwddiff(passing, engine=engine).broadcast(X).tolist() == [4.0, 5.0, 7.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_helper_that_is_replaced_is_noticed(engine):
    helper = lambda x: 2 * x  # noqa: E731 - as below
    g = fwddiff(lambda x: helper(x), engine=engine)
    assert g.broadcast(X).tolist() == [1.0, 2.0, 4.0]

    helper = lambda x: -x  # noqa: E731 - another function under the same name

    assert g.broadcast(X).tolist() == [-0.5, -1.0, -2.0]


class Opaque:
    def __init__(self, weight):
        self.weight = weight


def test_what_cannot_be_followed_is_an_error_that_names_the_variable():
    torch = pytest.importorskip("torch")
    weight = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    hidden = Opaque(weight)
    x = torch.tensor(X)

    def through_getattr(x):
        return x * getattr(hidden, "weight")  # noqa: B009 - what the test is about

    with pytest.raises(fd.CaptureError, match="hidden"):
        fwddiff(through_getattr).broadcast(x)


def test_plain_objects_used_whole_do_not_matter():
    assert fwddiff(lambda x: math.sqrt(x)).broadcast(np.array([4.0])).tolist() == [2.0]


EPSILON = 0.5


def test_a_global_of_an_inner_function_is_not_stale():
    global EPSILON
    EPSILON = 0.5
    g = fwddiff(lambda x: (lambda t: t + EPSILON)(x))
    assert g.broadcast(X).tolist() == [1.0, 1.5, 2.5]
    EPSILON = 2.0
    assert g.broadcast(X).tolist() == [2.5, 3.0, 4.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_local_name_for_two_objects(engine):
    """`chosen` is one object or the other: its attribute is no captured value of either."""

    class Pair:
        def __init__(self):
            self.small, self.large = Opaque(2.0), Opaque(10.0)

        def predict(self, x):
            chosen = self.small
            if x > 1:
                chosen = self.large
            return chosen.weight * x + self.large.weight + self.small.weight

    g = fwddiff(Pair().predict, engine=engine)
    if engine == "numpy":
        assert g.broadcast(X).tolist() == [13.0, 14.0, 32.0]
    else:
        with pytest.raises(fd.FwdDiffError):
            g.broadcast(X)


POINTS = np.array([1.0, 2.0, 3.0])


def computed_in_steps(mu):
    z = POINTS * mu
    return np.exp(z).sum() / len(z)


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize(
    ("f", "slope", "curvature"),
    [
        (
            lambda mu: np.exp(POINTS * mu).sum(),
            lambda m: (POINTS * np.exp(POINTS * m)).sum(),
            lambda m: (POINTS**2 * np.exp(POINTS * m)).sum(),
        ),
        (lambda mu: np.sum((POINTS - mu) ** 2), lambda m: 2 * (3 * m - 6), lambda m: 6.0),
        (
            computed_in_steps,
            lambda m: (POINTS * np.exp(POINTS * m)).mean(),
            lambda m: (POINTS**2 * np.exp(POINTS * m)).mean(),
        ),
    ],
    ids=["method", "function", "in steps"],
)
@pytest.mark.parametrize("mus", [np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.2])], ids=["as many", "fewer"])
@pytest.mark.every(3)
def test_arrays_whose_sums_are_taken_are_whole_for_each_element(f, slope, curvature, mus, engine):
    g = fwddiff(f, engine=engine)
    np.testing.assert_allclose(g.broadcast(mus), [f(mu) for mu in mus], rtol=1e-14)
    np.testing.assert_allclose(g.sum(mus), sum(f(mu) for mu in mus), rtol=1e-14)
    first = lambda x: fd.gradient(lambda z: g.sum(z), x)  # noqa: E731
    np.testing.assert_allclose(first(mus), [slope(mu) for mu in mus], rtol=1e-13)
    second = fd.jacobian(first, mus)
    np.testing.assert_allclose(second, np.diag([curvature(mu) for mu in mus]), rtol=1e-13)
