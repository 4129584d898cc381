"""Operators × scenarios × backends: the catalogue in the engines, what foreign backends refuse, and that
wrong numbers, wrong structures and wrong shapes are found."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest

import fwddiff as fd
from fwddiff.testing import Differentiator, Outcomes, Scenario, catalogue, differentiators, run
from fwddiff.testing._differentiators import OPERATORS
from fwddiff.testing._measure import runs_of
from fwddiff.testing._reference import Reference

KINDS = {"number", "array", "nested", "mutating", "branching", "deep", "while"}
SLOW = ("springs", "normal log-likelihood", "compound interest", "Rosenbrock", "matrix", "local array")
CATALOGUE = {scenario.name: scenario for scenario in catalogue()}
SQUARE = Scenario("square", lambda x: x * x, (3.0,), lambda x: (2.0 * x,), "whole", hessian=lambda x: 2.0)


def _installed(name):
    return importlib.util.find_spec(name) is not None


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in CATALOGUE]
)
@pytest.mark.few(
    name=[
        "bell",
        "number to array",
        "number to struct",
        "struct to struct",
        "written in place",
        "early return",
        "Newton's root",
        "halved until small",
        "diffusion",
    ]
)
def test_all_operators_in_own_engines(name):
    outcomes = run(["numba", "numpy"], [CATALOGUE[name]])
    assert {cell.status for cell in outcomes.cells} == {"pass"}, str(outcomes)


def test_slow_scenarios_by_some_operators():
    chosen = [CATALOGUE[name] for name in SLOW]
    outcomes = run(["numba"], chosen, ["gradient", "value_and_hvp"])
    assert outcomes.ok, str(outcomes)
    assert len(outcomes.cells) == 2 * len(SLOW)


def test_the_catalogue_has_everything():
    assert {kind for scenario in catalogue() for kind in scenario.kinds} == KINDS
    met = {o for s in catalogue() for o in OPERATORS if Reference(s).makes_sense(o)}
    assert met == set(OPERATORS)
    # `value_` forms make sense where the others do.
    for scenario in catalogue():
        reference = Reference(scenario)
        for operator in OPERATORS[:7]:
            assert reference.makes_sense(operator) == reference.makes_sense(f"value_and_{operator}")


@pytest.mark.parametrize("name", [s.name for s in catalogue() if s.gradient or s.jacobian or s.hessian])
def test_closed_forms_are_differences(name):
    """The references themselves, compared with what shares no code with them."""
    scenario = CATALOGUE[name]
    closed = Reference(scenario)
    bare = Reference(dataclasses.replace(scenario, gradient=None, jacobian=None, hessian=None))
    operators = [o for o in ("jacobian", "gradient", "pullback") if closed.makes_sense(o)]
    if scenario.hessian:
        operators.append("hessian")
    for operator in operators:
        for ours, theirs in zip(closed.expected(operator)[1], bare.expected(operator)[1], strict=True):
            np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-6, atol=1e-8)


def test_plain_functions_of_elements_are_broadcast():
    scenario = CATALOGUE["Huber loss"]
    np.testing.assert_allclose(
        Reference(scenario).plain(*scenario.arguments), scenario.formula(np, *scenario.arguments), rtol=1e-14
    )


# --- what is wrong is found ---------------------------------------------------------------------------------


def _mine(**operators):
    return Differentiator("mine", {k: lambda f, argnum, v=v: v for k, v in operators.items()})


def test_wrong_numbers_are_told():
    outcomes = run([_mine(derivative=lambda x: 2.5 * x)], [SQUARE], ["derivative", "gradient"])
    wrong, missing = outcomes.cells
    assert (wrong.status, missing.status) == ("fail", "unsupported")
    assert wrong.detail == "7.5 where 6 is expected (off by 1.5; 1 of 1 differ)"
    assert missing.detail == "mine has no gradient"
    assert not outcomes.ok
    assert outcomes.failures == [wrong]
    assert outcomes.unsupported == [missing]
    assert "FAIL square, mine, derivative: 7.5 where 6" in str(outcomes)


@pytest.mark.parametrize(
    ("result", "detail"),
    [
        (math.nan, "nan where 6 is expected"),
        (np.array([6.0]), "shape (1,) where () is expected"),
        ("six", "dtype <U3 where numbers are expected"),
        (6.0 + 0.0j, "dtype complex128"),
        (6.0 + 1e-7, "off by 1e-07"),
    ],
)
def test_what_is_no_such_number_is_told(result, detail):
    (cell,) = run([_mine(derivative=lambda x: result)], [SQUARE], ["derivative"]).cells
    assert cell.status == "fail"
    assert detail in cell.detail


def test_wrong_structures_and_elements_are_told():
    pair = Scenario(
        "pair", lambda x: {"a": x[0] * x[1], "b": x[1]}, (np.array([2.0, 3.0]),), operation="whole"
    )
    t = Reference(pair).given("pushforward")
    right = {"a": 3.0 * t[0] + 2.0 * t[1], "b": t[1]}
    for result, detail in (
        (right, ""),
        ([right["a"], right["b"]], "the structure is not"),
        ({**right, "b": 0.5}, "['b']: 0.5 where"),
    ):
        (cell,) = run([_mine(pushforward=lambda x, tangent, r=result: r)], [pair], ["pushforward"]).cells
        assert detail in cell.detail
        assert cell.status == ("fail" if detail else "pass")
    (cell,) = run([_mine(value_and_pushforward=lambda x, t: ({"a": 6.0, "b": 4.0}, right))], [pair],
                  ["value_and_pushforward"]).cells  # fmt: skip
    assert "[0]['b']: 4 where 3 is expected" in cell.detail


def test_errors_are_failures_and_refusals_are_not():
    def raising(error):
        def operator(x):
            raise error

        return _mine(derivative=operator)

    crash, refusal = (
        run([raising(error)], [SQUARE], ["derivative"]).cells[0]
        for error in (ZeroDivisionError("at <f at 0x7f01>"), fd.DerivativeError("none\nhere"))
    )
    assert (crash.status, crash.detail) == ("fail", "ZeroDivisionError: at <f at 0x…>")
    assert (refusal.status, refusal.detail) == ("unsupported", "none")


def test_a_wrong_rule_is_found_in_an_engine():
    wrong = fd.custom_rule(lambda x: x * x, rrule=lambda x: (x * x, lambda ct: (3.0 * ct * x,)))
    outcomes = run(["numpy"], [Scenario("wrong", wrong, (3.0,), SQUARE.gradient, "whole")], ["gradient"])
    assert "9 where 6 is expected" in outcomes.cells[0].detail


def test_the_engines_last_way_is_checked_too(monkeypatch):
    """A prepared operator that is wrong."""
    operators = fd.testing._differentiators._operators
    prepare = operators.prepare

    def doubled(*args, **options):
        prepared = prepare(*args, **options)
        return lambda x: 2.0 * prepared(x)

    monkeypatch.setattr(operators, "prepare", doubled)
    (cell,) = run(["numpy"], [SQUARE], ["gradient"]).cells
    assert "12 where 6 is expected" in cell.detail


# --- a user's own -------------------------------------------------------------------------------------------


def test_scenarios_and_backends_of_ones_own():
    def complex_step(f, argnum):
        def derivative(*args):
            moved = list(args)
            moved[argnum] = args[argnum] + 1e-30j
            return f(*moved).imag / 1e-30

        return derivative

    mine = Differentiator("complex step", {"derivative": complex_step})
    cubic = Scenario("cubic", lambda k, x: k * x**3, (2, 1.5), operation="whole")
    outcomes = run([mine, "numba"], [cubic], ["derivative", "hessian"], seconds=1e-4)
    assert [(c.backend, c.operator, c.status) for c in outcomes.cells] == [
        ("complex step", "derivative", "pass"),
        ("numba", "derivative", "pass"),
        ("complex step", "hessian", "unsupported"),
        ("numba", "hessian", "pass"),
    ]


def test_bad_input_is_told():
    with pytest.raises(fd.ArgumentError, match="'mxnet' is not known"):
        run(["mxnet"])
    with pytest.raises(fd.ArgumentError, match="'jax alone' is not known"):
        differentiators(["jax alone"])
    with pytest.raises(fd.ArgumentError, match="'slope' is no operator"):
        run(operators=["slope"])
    with pytest.raises(fd.ArgumentError, match=r"'integers'.*holds a float"):
        run(["numpy"], [Scenario("integers", lambda n: n, (1,), operation="whole")])
    jump = Scenario("jump", lambda x: 1.0 if x > 1.0 else 0.0, (1.0,), operation="whole")
    with pytest.raises(fd.ArgumentError, match=r"'jump': differences .* do not settle"):
        run(["numpy"], [jump])


def test_a_backend_that_operators_do_not_know_is_unsupported(monkeypatch):
    """The reason is the operators' own."""

    def refuse(f, *args, **options):
        raise fd.ArgumentError(f"backend={options['backend']!r}: not here.")

    monkeypatch.setattr(fd.testing._differentiators._operators, "prepare", refuse)
    monkeypatch.setattr(fd.testing._differentiators._operators, "gradient", refuse)
    if _installed("autograd"):
        (cell,) = run(["autograd"], [CATALOGUE["hinges"]], ["gradient"]).cells
        assert cell.status == "unsupported"
        assert "not here" in cell.detail


# --- frameworks by themselves -------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", ["jax", "torch", "autograd"])
@pytest.mark.parametrize("name", ["bell", "matrix", "diffusion"])
@pytest.mark.every(2)
def test_frameworks_agree_on_formulas(framework, name):
    if not _installed(framework):
        pytest.skip(f"{framework} is not installed")
    outcomes = run([f"{framework} itself"], [CATALOGUE[name]], OPERATORS[:7] + OPERATORS[-1:])
    assert {cell.status for cell in outcomes.cells} == {"pass"}, str(outcomes)


@pytest.mark.parametrize(
    ("framework", "name", "reason"),
    [
        ("jax", "written in place", "JAX arrays are immutable"),
        ("jax", "dict of arrays", "racer"),
        ("jax", "buffer", "a NumPy buffer cannot hold"),
        ("jax", "Weibull struct", "no formula for jax.numpy"),
        ("torch", "local array", "numpy.float64"),
        ("autograd", "number to struct", "does not see what a Orbit holds"),
        ("autograd", "dict of arrays", "must be real number"),
    ],
)
def test_frameworks_say_what_they_cannot_do(framework, name, reason):
    if not _installed(framework):
        pytest.skip(f"{framework} is not installed")
    outcomes = run([f"{framework} itself"], [CATALOGUE[name]], ["pushforward", "pullback"])
    assert {cell.status for cell in outcomes.cells} == {"unsupported"}
    assert all(reason in cell.detail for cell in outcomes.cells), str(outcomes)


def test_numbers_that_a_framework_loses_are_wrong():
    """`math.sin` of a tensor is a float: PyTorch's derivative of it is zero, without an error."""
    if not _installed("torch"):
        pytest.skip("torch is not installed")
    (cell,) = run(["torch itself"], [CATALOGUE["dict of arrays"]], ["gradient"]).cells
    assert cell.status == "fail"
    assert "['slope']: element (0,): 0 where 0.943" in cell.detail


# --- what is measured ---------------------------------------------------------------------------------------


def _chain(x):
    total = 0.0
    for k in range(len(x) - 1):
        total += (x[k + 1] - x[k]) ** 2
    return total


def test_passes_are_counted():
    """17 elements are two chunks of 16."""
    only = Scenario("chain", _chain, (np.linspace(0.0, 1.0, 17),), operation="whole")
    outcomes = run(["numba", "numpy"], [only], ["gradient", "pushforward"], seconds=1e-5)
    assert outcomes.ok
    assert not outcomes.unsupported, str(outcomes)
    found = {(cell.backend, cell.operator): cell.passes for cell in outcomes.cells}
    assert found["numba", "gradient"] == 2
    assert found["numba", "pushforward"] == found["numpy", "pushforward"] == 1
    assert found["numpy", "gradient"] >= 1


def test_runs_in_python_are_counted():
    def function(x):
        return x

    assert runs_of(lambda: [function(1) for _ in range(5)], function.__code__) == 5
    assert runs_of(lambda: None, function.__code__) == 0


def test_bytes_are_those_of_the_result_at_least():
    big = Scenario("big", lambda x: x * x, (np.ones(3000),), lambda x: (2 * x,))
    (cell,) = run(["numba"], [dataclasses.replace(big, jacobian=lambda x: (2 * np.diag(x),))],
                  ["pullback"], seconds=1e-5).cells  # fmt: skip
    assert cell.bytes >= 3000 * 8
    assert cell.seconds > 0


# --- what is shown ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outcomes():
    lost = Differentiator("lost", {"derivative": lambda f, argnum: lambda x: 1.0})
    return run(["numpy", lost], [SQUARE, CATALOGUE["early return"]], ["derivative", "hessian"], seconds=1e-5)


def test_tables(outcomes):
    rows = outcomes.rows()
    assert rows == [
        ["square", "", "2/2", "0/2, 1 WRONG"],
        ["early return", "branching, number", "2/2", "0/2, 1 WRONG"],
    ]
    assert [row[:4] for row in outcomes.totals()] == [["numpy", "4", "0", "0"], ["lost", "0", "2", "2"]]
    Console = pytest.importorskip("rich.console").Console
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(outcomes.table())
    assert "early return" in console.export_text()


def test_json_has_every_cell(outcomes, tmp_path):
    text = outcomes.json(tmp_path / "cells.json")
    assert (tmp_path / "cells.json").read_text() == text
    assert len(json.loads(text)["cells"]) == len(outcomes.cells)
    assert Outcomes.from_json(text) == outcomes


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_pictures_are_written(outcomes, tmp_path, ending):
    pytest.importorskip("matplotlib")
    outcomes.picture(tmp_path / f"cells.{ending}")
    assert (tmp_path / f"cells.{ending}").stat().st_size > 2000


# --- the page in the documentation --------------------------------------------------------------------------

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_scenarios", DOCS / "generate_scenarios.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_from_the_results(generator):
    found = Outcomes.from_json((DOCS / "scenarios.json").read_text())
    assert (DOCS / "scenarios.md").read_text() == generator.page(found)
    assert found.scenarios == tuple(CATALOGUE)
    assert found.operators == OPERATORS
    assert all(c.status == "pass" for c in found.cells if c.backend in ("numba", "numpy"))
