"""The page of results, docs/conformance.md, as text."""

from __future__ import annotations

from pathlib import Path

from hosts.conformance import matrix
from hosts.conformance.kinds import KINDS

DOCS = Path(__file__).parents[3] / "docs"
EQUAL, RAISES = "equal", "raises"


def rows(found: dict[str, dict[str, list[str]]]) -> list[tuple[str, ...]]:
    return [(name, *(mark(row.get(kind.name, [])) for kind in KINDS)) for name, row in found.items()]


def mark(outcomes: list[str]) -> str:
    if not outcomes:
        return "·"
    return "raises" if RAISES in outcomes else "✓" * len(outcomes)


def count(found: dict[str, dict[str, list[str]]]) -> int:
    return sum(len(outcomes) for row in found.values() for outcomes in row.values())


def page(results: dict) -> str:
    lines = ["# Conformance", "", "Made by `make hosts-table`: do not edit.", ""]
    lines += [
        "Each cell runs a transformation of the host on a fwddiff function and on the same function in the",
        "host's own operations, and compares numbers, shapes and dtypes (float64 to 1e-10, float32 to 2e-4",
        "of the largest; float64 to 1e-5 in MLX, whose own functions have no more digits). One tick per",
        "dtype; · is run by `make test-all` only; *raises* is an error of ours that says what to do instead.",
        "No cell is allowed to be wrong.",
        "",
    ]
    for host, found in results.items():
        lines += [f"## {matrix.HOSTS[host]}: {count(found)} cells", ""]
        lines += ["| | " + " | ".join(kind.name for kind in KINDS) + " |", "|" + " --- |" * (1 + len(KINDS))]
        lines += ["| " + " | ".join(row) + " |" for row in rows(found)] + [""]
    refused = [
        f"* {matrix.HOSTS[host]}, {name}{f', {kind}' if kind else ''}: {text}"
        for (host, name, kind), text in matrix.REFUSED.items()
    ]
    return "\n".join([*lines, *(["## What raises", "", *refused, ""] if refused else [])]).rstrip() + "\n"
