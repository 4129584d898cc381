"""The derivatives, one row of text per scalar function, and the choices made where no derivative exists.

A partial is an expression in the row's arguments and `y`, the function's value. It is evaluated on plain
numbers, on arrays and on (nested) dual numbers, so it has to be differentiable itself: both sides of a
`where` continue the same smooth function wherever that function is smooth, and no intermediate overflows
where the result does not. Integers only (`log(2)`), because SymPy proves the rows exactly and an engine gives
the constants the argument's dtype.
"""

RULES: dict[str, str | tuple[str, ...]] = {
    # arithmetic
    "add(a, b)": ("1", "1"),
    "subtract(a, b)": ("1", "-1"),
    "multiply(a, b)": ("b", "a"),
    "divide(a, b)": ("1 / b", "-y*(1 / b)"),  # one division for both
    "negative(x)": "-1",
    "positive(x)": "1",
    "square(x)": "2*x",
    "reciprocal(x)": "-y*y",
    # Every branch keeps what second derivatives need. At b = 0 the slope in a is 0 and grows with b like
    # 1 / a: where that is infinite, the power is of 1, and sqrt(b) is added, 0 with an infinite slope. At
    # a = 0, -sqrt(a) is 0 and has the infinite slope of a**(b - 1) * (1 + b*log(a)) for 0 < b <= 1. y == 0
    # covers what underflows, and inf**b, b < 0, where log(a) is infinite.
    "pow(a, b)": (
        "b*pow(where(b == 0, where(1 / a - 1 / a == 0, a, 1), a), b - 1)"
        " + where(b == 0, where(1 / a - 1 / a == 0, 0, sqrt(b)), 0)",
        "where(a == 0, where(b > 1, 0, where(b > 0, -sqrt(a), where(b == 0, -1 / (a + b + 0), -y))), "
        "where(y == 0, 0, y*log(a)))",
    ),
    "remainder(a, b)": ("1", "-floor_divide(a, b)"),
    # floor(a/b) and trunc(a/b) round up to the next integer just below it; (a - y)/b is an integer but for
    # rounding, so rint makes it exact.
    "fmod(a, b)": ("1", "-rint((a - y) / b)"),
    "ieee_remainder(a, b)": ("1", "-rint((a - y) / b)"),
    "floor_divide(a, b)": ("0", "0"),
    # rounding and signs
    "floor(x)": "0",
    "ceil(x)": "0",
    "trunc(x)": "0",
    "rint(x)": "0",
    "sign(x)": "0",
    "heaviside(x, h)": ("0", "where(x == 0, 1, 0)"),
    "abs(x)": "sign(x)",
    "copysign(a, b)": ("sign(a)*copysign(1, b)", "0"),
    # The last branch is reached by nan alone, and y is nan then.
    "maximum(a, b)": (
        "where(a > b, 1, where(a < b, 0, where(a == b, 1 / 2, y)))",
        "where(a < b, 1, where(a > b, 0, where(a == b, 1 / 2, y)))",
    ),
    "minimum(a, b)": (
        "where(a < b, 1, where(a > b, 0, where(a == b, 1 / 2, y)))",
        "where(a > b, 1, where(a < b, 0, where(a == b, 1 / 2, y)))",
    ),
    # x == x is false for nan alone: the other argument is the value.
    "fmax(a, b)": (
        "where(a > b, 1, where(a < b, 0, where(a == b, 1 / 2, where(a == a, 1, where(b == b, 0, y)))))",
        "where(a < b, 1, where(a > b, 0, where(a == b, 1 / 2, where(b == b, 1, where(a == a, 0, y)))))",
    ),
    "fmin(a, b)": (
        "where(a < b, 1, where(a > b, 0, where(a == b, 1 / 2, where(a == a, 1, where(b == b, 0, y)))))",
        "where(a > b, 1, where(a < b, 0, where(a == b, 1 / 2, where(b == b, 1, where(a == a, 0, y)))))",
    ),
    # roots, powers of two: + 0 turns -0.0 into 0.0, so that the slope at both zeros is +inf.
    "sqrt(x)": "1 / (2*y + 0)",
    "cbrt(x)": "1 / (3*y*y)",
    # a/y and b/y by the ratio of the smaller to the larger: the derivative of a/y cancels for |a| >> |b|.
    "hypot(a, b)": (
        "where(abs(a) < abs(b), a / abs(b) / sqrt(1 + a / b*(a / b)), "
        "where(y == 0, 0, sign(a) / sqrt(1 + b / a*(b / a))))",
        "where(abs(b) < abs(a), b / abs(a) / sqrt(1 + b / a*(b / a)), "
        "where(y == 0, 0, sign(b) / sqrt(1 + a / b*(a / b))))",
    ),
    "ldexp(x, n)": ("ldexp(1, n)", "0"),
    # exponentials and logarithms
    "exp(x)": "y",
    "exp2(x)": "y*log(2)",
    "expm1(x)": "exp(x)",  # y + 1 has no correct digit left below x = -37
    "log(x)": "1 / (x + 0)",
    "log2(x)": "1 / log(2) / (x + 0)",
    "log10(x)": "1 / log(10) / (x + 0)",
    "log1p(x)": "1 / (1 + x)",
    # The logistic function of a - b, by the exponential that cannot overflow.
    "logaddexp(a, b)": (
        "where(a < b, exp(a - b) / (1 + exp(a - b)), 1 / (1 + exp(b - a)))",
        "where(b < a, exp(b - a) / (1 + exp(b - a)), 1 / (1 + exp(a - b)))",
    ),
    "logaddexp2(a, b)": (
        "where(a < b, exp2(a - b) / (1 + exp2(a - b)), 1 / (1 + exp2(b - a)))",
        "where(b < a, exp2(b - a) / (1 + exp2(b - a)), 1 / (1 + exp2(a - b)))",
    ),
    # trigonometry
    "radians(x)": "pi / 180",
    "degrees(x)": "180 / pi",
    "sin(x)": "cos(x)",
    "cos(x)": "-sin(x)",
    "tan(x)": "1 + y*y",
    # (1 - x)*(1 + x) keeps all digits at the end points, and the derivative of 1 - x*x keeps them at 0.
    "asin(x)": "1 / sqrt(where(x*x < 1 / 2, 1 - x*x, (1 - x)*(1 + x)))",
    "acos(x)": "-1 / sqrt(where(x*x < 1 / 2, 1 - x*x, (1 - x)*(1 + x)))",
    "atan(x)": "1 / (1 + x*x)",
    # b/(a*a + b*b) and -a/(a*a + b*b), divided by the larger argument first: no square over- or underflows.
    "atan2(a, b)": (
        "where(abs(a) < abs(b), 1 / (b + a*(a / b)), b / a / (a + b*(b / a)))",
        "where(abs(a) < abs(b), -a / b / (b + a*(a / b)), -1 / (a + b*(b / a)))",
    ),
    "sinc(x)": "-pi*spherical_jn(1, pi*x)",
    "spherical_jn(n, x)": (
        "0",
        "where(n == 0, -spherical_jn(1, x), "
        "(n*spherical_jn(n - 1, x) - (n + 1)*spherical_jn(n + 1, x)) / (2*n + 1))",
    ),
    # hyperbolic functions
    "sinh(x)": "cosh(x)",
    "cosh(x)": "sinh(x)",
    # 1 - y*y has no correct digit left beyond |x| = 19. All branches are 1/cosh(x)**2 for every x.
    "tanh(x)": ("where(y*y < 1 / 2, 1 - y*y, exp(-2*abs(x))*(1 + abs(y))*(1 + abs(y)))"),
    "asinh(x)": "1 / hypot(1, x)",
    "acosh(x)": "1 / (sqrt(x - 1)*sqrt(x + 1))",
    "atanh(x)": "1 / where(x*x < 1 / 2, 1 - x*x, (1 - x)*(1 + x))",
    # special functions
    "erf(x)": "2 / sqrt(pi)*exp(-x*x)",
    "erfc(x)": "-2 / sqrt(pi)*exp(-x*x)",
    "gamma(x)": "y*digamma(x)",
    "lgamma(x)": "digamma(x)",
    "digamma(x)": "polygamma(1, x)",
    "polygamma(n, x)": ("0", "polygamma(n + 1, x)"),
}

# Rows whose slopes say which argument is the value: a slope 0 means that the argument is not there at all.
SELECTIONS = frozenset({"maximum", "minimum", "fmax", "fmin", "heaviside"})

_TIE = "at a = b half each: symmetric, 1 in total, and abs(x) = max(x, -x) keeps its slope 0 at 0"
_STEP = "0 everywhere, at the jumps too"

CHOICES: dict[str, str] = {
    "pow": "0**b: slope 0 in b for b > 0, -inf for b <= 0 (the limit); nan in b for a < 0; a**0 has slope 0",
    "remainder": "at the jumps the slope of the piece that contains the point",
    "fmod": "at the jumps the slope of the piece that contains the point",
    "ieee_remainder": "at the jumps the slope of the piece that contains the point",
    "floor_divide": _STEP,
    "floor": _STEP,
    "ceil": _STEP,
    "trunc": _STEP,
    "rint": _STEP,
    "sign": _STEP,
    "heaviside": f"{_STEP}; the value at x = 0 is h",
    "abs": "0 at 0, the mean of both slopes and the smallest subgradient",
    "copysign": "0 at a = 0, as abs; 0 in b, also where the sign changes",
    "maximum": _TIE,
    "minimum": _TIE,
    "fmax": f"{_TIE}; nan loses",
    "fmin": f"{_TIE}; nan loses",
    "sqrt": "inf at 0 and -0.0",
    "cbrt": "inf at 0",
    "hypot": "0 at (0, 0), as abs; nan where both are infinite",
    "ldexp": "n is an integer, not differentiated",
    "log": "inf at 0 and -0.0; outside the domain the value is nan and the slope is not promised",
    "log2": "as log",
    "log10": "as log",
    "log1p": "inf at -1; outside the domain as log",
    "logaddexp": "nan where both are the same infinity: the limit depends on the path",
    "logaddexp2": "as logaddexp",
    "atan2": "nan at (0, 0), where none exists; at the cut that of the continued function",
    "asin": "inf at both ends",
    "acos": "-inf at both ends",
    "acosh": "inf at 1",
    "atanh": "inf at both ends; outside the domain as log",
    "spherical_jn": "the order n is an integer, not differentiated",
    "gamma": "-inf at 0 and -0.0; nan at the negative integers",
    "lgamma": "-inf at 0, +inf at -0.0; nan at the negative integers",
    "digamma": "inf at 0; nan at the negative integers",
    "polygamma": "the order n is an integer, not differentiated",
}
