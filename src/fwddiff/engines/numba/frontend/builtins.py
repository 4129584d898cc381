"""What Python's builtins and `math` do with several numbers, or with one in several parts, where Numba lacks
it."""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import builtins
import functools
import math
import operator
from typing import Any

import numpy as np

from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.numbers import is_number
from fwddiff.engines.numba.frontend.options import overload
from numba import types
from numba.extending import register_jitable

_LISTS = types.List | types.ListType | types.Array
_ITERABLES = types.IterableType | types.BaseTuple


def _written(name: str, parameters: str, expression: str, **namespace):
    """An implementation that returns one expression."""
    return compile_function(name, f"def {name}({parameters}):\n    return {expression}\n", namespace)


def _items(kind, name: str) -> list[str]:
    return [f"{name}[{k}]" for k in range(len(kind))]


def _folded(function: str, items: list[str], first: str | None = None) -> str:
    """`f(f(a, b), c)` as text."""
    texts = items if first is None else [first, *items]
    return functools.reduce(lambda a, b: f"{function}({a}, {b})", texts)


# --- any, all, min, max, reversed, tuple --------------------------------------------------------------------


@overload(any)
def any_of(values):
    if isinstance(values, types.BaseTuple):
        return _written(
            "any_of", "values", " or ".join(f"bool({i})" for i in _items(values, "values")) or "False"
        )
    if not isinstance(values, types.IterableType):
        return None

    def implementation(values):
        for value in values:  # noqa: SIM110 - Numba has no generators in arguments
            if value:
                return True
        return False

    return implementation


@overload(all)
def all_of(values):
    if isinstance(values, types.BaseTuple):
        return _written(
            "all_of", "values", " and ".join(f"bool({i})" for i in _items(values, "values")) or "True"
        )
    if not isinstance(values, types.IterableType):
        return None

    def implementation(values):
        for value in values:  # noqa: SIM110
            if not value:
                return False
        return True

    return implementation


def _register_extremum_of(function) -> None:
    def with_default(values, default):
        if not isinstance(values, types.List) or not is_number(values.dtype) or not is_number(default):
            return None

        def implementation(values, default):
            if len(values) == 0:
                return default
            return function(values)

        return implementation

    overload(function)(with_default)


@overload(reversed)
def reversed_of(values):
    if isinstance(values, types.BaseTuple):
        listing = "".join(f"{item}, " for item in reversed(_items(values, "values")))
        return _written("reversed_of", "values", f"({listing})")
    if isinstance(values, types.RangeType):

        def of_range(values):
            last = values.start + (len(values) - 1) * values.step
            return range(last, values.start - values.step, -values.step)

        return of_range
    return (lambda values: values[::-1]) if isinstance(values, _LISTS) else None


@overload(operator.mul)
def repeated_tuple(values, count):
    if isinstance(values, types.BaseTuple) and isinstance(count, types.IntegerLiteral):
        listing = "".join(f"{item}, " for item in _items(values, "values") * count.literal_value)
        return _written("repeated", "values, count", f"({listing})")
    return None


@overload(operator.iadd)
def longer_tuple(a, b):
    if isinstance(a, types.BaseTuple) and isinstance(b, types.BaseTuple):
        return lambda a, b: a + b
    return None


@overload(sum)
def sum_of_others(values, start=0):
    """Of iterators; Numba has it for lists, arrays and tuples."""
    if not isinstance(values, types.IteratorType):
        return None

    def implementation(values, start=0):
        total = start
        for value in values:
            total = total + value
        return total

    return implementation


# --- math: of several numbers -------------------------------------------------------------------------------


@overload(math.hypot)
def hypot_of_several(*lengths):
    if len(lengths) == 1 and isinstance(lengths[0], types.BaseTuple):
        lengths = lengths[0].types
    if len(lengths) == 2 or not all(map(is_number, lengths)):
        return None
    items = [f"lengths[{k}]" for k in range(len(lengths))]
    text = _folded("hypot", items, None if items else "zero") if len(items) != 1 else f"abs({items[0]})"
    return _written("hypot_of_several", "*lengths", text, hypot=math.hypot, zero=0.0)


def _differences(p, q) -> list[str] | None:
    if not isinstance(p, types.BaseTuple) or not isinstance(q, types.BaseTuple) or len(p) != len(q):
        return None
    return [f"p[{k}] - q[{k}]" for k in range(len(p))]


@overload(math.dist)
def dist(p, q):
    differences = _differences(p, q)
    if differences is not None:
        return _written("dist", "p, q", f"hypot({', '.join(differences)})", hypot=math.hypot)
    if not isinstance(p, _LISTS) or not isinstance(q, _LISTS):
        return None

    def implementation(p, q):
        if len(p) != len(q):
            raise ValueError("both points must have the same number of dimensions")
        total = 0.0 * p[0]
        for k in range(len(p)):
            total = math.hypot(total, p[k] - q[k])
        return total

    return implementation


@overload(math.prod)
def prod(values, start=1):
    if isinstance(values, types.BaseTuple):
        return _written("prod", "values, start=1", " * ".join(["start", *_items(values, "values")]))
    if not isinstance(values, types.IterableType):
        return None

    def implementation(values, start=1):
        product = start
        for value in values:
            product = product * value
        return product

    return implementation


@overload(math.fsum)
def fsum(values):
    if not isinstance(values, _ITERABLES):
        return None

    def implementation(values):
        """Neumaier's sum: exact but for the last digits."""
        total, lost = 0.0, 0.0
        for value in values:
            value = float(value)
            larger = total + value
            if abs(total) >= abs(value):
                lost = lost + ((total - larger) + value)
            else:
                lost = lost + ((value - larger) + total)
            total = larger
        return total + lost

    return implementation


def _sumprod(p, q):
    if isinstance(p, types.BaseTuple) and isinstance(q, types.BaseTuple) and len(p) == len(q):
        return _written("sumprod", "p, q", " + ".join(f"p[{k}] * q[{k}]" for k in range(len(p))) or "0")
    if not isinstance(p, _LISTS) or not isinstance(q, _LISTS):
        return None

    def implementation(p, q):
        if len(p) != len(q):
            raise ValueError("Inputs are not the same length")
        total = 0
        for k in range(len(p)):
            total = total + p[k] * q[k]
        return total

    return implementation


# --- math: parts of a number, and comparisons ---------------------------------------------------------------


@overload(math.modf)
def modf(x):
    if not is_number(x):
        return None

    def implementation(x):
        whole = np.trunc(float(x))
        fraction = x - whole
        if math.isinf(whole):
            fraction = math.copysign(0.0, whole)
        return fraction, whole

    return implementation


@overload(math.isclose)
def isclose(a, b, rel_tol=1e-09, abs_tol=0.0):
    if not is_number(a) or not is_number(b):
        return None
    return isclose_of_numbers


def isclose_of_numbers(a, b, rel_tol=1e-09, abs_tol=0.0):
    if a == b:
        return True
    if math.isinf(a) or math.isinf(b):
        return False
    return abs(a - b) <= max(rel_tol * max(abs(a), abs(b)), abs_tol)


# --- math: of integers --------------------------------------------------------------------------------------


def _are_integers(*kinds) -> bool:
    return all(isinstance(kind, types.Integer | types.Boolean) for kind in kinds)


_LARGEST = 2**63 - 1
_TOO_LARGE = "the result is no 64-bit integer; engine='numpy' has Python's integers"


@register_jitable
def _product(a, b):
    """Of integers that are not negative."""
    if b != 0 and a > _LARGEST // b:
        raise OverflowError(_TOO_LARGE)
    return a * b


@overload(math.perm)
def perm(n, k=None):
    every = k is None or isinstance(k, types.NoneType) or isinstance(getattr(k, "value", 0), type(None))
    if not _are_integers(n) or not (every or _are_integers(k)):
        return None

    def implementation(n, k=None):
        last: Any = n if every else k
        if n < 0 or last < 0:
            raise ValueError("perm() takes non-negative integers")
        product = 1 if last <= n else 0
        for i in range(last):
            product = _product(product, max(n - i, 0))
        return product

    return implementation


@overload(math.comb)
def comb(n, k):
    if not _are_integers(n, k):
        return None

    def implementation(n, k):
        if n < 0 or k < 0:
            raise ValueError("comb() takes non-negative integers")
        found = 1 if k <= n else 0
        for i in range(min(k, n - k)):
            # found * (n - i) // (i + 1), without a number larger than the result
            found = _product(found // (i + 1), n - i) + found % (i + 1) * (n - i) // (i + 1)
        return found

    return implementation


@overload(math.factorial)
def factorial(n):
    if not _are_integers(n):
        return None

    def implementation(n):
        if n < 0:
            raise ValueError("factorial() not defined for negative values")
        product = 1
        for i in range(2, n + 1):
            product = _product(product, i)
        return product

    return implementation


@overload(math.isqrt)
def isqrt(n):
    if not _are_integers(n):
        return None

    def implementation(n):
        if n < 0:
            raise ValueError("isqrt() argument must be nonnegative")
        root = int(math.sqrt(n))
        while root * root > n:
            root -= 1
        while (root + 1) * (root + 1) <= n:
            root += 1
        return root

    return implementation


@register_jitable
def _lcm(a, b):
    return 0 if a == 0 or b == 0 else _product(abs(a) // math.gcd(a, b), abs(b))


def _register_integer_fold(function, of_two) -> None:
    def several(*numbers):
        if len(numbers) == 2 and function is math.gcd:
            return None
        if not _are_integers(*numbers):
            return None
        items = [f"numbers[{k}]" for k in range(len(numbers))]
        first = {0: "0" if function is math.gcd else "1", 1: f"abs({items[0]})" if items else ""}.get(
            len(items)
        )
        return _written("several", "*numbers", first or _folded("f", items), f=of_two)

    overload(function)(several)


def register() -> None:
    """Register what is not registered by a decorator."""
    for function in (builtins.min, builtins.max):
        _register_extremum_of(function)
    _register_integer_fold(math.gcd, math.gcd)
    _register_integer_fold(math.lcm, _lcm)
    if hasattr(math, "sumprod"):
        overload(math.sumprod)(_sumprod)
