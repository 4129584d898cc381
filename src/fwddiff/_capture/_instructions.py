"""Python's instructions, by what they take from the stack: versions 3.11 to 3.14."""

from __future__ import annotations

import dis
import functools
from types import CodeType


@functools.lru_cache(maxsize=64)
def instructions(code: CodeType) -> tuple[dis.Instruction, ...]:
    """All instructions. A plan looks at them for several reasons, and reading them anew takes most of the
    time in which a long function's kernel is found on disk (20 µs each)."""
    return tuple(dis.get_instructions(code))


def has_loop(code: CodeType) -> bool:
    """Whether the code jumps backwards."""
    return any("JUMP_BACKWARD" in i.opname or i.opname == "FOR_ITER" for i in instructions(code))


def assigned_names(instruction) -> tuple[str, ...]:
    """Local variables that an instruction gives a value or takes one from."""
    name, value = instruction.opname, instruction.argval
    if name in ("STORE_FAST_LOAD_FAST", "STORE_FAST_MAYBE_NULL"):
        return (value[0],) if isinstance(value, tuple) else (value,)
    if name.startswith(("STORE_FAST", "STORE_DEREF", "DELETE_FAST", "LOAD_FAST_AND_CLEAR")):
        return value if isinstance(value, tuple) else (value,)
    return ()


# Instructions that take so many values, for one use, and push so many that are new.
SIMPLE = {
    "COMPARE_OP": (2, "scalar", 1),
    "CONTAINS_OP": (2, "whole", 1),
    "IS_OP": (2, "neutral", 1),
    "UNARY_POSITIVE": (1, "scalar", 1),
    "UNARY_NEGATIVE": (1, "scalar", 1),
    "UNARY_NOT": (1, "scalar", 1),
    "UNARY_INVERT": (1, "scalar", 1),
    "TO_BOOL": (1, "scalar", 1),
    "RETURN_VALUE": (1, "neutral", 0),
    "POP_EXCEPT": (1, "neutral", 0),
    "STORE_DEREF": (1, "whole", 0),
    "STORE_GLOBAL": (1, "whole", 0),
    "STORE_NAME": (1, "whole", 0),
    "LIST_APPEND": (1, "whole", 0),
    "SET_ADD": (1, "whole", 0),
    "MAP_ADD": (2, "whole", 0),
}

# What tells one object from another: comparisons, and functions and methods that compare or hash.
IDENTITY = {"IS_OP": "is", "CONTAINS_OP": "in", "COMPARE_OP": "=="}
IDENTITY_CALLS = {"id", "hash", "index", "count", "remove", "discard", "get", "pop", "setdefault", "add"}

# Instructions by the beginning of their names; the first that fits counts.
FAMILIES = (
    ("BUILD_", "_build"),
    ("LOAD_CLASSDEREF", "_load_deref"),
    ("LOAD_FAST_AND_CLEAR", "_load_other"),
    ("LOAD_FAST", "_load_fast"),
    ("LOAD_CLOSURE", "_load_other"),
    ("LOAD_", "_load_other"),
    ("STORE_FAST", "_store_fast"),
    ("POP_TOP", "_drop"),
    ("POP_ITER", "_drop"),
    ("END_FOR", "_drop"),
    *[
        (name, "_nothing")
        for name in (
            "RESUME",
            "NOP",
            "CACHE",
            "PRECALL",
            "EXTENDED_ARG",
            "MAKE_CELL",
            "COPY_FREE_VARS",
            "NOT_TAKEN",
        )
    ],
)
