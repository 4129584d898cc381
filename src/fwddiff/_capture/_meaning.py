"""What a wrapped function means beyond its code: `wrt`, an engine, a rule of the user's.

A wrapped function shows it as `__fwddiff_meaning__`. Engines ask for it when they meet the function in other
code; hosts get it from the outermost call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple


@dataclass(frozen=True, eq=False)
class UserRule:
    """The derivative that a user wrote for `function` (see `fwddiff.custom_rule`)."""

    function: Callable
    rrule: Callable | None
    frule: Callable | None

    engine: ClassVar[str] = "numpy"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UserRule) and self._functions == other._functions

    def __hash__(self) -> int:
        return hash(self._functions)

    @property
    def _functions(self) -> tuple:
        return self.function, self.rrule, self.frule

    def bound(self, instance: Any) -> UserRule:
        """The same rule of a method: `self` is an argument without derivative."""
        rrule, frule = self.rrule, self.frule

        def bound_rrule(*args):
            y, pullback = rrule(instance, *args)  # type: ignore[misc]
            return y, lambda cotangent: tuple(pullback(cotangent))[1:]

        def bound_frule(primals, tangents):
            return frule((instance, *primals), (None, *tangents))  # type: ignore[misc]

        return replace(
            self,
            function=self.function.__get__(instance),
            rrule=rrule and bound_rrule,
            frule=frule and bound_frule,
        )


@dataclass(frozen=True)
class Foreign:
    """`function` is written for a framework, which differentiates it; `engine` has the framework's name."""

    function: Callable
    engine: str

    def bound(self, instance: Any) -> Foreign:
        """The same of a method."""
        return replace(self, function=self.function.__get__(instance))


class Meaning(NamedTuple):
    """`wrt` has positions of arguments, `None` for all; `engine` is "numpy" where the function must not be
    compiled."""

    wrt: frozenset[int] | None = None
    engine: str = "auto"
    rule: UserRule | Foreign | None = None

    def around(self, inner: Meaning) -> Meaning:
        """That of a function wrapped a second time: both hold."""
        both = self.wrt if inner.wrt is None else inner.wrt if self.wrt is None else self.wrt & inner.wrt
        engine = inner.engine if inner.engine == "numpy" else self.engine
        return Meaning(both, engine, self.rule or inner.rule)


NOTHING = Meaning()
# The function that a stand-in of an engine's was made for: operators differentiate that.
STANDS_FOR = "__fwddiff_stands_for__"


def meaning_of(function: Any) -> Meaning:
    """That of a wrapped function; that of any other function is its code."""
    # Asked of the class: `functools.wraps` copies the attributes of objects.
    is_wrapped = hasattr(type(function), "__fwddiff_meaning__")
    return function.__fwddiff_meaning__ if is_wrapped else NOTHING
