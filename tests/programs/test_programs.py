"""Random programs agree with mpmath in every engine and host: value, gradient, Hessian-vector product.

Programs call functions with rules of their own, by position and keyword, and functions defined inside; they
take and return dicts, optional values and arrays that they make. A rule never has the slope of its function.

Sixteen programs always; `FWDDIFF_PROGRAMS=2000` runs as many (`make test-all`), in slices with seeds of their
own. Kernels without a host check what is compiled; hosts run the engine without a compiler, because hosts and
engines meet in rules alone; of many programs every eighth is compiled in the hosts too, and all are larger.
"""

from __future__ import annotations

import collections
import os

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from programs.checking import check
from programs.evaluation import ways
from programs.oracle import Unsuitable
from programs.writing import programs

SLICES = 8
TOTAL = int(os.environ.get("FWDDIFF_PROGRAMS", "16"))
COUNT, MANY = TOTAL // SLICES, TOTAL > 16
_seen: collections.Counter = collections.Counter()


@pytest.mark.parametrize("number", range(SLICES))
def test_slice(number):
    @hypothesis.seed(number)
    @settings(
        max_examples=COUNT,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(size=8 if MANY else 4))
    def agrees(program):
        try:
            check(program, compiled_hosts=MANY and _seen["checked"] % 8 == 7)
        except Unsuitable:
            hypothesis.reject()
        _seen["checked"] += 1

    before = _seen["checked"]
    agrees()
    assert _seen["checked"] - before == COUNT


def test_all_ways_are_there():
    """Hosts that are installed take part."""
    assert {"numba", "numpy"} <= set(ways())
