"""Functions translated to LLVM's code on plain numbers give what Python gives; their text is what it says."""

# pyright: reportArgumentType=false, reportUndefinedVariable=false, reportPrivateImportUsage=false

from __future__ import annotations

import collections
import contextlib
import dataclasses
import math
import re
import threading
import typing

import hypothesis
import numba
import numpy as np
import optree
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import catalogue
import fwddiff as fd
import test_everyday_python as everyday
from fwddiff import _tree, fwddiff, rules
from fwddiff.engines.numba import language
from programs.oracle import function_of
from programs.ruled import MEANINGS
from programs.writing import programs
from support.problems import problem_of
from support.translated import Raised, run, translated

INF, NAN = math.inf, math.nan


def leaves(result) -> list:
    return [float(leaf) for leaf in _tree.flatten(result)[0]]


def check(function, *arguments, wanted=None) -> language.Core:
    core, found = translated(function, *arguments)
    with np.errstate(all="ignore"):
        wanted = leaves(function(*arguments) if wanted is None else wanted)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    for line in core.text.splitlines():
        assert "fcmp" not in line or re.fullmatch(_COMPARED, line), line
    return core


_COMPARED = r"\s*%\S+ = fcmp \w+ double %fwddiff\.v\S+, +(%fwddiff\.v\S+|[-\dx]\S*)"


# --- what people write --------------------------------------------------------------------------------------


def conversions(x):
    return round(x), round(x, 1), int(x), math.floor(x), math.ceil(x), math.trunc(x), float(x), bool(x), not x


def questions(x):
    z = x * INF * 0.0
    several = (
        z == z,
        z != z,
        z < 1,
        min(z, x),
        max(x, z),
        0 < x < 1,
        np.less(x, 1.0),
        np.logical_and(x > 0, x < 1),
    )
    return math.isnan(x), np.isnan(z), math.isinf(x), np.isfinite(x), np.signbit(x), x.real, several


def choices(x):
    return (
        np.clip(x, -0.5, 1.0),
        np.where(x > 0, x, 2),
        np.where(x > 0, 1, 2),
        np.sign(x),
        np.heaviside(x, 0.5),
    )


def powers(x, n):
    floats = x**n, x**2, x**-1, x**0, x**17, x**2.0, 2**x, 2.0**n, pow(x, 3), pow(x, n), math.pow(x, 2)
    return floats, 2**n, n**2


def in_place(x, n):
    x **= 2
    x %= 0.7
    x //= 0.1
    n **= 2
    n %= 5
    n //= 2
    return x, n


def divisions(x, n):
    floats = (
        divmod(x, 0.4),
        x % n,
        n % x,
        x // n,
        -x % 0.7,
        n / 3,
        x / n,
        math.fmod(-x, 0.3),
        math.remainder(x, n),
    )
    return floats, divmod(n, 2), n % 3, n // 3, -n % 3, -n // 3


def extrema(x, n):
    return (
        min(x, n),
        max(x, n, 0),
        min(1, 2),
        max(n, 1),
        min((x, n, 0.5)),
        max(x, x),
        np.maximum(x, n),
        np.minimum(n, 2),
    )


def integers(n, m):
    return (
        n & m,
        n | m,
        n ^ m,
        n << 2,
        n >> 1,
        ~n,
        abs(-n),
        -n,
        n - m,
        math.comb(n, 2),
        math.gcd(n, m),
        math.isqrt(n),
    )


def over_tuples(x, y):
    s, t = 0.0, (x, y, 1.0)
    for v in (x, y, 2.0):
        s += v
    for k in range(3):
        s += t[k] * k
    for i, v in enumerate((x, y), start=1):
        s += i * v
    for a, b in zip((x, y), (1.0, 2.0), strict=False):
        s += a * b
    return (
        s,
        sum((x, y, 2)),
        math.prod((x, y)),
        math.fsum((x, y, 1.0)),
        math.hypot(x, y, 1.0),
        math.dist(t[:2], (0.0, y)),
    )


def loops(x, n):
    s, k = 0, 0
    for i in range(10, 0, -3):
        s += i * x
    for i in reversed(range(n)):
        s = s * 0.5 + i * x
    while k < 5:
        k += 1
        if k * x > 3:
            break
    else:
        return -s
    return k * s


def handled(x):
    try:
        if x > 0:
            raise ValueError("positive")
        y = x
    except Exception:
        y = 2 * x
    return y


def messages(x):
    if x > 100:
        raise ValueError(f"{x} and {2 * x}")
    if x > 50:
        raise ValueError("above", x)
    if x < -50:
        raise AssertionError(f"{x} is too low")
    return x


def defined_inside(x):
    def scaled(z, w=2.0):
        return z * w

    return scaled(x, w=3.0) + scaled(x) + (lambda z: z * x)(2.0)


class Pair(typing.NamedTuple):
    a: float
    b: float = 2.0

    def total(self):
        return self.a + self.b

    @property
    def product(self):
        return self.a * self.b


@dataclasses.dataclass
class Vector:
    a: float
    b: float = 1.0

    def __add__(self, other):
        return Vector(self.a + other.a, self.b + other.b)

    def dot(self, other, w=2.0):
        return self.a * other.a + w * self.b * other.b


def structs(p, v, x):
    q = Pair(x) if x > 1.0 else Pair(1, x)
    made = {"sum": v + Vector(x), "pair": q}
    return made["pair"].total() + q.product + p.a, made["sum"].dot(v), {"a": x, "b": (p, {"c": v})}


def modes(x, mode="log", other=None):
    if other is not None:
        x = x * other
    return math.log(x) if mode == "log" else x if mode != "exp" else math.exp(x)


def applied(f, x):
    return f(x) * f(2.0)


K = 3.5


def captured(x):
    return x * K


def numpy_names(x):
    parts = np.add(x, 1), np.multiply(x, x), np.subtract(1, x), np.divide(x, 3), np.negative(x), np.square(x)
    return (
        parts,
        np.reciprocal(x),
        np.power(x, 2),
        np.mod(x, 0.4),
        np.abs(x),
        np.floor(x),
        np.deg2rad(x),
        np.fabs(x),
    )


OF_ONE = (conversions, questions, choices, handled, messages, defined_inside, captured, numpy_names)
EVERYDAY = [
    *[(f, (x,)) for f in OF_ONE for x in (0.3, 1.7, -0.6)],
    *[(f, a) for f in (powers, in_place, divisions, extrema, loops) for a in ((0.7, 3), (1.7, 2))],
    (integers, (13, 6)), (over_tuples, (0.4, 1.2)), (structs, (Pair(1.5, 2.5), Vector(0.5), 1.7)),
    (structs, (Pair(1.5), Vector(0.5, 0.2), 0.7)), (applied, (handled, 1.5)), (lambda x: None, (1.0,)),
    *[(modes, (1.7, mode)) for mode in ("log", "exp", "")], (modes, (1.7, "log", 2.0)),
    (lambda x: math.modf(x), (-1.75,)), (lambda x: math.modf(x), (-INF,)),
    *[(lambda x: math.frexp(x), (x,)) for x in (0.7, -3.0, 0.0, INF, NAN, 1e-310)],
    (lambda x: (math.log(x, 2), math.log(x, x + 1), math.isclose(x, 1.7)), (1.7,)),
    (lambda x: (fd.magnitude(x), fd.magnitude(x, 5.0), fd.magnitude(x, scale=5 * x)), (-1.7,)),
    (lambda x, b: (x if b else -x, b and x > 0, b + x, b * x), (0.7, True)),
]  # fmt: skip


@pytest.mark.parametrize(("function", "arguments"), EVERYDAY)
@pytest.mark.every(2)
def test_everyday_functions(function, arguments):
    check(function, *arguments)


@pytest.mark.parametrize("case", catalogue.CASES, ids=lambda case: case.name)
def test_catalogue(case):
    def element(leaf):
        return np.asarray(leaf).flat[0].item() if isinstance(leaf, np.ndarray) else leaf

    check(case.function, *(optree.tree_map(element, a, namespace="catalogue") for a in case.arguments))


@pytest.mark.parametrize("function", [
    everyday.stars, everyday.inner_functions, everyday.named_tuples, everyday.dataclass_operators,
    everyday.asks_for_types,
], ids=lambda function: function.__name__)  # fmt: skip
@pytest.mark.every(2)
def test_everyday_functions_of_the_whole(function):
    check(function, 1.37, 0.81)


def rows():
    for row in rules.built_in():
        for function in row.functions:
            yield pytest.param(row, function, id=f"{row.name}-{function.__module__}.{function.__name__}")


@pytest.mark.parametrize(("row", "function"), list(rows()))
def test_functions_of_the_table_stay_what_they_are(row, function):
    """As opaque calls by their names, arithmetic apart."""
    point = {"acosh": (1.7,), "ldexp": (0.7, 3), "polygamma": (2, 0.7), "spherical_jn": (2, 0.7)}
    given = point.get(row.name, (0.7, 1.2)[: len(row.arguments)])
    parameters = ", ".join(row.arguments)
    called = eval(f"lambda {parameters}: function({parameters})", {"function": function})
    core = check(called, *given)
    plain = ("add", "subtract", "multiply", "divide", "negative", "positive", "square", "reciprocal", "abs")
    name = {"pow": "pow"}.get(row.name, row.name)
    assert (f"@fwddiff.{name}(" in core.text) == (row.name not in plain)


def test_random_programs():
    seen = collections.Counter()

    @hypothesis.seed(3)
    @settings(max_examples=20, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(programs(size=5))
    def agrees(program):
        before = dict(rules.TABLE)
        try:
            seen[_check_program(program)] += 1
        finally:
            rules.TABLE.clear()
            rules.TABLE.update(before)

    agrees()
    assert set(seen) == {"alike", "refused"}
    assert seen["alike"] >= 5


def _check_program(program) -> str:
    function = function_of(program.source, MEANINGS)
    given, structure = _tree.flatten(program.arguments)
    arguments = _tree.unflatten(structure, [np.asarray(leaf).flat[0].item() for leaf in given])
    try:
        _, found = translated(function, *arguments)
    except (language.Refused, fd.FwdDiffError) as error:
        whys = ("other than numbers", "array", "rule", "np.full", "np.empty", "np.zeros", "np.array")
        return "refused" if any(why in str(error) for why in whys) else f"{error} {program}"
    with np.errstate(all="ignore"):
        wanted = leaves(function(*arguments))
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11, err_msg=repr(program))
    return "alike"


# --- the text -----------------------------------------------------------------------------------------------


def body(core) -> str:
    return core.text.split("define i32 @core")[1].split("\n}")[0]


def test_what_a_comparison_tells_is_not_used():
    """`if x == 2.0` must not make a constant of x * x, which has no derivative."""

    def f(x, y):
        if x == 2.0:
            return x * x
        if x == y:
            return x * 3.0
        if x == 0.0 or y == 0.1:  # which are written in other ways
            return x + y
        if 0.0 <= x <= 1.0 and x > -y:  # the number first
            return x - y
        return max(x, y) if not x < y else abs(y)

    core = check(f, 2.0, 5.0)
    x, y = (argument.split()[-1] for argument in body(core).split(")")[0].split(",")[2:])
    assert f"fmul double {x}, {x}" in core.text
    assert f"fmul double {x}, 3.0" in core.text
    comparisons = [line for line in core.text.splitlines() if "fcmp" in line]
    assert len(comparisons) >= 6
    assert all(x not in line.split("double")[1] and y not in line.split("double")[1] for line in comparisons)


def test_one_function_without_calls_of_others():
    def helper(x, n):
        for _ in range(n):
            x = math.sin(x) * x
        if x > 1e9:
            raise ValueError("too large")
        return x, n

    core = check(lambda x, n: helper(helper(x, n)[0], n + 1), 0.7, 2)
    assert core.text.count("define") == 1
    calls = [line for line in body(core).splitlines() if "call" in line]
    assert calls
    assert all("@fwddiff." in line or "@llvm.smax." in line for line in calls)
    assert "alloca" not in core.text
    assert core.text.count(" store ") == 2
    assert not re.search(r"%\.2\b", body(core).split("{", 1)[1])  # exceptions are not described


def test_types_and_places_of_outputs():
    def f(x, n, b):
        return b, x, n > 1, n, x * n

    core, found = translated(
        f, np.float64(0.5), np.int32(3), np.bool_(True), integer_dtype=np.dtype(np.int32)
    )
    assert core.inputs == ("double", "i32", "i8")
    assert core.outputs == ("i8", "double", "i8", "i32", "double")
    assert found == [1, 0.5, 1, 3, 1.5]
    assert core.tree == _tree.flatten((0,) * 5)[1]
    assert [slot.dtype.name for slot in core.slots] == ["bool", "float64", "bool", "int32", "float64"]


def test_integers_are_pythons_own():
    check(lambda n, m: (n * n, m * 2**40), np.int32(100000), np.int8(-3), wanted=(10**10, -3 * 2**40))
    check(lambda n: n + 1, np.uint8(255), wanted=256)


def test_constants_do_not_widen():
    def f(x, y, n):
        s = 0.0
        for _ in range(n):
            s += x
        mixed = s + y, x if n > 1 else 2.0, x if n > 2 else y, (x, 1.0, 2.0)[n - 1], np.maximum(x, y)
        return (
            s,
            mixed,
            1.0,
            n * x,
            n * 1.5,
            np.float64(x),
            np.float32(y),
            np.float64(2.0) * x,
            fd.magnitude(x),
        )

    core, _ = translated(f, np.float32(1.5), np.float64(2.5), 2)
    bits = [slot.dtype.itemsize * 8 for slot in core.slots]
    assert bits == [32, 64, 32, 64, 32, 64, 64, 32, 64, 64, 32, 32, 64]
    assert "@fwddiff.float64(" in core.text
    alike, _ = translated(f, np.float32(1.5), np.float32(2.5), 2)
    assert {slot.dtype.name for slot in alike.slots[:6]} == {"float32"}


def test_arguments_without_derivative_are_marked():
    product = fwddiff(lambda a, b: a * b, wrt=0)
    assert "@fwddiff.constant(" in check(lambda x: product(x, x), 1.5).text
    assert "@fwddiff.constant(" in check(lambda x: round(x, 2), 1.234).text
    assert "@fwddiff.magnitude(" in check(lambda x: fd.magnitude(x), -1.5).text


# --- exceptions, refusals, and what is beside ---------------------------------------------------------------


@pytest.mark.parametrize(("x", "error"), [(150.0, "150.0 and 300.0"), (60.0, "above"), (-60.0, "too low")])
def test_exceptions_are_statuses(x, error):
    core = language.translate(problem_of(messages, x)[0])
    with pytest.raises(Raised):
        run(core, [x])
    with pytest.raises((ValueError, AssertionError), match=error):
        fd.fwddiff(messages, engine="numba")(x)


def test_integer_division_by_zero_raises_and_that_of_floats_does_not():
    core = language.translate(problem_of(lambda n: 1 // n, 1)[0])
    assert run(core, [2]) == [0]
    with pytest.raises(Raised):
        run(core, [0])
    with pytest.raises(ZeroDivisionError):
        fd.fwddiff(lambda n, x: x // n, engine="numba")(0, 1)
    assert translated(lambda x: (1.0 / x, 1 / x), 0.0)[1] == [INF, INF]


def printing(x):
    print([x])  # noqa: T201
    return x


@pytest.mark.parametrize(("function", "arguments", "why"), [
    (printing, (1.5,), "it prints"),
    (lambda x: undefined(x), (1.5,), "undefined"),  # noqa: F821
    (lambda x: None if x > 1 else x, (1.5,), "number on one path and None"),
])  # fmt: skip
def test_refusals(function, arguments, why):
    with pytest.raises((language.Refused, fd.StructureError, numba.errors.NumbaError), match=why):
        language.translate(problem_of(function, *arguments, whole=True)[0])


def everything(x):
    p = Pair(x, 1.0)
    return math.log(x, 2) + np.clip(x, 0.0, 1.0) + pow(x, 2) + round(x, 1) + np.maximum(x, 2.0) + p.total()


def test_dual_types_and_plain_numbers_do_not_meet():
    """What Numba keeps of one kind is never found by the other, in either order."""
    for _ in range(2):
        with contextlib.suppress(numba.errors.NumbaError):  # nor by the user's own functions
            numba.njit(everything)(1.7)
        own = numba.njit(lambda x: np.maximum(x, 2.0) + math.gamma(x) + x**3 + max(x, 1.0))(1.7)
        assert own == pytest.approx(2.0 + math.gamma(1.7) + 1.7**3 + 1.7)
        check(everything, 1.7)
        slope = fd.derivative(everything, 1.7, backend="numba")
        assert slope == pytest.approx(1 / (1.7 * math.log(2)) + 2 * 1.7 + 1)


def test_other_threads_compile_on_duals_meanwhile():
    found = []
    thread = threading.Thread(
        target=lambda: found.append(fd.derivative(lambda x: x**3, 2.0, backend="numba"))
    )
    with language._target.on_plain_numbers():
        thread.start()
        check(lambda x: x**3, 2.0)
        thread.join()
    assert found == [12.0]


def test_a_constant_may_stand_first_in_a_comparison():
    def between(x):
        return x * x if 0.5 < x < 2.0 else 3.0 * x

    for x in (0.2, 1.37, 2.6):
        check(between, x)
