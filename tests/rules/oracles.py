"""What each row means in mpmath, where it is smooth, and how well conditioned; no code of the package."""

from __future__ import annotations

import random
from collections.abc import Callable

import mpmath as mp

DIGITS = 60
EPSILON = 2.0**-52


def _spherical_jn(n, x):
    return mp.besselj(n + mp.mpf(1) / 2, x) * mp.sqrt(mp.pi / (2 * x)) if x else mp.mpf(n == 0)


VALUES: dict[str, Callable] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "negative": lambda x: -x,
    "positive": lambda x: +x,
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x,
    "pow": lambda a, b: mp.re(mp.power(a, b)),
    "remainder": lambda a, b: a - b * mp.floor(a / b),
    "fmod": lambda a, b: a - b * (mp.floor(a / b) if a / b > 0 else mp.ceil(a / b)),
    "ieee_remainder": lambda a, b: a - b * mp.nint(a / b),
    "floor_divide": lambda a, b: mp.floor(a / b),
    "floor": mp.floor,
    "ceil": mp.ceil,
    "trunc": lambda x: mp.floor(x) if x > 0 else mp.ceil(x),
    "rint": mp.nint,
    "sign": mp.sign,
    "heaviside": lambda x, h: h if x == 0 else mp.mpf(bool(x > 0)),
    "abs": abs,
    "copysign": lambda a, b: abs(a) if b > 0 else -abs(a),
    "maximum": max,
    "minimum": min,
    "fmax": max,
    "fmin": min,
    "sqrt": mp.sqrt,
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "hypot": mp.hypot,
    "ldexp": lambda x, n: x * mp.mpf(2) ** n,
    "exp": mp.exp,
    "exp2": lambda x: mp.mpf(2) ** x,
    "expm1": mp.expm1,
    "log": mp.log,
    "log2": lambda x: mp.log(x) / mp.log(2),
    "log10": lambda x: mp.log(x) / mp.log(10),
    "log1p": lambda x: mp.log(1 + x),
    "logaddexp": lambda a, b: mp.log(mp.exp(a) + mp.exp(b)),
    "logaddexp2": lambda a, b: mp.log(mp.mpf(2) ** a + mp.mpf(2) ** b) / mp.log(2),
    "radians": mp.radians,
    "degrees": mp.degrees,
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "asin": mp.asin,
    "acos": mp.acos,
    "atan": mp.atan,
    "atan2": mp.atan2,
    "sinc": mp.sincpi,
    "spherical_jn": lambda n, x: mp.sign(x) ** n * _spherical_jn(n, abs(x)),
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "tanh": mp.tanh,
    "asinh": mp.asinh,
    "acosh": mp.acosh,
    "atanh": mp.atanh,
    "erf": mp.erf,
    "erfc": mp.erfc,
    "gamma": mp.gamma,
    "lgamma": lambda x: mp.log(abs(mp.gamma(x))),
    "digamma": mp.digamma,
    "polygamma": lambda n, x: mp.polygamma(n, x),
}

_EVERYWHERE = (-4.0, 4.0)
_POSITIVE = (1e-3, 9.0)
# One interval per argument; an int pair stands for integer arguments.
_DOMAINS: dict[str, tuple] = {
    "pow": (_POSITIVE, _EVERYWHERE),
    "sqrt": (_POSITIVE,),
    "ldexp": (_EVERYWHERE, (-9, 9)),
    "log": (_POSITIVE,),
    "log2": (_POSITIVE,),
    "log10": (_POSITIVE,),
    "log1p": ((-0.99, 9.0),),
    "asin": ((-0.999, 0.999),),
    "acos": ((-0.999, 0.999),),
    "atanh": ((-0.999, 0.999),),
    "acosh": ((1.001, 9.0),),
    "spherical_jn": ((0, 4), (-9.0, 9.0)),
    "polygamma": ((0, 4), (-5.0, 9.0)),
}


def points(name: str, arguments: int, count: int, seed: int = 0) -> list[tuple[float, ...]]:
    """Random points inside the domain of row `name`."""
    generator = random.Random(f"{name}{seed}")
    domain = _DOMAINS.get(name, (_EVERYWHERE,) * arguments)
    draw = [generator.randint if isinstance(low, int) else generator.uniform for low, _ in domain]
    return [tuple(d(*interval) for d, interval in zip(draw, domain, strict=True)) for _ in range(count)]


def derivative(name: str, at: tuple[float, ...], orders: tuple[int, ...]) -> mp.mpf:
    """Mixed partial derivative of row `name`, by differences at several times the digits asked for."""
    with mp.workdps(DIGITS):
        if not any(orders):
            return value(name, at)
        return mp.re(mp.diff(VALUES[name], tuple(map(mp.mpf, at)), orders))


def value(name: str, at: tuple[float, ...]) -> mp.mpf:
    with mp.workdps(DIGITS):
        return mp.re(VALUES[name](*map(mp.mpf, at)))


def sensitivity(name: str, at: tuple[float, ...], orders: tuple[int, ...]) -> mp.mpf:
    """|D| + sum of |x_i ∂D/∂x_i|: how much D changes, at most, when the arguments change by one part."""
    total = abs(derivative(name, at, orders))
    for k, x in enumerate(at):
        if not isinstance(x, int):
            raised = tuple(order + (k == i) for i, order in enumerate(orders))
            total += abs(mp.mpf(x) * derivative(name, at, raised))
    return total
