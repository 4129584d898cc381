"""Code that asks which object it has, where Python code meets a copy of an object: right, or refused."""

import dataclasses

import pytest

import fwddiff as fd
from fwddiff import CompileError, DerivativeError, fwddiff


class Body:
    def __init__(self, mass, place):
        self.mass, self.place, self.bodies = mass, place, []

    def others_by_is(self, x):
        return sum(self.mass * b.mass / (2 + abs(x - b.place)) for b in self.bodies if b is not self)

    def others_by_equality(self, x):
        energy = 0.0
        for b in self.bodies:
            if b != self:
                energy += self.mass * b.mass / (2 + abs(x - b.place))
        return energy

    def by_membership(self, x):
        return x * self.mass if self in self.bodies else x

    def by_index(self, x):
        return x * self.mass * self.bodies.index(self)

    def by_key(self, x):
        table = {b: k for k, b in enumerate(self.bodies)}
        return x * self.mass * table[self]

    def by_number(self, x):
        return x * self.mass if id(self) == id(self.bodies[0]) else x

    def by_helper(self, x):
        return x * self.mass if same(self.bodies[0], self) else x

    def by_another_method(self, x):
        return self.mass * self.by_alone(x)

    def by_alone(self, x):
        return x if self.bodies[0] is self else -x

    def by_name(self, x):
        return sum(self.mass * b.mass / (2 + abs(x - b.place)) for b in self.bodies if b.place != self.place)

    def by_constants(self, x):
        return x * self.mass if self is not None and self != "none" else x


def same(a, b):
    return a is b


def system():
    bodies = [Body(3.0, 0.0), Body(2.0, 3.0), Body(5.0, 7.0)]
    for body in bodies:
        body.bodies = bodies
    return bodies


ASK = [
    *("others_by_is", "others_by_equality", "by_membership", "by_index", "by_key", "by_number", "by_helper"),
    "by_another_method",
]


@pytest.mark.parametrize("name", ASK)
def test_questions_about_copies_are_refused(name):
    first = system()[0]
    with pytest.raises(DerivativeError, match=r"asks by `\S+` which object `self` is"):
        fd.derivative(getattr(first, name), 1.5, backend="numpy")


@pytest.mark.parametrize("name", ["by_name", "by_constants"])
def test_other_questions_are_answered(name):
    function, h = getattr(system()[0], name), 1e-6
    expected = (function(1.5 + h) - function(1.5 - h)) / (2 * h)
    assert fd.derivative(function, 1.5, backend="numpy") == pytest.approx(expected, rel=1e-8)


class Named:
    def __init__(self, name, rate):
        self.name, self.rate = name, rate

    def __eq__(self, other):
        return isinstance(other, Named) and self.name == other.name

    def __hash__(self):
        return hash(self.name)


def test_classes_that_say_what_is_equal_are_asked():
    one, same_name = Named("a", 3.0), Named("a", 4.0)
    table = {one: 5.0}
    assert fd.derivative(lambda x: x * one.rate if one == same_name else x, 2.0, backend="numpy") == 3.0
    assert fd.derivative(lambda x: x * one.rate * table[same_name], 2.0, backend="numpy") == 15.0


class Settings:
    rate = 3.0


class Further(Settings): ...


SETTINGS, FURTHER = Settings(), Further()
TABLE = {Settings: 5.0}


def in_pattern(x):
    match FURTHER:
        case Settings():
            return x * Settings.rate
    return x


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (lambda x: x * Settings.rate if isinstance(SETTINGS, Settings) else x, 3.0),
        (lambda x: x * Settings.rate * Further.rate if isinstance(FURTHER, Settings) else x, 9.0),
        (lambda x: x * Settings.rate if isinstance(SETTINGS, Further) else x, 1.0),
        (lambda x: x * Settings.rate if issubclass(Further, Settings) else x, 3.0),
        (lambda x: x * Settings.rate if type(SETTINGS) == Settings else x, 3.0),  # noqa: E721 - the question
        (lambda x: x * Settings.rate * TABLE[Settings], 15.0),
        (in_pattern, 3.0),
    ],
)
def test_a_class_of_which_attributes_are_inputs_is_asked_as_itself(function, slope):
    assert fd.derivative(function, 2.0, backend="numpy") == slope


def test_which_class_it_is_is_refused():
    with pytest.raises(DerivativeError, match="asks by `is` which object `Settings` is"):
        fd.derivative(lambda x: x * Settings.rate if type(SETTINGS) is Settings else x, 2.0, backend="numpy")


@dataclasses.dataclass
class Mass:
    value: float

    def is_same(self, other):
        return other is self


@dataclasses.dataclass(eq=False)
class Alone:
    value: float


ONE, ALONE = Mass(3.0), Alone(3.0)
MASSES, ALL_ALONE = [ONE, Mass(3.0)], (ALONE, Alone(3.0))


def all_others(x):
    return sum(x * m.value * ONE.value for m in MASSES if m is not ONE)


def by_a_method(x):
    return x * ONE.value if ONE.is_same(MASSES[0]) else x


def alone(x):
    return x * ALONE.value if ALL_ALONE[0] == ALONE else x


@pytest.mark.parametrize("function", [all_others, by_a_method, alone])
def test_captured_structs_are_made_anew(function):
    with pytest.raises(DerivativeError, match=r"asks by `\S+` which object"):
        fd.derivative(function, 2.0, backend="numpy")
    with pytest.raises(CompileError):
        fd.derivative(function, 2.0, backend="numba")


@pytest.mark.parametrize(("engine", "error"), [("numpy", DerivativeError), ("numba", CompileError)])
def test_struct_arguments_are_made_anew(engine, error):
    g = fwddiff(
        lambda mass, masses: sum(m.value * mass.value for m in masses if m is not mass), engine=engine
    )
    with pytest.raises(error, match="by `is` which object"):
        fd.rrule(g, ONE, MASSES)[1](1.0)


def test_structs_made_inside_are_compared_as_python_does():
    def same_one(x):
        one = Mass(x)
        other = one
        return x if one is other else 5 * x

    def equal(x):
        return x if Mass(x) == Mass(x + 0.0) else 5 * x

    assert fd.derivative(same_one, 2.0) == 1.0
    assert fd.derivative(equal, 2.0) == 1.0
