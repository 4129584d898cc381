"""What Numba makes of a user's own `@njit` functions is the same, whether our engine is loaded or not."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import builtins, collections, dataclasses, json, math, sys, typing
import numba, numpy as np
from numba.core.registry import cpu_target

Pair = collections.namedtuple("Pair", "a b")

@dataclasses.dataclass
class Point:
    x: float

class Sized(typing.NamedTuple):
    a: float
    b: float = 2.0
    def total(self): return self.a

def over_a_tuple(x):
    s = 0.0
    for v in (x, 1, True):
        s += v
    return s

def load_engine():
    import fwddiff as fd
    f = lambda v: math.log(v[0], 2) + np.clip(v[1], 0.0, 1.0) + np.sum(v * v + 1.0)
    fd.gradient(f, np.ones(3), backend="numba")
    fd.gradient(lambda p: Point(p.x).x * p.x, Point(2.0), backend="numba")
    translate(lambda x: math.log(x, 2) + np.clip(x, 0.0, 1.0) + round(x, 1) + np.maximum(x, 2.0) + x ** 3)

def translate(function):
    from fwddiff import _capture, _problem, _rule, _tree
    from fwddiff.engines.numba import language
    slot = _rule.Slot(np.dtype(float), 0, True)
    language.translate(_problem.Problem(_capture.plan(function), _tree.flatten((1.5,))[1], (), {}, (slot,)))

def namedtuple_branch(x):
    p = Pair(x, 1)
    if x > 1.0:
        p = Pair(1, x)
    return p.a

def fused(x):
    return x * x + np.sin(x) * 2.0

x = np.linspace(0.5, 1.5, 5)
FUNCTIONS = {
    "log of two": (lambda x: math.log(x, 2.0), (3.0,)),
    "clip of a number": (lambda x: np.clip(x, 0.0, 1.0), (3.0,)),
    "clip of an array": (lambda x: np.clip(x, 0.7, 1.0), (x,)),
    "where of numbers": (lambda x: np.where(x > 1.0, x, 0.0), (3.0,)),
    "where of arrays": (lambda x: np.where(x > 1.0, x, 0.0), (x,)),
    "round": (lambda x: round(x, 1), (1.234,)),
    "pow": (lambda x: pow(x, 2), (3.0,)),
    "max of three": (lambda x: max(x, 1.0, 2.0), (3.0,)),
    "max of a tuple": (lambda x: max((x, 1.0)), (3.0,)),
    "divmod": (lambda x: divmod(x, 2.0), (7.5,)),
    "divmod of integers": (lambda n: divmod(n, 2), (7,)),
    "hypot of three": (lambda x: math.hypot(x, 1.0, 2.0), (3.0,)),
    "cbrt": (lambda x: np.cbrt(x), (3.0,)),
    "exp2": (lambda x: np.exp2(x), (3.0,)),
    "heaviside": (lambda x: np.heaviside(x, 0.5), (3.0,)),
    "logaddexp": (lambda x: np.logaddexp(x, 1.0), (3.0,)),
    "sinc": (lambda x: np.sinc(x), (x,)),
    "power of a number": (lambda x: np.power(x, 2), (3.0,)),
    "float_power": (lambda x: np.float_power(x, 2), (3.0,)),
    "positive": (lambda x: np.positive(x), (3.0,)),
    "square": (lambda x: np.square(x), (3.0,)),
    "dot": (lambda x: np.dot(x, x), (x,)),
    "inner": (lambda x: np.inner(x, x), (x,)),
    "outer": (lambda x: np.outer(x, x), (x,)),
    "trace": (lambda x: np.trace(np.outer(x, x)), (x,)),
    "method dot": (lambda x: x.dot(x), (x,)),
    "method clip": (lambda x: x.clip(0.7, 1.0), (x,)),
    "method mean": (lambda x: x.mean(), (x,)),
    "cumprod": (lambda x: np.cumprod(x), (x,)),
    "norm": (lambda x: np.linalg.norm(x), (x,)),
    "array of list": (lambda x: np.array([x, 2.0]), (3.0,)),
    "in place": (lambda x: np.add(x, x.copy()), (x,)),
    "fused": (fused, (x,)),
    "erf": (lambda x: math.erf(x), (0.5,)),
    "gamma": (lambda x: math.gamma(x), (0.5,)),
    "dist": (lambda x: math.dist((x, 0.0), (0.0, 1.0)), (0.5,)),
    "dataclass": (lambda x: Point(x).x, (0.5,)),
    "namedtuple": (lambda x: Pair(x, 1.0).a, (0.5,)),
    "branches of namedtuples": (namedtuple_branch, (0.5,)),
    "loop over a tuple": (over_a_tuple, (3.0,)),
    "method of a namedtuple": (lambda x: Sized(x, 1.0).total(), (3.0,)),
    "any": (lambda x: any((x > 1.0, x > 2.0)), (3.0,)),
    "reversed": (lambda x: [v for v in reversed((x, 2.0))], (3.0,)),
    "prod": (lambda x: math.prod((x, 2.0)), (3.0,)),
    "index out of bounds": (lambda x: x[2] + 0.0 * x[-1], (x,)),
    "division by zero": (lambda x: 1.0 / x, (0.0,)),
    "integer division by zero": (lambda n: 1 // n, (0,)),
}

def outcome(function, arguments):
    try:
        return repr(numba.njit(function)(*arguments))
    except Exception as error:
        return type(error).__name__

if sys.argv[1] == "with":
    load_engine()
found = {name: outcome(*FUNCTIONS[name]) for name in sys.argv[2:] or FUNCTIONS}
found["hooks"] = sorted(map(repr, cpu_target.target_context.special_ops)), "fwddiff" in sys.modules
found["hook"] = cpu_target.target_context.special_ops["arrayexpr"].__module__
if sys.argv[1] == "before":  # compiled before the engine was loaded: and it works all the same
    load_engine()
print(json.dumps(found))
"""


# Of each way in which the engine changes Numba for its own functions.
FEW = (
    *(
        "log of two",
        "clip of an array",
        "where of numbers",
        "round",
        "pow",
        "max of a tuple",
        "hypot of three",
    ),
    *("logaddexp", "square", "method mean", "cumprod", "array of list", "in place", "fused", "dataclass"),
    *("branches of namedtuples", "loop over a tuple", "reversed", "division by zero"),
)


def outcomes(order: str, functions: tuple[str, ...]) -> dict[str, object]:
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), order, *functions]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("functions", [FEW, pytest.param((), marks=pytest.mark.slow)], ids=["few", "all"])
def test_functions_compile_fail_and_compute_alike(functions):
    alone, beside = outcomes("before", functions), outcomes("with", functions)
    assert alone.pop("hooks")[1] is False
    assert beside.pop("hooks")[1] is True
    assert beside == alone
    assert alone["log of two"] == "TypingError"  # one that the engine knows and Numba does not
    assert alone["fused"].startswith("array")
