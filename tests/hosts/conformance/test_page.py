"""The page of results is made from the file of results, and that has the cells of a run: no more, no less."""

import json
import re
from collections import Counter

import pytest

from hosts.conformance import matrix
from hosts.conformance.kinds import KINDS
from hosts.conformance.page import DOCS, EQUAL, RAISES, page

RESULTS = json.loads((DOCS / "conformance.json").read_text())
INSTALLED = [host for host in matrix.HOSTS if matrix.installed(host)]


def test_the_page_is_made_from_the_results():
    assert (DOCS / "conformance.md").read_text() == page(RESULTS)


def test_every_host_is_on_the_page():
    assert list(RESULTS) == list(matrix.HOSTS)


@pytest.mark.parametrize("host", INSTALLED)
def test_results_are_those_of_a_run(host):
    """Of an ordinary or of a complete one."""
    found = {
        (name, kind): len(outcomes) for name, row in RESULTS[host].items() for kind, outcomes in row.items()
    }
    runs = [
        Counter((c.transformation, c.kind.name) for c in matrix.cells(host, all)) for all in (True, False)
    ]
    assert found in runs


@pytest.mark.parametrize("host", INSTALLED)
def test_outcomes_are_those_that_the_matrix_expects(host):
    for cell in matrix.cells(host):
        outcomes = RESULTS[host][cell.transformation].get(cell.kind.name, [])
        assert set(outcomes) <= {EQUAL if cell.refusal is None else RAISES}


def test_refusals_name_cells():
    kinds = {kind.name for kind in KINDS} | {""}
    for host, transformation, kind in matrix.REFUSED:
        assert host in matrix.HOSTS
        assert kind in kinds
        if matrix.installed(host):
            assert transformation in matrix.module(host).TRANSFORMATIONS


def test_the_page_counts_its_ticks():
    sections = re.split(r"^## ", page(RESULTS), flags=re.MULTILINE)[1:]
    for found, section in zip(RESULTS.values(), sections, strict=False):
        count = int(re.search(r"(\d+) cells", section).group(1))
        outcomes = [outcome for row in found.values() for outcome in row.values()]
        assert count == sum(map(len, outcomes))
        assert section.count("✓") == sum(row.count(EQUAL) for row in outcomes)
