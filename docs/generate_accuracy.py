"""Measures the special functions and writes docs/accuracy.json and docs/accuracy.md.

`python docs/generate_accuracy.py` measures all, in a quarter of an hour;
`… betainc gammainc` those again; `… --page` writes the page alone. Tests ask that the page is that of
the JSON file and that every record has a row.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fwddiff import special  # noqa: F401 - records its functions
from fwddiff._record import RECORDS

PAGE = Path(__file__).with_name("accuracy.md")
RESULTS = Path(__file__).with_name("accuracy.json")
_START = """# Accuracy of the special functions

<!-- Written by docs/generate_accuracy.py. -->

Largest relative errors of values (in brackets: in units in the last place) and of first derivatives, at
random
points of the domain, against mpmath with 50 digits; what is smaller than 1e-290, and slopes of what is,
do not count. Beside them
those of PyTorch (`torch.special`) and JAX (`jax.scipy.special`), in float64, at the same points: "none"
where a
derivative does not exist, "nan" where a number is not finite although the exact one is, nothing where the
function does not exist.

Errors are relative to the exact number even near zeros of a function, where digits are lost by the
rounding of
its argument alone: oscillating functions show larger ones for that reason.

Points are those at which mpmath found the same 18 digits with 50 and with 70, within seconds: where it
did not, nothing is
claimed. They are drawn uniformly, by magnitude where the domain spans many, and half of those of
distributions
within twelve standard deviations of the mean.

| function | domain | points | value | derivatives | PyTorch: value | derivatives | JAX: value | derivatives |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
_END = """
Starting points of iterations, which are constants to derivatives, and the like: {others}. They are
measured as part
of what calls them.
"""


def page(results: dict[str, Any]) -> str:
    """The text of docs/accuracy.md."""
    others = ", ".join(f"`{name}`" for name in RECORDS if name not in results)
    return (
        _START + "".join(_line(name, found) for name, found in results.items()) + _END.format(others=others)
    )


def _line(name: str, found: dict[str, Any]) -> str:
    arguments = ", ".join(found["arguments"])
    domain = ", ".join(f"{argument} {_bounds(bounds)}" for argument, bounds in found["domain"].items())
    cells = [f"`{name}({arguments})`", domain, str(found["points"])]
    for who in ("fwddiff", "torch", "jax"):
        errors = found.get(who)
        cells += [_value(errors), _slopes(errors, found["moving"])] if errors else ["", ""]
    return f"| {' | '.join(cells)} |\n"


def _bounds(bounds: list[float]) -> str:
    return f"{bounds[0]:g} … {bounds[-1]:g}"


def _value(errors: dict[str, Any]) -> str:
    return f"{_number(errors['value'])} ({errors['ulp']:.2g})" if errors["value"] is not None else "nan"


def _slopes(errors: dict[str, Any], moving: list[str]) -> str:
    slopes = errors["slopes"]
    shown = [(name, _number(slopes[name]) if name in slopes else "none") for name in moving]
    return shown[0][1] if len(shown) == 1 else ", ".join(f"{name}: {text}" for name, text in shown)


def _number(error: float | None) -> str:
    return "nan" if error is None else f"{error:.0e}" if error else "0"


def measure(names: list[str], known: dict[str, Any]) -> None:
    """Write the results, those of `names` (or all) measured again, in the order of the records."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from special import accuracy

    subjects = accuracy.subjects()
    for subject in subjects:
        if names and subject.name not in names:
            continue
        known[subject.name] = {
            "arguments": subject.arguments,
            "domain": subject.domain,
            "moving": [subject.arguments[k] for k in subject.moving],
            **accuracy.measure(subject),
        }
        sys.stdout.write(_line(subject.name, known[subject.name]))
        sys.stdout.flush()
        ordered = {each.name: known[each.name] for each in subjects if each.name in known}
        RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    if arguments != ["--page"]:
        measure(arguments, json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {})
    PAGE.write_text(page(json.loads(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
