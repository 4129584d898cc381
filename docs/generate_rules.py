"""Writes docs/rules.md from the rules table: `python docs/generate_rules.py`. A test keeps it up to date."""

from __future__ import annotations

from pathlib import Path

from fwddiff import rules

PAGE = Path(__file__).with_name("rules.md")
_START = """# The rules

<!-- Written by docs/generate_rules.py; edit src/fwddiff/rules/_rows.py instead. -->

Every derivative of a scalar function is one row of `fwddiff.rules.RULES`, read by all engines. In a row, `y`
is the function's value and `where(condition, a, b)` picks `a` or `b`. SymPy proves the smooth rows, mpmath
checks first and second derivatives of all of them, at extreme arguments and where formulas meet, by every
pair of arguments in both orders. Second derivatives at kinks, poles and infinities: see [Limits](limits.md).
`fd.scalar_rule` adds rows of your own.

| function | derivative | where none exists, or the limit | callables |
| --- | --- | --- | --- |
"""
_END = """
Outside its domain a function's value is nan; its derivative there is not promised to be.

`math.floor`, `math.ceil`, `math.trunc` and `round` return integers, and carry no derivative.
"""


def page() -> str:
    """The text of docs/rules.md."""
    return _START + "".join(map(_line, rules.RULES, rules.built_in())) + _END


def _line(signature: str, row: rules.Row) -> str:
    integers = rules.INTEGER_ARGUMENTS.get(row.name, ())
    pairs = list(zip(row.arguments, row.partials, strict=True))
    named = [pair for k, pair in enumerate(pairs) if k not in integers]
    derivative = "<br>".join(f"`{p}`" if len(row.arguments) == 1 else f"{a}: `{p}`" for a, p in named)
    functions = ", ".join(f"`{_name(function)}`" for function in row.functions)
    return f"| `{signature}` | {derivative} | {rules.CHOICES.get(row.name, '')} | {functions} |\n"


def _name(function) -> str:
    module = "numpy" if type(function).__name__ == "ufunc" else function.__module__
    return (
        f"{module if module.startswith('fwddiff') else module.lstrip('_').split('.')[0]}.{function.__name__}"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
