"""Descriptions: equal where the compiled code is, different where it is not, else incomplete."""

import ctypes
import enum
import functools
import math
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import optree
import pytest

import fwddiff as fd
from fwddiff import _capture
from fwddiff._wrapper import FwdDiff

# Every change of one line must change the description.
PROGRAM = """
import math
import types
from dataclasses import dataclass
from typing import NamedTuple

class Shape:
    factor = 2.0
    def area(self):
        return self.a * self.factor_of(3.0)
    def factor_of(self, x):
        return x + 1.0
    def never_named(self):
        return 1.0

@dataclass
class Box(Shape):
    a: float
    b: float = 1.0
    @property
    def width(self):
        return self.a - self.b
    @staticmethod
    def unit(x):
        return x * 4.0

class Pair(NamedTuple):
    first: float
    second: float = 5.0

def helper(x, k=6.0):
    return x * k

tools = types.ModuleType("tools")
tools.scale = lambda x: x * 8.0
MODE = "fast"

def value(x):
    inner = lambda t: helper(t) + math.exp(t)
    t = tools
    for _ in range(2):
        t = tools
    box = Box(x)
    if MODE == "fast":
        return box.area() + box.width + Box.unit(x)
    return inner(x) + Pair(x).second + t.scale(x)
"""

CHANGES = [
    ("self.a * self.factor_of(3.0)", "self.a + self.factor_of(3.0)"),
    ("return x + 1.0", "return x + 1.5"),
    ("b: float = 1.0", "b: float = 2.0"),
    ("a: float\n", "a: float\n    c: float = 0.0\n"),
    ("self.a - self.b", "self.b - self.a"),
    ("x * 4.0", "x * 4.5"),
    ("second: float = 5.0", "second: float = 5.5"),
    ("    first: float\n", "    first: float\n    third: float = 0.0\n"),
    ("k=6.0", "k=7.0"),
    ("x * 8.0", "x * 9.0"),
    ('MODE = "fast"', 'MODE = "slow"'),
    ("math.exp(t)", "math.exp(-t)"),
    ("class Box(Shape)", "class Box"),
]


def described(program: str, name: str = "value") -> tuple[str, list[str]]:
    space: dict = {"__name__": "program"}
    exec(program, space)
    description = _capture.Description()
    description.plan(_capture.plan(space[name]))
    return description.text(), description.unknown


def test_the_program_is_described_completely():
    assert described(PROGRAM) == described(PROGRAM)
    assert described(PROGRAM)[1] == []


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_a_change_of_anything_reached_shows(old, new):
    assert old in PROGRAM
    assert described(PROGRAM.replace(old, new))[0] != described(PROGRAM)[0]


def test_what_no_code_names_does_not_show():
    changed = PROGRAM.replace("def never_named(self):\n        return 1.0", "def other(self): return 2.0")
    assert changed != PROGRAM
    assert described(changed)[0] == described(PROGRAM)[0]


def test_descriptions_are_those_of_another_process():
    text = (
        f"from fwddiff import _capture\nspace = {{'__name__': 'program'}}\nexec({PROGRAM!r}, space)\n"
        "description = _capture.Description()\ndescription.plan(_capture.plan(space['value']))\n"
        "print(description.digest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", text],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1
    assert "0x" not in described(PROGRAM)[0]


def test_captured_data_is_an_argument_and_does_not_show():
    program = "rate = {}\ndef value(x): return x * rate"
    assert described(program.format(1.0))[0] == described(program.format(2.0))[0]


def test_a_global_of_an_inner_function_shows():
    program = "shift = {}\ndef value(x): return (lambda t: t + shift)(x)"
    assert described(program.format(1.0))[0] != described(program.format(2.0))[0]


class Colour(enum.Enum):
    RED = 1


class Pair(NamedTuple):
    a: float
    b: float = 1.0


@dataclass
class Point:
    x: float
    y: float = field(default=2.0)


CONSTANTS = [0.0, -0.0, 0, False, None, "a", b"a", 1j, (1.0,), [1.0], {1.0}, {1.0: 2.0}, frozenset({1.0})]
CONSTANTS += [np.float64(1.0), np.float32(1.0), np.arange(3.0), np.arange(3), np.arange(4.0).reshape(2, 2)]
CONSTANTS += [np.asfortranarray(np.arange(4.0).reshape(2, 2)), math.sin, np.sin, np.cos, np.linalg.norm, abs]
CONSTANTS += [math, np.float64, float, Colour.RED, Colour, Pair, Pair(1.0), Point, Point(1.0), Point(2.0)]
CONSTANTS += [np.dtype("f4"), np.dtype("f8"), Ellipsis, lambda: 1.0, lambda: 2.0, ValueError]


def value_text(value) -> tuple[str, list[str]]:
    description = _capture.Description()
    description.add(value)
    return description.text(), description.unknown


def test_constants_differ_in_text_and_are_known():
    texts = [value_text(constant) for constant in CONSTANTS]
    assert len({text for text, _ in texts}) == len(CONSTANTS)
    assert [unknown for _, unknown in texts if unknown] == []


def test_an_imitation_is_not_taken_for_the_original():
    def sin(x):
        return x

    sin.__module__, sin.__qualname__ = "math", "sin"
    assert value_text(sin)[1]


@pytest.mark.parametrize(
    "value",
    [
        object(),
        ctypes.CFUNCTYPE(ctypes.c_double)(),
        functools.partial(math.pow, 2.0),
        np.frompyfunc(lambda x: x, 1, 1),
        np.array([object()]),
        [].append,
        [object()],
    ],
    ids=["object", "C function", "partial", "ufunc", "array", "method", "list"],
)
def test_what_has_no_content_makes_the_description_incomplete(value):
    assert value_text(value)[1]


def test_a_container_that_holds_itself_ends():
    box: list = []
    box.append(box)
    assert value_text(box)[1]


def test_classes_of_one_name_differ():
    def make(k):
        @dataclass
        class Local:
            x: float

            def scaled(self):
                return self.x * (2.0 if k else 3.0)

        if k:
            Local.scaled = lambda self: self.x * 4.0
        return Local

    texts = []
    for cls in map(make, (0, 1)):
        description = _capture.Description()
        description.add(cls, lambda point: point.scaled())
        texts.append(description.text())
        assert description.classes == [cls]
    assert texts[0] != texts[1]


def test_structures_are_told_by_classes_keys_and_nesting():
    trees = [(1.0, 2.0), [1.0, 2.0], {"a": 1.0, "b": 2.0}, {"a": 1.0, "c": 2.0}, (1.0, (2.0,)), (1.0, None)]
    trees += [Pair(1.0, 2.0), (Pair(1.0, 2.0),)]
    texts = set()
    for tree in trees:
        description = _capture.Description()
        texts.add(description.structure(optree.tree_structure(tree)))
        assert description.text() is not None
        assert description.unknown == []
    assert len(texts) == len(trees)


def test_the_problem_is_described_with_its_function_arguments():
    """A function that is an argument is known by its code, not by its address."""
    keys = []

    def engine(problem):
        keys.append((problem.fingerprint(), problem.describe().unknown))
        raise StopIteration

    for text in ("x * 2.0", "x * 2.0", "x * 3.0"):
        step = eval(f"lambda x: {text}")
        with pytest.raises(StopIteration):
            fd.rrule(FwdDiff(lambda f, x: f(x), engine, None, "auto", "single", None), step, 1.0)
    assert [unknown for _, unknown in keys] == [[], [], []]
    assert keys[0][0] == keys[1][0] != keys[2][0]
