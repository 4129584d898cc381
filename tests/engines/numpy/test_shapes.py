"""Loop axes, reductions and batch axes against NumPy by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fwddiff import ShapeError
from fwddiff.engines import numpy as engine
from support.problems import problem_of


def rule_of(function, *arguments, **options):
    problem, arrays = problem_of(function, *arguments, **options)
    return engine.rule(problem), arrays


def log_density(theta, x):
    return -math.log(theta) - x / theta


@pytest.mark.parametrize(
    ("left", "right"), [((), (5,)), ((3, 1), (5,)), ((2, 3, 1), (1, 5)), ((0,), (1,)), ((4, 1, 2), (4, 3, 1))]
)
def test_cotangents_are_summed_over_broadcast_axes(left, right):
    rng = np.random.default_rng(0)
    theta, x = rng.uniform(0.5, 2, left), rng.uniform(0.5, 2, right)
    rule, arrays = rule_of(log_density, theta, x)
    (y,) = rule(arrays)
    assert_allclose(y, -np.log(theta) - x / theta, rtol=1e-14)
    c = rng.normal(size=y.shape)
    theta_bar, x_bar = rule.pullback((0, 1))([*arrays, c])
    assert theta_bar.shape == left
    assert x_bar.shape == right
    everywhere = np.broadcast_to(x, y.shape)
    full = c * (everywhere / theta**2 - 1 / theta)
    _, unbroadcast = np.broadcast_arrays(y, full)
    lead = tuple(range(y.ndim - len(left)))
    ones = tuple(k for k in range(y.ndim) if k >= len(lead) and left[k - len(lead)] == 1 and y.shape[k] != 1)
    assert_allclose(theta_bar, unbroadcast.sum((*lead, *ones)).reshape(left), rtol=1e-12)


def test_sum_over_the_loop():
    data = np.linspace(0.1, 3, 11)
    rule, arrays = rule_of(log_density, 1.3, data, reduce="sum")
    (total,) = rule(arrays)
    assert total.shape == ()
    assert_allclose(total, math.fsum(-math.log(1.3) - d / 1.3 for d in data), rtol=1e-15)
    _, by_theta, by_x = rule.partials((0, 1))(arrays)
    assert_allclose(by_theta, np.sum(data / 1.3**2 - 1 / 1.3), rtol=1e-14)
    assert_allclose(by_x, np.full(11, -1 / 1.3))
    theta_bar, x_bar = rule.pullback((0, 1))([*arrays, np.float64(2.0)])
    assert_allclose(theta_bar, 2 * by_theta, rtol=1e-14)
    assert_allclose(x_bar, 2 * by_x)
    (moved,) = rule.pushforward((1,))([*arrays, np.arange(11.0)])
    assert_allclose(moved, np.sum(-np.arange(11.0) / 1.3), rtol=1e-14)


def test_sums_are_accurate():
    x = np.full(20_000, 0.1, np.float32)
    rule, arrays = rule_of(lambda x: 1.0 * x, x, reduce="sum")
    assert_allclose(rule(arrays)[0], math.fsum(x.tolist()), rtol=1e-7)


def test_sums_of_integers_and_bools_count():
    rule, arrays = rule_of(lambda x: (x > 1.0, 2, x), np.array([0.5, 1.5, 2.5]), reduce="sum")
    count, twos, total = rule(arrays)
    assert (count, twos) == (2, 6)
    assert count.dtype == np.int64
    assert_allclose(total, 4.5)


def test_batch_axes_lead_and_are_never_reduced():
    rng = np.random.default_rng(4)
    theta, x = rng.uniform(0.5, 2, (3,)), rng.uniform(0.5, 2, (3, 5))
    single, _ = rule_of(log_density, np.float64(1.0), np.ones(5), reduce="sum")
    (y,) = single([theta, x], batch_ndim=1)
    assert_allclose(y, (-np.log(theta)[:, None] - x / theta[:, None]).sum(1), rtol=1e-13)
    pullback = single.pullback((0, 1))
    c = rng.normal(size=3)
    batched = pullback([theta, x, c], batch_ndim=1)
    for k in range(3):
        for found, expected in zip(batched, pullback([theta[k], x[k], c[k]]), strict=True):
            assert_allclose(found[k], expected, rtol=1e-13)


def test_batch_axis_of_size_one_is_shared():
    rule, _ = rule_of(log_density, np.float64(1.0), np.ones(4))
    theta, x, c = np.array([1.2]), np.linspace(1, 2, 12).reshape(3, 4), np.ones((3, 4))
    theta_bar, _ = rule.pullback((0, 1))([theta, x, c], batch_ndim=1)
    assert theta_bar.shape == (3,)
    assert_allclose(theta_bar, (x / 1.2**2 - 1 / 1.2).sum(1), rtol=1e-13)


def test_core_axes_under_a_loop():
    problem, _ = problem_of(lambda a, k: k * (a[0] * a[1]), np.ones(2), 1.0, whole=True)
    rule = engine.rule(problem)
    a, k = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([2.0, 3.0, 4.0])
    assert_allclose(rule([a, k])[0], k * a[:, 0] * a[:, 1])
    a_bar, k_bar = rule.pullback((0, 1))([a, k, np.ones(3)])
    assert_allclose(a_bar, k[:, None] * a[:, ::-1])
    assert_allclose(k_bar, a[:, 0] * a[:, 1])
    (shared,) = rule.pullback((0,))([a[0], k, np.ones(3)])
    assert_allclose(shared, k.sum() * a[0, ::-1])


def test_inputs_of_any_strides_are_left_alone():
    x = np.arange(24.0).reshape(4, 6)[::2, ::-3] + 1
    x.flags.writeable = False
    before = x.copy()
    rule, arrays = rule_of(lambda x: x * x, x)
    (y,) = rule(arrays)
    assert y.flags.c_contiguous
    assert y.flags.writeable
    assert_allclose(y, before**2)
    assert_allclose(x, before, rtol=0)


def test_empty_loops():
    rule, arrays = rule_of(log_density, np.float64(2.0), np.zeros(0))
    assert rule(arrays)[0].shape == (0,)
    theta_bar, x_bar = rule.pullback((0, 1))([*arrays, np.zeros(0)])
    assert theta_bar == 0.0
    assert x_bar.shape == (0,)


def test_shapes_that_do_not_broadcast():
    rule, _ = rule_of(log_density, np.ones(3), np.ones(3))
    message = r"log_density: shapes \(3,\), \(4,\) do not broadcast together"
    with pytest.raises(ShapeError, match=message):
        rule([np.ones(3), np.ones(4)])


def test_structure_is_known_before_anything_ran():
    def value(x):
        assert x != 1.0  # not every function takes ones
        return {"a": x, "b": (1, x > 0.0)}

    rule, _ = rule_of(value, 2.0)
    assert [slot.dtype.kind for slot in rule.outputs] == ["f", "i", "b"]
    assert [slot.differentiable for slot in rule.outputs] == [True, False, False]
    assert rule.result_tree().unflatten([1, 2, 3]) == {"a": 1, "b": (2, 3)}


def test_structure_of_functions_that_need_longer_arrays():
    def value(x):
        a, b, c = x
        return a * b * c

    rule, arrays = rule_of(value, np.array([1.0, 2.0, 3.0]), whole=True)
    assert rule.outputs[0].core_ndim == 0
    assert_allclose(rule.pullback((0,))([*arrays, np.float64(1.0)])[0], [6.0, 3.0, 2.0])


def test_core_shapes_come_from_the_function():
    rule, _ = rule_of(lambda x: np.concatenate([x, x[:1]]), np.ones(3), whole=True)
    assert rule.core_shapes([(5,)]) == ((6,),)
    assert rule.output_shapes([(2, 3)]) == ((2, 4),)
