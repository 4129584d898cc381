"""Host × engine × function: the gradient of every function of the catalogue, in every host, by every
engine."""

import numpy as np
import pytest

from catalogue import CASES, Case, elementwise_total, expected_gradient, flatten, tolerance
from fwddiff import fwddiff
from gradients import HOSTS, chosen_hosts

ENGINES = ["numba", "numpy"]
_wrapped: dict = {}
_expected: dict = {}


def wrapped(case: Case, engine: str):
    """One wrapper per function and engine, so that hosts share what it compiled."""
    key = case.function, engine
    if key not in _wrapped:
        _wrapped[key] = fwddiff(case.function, engine=engine)
    return _wrapped[key]


def expected(case: Case):
    if case.name not in _expected:
        _expected[case.name] = expected_gradient(case)
    return _expected[case.name]


@pytest.mark.parametrize("host", chosen_hosts())
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.every(5)
def test_gradient_of_broadcast(case, engine, host):
    gradients = HOSTS[host][1](wrapped(case, engine).broadcast, case.arguments)
    for found, wanted in zip(gradients, expected(case), strict=True):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=tolerance(case), atol=tolerance(case))


@pytest.mark.parametrize("host", chosen_hosts())
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.every(5)
def test_gradient_of_sum(case, engine, host):
    gradients = HOSTS[host][1](wrapped(case, engine).sum, case.arguments)
    for found, wanted in zip(gradients, expected(case), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=tolerance(case), atol=tolerance(case))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_value_of_sum_is_that_of_python(case, engine):
    leaves = flatten(wrapped(case, engine).sum(*case.arguments))[0]
    total = sum(leaf for leaf in leaves if np.asarray(leaf).dtype.kind == "f")
    np.testing.assert_allclose(total, elementwise_total(case.function, case.arguments), rtol=1e-12)
