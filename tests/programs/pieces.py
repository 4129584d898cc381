"""How to write each row of the rules table with arguments from inside its domain, and away from its kinks.

In a template `A` and `B` stand for any expression, `S` for one between -1 and 1, `P` for one between 0.3
and 3, `C` for a constant that no expression meets by chance.
"""

from __future__ import annotations

import builtins
import math

import numpy as np

from fwddiff import rules

SQUASHED = (
    "math.tanh(A)",
    "math.sin(A)",
    "np.cos(A)",
    "(A) / math.sqrt(1.0 + (A) * (A))",
    "0.6 * np.arctan(A)",
)
POSITIVE = ("(1.4 + S)", "math.exp(S)", "(0.4 + (S) ** 2)", "np.sqrt(1.7 + S)")

# Row → templates of its arguments.
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "pow": ("P, S", "P, B", "P, 2", "A, 3", "P, -2", "P, C"),
    "divide": ("A, P",),
    "remainder": ("A + C, P", "A + C, 1.3"),
    "fmod": ("A + C, P",),
    "ieee_remainder": ("A + C, P",),
    "floor_divide": ("A + C, P",),
    "reciprocal": ("P",),
    "floor": ("A + C",),
    "ceil": ("A + C",),
    "trunc": ("A + C",),
    "rint": ("A + C",),
    "sign": ("A + C",),
    "heaviside": ("A + C, 0.5",),
    "abs": ("A + C", "A - B + C"),
    "copysign": ("A, B + C",),
    "maximum": ("A, B + C", "A, C"),
    "minimum": ("A, B + C", "C, A"),
    "fmax": ("A, B + C",),
    "fmin": ("A, B + C",),
    "sqrt": ("P",),
    "cbrt": ("P",),
    "hypot": ("A, P", "P, B"),
    "ldexp": ("A, 2", "A, -1"),
    "exp": ("S", "-A * A"),
    "exp2": ("S",),
    "expm1": ("S",),
    "log": ("P",),
    "log2": ("P",),
    "log10": ("P",),
    "log1p": ("0.9 * S", "(A) ** 2"),
    "degrees": ("0.05 * (A)",),
    "tan": ("S",),
    "asin": ("0.9 * S",),
    "acos": ("0.9 * S",),
    "atan2": ("A, P", "P, B"),
    "atanh": ("0.9 * S",),
    "sinh": ("S",),
    "cosh": ("S",),
    "acosh": ("1.1 + P",),
    "gamma": ("P",),
    "lgamma": ("P",),
}

INFIX = {
    "add": "(A) + (B)",
    "subtract": "(A) - (B)",
    "multiply": "(A) * (B)",
    "divide": "(A) / P",
    "negative": "-(A)",
    "positive": "+(A)",
    "pow": "P ** S",
    "remainder": "(A + C) % P",
    "floor_divide": "(A + C) // P",
}
# Python spellings beyond the table.
OTHERS = (
    "(A) ** 2",
    "(A) ** 3",
    "P ** -1",
    "(A) * (A)",
    "max(A, B + C)",
    "min(A, B + C, C)",
    "float(A)",
    "np.float64(A) * 0.5",
    "(A if B < C else C)",
    "(S if A > B + C else B)",
    "np.where(A < C, B, S)",
    "np.clip(A, -1.37, C)",
    "round(A + C) * (B)",
    "int(A + C) * (B)",
    "math.floor(A + C) + (B)",
    "math.log(P, 3.0)",
    "math.hypot(A, P)",
    "abs(A + C)",
    "divmod(A + C, P)[1]",
    "pow(P, S)",
    "(0.5 * (A) + C)",
)

_SPELLINGS = {math: "math", np: "np", builtins: ""}


def templates() -> list[str]:
    """All ways to write the rows of the table that users can spell."""
    found = [*INFIX.values(), *OTHERS]
    for row in rules.built_in():
        default = ", ".join("AB"[: len(row.arguments)])
        for function in row.functions:
            name = function.__name__
            home = next((m for m in _SPELLINGS if getattr(m, name, None) is function), None)
            if home is None or (home is builtins and name not in ("abs", "pow")):
                continue
            prefix = _SPELLINGS[home]
            for arguments in ARGUMENTS.get(row.name, (default,)):
                found.append(f"{prefix}{prefix and '.'}{name}({arguments})")
    return found


TEMPLATES = templates()
