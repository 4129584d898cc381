"""How each row's value is written in scalar code, and which callables of Python and NumPy mean that row."""

import builtins
import math
import operator
from collections.abc import Callable

import numpy

from fwddiff import _special

# Rows that are not in this dict have the value `name(arguments)`.
VALUES: dict[str, str] = {
    "add": "a + b",
    "subtract": "a - b",
    "multiply": "a*b",
    "divide": "a / b",
    "negative": "-x",
    "positive": "+x",
    "square": "x*x",
    "reciprocal": "1 / x",
    "pow": "a ** b",
    "remainder": "a % b",
    "floor_divide": "a // b",
    "sign": "1 if x > 0 else (-1 if x < 0 else x)",
    "heaviside": "1 if x > 0 else (0 if x < 0 else (h if x == 0 else x))",
    "maximum": "a if a >= b or a != a else b",
    "minimum": "a if a <= b or a != a else b",
    "fmax": "a if a >= b or b != b else b",
    "fmin": "a if a <= b or b != b else b",
    "ldexp": "ldexp(x, int(n))",
    "logaddexp": "a + log(2) if a == b else (a if a > b else b) + log1p(exp(-abs(a - b)))",
    "logaddexp2": "a + 1 if a == b else (a if a > b else b) + log1p(exp2(-abs(a - b))) / log(2)",
}

_MODULES = {"builtins": builtins, "math": math, "numpy": numpy, "operator": operator, "special": _special}

_FUNCTIONS: dict[str, str] = {
    "add": "operator.add numpy.add",
    "subtract": "operator.sub numpy.subtract",
    "multiply": "operator.mul numpy.multiply",
    "divide": "operator.truediv numpy.divide",
    "negative": "operator.neg numpy.negative",
    "positive": "operator.pos numpy.positive",
    "square": "numpy.square",
    "reciprocal": "numpy.reciprocal",
    "pow": "operator.pow builtins.pow math.pow numpy.power numpy.float_power",
    "remainder": "operator.mod numpy.remainder",
    "fmod": "math.fmod numpy.fmod",
    "ieee_remainder": "math.remainder",
    "floor_divide": "operator.floordiv numpy.floor_divide",
    "floor": "numpy.floor",
    "ceil": "numpy.ceil",
    "trunc": "numpy.trunc numpy.fix",
    "rint": "numpy.rint",
    "sign": "numpy.sign",
    "heaviside": "numpy.heaviside",
    "abs": "builtins.abs operator.abs math.fabs numpy.absolute numpy.fabs",
    "copysign": "math.copysign numpy.copysign",
    "maximum": "numpy.maximum",
    "minimum": "numpy.minimum",
    "fmax": "math.fmax numpy.fmax",
    "fmin": "math.fmin numpy.fmin",
    "sqrt": "math.sqrt numpy.sqrt",
    "cbrt": "math.cbrt numpy.cbrt",
    "hypot": "math.hypot numpy.hypot",
    "ldexp": "math.ldexp numpy.ldexp",
    "exp": "math.exp numpy.exp",
    "exp2": "math.exp2 numpy.exp2",
    "expm1": "math.expm1 numpy.expm1",
    "log": "math.log numpy.log",
    "log2": "math.log2 numpy.log2",
    "log10": "math.log10 numpy.log10",
    "log1p": "math.log1p numpy.log1p",
    "logaddexp": "numpy.logaddexp",
    "logaddexp2": "numpy.logaddexp2",
    "radians": "math.radians numpy.radians numpy.deg2rad",
    "degrees": "math.degrees numpy.degrees numpy.rad2deg",
    "sin": "math.sin numpy.sin",
    "cos": "math.cos numpy.cos",
    "tan": "math.tan numpy.tan",
    "asin": "math.asin numpy.arcsin",
    "acos": "math.acos numpy.arccos",
    "atan": "math.atan numpy.arctan",
    "atan2": "math.atan2 numpy.arctan2",
    "sinc": "numpy.sinc",
    "spherical_jn": "special.spherical_jn",
    "sinh": "math.sinh numpy.sinh",
    "cosh": "math.cosh numpy.cosh",
    "tanh": "math.tanh numpy.tanh",
    "asinh": "math.asinh numpy.arcsinh",
    "acosh": "math.acosh numpy.arccosh",
    "atanh": "math.atanh numpy.arctanh",
    "erf": "math.erf",
    "erfc": "math.erfc",
    "gamma": "math.gamma",
    "lgamma": "math.lgamma",
    "digamma": "special.digamma",
    "polygamma": "special.polygamma",
}


# Values that are functions of ours in plain Python.
OWN: dict[str, Callable] = {
    name: getattr(_special, name)
    for name in ("digamma", "polygamma", "sinc", "spherical_jn", "ieee_remainder")
}


def functions_of(name: str) -> tuple[Callable, ...]:
    """The callables that mean row `name`, without those this version of Python or NumPy lacks."""
    paths = (path.split(".") for path in _FUNCTIONS[name].split())
    found = (getattr(_MODULES[module], attribute, None) for module, attribute in paths)
    return tuple(dict.fromkeys(function for function in found if function is not None))


# Numba's `math.floor` and `math.ceil` return int64, wrong beyond 2**63, and it has no `math.fmod` and no
# `math.cbrt`; NumPy's versions compile to one instruction or one call and keep float32.
_SCALAR = {
    "numpy": "cbrt ceil floor fmax fmin fmod logaddexp logaddexp2 maximum minimum reciprocal rint sign "
    "square trunc",
    "special": "digamma heaviside ieee_remainder polygamma sinc spherical_jn",
    "math": "acos acosh asin asinh atan atan2 atanh copysign cos cosh degrees erf erfc exp expm1 gamma hypot "
    "ldexp lgamma log log10 log1p log2 radians sin sinh sqrt tan tanh",
    "builtins": "abs int",
}
_OPERATORS = "add subtract multiply divide negative positive pow remainder floor_divide"


def scalar_functions() -> dict[str, Callable]:
    """The names that value and partial expressions use; Numba compiles all for floats and ints."""
    paths = [(module, name) for module, text in _SCALAR.items() for name in text.split()]
    names = {name: getattr(_MODULES[module], name) for module, name in paths}
    names |= {name: functions_of(name)[0] for name in _OPERATORS.split()}
    return names | {"exp2": getattr(math, "exp2", numpy.exp2)}
