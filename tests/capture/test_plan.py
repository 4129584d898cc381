"""What is captured, how it is read, and when a plan is out of date."""

from __future__ import annotations

import math
import subprocess
import sys
import timeit
import types

import numpy as np
import pytest

from fwddiff import _capture

RATE = 2.0
CONFIG = types.ModuleType("config")
CONFIG.rate, CONFIG.nested = 0.5, types.SimpleNamespace(level=3.0)
LATER = None


def helper(x):
    return x * RATE


def other_helper(x):
    return helper(x) + RATE


class Array:
    """Stands for an array of a host."""

    ndim, shape = 0, ()


def owned(value):
    return isinstance(value, Array)


def names(function, **options):
    return [capture.name for capture in _capture.plan(function, **options).captures]


class Base:
    scale = 4.0

    def __init__(self):
        self.weight, self.text, self.inner = 1.5, "text", types.SimpleNamespace(depth=2.0)

    def value(self, x):
        return self.helper(x) * self.weight + self.scale + self.inner.depth

    def helper(self, x):
        return x + self.weight

    @property
    def double(self):
        return 2 * self.weight


def test_data_is_found_along_attributes():
    assert names(lambda x: CONFIG.rate * x + CONFIG.nested.level) == ["CONFIG.rate", "CONFIG.nested.level"]
    assert sorted(names(Base().value)) == ["self.inner.depth", "self.scale", "self.weight"]
    base = Base()
    assert names(lambda x: base.double * x) == ["base.double"]


def test_locals_parameters_and_constants_are_no_captures():
    def value(RATE, x):
        CONFIG = x
        return RATE * CONFIG + math.pi + np.inf + len("text")

    assert names(value) == []


def test_a_cell_of_the_function_itself_is_no_global():
    def value(x):
        RATE = x

        def inner(t):
            return t * RATE

        return inner(x) + RATE

    assert names(value) == []


def test_one_capture_per_variable():
    plan = _capture.plan(lambda x: other_helper(x) + helper(x) * RATE)
    assert [capture.name for capture in plan.captures] == ["RATE"]
    ((callee, positions), (second, more)) = plan.calls.values()
    assert positions == more == [0]
    assert {callee.live, second.live} == {helper, other_helper}


def test_functions_in_a_circle_share_their_captures():
    first, second = 2.0, 3.0

    def ping(x, n):
        return x * first if n == 0 else pong(x, n - 1)

    def pong(x, n):
        return x * second if n == 0 else ping(x, n - 1)

    plan = _capture.plan(ping)
    assert sorted(capture.name for capture in plan.captures) == ["first", "second"]
    ((partner, positions),) = plan.calls.values()
    assert partner.captures == plan.captures
    assert positions == [0, 1]
    ((back, positions),) = partner.calls.values()
    assert back is plan
    assert positions == [0, 1]
    assert plan.captures[plan.own["first", ()]].read() == 2.0
    assert partner.captures[partner.own["second", ()]].read() == 3.0


def test_values_are_read_anew():
    box = types.SimpleNamespace(rate=1.0)
    plan = _capture.plan(lambda x: box.rate * x)
    assert plan.values() == [1.0]
    box.rate = 5.0
    assert plan.values() == [5.0]
    assert plan.current()


def test_a_plan_is_out_of_date_when_a_function_is_replaced():
    box = types.SimpleNamespace(function=helper)
    plan = _capture.plan(lambda x: box.function(x))
    assert plan.current()
    box.function = other_helper
    assert not plan.current()


def test_a_plan_is_out_of_date_when_a_constant_becomes_data(monkeypatch):
    plan = _capture.plan(lambda x: x if LATER is None else x * LATER)
    assert plan.captures == []
    assert plan.current()
    monkeypatch.setattr(sys.modules[__name__], "LATER", Array())
    assert not plan.current()


def test_a_plan_is_out_of_date_when_a_name_or_attribute_appears():
    box = types.SimpleNamespace()
    by_attribute = _capture.plan(lambda x: box.rate * x)
    by_name = _capture.plan(lambda x: appears_later * x)  # noqa: F821
    assert by_attribute.current()
    assert by_name.current()
    box.rate = 1.0
    assert not by_attribute.current()
    globals()["appears_later"] = 2.0
    try:
        assert not by_name.current()
    finally:
        del globals()["appears_later"]


def test_methods_stay_current():
    base = Base()
    plan = _capture.plan(lambda x: base.value(x))
    assert plan.current()
    base.weight = 7.0
    assert plan.current()


def test_a_plan_serves_the_method_of_another_object():
    box = types.SimpleNamespace(function=Base().value, base=Base())
    stored = _capture.plan(lambda x: box.function(x))
    bound = _capture.plan(lambda x: box.base.value(x))
    box.function, box.base = Base().value, Base()
    box.base.weight = 7.0
    for plan in (stored, bound):
        read = dict(zip((c.name for c in plan.captures), plan.read(plan.live, None), strict=True))
        assert read["self.weight"] == (7.0 if plan is bound else 1.5)


def test_attributes_found_by_getattr():
    class Lazy:
        def __getattr__(self, name):
            if name == "weight":
                return 3.0
            raise AttributeError(name)

        def value(self, x):
            return self.weight * x

    assert names(Lazy().value) == ["self.weight"]


def test_wrapped_and_compiled_functions_are_plain_helpers():
    wrapped = types.SimpleNamespace(__fwddiff_function__=helper)
    compiled = types.SimpleNamespace(py_func=helper)
    assert names(lambda x: wrapped(x)) == ["RATE"]
    assert names(lambda x: compiled(x)) == ["RATE"]


def test_reading_is_cheap():
    weight = 2.0
    plan = _capture.plan(lambda x: helper(x) * weight)
    pairs = [(timeit.timeit(read, number=2000), timeit.timeit(lambda: None, number=2000))
             for read in [plan.values, lambda: plan.read(plan.live, None)] for _ in range(20)]  # fmt: skip
    for half in (pairs[:20], pairs[20:]):
        assert min(read / empty for read, empty in half) < 50  # empty calls, measured beside each


def test_fingerprints_are_those_of_another_process():
    text = (
        "import math\nfrom fwddiff import _capture\nrate = 2.0\n"
        "def helper(x): return x * rate if 'a' in {'a', 'b', 'c'} else x\n"
        "def value(x, k=1.0): return math.exp(helper(x)) * (lambda t: t * k)(x)\n"
        "print(_capture.plan(value).fingerprint())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", text],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed} | env(),
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert "0x" not in runs[0]


def env():
    return {"PYTHONPATH": ":".join(sys.path)}


@pytest.mark.parametrize("change", ["x * 2.0", "x * 3.0 if x else x", "math.exp(x)", "y"])
def test_fingerprints_differ_with_the_code(change):
    space = {"math": math}
    exec(f"def value(x, y=1.0): return {change}", space)
    original = {"math": math}
    exec("def value(x, y=1.0): return x * 3.0", original)
    assert _capture.plan(space["value"]).fingerprint() != _capture.plan(original["value"]).fingerprint()
