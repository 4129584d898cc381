"""(p) Special functions and densities whose derivatives in parameters PyTorch and JAX lack.

Values and gradients at n = 100 000 elements, whatever the size of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.harness.case import Case, Contestant, Run
from benchmarks.harness.kernels import kernel
from benchmarks.workloads import in_hosts
from fwddiff import fwddiff, special, stats

N = 100_000
STEP = 1e-5  # relative; of central differences


@fwddiff
def incomplete_beta(a, b, x):
    return special.betainc(a, b, x)


@fwddiff
def gamma_cdf(shape, x):
    return stats.Gamma(shape).cdf(x)


@fwddiff
def normal(loc, scale, x):
    return stats.Normal(loc, scale).logpdf(x)


@fwddiff
def student(df, loc, scale, x):
    return stats.StudentT(df, loc, scale).logpdf(x)


def torch_normal(loc, scale, x):
    from torch.distributions import Normal

    return Normal(loc, scale).log_prob(x).sum()


def torch_normal_formula(loc, scale, x):
    z = (x - loc) / scale
    return (-0.5 * z * z - scale.log() - 0.9189385332046727).sum()


def torch_student(df, loc, scale, x):
    from torch.distributions import StudentT

    return StudentT(df, loc, scale).log_prob(x).sum()


def cases(quick: bool) -> Iterator[Case]:
    del quick
    random = np.random.default_rng(0)
    a, b = np.exp(random.uniform(np.log(0.5), np.log(50.0), (2, N)))
    yield _beta([a, b, random.uniform(0.02, 0.98, N)])
    yield _gamma([a, a * random.uniform(0.3, 2.0, N)])
    data = random.standard_t(4.0, N)
    functions = {
        "fwddiff": normal.sum,
        "torch.distributions": torch_normal,
        "torch formula": torch_normal_formula,
    }
    yield _density("normal log-density", functions, [0.1, 1.3], data)
    functions = {"fwddiff": student.sum, "torch.distributions": torch_student}
    yield _density("Student-t log-density", functions, [4.5, 0.1, 1.3], data)


def _case(title: str, contestants: Sequence[Contestant], tolerance: float = 1e-6) -> Case:
    return Case("p", title, f"n = {N:_}".replace("_", " "), contestants, tolerance)


def _density(title: str, functions: dict, parameters: list[float], data: np.ndarray) -> Case:
    arrays = [np.array(p) for p in parameters]
    return _case(title, in_hosts.gradients(functions, arrays, False, constants=[data]))


def _beta(arrays: list[np.ndarray]) -> Case:
    """Ours by a, b and x; JAX's by x alone, the others it has not."""
    ones, own = np.ones(N), incomplete_beta.broadcast
    return _case(
        "incomplete beta function",
        [
            Contestant(
                "fwddiff in JAX", lambda: in_hosts.in_jax(own, arrays, ones), computes="all gradients"
            ),
            Contestant(
                "kernel, value + partials",
                lambda: kernel(own, arrays, "partials", (0, 1, 2)),
                computes="all gradients",
            ),
            Contestant("kernel, value", lambda: kernel(own, arrays), computes="value"),
            Contestant("jax, by x alone", lambda: _jax_by_x(arrays), computes="by x"),
            Contestant("fwddiff in JAX, by x alone", lambda: _by_x(own, arrays), computes="by x"),
        ],
    )


def _by_x(function, arrays: list[np.ndarray]) -> Run:
    a, b, x = arrays
    return in_hosts.in_jax(lambda x, a, b: function(a, b, x), [x], np.ones(N), [a, b])


def _jax_by_x(arrays: list[np.ndarray]) -> Run:
    from jax.scipy.special import betainc

    return _by_x(betainc, arrays)


def _gamma(arrays: list[np.ndarray]) -> Case:
    shape, x = arrays
    return _case(
        "gamma cdf by its shape",
        [
            Contestant(
                "fwddiff in PyTorch",
                lambda: in_hosts.in_torch(gamma_cdf.broadcast, [shape], np.ones(N), [x]),
            ),
            Contestant(
                "kernel, value + partials", lambda: kernel(gamma_cdf.broadcast, arrays, "partials", (0,))
            ),
            Contestant("kernel, value", lambda: kernel(gamma_cdf.broadcast, arrays), computes="value"),
            Contestant("torch.special, differences", lambda: _torch_differences(shape, x)),
            Contestant("jax by its own series", lambda: _jax_gamma(shape, x)),
        ],
        1e-4,
    )


def _torch_differences(shape: np.ndarray, x: np.ndarray) -> Run:
    """The value and its central difference in the shape."""
    import torch

    given, fixed = torch.from_numpy(shape), torch.from_numpy(x)

    def run() -> list[torch.Tensor]:
        step = STEP * given
        value, above, below = (torch.special.gammainc(a, fixed) for a in (given, given + step, given - step))
        return [value, (above - below) / (2 * step)]

    return run


def _jax_gamma(shape: np.ndarray, x: np.ndarray) -> Run:
    from jax.scipy.special import gammainc

    return in_hosts.in_jax(gammainc, [shape], np.ones(N), [x])
