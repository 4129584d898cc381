"""Two dataclasses of one name and with methods of one name are two classes, in every host and engine."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from gradients import HOSTS, chosen_hosts
from test_catalogue import ENGINES


def model_class(power):
    """A class `Model` whose method differs by `power`, as when a notebook cell is edited and run again."""

    @dataclasses.dataclass(frozen=True)
    class Model:
        w: Any

    namespace = {}
    exec(f"def value(self, x):\n    return self.w * x ** {POWERS[power]}\n", namespace)
    Model.value = namespace["value"]
    return Model


POWERS = (2, 3)


def total(model, x):
    return model.value(x)


@pytest.mark.parametrize("host", chosen_hosts())
@pytest.mark.parametrize("engine", ENGINES)
def test_a_class_defined_again_is_not_the_old_one(engine, host):
    for power in (0, 1, 0):
        model = model_class(power)
        g = fwddiff(total, engine=engine)
        (gradient,) = HOSTS[host][1](lambda w, g=g, model=model: g(model(w), 2.0), (np.array(1.5),))
        assert gradient == 2.0 ** POWERS[power]


@dataclasses.dataclass(frozen=True)
class Normal:
    mean: Any
    scale: Any

    def log_density(self, x):
        return -0.5 * ((x - self.mean) / self.scale) ** 2 - math.log(self.scale)


@dataclasses.dataclass(frozen=True)
class Laplace:
    mean: Any
    scale: Any

    def log_density(self, x):
        return -abs(x - self.mean) / self.scale - math.log(2 * self.scale)


@pytest.mark.parametrize("engine", ENGINES)
def test_two_classes_with_a_method_of_the_same_name(engine):
    """Both in one function: each finds its own method."""

    def mixture(mean, x):
        return Normal(mean, 2.0).log_density(x) + Laplace(mean, 0.5).log_density(x)

    _, pullback = fd.rrule(fwddiff(mixture, engine=engine), 0.3, 1.3)
    mean_bar, x_bar = (fd.unthunk(thunk) for thunk in pullback(1.0))
    np.testing.assert_allclose(mean_bar, 1.0 / 4 + 2.0, rtol=1e-13)
    np.testing.assert_allclose(x_bar, -1.0 / 4 - 2.0, rtol=1e-13)
