"""Run the matrix for the installed hosts and write docs/conformance.md: `python -m hosts.conformance [host
…]`.

Results are merged with those of an earlier run (docs/conformance.json), because hosts have environments of
their own. FWDDIFF_CONFORMANCE=all runs every cell, as in the tests.
"""

from __future__ import annotations

import json
import os
import sys

from rich.console import Console
from rich.progress import track
from rich.table import Table

from hosts.conformance import matrix
from hosts.conformance.kinds import KINDS
from hosts.conformance.page import DOCS, EQUAL, RAISES, page, rows


def main() -> None:
    everything = os.environ.get("FWDDIFF_CONFORMANCE") == "all"
    for host in sys.argv[1:] or [host for host in matrix.HOSTS if matrix.installed(host)]:
        found = run(host, everything)
        show(host, found)
        save(host, found)


def save(host: str, found: dict[str, dict[str, list[str]]]) -> None:
    """Read again before each write: another host may have finished in the meantime, in another process."""
    file = DOCS / "conformance.json"
    results = {**(json.loads(file.read_text()) if file.exists() else {}), host: found}
    results = {host: results[host] for host in matrix.HOSTS if host in results}
    file.write_text(json.dumps(results, indent=1) + "\n")
    (DOCS / "conformance.md").write_text(page(results))


def run(host: str, everything: bool) -> dict[str, dict[str, list[str]]]:
    """Transformation → kind of argument → outcome of each cell that was run; wrong cells raise at the
    end."""
    if host == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    found: dict[str, dict[str, list[str]]] = {}
    wrong = []
    for cell in track(list(matrix.cells(host, everything)), matrix.HOSTS[host]):
        try:
            matrix.check(cell)
        except Exception as error:
            wrong.append(f"{cell.transformation}, {cell.kind.name}, {cell.dtype}: {error}")
        row = found.setdefault(cell.transformation, {})
        row.setdefault(cell.kind.name, []).append(EQUAL if cell.refusal is None else RAISES)
    if wrong:
        raise SystemExit("\n\n".join([f"{len(wrong)} cells of {matrix.HOSTS[host]} are wrong:", *wrong]))
    return found


def show(host: str, found: dict[str, dict[str, list[str]]]) -> None:
    table = Table("", *(kind.name for kind in KINDS), title=matrix.HOSTS[host])
    for row in rows(found):
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
