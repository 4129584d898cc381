"""Adding rows at run time, and the messages for rows that cannot be right."""

from __future__ import annotations

import math

import pytest

from fwddiff import rules
from fwddiff._errors import ArgumentError


@pytest.fixture(autouse=True)
def restored_table(monkeypatch):
    monkeypatch.setattr(rules, "TABLE", dict(rules.TABLE))
    monkeypatch.setattr(rules, "_added", {})


def softplus(x):
    return math.log1p(math.exp(x))


def test_added_row():
    row = rules.add_rule(softplus, "softer(x)", "1 / (1 + exp(-x))")
    assert row == rules.Row("softer", ("x",), ("1 / (1 + exp(-x))",), (softplus,), "softer(x)")
    assert rules.TABLE["softer"] is row
    assert rules.scalar_namespace()["softer"] is softplus


def test_added_row_with_value_and_recursion():
    row = rules.add_rule(softplus, "xlogx(x, p)", ("p*log(x) + 1", "xlogx(x, p) / p"), value="p * x * log(x)")
    assert row.partials == ("p*log(x) + 1", "xlogx(x, p) / p")
    assert row.value == "p * x * log(x)"


def test_the_same_function_may_be_taught_again():
    rules.add_rule(softplus, "softer(x)", "1")
    assert rules.add_rule(softplus, "softer(x)", "2").partials == ("2",)


WRONG = [
    ("softer(x)", ("1", "2"), "softer(x) has 1 arguments but 2 partials: give one per argument."),
    ("softer(x)", "z", "In 'z' of softer(x): unknown name 'z'; known: pi, x, y."),
    ("softer(x)", "foo(x)", "In 'foo(x)' of softer(x): unknown function 'foo'; add a row for it first."),
    ("softer(x)", "atan2(x)", "In 'atan2(x)' of softer(x): 'atan2(x)', but atan2 takes 2 arguments."),
    (
        "softer(x)",
        "x**y",
        "In 'x**y' of softer(x): ** takes an integer exponent; write pow(a, b) for any other.",
    ),
    ("softer(x)", "0.5*x", "In '0.5*x' of softer(x): '0.5' is not allowed. "),
    ("softer(x)", "x.real", "In 'x.real' of softer(x): 'x.real' is not allowed. "),
    ("softer(x)", "x > 0", "In 'x > 0' of softer(x): 'x > 0' is not allowed. "),
    (
        "softer(x)",
        "where(x, 1, 0)",
        "In 'where(x, 1, 0)' of softer(x): the condition 'x' is not a comparison.",
    ),
    ("softer(x)", "where(0 < x < 1, 1, 0)", "'0 < x < 1' is more than one comparison."),
    (
        "softer(x)",
        "1 +",
        "Cannot read the partial '1 +' of softer(x): '1 +' is not one Python expression.",
    ),
    ("softplus", "1", "The signature 'softplus' is not of the form 'name(a, b)': write it so."),
    ("softplus(y)", "1", "The arguments of 'softplus(y)' have to be different plain names"),
    (
        "softplus(x, x)",
        ("1", "1"),
        "have to be different plain names, none of them y, pi or where: rename them.",
    ),
    ("exp(x)", "1", "The name 'exp' belongs to another row of the table: choose another name."),
    ("where(x)", "1", "The name 'where' belongs to another row of the table: choose another name."),
    ("int(x)", "1", "The name 'int' belongs to another row of the table: choose another name."),
]


@pytest.mark.parametrize(("signature", "partials", "message"), WRONG)
def test_wrong_rows(signature, partials, message):
    before = dict(rules.TABLE)
    with pytest.raises(ArgumentError) as caught:
        rules.add_rule(softplus, signature, partials)
    assert message in str(caught.value)
    assert before == rules.TABLE


def test_a_function_of_the_table_gets_no_second_row():
    with pytest.raises(ArgumentError, match="already is row 'exp': it cannot have a second one"):
        rules.add_rule(math.exp, "my_exp(x)", "y")


def test_value_of_unknown_names():
    with pytest.raises(ArgumentError, match=r"In the value 'foo\(x\)' of softer\(x\): unknown name 'foo'"):
        rules.add_rule(softplus, "softer(x)", "1", value="foo(x)")


def test_not_a_function():
    with pytest.raises(ArgumentError, match="The first argument, 3, is not callable"):
        rules.add_rule(3, "softer(x)", "1")


def test_a_function_of_the_user_may_have_the_name_of_a_recorded_one():
    """Texts of ours go on to mean ours."""
    ours = rules.TABLE["softplus"]
    row = rules.add_rule(softplus, "softplus(x)", "7*softplus(x)", value="x*x")
    assert rules.TABLE["softplus"] is ours
    assert rules.is_current(row)
    assert rules.added_row(softplus) is row
