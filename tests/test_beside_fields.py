"""What instances of structs hold beside their fields reaches the function, or reading it is refused."""

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from test_catalogue import ENGINES


@dataclass
class Derived:
    a: Any

    def __post_init__(self):
        self.b = 2 * self.a

    def value(self):
        return self.a**2


@dataclass
class Named:
    a: Any

    def __post_init__(self):
        self.kind, self.power = "square", 2


@dataclass
class Given:
    a: Any
    scale: dataclasses.InitVar[float]

    def __post_init__(self, scale):
        self.c = scale


class WithInit(Derived):
    def __init__(self, a, z):
        super().__init__(a)
        self.z = z


@dataclass
class Open:
    a: Any

    def value(self):
        return self.a**2


@dataclass(frozen=True)
class Kept:
    a: Any

    @functools.cached_property
    def exponential(self):
        return math.exp(self.a)


@dataclass
class KeptOpen:
    a: Any

    @functools.cached_property
    def exponential(self):
        return math.exp(self.a)


def holding(instance, **attributes):
    for name, value in attributes.items():
        object.__setattr__(instance, name, value)
    return instance


def kept(instance):
    assert instance.exponential > 0
    return instance


def gradient(f, instance, engine):
    g = f if hasattr(f, "broadcast") else fwddiff(f, engine=engine)
    y, pullback = fd.rrule(g, instance)
    return y, fd.unthunk(pullback(1.0)[0])


READING = {
    "set by __post_init__": (lambda p: p.a * p.b, Derived(3.0)),
    "hasattr": (lambda p: p.a * (2.0 if hasattr(p, "b") else 1.0), Derived(3.0)),
    "getattr with a default": (lambda p: p.a * getattr(p, "b", 1.0), Derived(3.0)),
    "from an InitVar": (lambda p: p.a * p.c, Given(3.0, 2.0)),
    "set by __init__": (lambda p: p.a * p.z, WithInit(3.0, 2.0)),
    "set later": (lambda p: p.a * p.z, holding(Open(3.0), z=2.0)),
    "an array": (lambda p: p.a * p.z[0], holding(Open(3.0), z=np.ones(2))),
    "hiding a method": (lambda p: p.value(), holding(Open(3.0), value=lambda: 7.0)),
    "inside a list": (lambda p: p[0].b, [Derived(3.0)]),
    "vars": (lambda p: p.a * len(vars(p)), Derived(3.0)),
    "cached while fields may change": (lambda p: p.exponential, kept(KeptOpen(3.0))),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", READING)
def test_what_may_depend_on_fields_is_not_read_as_a_constant(name, engine):
    f, instance = READING[name]
    with pytest.raises(fd.FwdDiffError) as caught:
        gradient(f, instance, engine)
    if name != "vars" or engine == "numpy":
        assert "property" in str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_not_read_is_no_hindrance(engine):
    y, found = gradient(lambda p: p.value(), Derived(3.0), engine)
    assert (y, found.a) == (9.0, 6.0)
    both = [Derived(2.0), Derived(3.0)]
    y, found = gradient(lambda p: p[0].a * p[1].value(), both, engine)
    assert (y, found[0].a, found[1].a) == (18.0, 9.0, 12.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_text_and_integers_go_along_and_are_told_apart(engine):
    g = fwddiff(lambda p: p.a**p.power if p.kind == "square" else p.a, engine=engine)
    for power, kind, slope in (
        (2, "square", 6.0),
        (3, "square", 27.0),
        (2, "other", 1.0),
        (2, "square", 6.0),
    ):
        instance = holding(Named(3.0), power=power, kind=kind)
        _, pullback = fd.rrule(g, instance)
        found = fd.unthunk(pullback(1.0)[0])
        assert (found.a, found.power, found.kind) == (slope, power, kind)
    np.testing.assert_allclose(g.broadcast(Named(np.arange(3.0))), [0.0, 1.0, 4.0])


def test_true_is_not_one():
    g = fwddiff(lambda p: p.a * (10.0 if p.power is True else 2.0), engine="numpy")
    for power, slope in ((1, 2.0), (True, 10.0), (1, 2.0)):
        assert fd.gradient(g, holding(Named(3.0), power=power)).a == slope


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("prepare", [lambda p: p, kept], ids=["fresh", "computed before"])
def test_cached_properties_of_frozen_classes_carry_derivatives(prepare, engine):
    g = fwddiff(lambda a: a.exponential, engine=engine)
    y, pullback = fd.rrule(g, prepare(Kept(0.5)))
    np.testing.assert_allclose([y, fd.unthunk(pullback(1.0)[0]).a], [math.exp(0.5)] * 2, rtol=1e-14)


def test_made_inside_the_derived_attribute_carries_its_derivative():
    f = fwddiff(lambda a: Derived(a).a * Derived(a).b, engine="numpy")
    assert fd.derivative(f, 3.0) == 12.0
    assert fd.derivative(lambda a: fd.derivative(f, a), 3.0) == 4.0
    replaced = fwddiff(lambda p: dataclasses.replace(p, a=p.a * 2).b, engine="numpy")
    assert fd.gradient(replaced, Derived(3.0)).a == 4.0


def test_results_do_not_come_back_without_attributes():
    for engine in ENGINES:
        with pytest.raises(fd.StructureError, match="in a result, `b` was set on an instance of Derived"):
            fd.rrule(fwddiff(lambda p: p, engine=engine), Derived(3.0))
    y, _ = fd.rrule(fwddiff(lambda a: Named(a), engine="numpy"), 3.0)
    assert (y.kind, y.power) == ("square", 2)


def test_captured_instances_are_read_by_name():
    held = Derived(3.0)
    assert fd.derivative(lambda x: x**2 * held.b, 2.0) == 24.0
    torch = pytest.importorskip("torch")
    a = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    both = Derived(a)
    fwddiff(lambda x: x * both.b * both.a)(torch.tensor(2.0, dtype=torch.float64)).backward()
    assert a.grad == 24.0  # 4 a


def test_nested_operators_keep_what_is_known():
    outer = fwddiff(lambda p: fd.gradient(lambda q: q.a**3, p).a, engine="numpy")
    assert fd.gradient(outer, Derived(3.0)).a == 18.0
    outer = fwddiff(lambda p: fd.gradient(lambda q: q.a * q.b, p).a, engine="numpy")
    with pytest.raises(fd.CaptureError, match="`b` was set"):
        fd.gradient(outer, Derived(3.0))


def test_rules_of_the_user_and_other_engines_do_not_miss_it_silently():
    def rule(p):
        return p.a**2, lambda ct: (Derived(2 * p.a * ct) if not hasattr(p, "b") else None,)

    g = fd.custom_rule(lambda p: p.a**2, rrule=rule)
    with pytest.raises(fd.CaptureError, match="`b` was set"):
        gradient(g, Derived(3.0), "auto")
    pytest.importorskip("torch")
    with pytest.raises(fd.CaptureError, match="`b` was set"):
        fd.differentiate_with(lambda p: p.a * (2.0 if hasattr(p, "b") else 1.0), "torch")(Derived(3.0))


class Pair(NamedTuple):
    a: Any
    b: Any = 1.0


class Subpair(Pair):
    pass


@dataclass(slots=True)
class Slotted:
    a: Any


class Subslotted(Slotted):
    __slots__ = ("extra",)


@dataclass
class Doubling:
    a: Any

    def __getattribute__(self, name):
        found = object.__getattribute__(self, name)
        return 2 * found if name == "a" else found


class Halved:
    def __set__(self, instance, value):
        vars(instance)["x"] = value / 2

    def __get__(self, instance, cls=None):
        return 0.0 if instance is None else vars(instance)["x"]


@dataclass
class Converting:
    x: Any = Halved()


@dataclass
class AlsoList(list):
    a: Any


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("f", "instance"),
    [
        (lambda p: p.a * (2.0 if hasattr(p, "z") else 1.0), holding(Subpair(3.0), z=5.0)),
        (lambda p: p.a * (2.0 if hasattr(p, "extra") else 1.0), holding(Subslotted(3.0), extra=5.0)),
        (lambda p: p.a, Doubling(3.0)),
        (lambda p: p.x, Converting(4.0)),
        (lambda p: p.a, AlsoList(3.0)),
    ],
    ids=["NamedTuple", "slot", "__getattribute__", "descriptor", "list"],
)
def test_instances_that_cannot_be_made_again_are_refused(f, instance, engine):
    with pytest.raises(fd.StructureError):
        gradient(f, instance, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_subclasses_that_hold_no_more_are_taken(engine):
    y, found = gradient(lambda p: p.a**2 * p.b, Subpair(3.0), engine)
    assert (y, found, type(found)) == (9.0, Subpair(6.0, 9.0), Subpair)
    _, found = gradient(lambda p: p.a**2, Subslotted(3.0), engine)
    assert found.a == 6.0


@dataclass
class Compared:
    a: Any

    def __bool__(self):
        return self.a > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bool_that_compares(engine):
    f = lambda p: p.a**2 if p else -p.a  # noqa: E731
    assert gradient(f, Compared(3.0), engine)[1].a == 6.0
    assert gradient(f, Compared(-3.0), engine)[1].a == -1.0
