"""From one distribution to another, with the Jacobian: as `docs/stats.md` has it, in every host."""

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff.stats import Gamma, Normal, Weibull
from gradients import HOSTS, chosen_hosts
from test_catalogue import ENGINES


def disttrafo(target, source, x, previous=None):
    p = source.cdf(x)
    y = target.quantile(p) if p < 0.5 else target.isf(source.sf(x))
    ladj = source.logpdf(x) - target.logpdf(y)
    return y, ladj if previous is None else previous + ladj


SOURCE = Normal(np.array([0.0, 0.3, 0.1]), np.array([1.0, 2.0, 0.5]))
TARGET = Weibull(np.array([1.5, 2.0, 0.7]), np.zeros(3), np.array([1.0, 3.0, 2.0]))
X = np.array([0.4, -1.0, 2.0])


def test_the_text_has_this_function():
    text = (Path(__file__).parents[2] / "docs" / "stats.md").read_text()
    (written,) = re.findall(r"^def disttrafo.*?(?=^\S)", text, flags=re.M | re.S)
    space = {}
    exec(written, space)
    assert space["disttrafo"].__code__.co_code == disttrafo.__code__.co_code


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.few(engine=["numpy"])
def test_jacobian(engine):
    """The logarithm that is returned is that of the derivative of the value, and adds up."""
    g = fwddiff(disttrafo, engine=engine).broadcast
    (y, ladj), pullback = fd.rrule(g, TARGET, SOURCE, X)
    slope = fd.unthunk(pullback((np.ones(3), np.zeros(3)))[2])
    np.testing.assert_allclose(np.log(slope), ladj, rtol=1e-10)
    back = g(SOURCE, TARGET, y, ladj)
    np.testing.assert_allclose(back[0], X, rtol=1e-12)
    np.testing.assert_allclose(back[1], 0.0, atol=1e-12)


def test_far_out():
    y, ladj = disttrafo(Normal(1.0, 2.0), Normal(), 30.0)
    assert y == pytest.approx(61.0, rel=1e-12)
    assert ladj == pytest.approx(np.log(2.0), rel=1e-10)
    assert disttrafo(Gamma(1.0), Normal(), 30.0)[0] == pytest.approx(-scipy.stats.norm.logsf(30.0), rel=1e-12)


@pytest.mark.parametrize("previous", [None, np.array([0.5, 0.0, -0.5])], ids=["first", "second"])
@pytest.mark.parametrize("host", chosen_hosts())
@pytest.mark.every(3)
def test_in_every_host(host, previous):
    """The cotangents of structs, against closed forms: y = scale (-log sf)^(1 / c)."""
    g = fwddiff(disttrafo).broadcast

    def call(c, scale, mu, sigma, x):
        return g(Weibull(c, 0.0, scale), Normal(mu, sigma), x, previous)[0]

    arguments = (TARGET.c, TARGET.scale, SOURCE.loc, SOURCE.scale, X)
    found = HOSTS[host][1](call, arguments)
    z = (X - SOURCE.loc) / SOURCE.scale
    y = call(*arguments)
    slope = np.exp(Normal.logpdf(Normal(), 0.0) - z * z / 2 - np.array([d.logpdf(v) for d, v in ones(y)]))
    expected = (-np.log(y / TARGET.scale) * y / TARGET.c, y / TARGET.scale, -slope / SOURCE.scale)
    expected = (*expected, -slope * z / SOURCE.scale, slope / SOURCE.scale)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def ones(y):
    return [(Weibull(c, 0.0, scale), v) for c, scale, v in zip(TARGET.c, TARGET.scale, y, strict=True)]
