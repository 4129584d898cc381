"""Functions whose compilation is timed: written as their users would, or as text where they are long.

`get(which)` → the function and a point. Those in `STRAIGHT` have neither branches nor loops, so that
other libraries' arrays can go through them: `with_functions_of(f, module)` is the same function with that
library's `exp`, `log`, …
"""

from __future__ import annotations

import builtins
import math
import types
from collections.abc import Callable
from typing import Any


def line(a, x):
    return -math.log(a) - x / a


def continued_fraction(a, b, x):
    """For the incomplete beta function (Lentz's method, as in Numerical Recipes)."""
    qab = a + b
    qap = a + 1.0
    qam = a - 1.0
    c = 1.0
    d = 1.0 - qab * x / qap
    if abs(d) < 1e-300:
        d = 1e-300
    d = 1.0 / d
    h = d
    m = 1
    while m < 5000:
        m2 = 2 * m
        aa = m * (b - m) * x / ((qam + m2) * (a + m2))
        d = 1.0 + aa * d
        c = 1.0 + aa / c
        d = 1.0 / d
        h = h * (d * c)
        aa = -(a + m) * (qab + m) * x / ((a + m2) * (qap + m2))
        d = 1.0 + aa * d
        c = 1.0 + aa / c
        d = 1.0 / d
        de = d * c
        h = h * de
        if abs(de - 1.0) < 1e-15:
            return h
        m += 1
    return h


def incomplete_beta(a, b, x):
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta)
    if x < (a + 1.0) / (a + b + 2.0):
        return front * continued_fraction(a, b, x) / a
    return 1.0 - front * continued_fraction(b, a, 1.0 - x) / b


def cumulative(x):
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def barrier_option(S, K, H, r, q, v, T):
    """Price of a down-and-out call (Reiner and Rubinstein 1991)."""
    s = v * math.sqrt(T)
    lam = (r - q + 0.5 * v * v) / (v * v)
    y = math.log(H * H / (S * K)) / s + lam * s
    x1 = math.log(S / H) / s + lam * s
    y1 = math.log(H / S) / s + lam * s
    d1 = math.log(S / K) / s + lam * s
    if H <= K:
        c = S * math.exp(-q * T) * cumulative(d1) - K * math.exp(-r * T) * cumulative(d1 - s)
        p = (H / S) ** (2 * lam)
        knocked = S * math.exp(-q * T) * p * cumulative(y)
        return c - knocked + K * math.exp(-r * T) * (H / S) ** (2 * lam - 2) * cumulative(y - s)
    out = S * cumulative(x1) * math.exp(-q * T) - K * math.exp(-r * T) * cumulative(x1 - s)
    out = out - S * math.exp(-q * T) * (H / S) ** (2 * lam) * cumulative(y1)
    return out + K * math.exp(-r * T) * (H / S) ** (2 * lam - 2) * cumulative(y1 - s)


def _cell(gates: int = 16) -> str:
    """The membrane current of a cell with voltage-dependent gates, as in Hodgkin and Huxley 1952."""
    lines = [
        "def cell(v, sodium, potassium, leak, heat):",
        "scale = math.exp(0.07 * (heat - 6.3))",
        "total = leak * (v + 54.4)",
    ]
    for k in range(gates):
        lines += [
            f"opening{k} = {0.1 + 0.01 * k} * math.exp((v + {40 + k}.0) / {18 + k}.0) * scale",
            f"closing{k} = {4.0 - 0.1 * k} / (1.0 + math.exp(-(v + {65 - k}.0) / {10 + k}.0))",
            f"time{k} = 1.0 / (opening{k} + closing{k})",
            f"open{k} = opening{k} * time{k}",
            f"current{k} = {'sodium' if k % 2 else 'potassium'} * open{k} * open{k} * (v - {50 - 8 * k}.0)",
            f"total = total + current{k} * math.tanh(time{k})",
        ]
    return "\n    ".join([*lines, "return total"])


def _straight_lines(count: int) -> str:
    body = [f"y = y * {0.9 - 0.0001 * k} + math.sin(y + x) * 0.1" for k in range(count)]
    return "\n    ".join(["def straight_lines(x, y):", *body, "return y"])


def _product(count: int) -> str:
    names = [f"x{k}" for k in range(count)]
    return f"def product({', '.join(names)}):\n    return {' * '.join(names)}"


_WRITTEN = {
    "line": (line, (1.2, 3.4)),
    "incomplete beta": (incomplete_beta, (2.3, 0.7, 0.4)),
    "barrier option": (barrier_option, (100.0, 95.0, 90.0, 0.05, 0.01, 0.2, 1.0)),
}
_TEXTS = {
    "model": (_cell(), (-60.0, 1.2, 0.36, 0.003, 6.3)),
    **{f"{n} straight lines": (_straight_lines(n), (0.3, 0.4)) for n in (100, 400)},
    **{f"product of {n}": (_product(n), tuple(1 + 0.01 * k for k in range(n))) for n in (12, 16)},
}
SPECIAL = "special "  # and the name of a special function
STRAIGHT = ("line", *_TEXTS)


def get(which: str) -> tuple[Callable[..., Any], tuple[float, ...]]:
    if which in _WRITTEN:
        return _WRITTEN[which]
    if which.startswith(SPECIAL):
        from benchmarks.workloads import first_gradients  # imports what others do without

        return first_gradients.get(which.removeprefix(SPECIAL))
    text, point = _TEXTS[which]
    return defined(text), point


def defined(text: str) -> Callable[..., Any]:
    """The function that the text defines."""
    namespace: dict[str, Any] = {"math": math}
    exec(text, namespace)
    return next(value for name, value in namespace.items() if isinstance(value, types.FunctionType))


def with_functions_of(function: Callable[..., Any], module: Any) -> Callable[..., Any]:
    return types.FunctionType(function.__code__, {"math": module, "__builtins__": builtins})


def for_numba(which: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The plain function for `numba.njit`, which calls compiled helpers alone."""
    import numba

    if which.startswith(SPECIAL):
        from benchmarks.workloads import first_gradients

        return first_gradients.for_numba(which.removeprefix(SPECIAL))
    helpers = {f.__name__: numba.njit(f) for f in (continued_fraction, cumulative)}
    return types.FunctionType(function.__code__, {"math": math, **helpers})
