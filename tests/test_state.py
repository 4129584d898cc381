"""What a function reads anew at each run, or leaves behind, is refused: value and derivative are computed by
different runs."""

import collections
import dataclasses
import datetime
import functools
import heapq
import os
import random
import time
import types

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

NOISE, PYTHON_NOISE = np.random.default_rng(0), random.Random(0)
draw = NOISE.normal
BOX, TABLE, ARRAY, SET = [], {}, np.zeros(3), set()
QUEUE = collections.deque()
SETTINGS = types.SimpleNamespace(noise=NOISE, table={"noise": NOISE}, count=0)
STREAM = iter([1.0, 2.0] * 100)
COUNT = 0.0


class Model:
    def __init__(self):
        self.noise, self.count, self.history = np.random.RandomState(0), 0, [1.0]

    def draws(self, x):
        return x * self.noise.normal()

    def counts(self, x):
        self.count += 1
        return x

    def remembers(self, x):
        self.history.append(x)
        return x

    def reads(self, x):
        return x * self.history[0] + self.count

    def __call__(self, x):
        self.count = x
        return x


@dataclasses.dataclass
class Struct:
    a: float

    def draws(self):
        return self.a * random.random()

    def square(self):
        return self.a * self.a


MODEL = Model()


def imported(x):
    import random as noise

    return x + noise.random()


def imported_name(x):
    from numpy.random import normal

    return x + normal()


def helper(x):
    return x + random.gauss(0, 1)


def counts_calls(x):
    global COUNT
    COUNT = COUNT + x
    return COUNT


def smoother(level):
    def update(y, a):
        nonlocal level
        level = (1 - a) * level + a * y
        level = (1 - a) * level + a * y
        return level

    return update


def writes_from_inside(total):
    def function(x):
        def add(v):
            nonlocal total
            total += v

        add(x)
        return total

    return function


def memory(x, seen=[]):  # noqa: B006
    seen.append(x)
    return x * len(seen)


def remembered(x):
    if x > 0:
        TABLE["x"] = x
    return x


def pushes(box, x):
    box.append(x)
    return x


def consumes(x):
    for v in STREAM:
        x = x + v
    return x


def deletes(x):
    del TABLE["x"]
    return x


CHANGING = {
    "random.random": lambda x: x + random.random(),
    "random.gauss": lambda x: x * random.gauss(0, 1),
    "np.random.normal": lambda x: x + np.random.normal(),
    "np.random.rand": lambda x: sum([x * np.random.rand() for _ in range(3)]),
    "np.random.seed": lambda x: x if np.random.seed(0) is None else 0.0,
    "default_rng": lambda x: x * np.random.default_rng().normal(),
    "generator": lambda x: x * NOISE.normal(),
    "its method": lambda x: x * draw(),
    "random.Random": lambda x: x * PYTHON_NOISE.random(),
    "attribute": lambda x: x * SETTINGS.noise.normal(),
    "in a dict": lambda x: x * SETTINGS.table["noise"].normal(),
    "method": lambda x: MODEL.draws(x),
    "bound method": MODEL.draws,
    "helper": lambda x: helper(x),
    "inner": lambda x: (lambda v: v * random.random())(x),
    "default": lambda x, noise=NOISE: x * noise.normal(),
    "partial": functools.partial(lambda noise, x: x * noise.normal(), NOISE),
    "import": imported,
    "from import": imported_name,
    "time": lambda x: x * time.time(),
    "perf_counter_ns": lambda x: x * time.perf_counter_ns(),
    "datetime": lambda x: x * datetime.datetime.now().second,
    "urandom": lambda x: x * len(os.urandom(3)),
    "input": lambda x: x * float(input()),
    "next": lambda x: x * next(STREAM),
    "loop over an iterator": consumes,
}
WRITING = {
    "attribute of self": MODEL.counts,
    "method": lambda x: MODEL.counts(x),
    "list of self": lambda x: MODEL.remembers(x),
    "callable object": MODEL,
    "global": counts_calls,
    "nonlocal": lambda x, update=None: smoother(1.0)(x, 0.5) if update else x,
    "append": lambda x: BOX.append(x) or x,
    "setitem": remembered,
    "delitem": deletes,
    "update": lambda x: TABLE.update(a=x) or x,
    "set": lambda x: SET.add(3) or x,
    "deque": lambda x: QUEUE.append(x) or x,
    "fill": lambda x: ARRAY.fill(3.0) or x,
    "helper": lambda x: pushes(BOX, x),
    "heapq": lambda x: heapq.heappush(BOX, x) or x,
    "setattr": lambda x: setattr(SETTINGS, "count", 3) or x,
    "out=": lambda x: x if np.add(ARRAY, 1.0, out=ARRAY) is None else 0.0,
    "mutable default": lambda x: memory(x),
    "own mutable default": memory,
    "inner nonlocal": writes_from_inside(0.0),
}
WRITING["nonlocal"] = functools.partial(smoother(1.0), a=0.5)


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("name", CHANGING)
def test_what_changes_by_itself_is_refused(name, engine):
    with pytest.raises(fd.CaptureError, match=r"different functions|another function") as caught:
        fd.rrule(fwddiff(CHANGING[name], engine=engine), 1.5)
    assert "argument" in str(caught.value) or "instead" in str(caught.value) or "list" in str(caught.value)


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("name", WRITING)
def test_what_a_call_would_change_is_refused(name, engine):
    with pytest.raises(fd.CaptureError, match=r"writes to `.*(return the new one|fd.DiffCache)"):
        fd.rrule(fwddiff(WRITING[name], engine=engine), 1.5)


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_methods_of_structs_are_refused_where_they_are_called(engine):
    with pytest.raises(fd.CaptureError, match=r"`draws` uses `random.random`"):
        fd.rrule(fwddiff(lambda s: s.draws(), engine=engine), Struct(2.0))
    y, pullback = fd.rrule(fwddiff(lambda s: s.square(), engine=engine), Struct(3.0))
    assert (y, fd.unthunk(pullback(1.0)[0]).a) == (9.0, 6.0)


def test_own_variables_and_what_is_only_read_are_no_state():
    def own(x):
        total, seen = 0.0, []

        def add(v):
            nonlocal total
            total += v
            seen.append(v)

        add(x)
        add(x * x)
        return total + len(seen)

    for f, slope in [(own, 4.0), (lambda x: MODEL.reads(x), 1.0), (lambda x: sorted([x, 1.0])[1], 1.0)]:
        y, pullback = fd.rrule(fwddiff(f, engine="numpy"), 1.5)
        assert y == f(1.5)
        assert fd.unthunk(pullback(1.0)[0]) == slope


def test_noise_as_an_argument():
    sample = fwddiff(lambda mu, sigma, noise: mu + sigma * noise)
    noise = np.random.default_rng(1).normal(size=5)
    y, pullback = fd.rrule(sample.broadcast, 1.0, 2.0, noise)
    np.testing.assert_allclose(y, 1.0 + 2.0 * noise)
    np.testing.assert_allclose(fd.unthunk(pullback(np.ones(5))[1]), noise.sum(), 1e-13)


def test_the_value_of_a_custom_rule_may_depend_on_state():
    noisy = fd.custom_rule(
        lambda x: x + random.random(), rrule=lambda x: (x + random.random(), lambda ct: (ct,))
    )
    assert fd.unthunk(fd.rrule(noisy, 1.5)[1](3.0)[0]) == 3.0
