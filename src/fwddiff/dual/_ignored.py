"""Functions with a `fd.scalar_rule` that nobody's names led to: their own code meets dual numbers.

Code is made again with the rules of all that its names lead to, from where it is called. A method of an
object made inside, an import there, or `getattr` lead elsewhere. Such a function would have the derivative
of its code, so the first thing that it does with a dual number raises.
"""

from __future__ import annotations

import sys
from types import FrameType

from fwddiff import rules
from fwddiff._errors import DerivativeError

_ENGINES = "fwddiff.engines."


def refuse_ignored() -> None:
    """Raise if what is running now is the code of a function with a rule, called as any function is."""
    if not rules.ruled_codes:
        return
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not _is_engine(frame):
        ruled = rules.ruled_codes.get(frame.f_code)
        if ruled is not None and not _is_by_rule(frame):
            raise DerivativeError(
                f"the scalar_rule of `{ruled}` would be ignored here: what calls it, {_caller(frame)}, does "
                "not lead to it by names alone. Name it (`helper(x)`, `module.helper(x)`) where it is "
                "called: in the differentiated function, in its helpers, or in methods of objects that these "
                "name."
            )
        frame = frame.f_back


def _is_engine(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(_ENGINES)


def _is_by_rule(frame: FrameType) -> bool:
    """Whether the engine calls it, for its value: what it captures may be dual numbers there."""
    return frame.f_back is not None and _is_engine(frame.f_back)


def _caller(frame: FrameType) -> str:
    code = frame.f_back.f_code if frame.f_back is not None else frame.f_code
    return f"`{code.co_name}` (line {frame.f_back.f_lineno if frame.f_back is not None else 0})"
