"""A stand-in for the module `math` whose functions accept dual numbers."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fwddiff.dual._chain import differentiable, missing
from fwddiff.dual._number import max_level
from fwddiff.dual._parts import Operand, strip

# Functions of values alone, exact on duals because their results are locally constant (or True and False).
_BY_VALUE = ("ceil", "floor", "trunc", "isfinite", "isinf", "isnan", "isclose")


@functools.cache
def math_namespace() -> types.SimpleNamespace:
    """An object with all attributes of `math`; plain numbers go to `math`, duals to the table of rules.

    Functions without a derivative (`gcd`, `nextafter`, …) raise `DerivativeError` when called with a dual.
    """
    names = {name: getattr(math, name) for name in dir(math) if not name.startswith("__")}
    functions = {name: _stand_in(name, f) for name, f in names.items() if callable(f)}
    return types.SimpleNamespace(**(names | functions))


def _stand_in(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    if name in _BY_VALUE:
        on_duals = _by_value(function)
    elif name in _COMPOSED:
        on_duals = _COMPOSED[name]
    else:
        on_duals = differentiable(function)

    @functools.wraps(function)
    def stand_in(*arguments: Any, **options: Any) -> Any:
        arguments = tuple(list(a) if isinstance(a, Iterator) else a for a in arguments)
        if _plain(arguments) and _plain(options.values()):
            return function(*arguments, **options)
        return on_duals(*arguments, **options)

    return stand_in


def _plain(arguments: Iterable[Any]) -> bool:
    return max_level(x for a in arguments for x in (a if isinstance(a, list | tuple) else (a,))) < 0


def _by_value(function: Callable[..., Any]) -> Callable[..., Any]:
    def of_values(*arguments: Operand, **options: Operand) -> Any:
        return function(*map(strip, arguments), **{name: strip(x) for name, x in options.items()})

    return of_values


def _log(x: Operand, base: Operand = math.e) -> Operand:
    log = differentiable(math.log)
    return log(x) if base is math.e else log(x) / log(base)


def _hypot(*lengths: Operand) -> Operand:
    return functools.reduce(differentiable(math.hypot), lengths, 0.0)


def _dist(p: Iterable[Operand], q: Iterable[Operand]) -> Operand:
    return _hypot(*(a - b for a, b in zip(p, q, strict=True)))


def _prod(factors: Iterable[Operand], *, start: Operand = 1) -> Operand:
    return functools.reduce(lambda a, b: a * b, factors, start)


def _fsum(terms: Iterable[Operand]) -> Operand:
    return functools.reduce(lambda a, b: a + b, terms, 0.0)


def _sumprod(p: Iterable[Operand], q: Iterable[Operand]) -> Operand:
    return _fsum(a * b for a, b in zip(p, q, strict=True))


def _modf(x: Operand) -> tuple[Operand, float]:
    fraction, whole = math.modf(strip(x))
    return (fraction if math.isinf(whole) else x - whole), whole


def _frexp(x: Operand) -> tuple[Operand, int]:
    exponent = math.frexp(strip(x))[1]
    return differentiable(math.ldexp)(x, -exponent), exponent


def _ldexp(x: Operand, exponent: int) -> Operand:
    if max_level([exponent]) >= 0:
        raise missing(math.ldexp)
    return differentiable(math.ldexp)(x, exponent)


def _fma(x: Operand, y: Operand, z: Operand) -> Operand:
    return x * y + z


_COMPOSED: dict[str, Callable[..., Any]] = {
    "log": _log,
    "hypot": _hypot,
    "dist": _dist,
    "prod": _prod,
    "fsum": _fsum,
    "sumprod": _sumprod,
    "modf": _modf,
    "frexp": _frexp,
    "ldexp": _ldexp,
    "fma": _fma,
}
