"""A program that sends wrapped functions to processes started anew: `test_copies.py` runs it."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import multiprocessing

import numpy as np

import fwddiff as fd
from fwddiff import fwddiff


@fwddiff
def decorated(x):
    return math.tanh(x) * x


def plain(x):
    return math.exp(x) * x


named = fwddiff(plain, wrt="x")
rule = fd.custom_rule(plain, rrule=lambda x: (plain(x), lambda ct: (7.0 * ct,)))


@dataclasses.dataclass
class Model:
    k: float

    @fwddiff
    def value(self, x):
        return self.k * x * x


def gradient(operation, x):
    y, back = fd.rrule(operation, x)
    return np.asarray(fd.unthunk(back(np.ones_like(y))[0]))


def main() -> None:
    x, t = np.array([0.3, 0.7]), np.tanh([0.3, 0.7])
    operations = [
        (decorated.broadcast, x, t + (1 - t * t) * x),
        (decorated.sum, x, t + (1 - t * t) * x),
        (decorated, 0.3, (t + (1 - t * t) * x)[0]),
        (named.broadcast, x, np.exp(x) * (1 + x)),
        (Model(2.0).value.broadcast, x, 4 * x),
    ]
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        for operation, argument, wanted in operations:
            np.testing.assert_allclose(pool.submit(gradient, operation, argument).result(), wanted)


if __name__ == "__main__":
    main()
