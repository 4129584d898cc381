"""SymPy proves the smooth rows: identically where it can, to 25 digits at rational points everywhere."""

from __future__ import annotations

import pytest
import sympy as sp

from fwddiff import rules

A, B, X = sp.symbols("a b x", real=True)
N = sp.Symbol("n", integer=True, nonnegative=True)
SYMBOLS = {"a": A, "b": B, "x": X, "n": N}


def _where(condition, yes, no):
    return sp.Piecewise((yes, condition), (no, True))


FUNCTIONS = {
    "abs": sp.Abs,
    "acos": sp.acos,
    "acosh": sp.acosh,
    "add": lambda a, b: a + b,
    "asin": sp.asin,
    "asinh": sp.asinh,
    "atan": sp.atan,
    "atan2": sp.atan2,
    "atanh": sp.atanh,
    "cbrt": lambda x: x ** sp.Rational(1, 3),
    "copysign": lambda a, b: abs(a) * sp.sign(b),
    "cos": sp.cos,
    "cosh": sp.cosh,
    "degrees": lambda x: x * 180 / sp.pi,
    "digamma": sp.digamma,
    "divide": lambda a, b: a / b,
    "erf": sp.erf,
    "erfc": sp.erfc,
    "exp": sp.exp,
    "exp2": lambda x: 2**x,
    "expm1": lambda x: sp.exp(x) - 1,
    "fmax": sp.Max,
    "fmin": sp.Min,
    "gamma": sp.gamma,
    "hypot": lambda a, b: sp.sqrt(a * a + b * b),
    "ldexp": lambda x, n: x * 2**n,
    "lgamma": sp.loggamma,
    "log": sp.log,
    "log10": lambda x: sp.log(x, 10),
    "log1p": lambda x: sp.log(1 + x),
    "log2": lambda x: sp.log(x, 2),
    "logaddexp": lambda a, b: sp.log(sp.exp(a) + sp.exp(b)),
    "logaddexp2": lambda a, b: sp.log(2**a + 2**b, 2),
    "maximum": sp.Max,
    "minimum": sp.Min,
    "multiply": lambda a, b: a * b,
    "negative": lambda x: -x,
    "polygamma": sp.polygamma,
    "positive": lambda x: x,
    "pow": sp.Pow,
    "radians": lambda x: x * sp.pi / 180,
    "reciprocal": lambda x: 1 / x,
    "sign": sp.sign,
    "sin": sp.sin,
    "sinc": lambda x: sp.sin(sp.pi * x) / (sp.pi * x),
    "sinh": sp.sinh,
    "spherical_jn": lambda n, x: sp.expand_func(sp.jn(n, x)),
    "sqrt": sp.sqrt,
    "square": lambda x: x * x,
    "subtract": lambda a, b: a - b,
    "tan": sp.tan,
    "tanh": sp.tanh,
}
# Locally constant or linear with jumps: nothing for SymPy; test_derivatives and test_kinks have them.
PIECEWISE_CONSTANT = {
    "remainder",
    "fmod",
    "ieee_remainder",
    "floor_divide",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "sign",
    "heaviside",
}
SMOOTH = [row.name for row in rules.built_in() if row.name not in PIECEWISE_CONSTANT]
# Rational points inside the domains; both sides of every `where`.
BIVARIATE = [
    (sp.Rational(3, 7), sp.Rational(5, 3)),
    (sp.Rational(9, 4), sp.Rational(2, 9)),
    (sp.Rational(1, 5), -sp.Rational(7, 3)),
]
UNIVARIATE = [
    sp.Rational(3, 10),
    sp.Rational(8, 9),
    -sp.Rational(2, 7),
    -sp.Rational(7, 8),
    sp.Rational(12, 5),
]
LARGER = {"acosh": [sp.Rational(11, 10), sp.Rational(7, 2)], "lgamma": UNIVARIATE[:2] + UNIVARIATE[4:]}
POSITIVE = {"sqrt", "cbrt", "log", "log2", "log10"}
INSIDE_ONE = {"asin", "acos", "atanh", "log1p"}


def _points(row: rules.Row) -> list[dict]:
    if row.name in rules.INTEGER_ARGUMENTS:
        points = [(n, x) for n in (0, 1, 3) for x in (sp.Rational(3, 10), sp.Rational(12, 5))]
        integer_first = rules.INTEGER_ARGUMENTS[row.name] == (0,)
        pairs = points if integer_first else [(x, n) for n, x in points]
    elif len(row.arguments) == 2:
        pairs = BIVARIATE
    else:
        candidates = LARGER.get(row.name, UNIVARIATE)
        candidates = [x for x in candidates if x > 0] if row.name in POSITIVE else candidates
        pairs = [(x,) for x in candidates if abs(x) < 1 or row.name not in INSIDE_ONE]
    return [dict(zip((SYMBOLS[name] for name in row.arguments), pair, strict=True)) for pair in pairs]


def _expressions(row: rules.Row, k: int, symbols: dict) -> tuple[sp.Expr, sp.Expr]:
    """The derivative by SymPy, and the table's text with y replaced by the function."""
    function = FUNCTIONS[row.name](*(symbols[name] for name in row.arguments))
    namespace = {"where": _where, "pi": sp.pi} | {name: FUNCTIONS[name] for name in FUNCTIONS}
    text = sp.sympify(row.partials[k], locals=namespace | symbols | {"y": function})
    return sp.diff(function, symbols[row.arguments[k]]), text


CASES = [
    (name, k)
    for name in SMOOTH
    for k in range(len(rules.TABLE[name].arguments))
    if k not in rules.INTEGER_ARGUMENTS.get(name, ())
]


@pytest.mark.parametrize(("name", "k"), CASES)
def test_partial_at_rational_points(name, k):
    row = rules.TABLE[name]
    for point in _points(row):
        # Orders are put in first: SymPy differentiates jn and polygamma of a given order only.
        symbols = {s.name: point[s] if s is N else s for s in map(SYMBOLS.get, row.arguments)}
        derivative, text = (sp.sympify(e).subs(point).doit() for e in _expressions(row, k, symbols))
        difference = abs(sp.N(derivative, 40) - sp.N(text, 40))
        assert difference <= abs(sp.N(derivative, 40)) * sp.Float("1e-25", 40), (point, derivative, text)


@pytest.mark.parametrize(
    ("name", "k"), [(n, k) for n, k in CASES if "where" not in rules.TABLE[n].partials[k]]
)
def test_partial_identically(name, k):
    row = rules.TABLE[name]
    positive = {s: sp.Symbol(s, positive=True) for s in row.arguments}
    derivative, text = _expressions(row, k, positive)
    assert sp.simplify(derivative - text) == 0
