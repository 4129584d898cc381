"""What a row of elements shares is computed ahead of it: the same numbers as without, and as in Python.

The oracle is the engine `numpy`, which runs the Python function on one element after another and shares no
code with kernels.
"""

import math
import re
import types

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff, special, stats
from fwddiff.engines.numba import pipeline, ssa
from fwddiff.engines.numba.ssa import ahead


def student(df, x):
    return stats.StudentT(df, 0.1, 1.3).logpdf(x)


def beta(a, x):
    return stats.Beta(a, 1.5).logpdf(0.5 + math.atan(x) / math.pi)


def branches(a, x):
    """Ways that `a` chooses, behind ways that `x` chooses, and values of both."""
    if x > 0.5:
        if a > 1.0:
            b = math.lgamma(a) * math.exp(-a)
        elif a > 0.5:
            b = math.log(a) / (1.0 + a)
        else:
            b = math.sin(a)
        if x > 1.0:
            b = b / a
    else:
        b = math.exp(a) + (math.log1p(a) if a > 0.3 else a)
    return b * x + math.exp(-x * a)


def loops(a, x):
    """A loop of fixed turns, one that `a` ends behind a guard of `x`, one that `x` ends."""
    total = 1.0
    for k in range(5):
        total = total * math.exp(-a * k) + 1.0 / (k + a)
    if x > 0.0:
        b = a
        while b < 10.0:
            b = b * 2.0
        total += math.log(b)
    y = abs(x)
    while y > 0.3:
        y = y * 0.5
        total += math.log(a) * y
    return total


def whole_results(a, x):
    return math.lgamma(a) * math.exp(a), x * a


FUNCTIONS = [student, beta, branches, loops, whole_results]
A, X = np.array([0.2, 0.6, 0.9, 1.7, 12.0]), np.linspace(-2.0, 3.0, 13)
SHAPES = {
    "number": (A[3], X),
    "column and row": (A[:, None], X),
    "single elements": (A[:, None], X[:1]),
    "broken axes": (A[:, None, None], np.outer(X, [1.0, 2.0, 3.0])[::2, ::2]),
    "no elements": (A[3], X[:0]),
}


def derivatives(operation, arrays):
    call = operation.prepare(*arrays)
    rule, inputs = call.rule, [np.asarray(a) for a in call.inputs]
    found = [*rule(inputs), *rule.partials((0, 1))(inputs)]
    cotangents = [np.cos(np.arange(v.size, dtype=v.dtype)).reshape(v.shape) for v in rule(inputs)]
    return [*found, *rule.pullback((0, 1))([*inputs, *cotangents])]


def agree(found, expected, tolerance):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.few(function=["branches", "loops", "whole_results"])
def test_as_in_python_and_as_without(function, monkeypatch):
    parts = []
    split = ssa.split
    monkeypatch.setattr(ssa, "split", lambda f, shared: parts.append(split(f, shared)) or parts[-1])
    found = {name: derivatives(fwddiff(function).broadcast, arrays) for name, arrays in SHAPES.items()}
    assert any(part is not None for part in parts)
    monkeypatch.setattr(ssa, "split", lambda f, shared: None)
    agree(found["number"], derivatives(fwddiff(function).broadcast, SHAPES["number"]), 1e-13)
    python = fwddiff(function, engine="numpy").broadcast
    for name, arrays in SHAPES.items():
        agree(found[name], derivatives(python, arrays), 1e-11)


@pytest.mark.parametrize("function", [student, branches, loops], ids=lambda f: f.__name__)
def test_sums_in_single_precision(function):
    arrays = [np.float32(1.7), X.astype(np.float32)]
    found = derivatives(fwddiff(function).sum, arrays)
    assert {f.dtype.name for f in found} == {"float32"}
    agree(found, derivatives(fwddiff(function, engine="numpy").sum, [np.float32(1.7), arrays[1]]), 2e-5)


def test_tasks_of_several_threads():
    x = np.linspace(-2.0, 3.0, 200_000)
    call = fwddiff(student).sum.prepare(np.array(4.5), x)
    rule = call.rule.partials((0, 1))
    launch = rule.repeated([np.array(4.5), x])
    assert launch.tasks > 1
    outputs = [np.empty(shape, dtype) for shape, dtype in launch.outputs]
    addresses = [np.array(4.5), x]
    found = []
    for threads in (1, 2):
        launch(*[a.ctypes.data for a in (*addresses, *outputs)], threads=threads)
        found.append([o.copy() for o in outputs])
    agree(found[0], found[1], 1e-14)
    df = 1e-5
    slopes = [float(fwddiff(student).sum(4.5 + s, x)) for s in (df, -df)]
    assert found[0][1] == pytest.approx((slopes[0] - slopes[1]) / (2 * df), rel=1e-7)


def test_second_order():
    for function in (student, branches):
        exact = fd.hessian(fwddiff(function, engine="numpy").sum, 1.7, X)
        np.testing.assert_allclose(fd.hessian(fwddiff(function).sum, 1.7, X), exact, rtol=1e-10)


# --- what is taken out --------------------------------------------------------------------------------------


def parts_of(function, *arrays):
    """What the kernels of the value are made of. A copy of the function has kernels of its own."""
    code = function.__code__.replace(co_name="not_compiled_yet")
    function = types.FunctionType(code, function.__globals__, closure=function.__closure__)
    found = []
    split = ssa.split
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssa, "split", lambda f, shared: found.append(split(f, shared)) or found[-1])
        fwddiff(function).broadcast(*arrays)
    return found[-1]


def calls(function):
    return re.findall(r"@fwddiff\.(\w+)\(", "\n".join(i.text for i in function.code.instructions))


def test_calls_of_shared_values_are_ahead():
    parts = parts_of(lambda a, x: math.lgamma(a) * x + (math.log(a) if x > 0.0 else 0.0), 1.5, X)
    assert set(calls(parts.ahead)) >= {"lgamma", "log"}
    assert not {"lgamma", "log"} & set(calls(parts.rest))
    assert parts.rest.inputs == ("double", "double", *parts.kept)


def test_fixed_loops_go_ahead_and_others_stay():
    parts = parts_of(loops, 1.5, X)
    assert ["exp" in calls(part) for part in (parts.ahead, parts.rest)] == [True, False]
    assert [part.code.has_loop for part in (parts.ahead, parts.rest)] == [False, True]


def test_nothing_is_split_where_nothing_is_shared_or_dear():
    assert parts_of(branches, np.resize(A, 13), X) is None
    assert parts_of(branches, 1.7, 0.3) is None
    assert parts_of(lambda a, x: a * x + a, 1.7, X) is None


def test_a_guard_of_the_elements_keeps_a_loop_from_running():
    """With a = 0 the loop would never end; no element comes to it."""

    def guarded(a, x):
        b = a
        if x > 0.0:
            while b < 10.0:
                b = b * 2.0
        return math.lgamma(a + 1.0) + b * x

    assert fwddiff(guarded).broadcast(0.0, -X[X > 0]) == pytest.approx(0.0)


def test_what_raises_or_divides_stays_with_its_element():
    def f(k, a, x):
        if x > 0.0:
            if a < 0.0:
                raise ValueError("negative")
            x = x + 7 // k
        return math.exp(a) * math.log(a + 3.0) * x

    g = fwddiff(f).broadcast
    expected = math.exp(-1.0) * math.log(2.0) * -X[X > 0]
    np.testing.assert_allclose(g(0, -1.0, -X[X > 0]), expected, rtol=1e-14)
    with pytest.raises(ValueError, match="negative"):
        g(2, -1.0, X)
    with pytest.raises(ZeroDivisionError):
        g(0, 1.0, X)


def test_infinite_slopes_run_again_in_exact_code():
    """Slopes are infinite at a = 0 and at x = 0: partials that are not there meet them (see `zeros`)."""

    def steep(a, x):
        y = math.cbrt(x) * math.lgamma(a + 1.5)
        return y + (math.sqrt(a) * x if x > 0.0 else math.exp(a) * math.cbrt(a * a * a))

    x = np.array([-1.0, 0.0, 2.0])
    found = derivatives(fwddiff(steep).broadcast, (0.0, x))
    agree(found, derivatives(fwddiff(steep, engine="numpy").broadcast, (0.0, x)), 1e-13)
    assert np.isinf(found[2]).any() or np.isinf(found[1]).any()


def test_more_values_than_are_kept(monkeypatch):
    def many(a, x):
        y = (math.exp(a) + x) * (math.log(a) + x * x) * (math.sin(a) + x)
        return y * (math.cos(a) - x) + math.tan(a) * x

    found = derivatives(fwddiff(many).broadcast, (1.7, X))
    monkeypatch.setattr(ahead, "_MOST", 2)
    fewer = derivatives(fwddiff(many).broadcast, (1.7, X))
    agree(found, fewer, 1e-13)
    agree(found, derivatives(fwddiff(many, engine="numpy").broadcast, (1.7, X)), 1e-12)


def test_short_functions_of_ours_are_put_in_place(monkeypatch):
    """A function without loops is no call, so that elements go side by side; a long one stays a call."""
    seen, whole = [], pipeline.module_text
    monkeypatch.setattr(pipeline, "module_text", lambda *how: seen.append(whole(*how)) or seen[-1])
    fwddiff(lambda x: special.log1pmx(x)).broadcast(X)
    fwddiff(lambda x: special.digamma(x)).broadcast(X)
    short, long = (re.search(r"define internal double @\"?fwddiff_special_\w+\"?\(.*", t) for t in seen)
    assert short is not None
    assert long is not None
    assert "alwaysinline" in short.group()
    assert "noinline" in long.group()
