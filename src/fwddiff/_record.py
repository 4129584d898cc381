"""One record per scalar function: what it is called, its slopes, its domain, what it is checked against.

A record is written beside its function, in the file of its family (`fwddiff.special`). The rules table, the
engines, the tests and the documentation read it; nothing else lists functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# Bounds of an argument for tests and the table of accuracy: (lowest, highest), or a tuple of integers.
Domain = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """One scalar function.

    Args:
        function: The function in plain Python, with `math` and other recorded functions, on floats.
        code: What derivatives are taken of where a slope is `None`: plain Python that runs on floats and,
            compiled or not, on dual numbers. The function itself, unless that is SciPy's.
        slopes: One text per argument, in the language of the rules table (`fwddiff.rules`); `None` where
            the slope is that of `code`. An argument that is a whole number has "0".
        scipy: Names in `scipy.special` that mean this function, with the arguments in this order.
        scipy_value: The name under which SciPy exports compiled code for the value in kernels (`name[k]`:
            result k of several), "" for that of `function`.
        whole: Positions of arguments that are integers.
        domain: Where tests look, by argument: (lowest, highest).
        oracle: The value as an expression of mpmath in the arguments.
        choices: What was chosen where no derivative exists.
        keep_texts: Whether slopes that are texts stay so where others are asked for as well, which are those
            of `code`: they have digits that the code loses, at the price of one more value.
    """

    function: Callable[..., float]
    code: Callable[..., float]
    slopes: tuple[str | None, ...]
    scipy: tuple[str, ...] = ()
    scipy_value: str = ""
    whole: tuple[int, ...] = ()
    domain: Domain = field(default_factory=dict)
    oracle: str = ""
    choices: str = ""
    keep_texts: bool = False

    @property
    def apart(self) -> tuple[int, ...]:
        """Positions of arguments whose slopes are never those of the code."""
        texts = (k for k, slope in enumerate(self.slopes) if slope is not None and k not in self.whole)
        return tuple(texts) if self.keep_texts else ()

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def arguments(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self.function).parameters)


# By name, in the order in which they are written.
RECORDS: dict[str, Record] = {}
# Functions of several records, or of a table row, by the names of `scipy.special` that mean them.
COMPOSED: dict[str, Callable] = {}
# Functions of whole arrays by the same names; each engine has a form of its own.
OF_ARRAYS: dict[str, Callable] = {}


def means(scipy: str) -> Callable[[Callable], Callable]:
    """Decorator for a plain function without slopes of its own: what these names of SciPy's mean."""

    def composed(function: Callable) -> Callable:
        COMPOSED.update(dict.fromkeys(scipy.split(), function))
        return function

    return composed


def of_arrays(function: Callable) -> Callable:
    """Decorator for a function of arrays: what SciPy's function of this name means."""
    OF_ARRAYS[function.__name__] = function
    return function


def record(
    *slopes: str | None,
    scipy: str = "",
    scipy_value: str = "",
    code: Callable[..., float] | None = None,
    whole: tuple[int, ...] = (),
    domain: Domain | None = None,
    oracle: str = "",
    choices: str = "",
    keep_texts: bool = False,
) -> Callable[[Callable[..., float]], Callable[..., float]]:
    """Decorator that records a function and gives it back; see `Record`. `scipy`: names, parted by spaces."""

    def recorded(function: Callable[..., float]) -> Callable[..., float]:
        made = Record(
            function=function,
            code=code or function,
            slopes=slopes,
            scipy=tuple(scipy.split()),
            scipy_value=scipy_value,
            whole=whole,
            domain=domain or {},
            oracle=oracle,
            choices=choices,
            keep_texts=keep_texts,
        )
        assert len(slopes) == len(made.arguments), f"{function.__name__}: one slope per argument"
        RECORDS[function.__name__] = made
        return function

    return recorded


def from_scipy(name: str, *arguments: float, result: int = 0) -> float:
    """The value of a function of `scipy.special` at numbers; `result` says which of several."""
    from scipy import special

    value = getattr(special, name)(*arguments)
    return float(value[result] if isinstance(value, tuple) else value)
