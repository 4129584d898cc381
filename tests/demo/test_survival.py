"""The model and its data, against SciPy's distributions and lifelines' estimators."""

from __future__ import annotations

import math

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.datasets import load_rossi
from scipy.stats import weibull_min

from fwddiff.demo.picture import kaplan_meier, mean_survival
from fwddiff.demo.survival import Scaling, loglik, rossi


@pytest.mark.parametrize("log_scale", [-0.5, 3.9])
@pytest.mark.parametrize("log_shape", [-0.7, 0.0, 1.2])
@pytest.mark.parametrize("time", [0.01, 20.0, 52.0])
def test_loglik_is_that_of_a_weibull_distribution(log_scale, log_shape, time):
    weibull = weibull_min(math.exp(log_shape), scale=math.exp(log_scale))
    assert loglik(log_scale, log_shape, time, True) == pytest.approx(weibull.logpdf(time), rel=1e-12)
    assert loglik(log_scale, log_shape, time, False) == pytest.approx(weibull.logsf(time), rel=1e-12)


def test_rossi_has_its_432_persons():
    data, names = rossi()
    assert names == ["fin", "age", "race", "wexp", "mar", "paro", "prio", "Intercept"]
    assert data.covariates.shape == (432, 8)
    assert data.event.sum() == 114
    np.testing.assert_array_equal(data.covariates[:, -1], 1)
    np.testing.assert_array_equal(data.time[~data.event], 52)


def test_scaling_is_undone_exactly():
    data, _ = rossi()
    scaling = Scaling.of(data)
    scaled = scaling.apply(data)
    np.testing.assert_allclose(scaled.covariates[:, :-1].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.covariates[:, :-1].std(axis=0), 1)
    parameters = np.linspace(-1, 1, 9)
    undone = scaling.undo(parameters)
    np.testing.assert_allclose(data.covariates @ undone[:-1], scaled.covariates @ parameters[:-1])
    assert undone[-1] == parameters[-1]


def test_repeat_makes_a_longer_problem_of_the_same_persons():
    data, _ = rossi()
    longer = data.repeat(3)
    assert longer.time.shape == (1296,)
    assert longer.event.sum() == 3 * 114
    np.testing.assert_array_equal(longer.covariates[::3], data.covariates)


@pytest.mark.parametrize("aid", [0, 1])
def test_kaplan_meier_is_that_of_lifelines(aid):
    table = load_rossi().query("fin == @aid")
    times, survival = kaplan_meier(table["week"].to_numpy(float), table["arrest"].to_numpy() == 1)
    expected = KaplanMeierFitter().fit(table["week"], table["arrest"]).predict(times)
    np.testing.assert_allclose(survival, expected, rtol=1e-12)


def test_mean_survival_averages_the_persons():
    covariates = np.array([[1.0, 1.0], [0.0, 1.0]])
    parameters = np.array([0.3, 3.5, 0.2])
    times = np.array([0.0, 10.0, 52.0])
    persons = [weibull_min(math.exp(0.2), scale=math.exp(log_scale)).sf(times) for log_scale in (3.8, 3.5)]
    np.testing.assert_allclose(mean_survival(covariates, parameters, times), np.mean(persons, axis=0))
