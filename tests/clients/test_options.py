"""Implied volatilities and Greeks against closed forms: Haug, Option Pricing Formulas, chapter 2."""

import numpy as np
import pytest

from support.page import section

norm = pytest.importorskip("scipy.stats").norm


@pytest.fixture(scope="module")
def given():
    return section("clients.md", "An option surface")


def greeks(sigma, spot, strike, maturity, rate):
    deviation = sigma * np.sqrt(maturity)
    d = np.log(spot / strike) / deviation + rate * maturity / deviation + deviation / 2
    discounted = strike * np.exp(-rate * maturity)
    vega = spot * norm.pdf(d) * np.sqrt(maturity)
    return {
        "vega": vega,
        "delta": norm.cdf(d),
        "by strike": -discounted / strike * norm.cdf(d - deviation),
        "by maturity": vega * sigma / (2 * maturity) + rate * discounted * norm.cdf(d - deviation),
        "by rate": maturity * discounted * norm.cdf(d - deviation),
        "gamma": norm.pdf(d) / (spot * deviation),
        "vanna": -norm.pdf(d) * (d - deviation) / sigma,
        "volga": vega * d * (d - deviation) / sigma,
    }


def test_the_surface_is_that_of_the_prices(given):
    np.testing.assert_allclose(given["surface"], given["smile"], rtol=1e-10)


def test_what_an_implied_volatility_moves_by(given):
    known = greeks(given["smile"], 100.0, given["strike"], given["maturity"], 0.02)
    vega = known["vega"]
    seen = vega > 1e-4  # elsewhere the price hardly tells the volatility
    for name, expected in (
        ("by_price", 1 / vega),
        ("by_spot", -known["delta"] / vega),
        ("by_strike", -known["by strike"] / vega),
        ("by_maturity", -known["by maturity"] / vega),
        ("by_rate", -known["by rate"] / vega),
    ):
        np.testing.assert_allclose(given[name][seen], expected[seen], rtol=1e-8, err_msg=name)


def test_greeks_of_the_price(given):
    known = greeks(0.2, 100.0, 105.0, 0.5, 0.02)
    for name in ("delta", "vega", "gamma", "vanna", "volga"):
        assert given[name] == pytest.approx(known[name], rel=1e-11), name
    assert given["theta"] == pytest.approx(known["by maturity"], rel=1e-11)
