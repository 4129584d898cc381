"""(i) The seed's example as a whole program, n = 1000: structs made by one broadcast and used by the next."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness.case import Case
from benchmarks.workloads import in_hosts
from benchmarks.workloads.exponential import PEERS
from fwddiff import fwddiff


@dataclass
class Exponential:
    mean: Any


@fwddiff
def log_density(distribution, x):
    return -math.log(distribution.mean) - x / distribution.mean


distribution_with = fwddiff(Exponential)


OURS = {
    "fwddiff": lambda mean, x: log_density.broadcast(distribution_with.broadcast(mean), x).sum(),
    "fwddiff.sum": lambda mean, x: log_density.sum(distribution_with.broadcast(mean), x),
}


def cases(quick: bool) -> Iterator[Case]:
    random = np.random.default_rng(1)
    arrays = random.uniform(0.5, 2, 1000), random.uniform(0, 3, 1000)
    found = in_hosts.gradients(OURS | PEERS, arrays, compiled=not quick)
    yield Case("i", "whole program", "n = 1 000", found)
