"""Runs the catalogue of `fd.testing.run` and writes docs/scenarios.json, .png and .md:
`python docs/generate_scenarios.py`. With `--page`, the page alone, from the results that are there; a test
keeps it up to date."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from fwddiff import testing
from fwddiff.testing import Outcomes

PAGE = Path(__file__).with_name("scenarios.md")
_START = """# Scenarios

<!-- Written by docs/generate_scenarios.py: do not edit. -->

Made by `make scenarios`. Every operator that makes sense for a scenario, in every backend: `numba` and
`numpy` are fwddiff's engines, which differentiate the plain Python function; `jax`, `torch` and `autograd`
are its operators with that `backend=`; "itself" is a framework without fwddiff, by its own functions
(`jax.grad`, `torch.func.jvp`, `autograd.jacobian`, …). Frameworks get a formula that is written for them
where the scenario has one, else the same plain function: what is wrong in PyTorch are such functions, in
which `math.exp` makes a float of a tensor. A result is right if structure,
shapes and numbers agree with closed forms, or with differences of the plain function where there are none.
fwddiff's operators are called at once, again (which takes a quicker way), and prepared.

![Scenarios × operators, one panel for each backend](scenarios.png)

## How many are right

"""
_COSTS = """
## What they cost

Medians over the cells that are right in all of these backends, so that rows compare like with like. Problems
are small: most of the time is that of the call. Passes are runs of the function in one call: an engine's
carry many partials each, JAX's compiled code runs none in Python. Bytes are the most that Python and NumPy
hold at once, result included; PyTorch and JAX have memory of their own. The two cores of this run
were shared with other work: times tell orders of magnitude.

"""
_REASONS = """
## What each cannot do

One line for each scenario; where operators are told for different reasons, the first.

"""


def main() -> None:
    if "--page" not in sys.argv:
        outcomes = testing.run(seconds=0.002)
        outcomes.json(PAGE.with_suffix(".json"))
        outcomes.picture(PAGE.with_suffix(".png"))
    PAGE.write_text(page(Outcomes.from_json(PAGE.with_suffix(".json").read_text())), encoding="utf-8")


def page(outcomes: Outcomes) -> str:
    """The page, from the outcomes of a run."""
    names = list(outcomes.backends)
    counts = _table(["scenario", "kinds", *names], outcomes.rows())
    costs = _table(["backend", "cells", "median µs", "median passes", "median bytes"], _costs(outcomes))
    return "\n".join([_START + counts, _COSTS + costs, _REASONS + "\n".join(_reasons(outcomes)), ""])


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _costs(outcomes: Outcomes) -> list[list[str]]:
    passed: dict[tuple[str, str], list] = {}
    for cell in outcomes.cells:
        if cell.status == "pass":
            passed.setdefault((cell.scenario, cell.operator), []).append(cell)
    common = [cells for cells in passed.values() if len(cells) == len(outcomes.backends)]
    return [[name, str(len(common)), *_medians([c for cells in common for c in cells if c.backend == name])]
            for name in outcomes.backends]  # fmt: skip


def _medians(cells: list) -> list[str]:
    columns = (
        [c.seconds and c.seconds * 1e6 for c in cells],
        [c.passes for c in cells],
        [c.bytes for c in cells],
    )
    known = [[number for number in column if number is not None] for column in columns]
    words = ("{:,.0f}", "{:,.0f}", "{:,.0f}")
    return [word.format(statistics.median(k)) if k else "" for word, k in zip(words, known, strict=True)]


def _reasons(outcomes: Outcomes) -> list[str]:
    lines = []
    for backend in outcomes.backends:
        troubles = [c for c in outcomes.cells if c.backend == backend and c.status != "pass"]
        lines += [f"### {backend}", "", *_lines(troubles), ""]
    return lines


def _lines(troubles: list) -> list[str]:
    if not troubles:
        return ["Nothing: all of them are right."]
    groups: dict[tuple[str, str], list] = {}
    for cell in troubles:
        groups.setdefault((cell.scenario, cell.status), []).append(cell)
    words = {"fail": "**wrong**", "unsupported": "refused"}
    return [
        f"* {scenario}: {words[status]} ({len(cells)} operators, first `{cells[0].operator}`): "
        f"{_escaped(cells[0].detail)}"
        for (scenario, status), cells in groups.items()
    ]


def _escaped(text: str) -> str:
    return (
        text.replace("<", "&lt;")
        .replace("|", "\\|")
        .replace("*", "\\*")
        .replace("_", "\\_")
        .replace("[", "\\[")
    )


if __name__ == "__main__":
    main()
