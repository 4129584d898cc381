"""Arrays of a host that would be missed are refused by name; without any, nothing is refused."""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
import sys
import types
from typing import Any

import numpy as np
import pytest

from fwddiff import CaptureError, _capture


class Array:
    """Stands for an array of a host."""

    ndim, shape = 0, ()

    def __rmul__(self, other):
        return other


def owned(value):
    return isinstance(value, Array)


WEIGHT: Any = Array()
PLAIN: Any = 2.0


@dataclasses.dataclass
class Rates:
    rate: Any

    def value(self, x):
        return self.rate * x * WEIGHT


class Box:
    def __init__(self, value):
        self.value = value

    def times(self, x):
        return self.inside()[0] * x

    def inside(self):
        return [self.value]

    def look_up(self, x, name="value"):
        return getattr(self, name) * x

    def parent(self, x):
        return super().__getattribute__("value") * x


class WithClassArray:
    weight: Any = None

    def value(self, x):
        return vars(type(self))["weight"] * x


class Slots:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


def closure(value):
    return lambda x: value * x


def generator(value):
    yield value


def endless(value):
    while True:
        yield 1.0 * value


def started_generator(value):
    running = endless(value)
    next(running)
    return lambda x: next(running) * x


def default_helper(value):
    def helper(x, k=value):
        return x * k

    return lambda x: helper(x)


HIDDEN = {
    "getattr": lambda v: (lambda box: lambda x: getattr(box, "value") * x)(Box(v)),  # noqa: B009
    "self by name": lambda v: Box(v).look_up,
    "super": lambda v: Box(v).parent,
    "vars": lambda v: (lambda box: lambda x: vars(box)["value"] * x)(Box(v)),
    "slots": lambda v: (lambda box: lambda x: str(box) and x)(Slots(v)),
    "mixed container": lambda v: (lambda box: lambda x: box["v"] * x)({"v": v, "f": len}),
    "objects in a list": lambda v: (lambda boxes: lambda x: boxes[0].value * x)([Box(v)]),
    "functions in a dict": lambda v: (lambda table: lambda x: table["f"](x))({"f": closure(v)}),
    "iterator": lambda v: (lambda it: lambda x: next(it) * x)(iter([v])),
    "zip": lambda v: (lambda it: lambda x: next(it)[0] * x)(zip([v], [1], strict=True)),
    "generator": lambda v: (lambda it: lambda x: next(it) * x)(generator(v)),
    "started generator": started_generator,
    "partial": lambda v: (lambda f: lambda x: f(x))(functools.partial(lambda a, x: a * x, v)),
    "bound builtin": lambda v: (lambda get: lambda x: get("v") * x)({"v": v}.get),
    "deque": lambda v: (lambda box: lambda x: box[0] * x)(collections.deque([v])),
    "set": lambda v: (lambda box: lambda x: box.pop() * x)({v}),
    "object array": lambda v: (lambda box: lambda x: str(box) and x)(Box(np.array([v], dtype=object))),
    "deep": lambda v: (lambda box: lambda x: str(box) and x)(Box(Box([{"a": Box((Box(v),))}]))),
    "default of a helper": default_helper,
}


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_arrays_are_refused(name):
    with pytest.raises(CaptureError):
        _capture.plan(HIDDEN[name](Array()), owned)


USED_UP = ("iterator", "zip", "generator", "started generator", "set")


@pytest.mark.parametrize("name", USED_UP)
def test_what_a_call_uses_up_is_refused_whatever_it_holds(name):
    with pytest.raises(CaptureError, match=r"uses up the iterator|writes to `box`"):
        _capture.plan(HIDDEN[name](2.0), owned)


@pytest.mark.parametrize("name", [name for name in HIDDEN if name not in USED_UP])
def test_nothing_is_refused_without_arrays_of_a_host(name):
    assert callable(_capture.plan(HIDDEN[name](2.0), owned).function)


def refused(function, message):
    with pytest.raises(CaptureError, match=f"^{re.escape(message)}$"):
        _capture.plan(function, owned)


def test_message_of_a_whole_object():
    box = Box(Array())
    refused(
        lambda x: str(box) and x,
        "`box` is used as a whole object of type Box and holds arrays of a framework, whose derivatives "
        "would be lost. Refer to the array itself (`name.attribute`), or pass it as an argument.",
    )


def test_message_of_a_function_defined_inside():
    def value(x):
        return (lambda t: t * WEIGHT)(x)

    refused(
        value,
        "`WEIGHT` is captured by a function defined inside `value`, where its derivative would be lost. "
        "Pass it to the inner function as an argument.",
    )


def test_cells_reach_functions_defined_inside():
    weight = Array()

    def value(x):
        return (lambda t: t * weight)(x)

    assert [capture.name for capture in _capture.plan(value, owned).captures] == ["weight"]


def test_message_of_a_default():
    refused(
        default_helper(Array()),
        "the default of `k` of the function `helper` holds an array of a framework, whose derivative would "
        "be lost. Pass `k` in the call.",
    )


def test_message_of_a_method_of_a_struct():
    rates = Rates(1.0)
    refused(
        lambda x: rates.value(x),
        "the method `Rates.value` refers to an array of a framework, whose derivative would be lost. Make "
        "it a field of the struct, or pass it as an argument.",
    )


@pytest.mark.parametrize("builtin", ["eval", "exec", "globals"])
def test_code_as_text(builtin):
    space = {"weight": Array()}
    exec(f"def value(x): return {builtin} and x", space)
    refused(
        space["value"],
        f"`value` calls {builtin}(), which can reach `weight`, and that holds an array of a framework, "
        "whose derivative would be lost. Write the expression itself.",
    )
    space["weight"] = 2.0
    assert _capture.plan(space["value"], owned).captures == []


def test_modules_imported_inside(monkeypatch):
    module = types.ModuleType("own_settings")
    module.weight = Array()
    monkeypatch.setitem(sys.modules, "own_settings", module)

    def by_attribute(x):
        import own_settings

        return own_settings.weight * x

    def by_name(x):
        from own_settings import weight

        return weight * x

    for function in (by_attribute, by_name):
        refused(
            function,
            f"`{function.__name__}` imports `own_settings.weight`, which holds an array of a framework, "
            "whose derivative would be lost. Import the module outside of the function.",
        )
    module.weight = 2.0
    assert _capture.plan(by_attribute, owned).captures == []


def test_class_attributes(monkeypatch):
    monkeypatch.setattr(WithClassArray, "weight", Array())
    with pytest.raises(CaptureError, match="`self` is used as a whole object of type WithClassArray"):
        _capture.plan(WithClassArray().value, owned)


def test_an_array_in_a_local_list_of_self_is_refused():
    with pytest.raises(CaptureError):
        _capture.plan(HIDDEN["self by name"](Array()), owned)
    assert [c.name for c in _capture.plan(Box(Array()).times, owned).captures] == ["self.value"]


def test_an_empty_cell_is_named():
    def make():
        def value(x):
            return x * later

        if PLAIN is None:
            later = 1.0
        return value

    refused(make(), "the captured variable 'later' has no value yet; assign it before the call.")
