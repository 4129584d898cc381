"""`logsumexp`, `softmax` and `log_softmax`; functions of `scipy.stats` on whole arrays; in both engines."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.special
import scipy.stats
from scipy.special import log_softmax, logsumexp, softmax

import fwddiff as fd
from fwddiff import fwddiff

Q = np.array([0.3, -1.2, 2.5, 0.1])
M = np.arange(12.0).reshape(3, 4) ** 1.1 / 7
WEIGHTS = np.array([1.0, 0.5, 2.0, 0.0])
DATA = np.random.default_rng(0).normal(size=30)
COUNTS = np.arange(7)
ENGINES = ["numba", "numpy"]

FORMS = {
    "array": lambda q: logsumexp(q),
    "list": lambda q: logsumexp([q[0], q[1], 2.0]),
    "tuple": lambda q: scipy.special.logsumexp((q[0], q[1], 1)),
    "our own": lambda q: fd.special.logsumexp(q * q),
    "one axis": lambda q: logsumexp(M * q, axis=1)[1],
    "two axes": lambda q: logsumexp(M * q, axis=(0, 1)),
    "an axis that is kept": lambda q: (M * q - logsumexp(M * q, axis=-1, keepdims=True)).ravel()[5],
    "weights": lambda q: logsumexp(q, b=WEIGHTS),
    "weights with slopes": lambda q: logsumexp(M, b=q * q, axis=1).sum(),
    "negative weights": lambda q: logsumexp([q[0], q[2]], b=[-1, 1]),
    "a number for weights": lambda q: logsumexp(q, b=q[0]),
    "a sign": lambda q: logsumexp([q[0], q[2]], b=[1, -1], return_sign=True)[0],
    "nested lists": lambda q: logsumexp([[q[0], q[1]], [1.0, q[3]]], axis=0)[1],
    "a comprehension": lambda q: logsumexp([x * x for x in q]),
    "a number": lambda q: logsumexp(q[0]) + logsumexp(M) * q[1],
    "softmax": lambda q: softmax(q)[1],
    "softmax along an axis": lambda q: softmax(M * q, axis=1)[2, 0],
    "log_softmax": lambda q: log_softmax(q)[2],
    "entropy": lambda q: np.sum(softmax(q) * log_softmax(q)),
}


def by_differences(f, q, h=1e-6):
    return np.array([(f(q + h * e) - f(q - h * e)) / (2 * h) for e in np.eye(q.size)])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.few(
    form=[
        "list",
        "our own",
        "weights with slopes",
        "a sign",
        "a comprehension",
        "log_softmax",
    ],
    engine=["numpy"],
)
def test_every_form(form, engine):
    f = FORMS[form]
    value, slopes = fd.value_and_gradient(f, Q, backend=engine)
    assert value == pytest.approx(f(Q), rel=1e-14)
    np.testing.assert_allclose(slopes, by_differences(f, Q), 1e-6, 1e-8)
    second = by_differences(lambda q: fd.gradient(f, q, backend="numpy"), Q)
    np.testing.assert_allclose(fd.hessian(f, Q, backend=engine), second, 1e-5, 1e-7)


# Elements far apart, and values near 0, where log(1 + s) and 1 - p would lose all digits.
FAR = [
    (40.0, 0.0, -3.0),
    (0.0, -45.0, -50.0),
    (1e4, 1e4 - 1, -1e4),
    (-800.0, -801.0, -799.5),
    (1.0, 1.0, 1.0),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("point", FAR)
def test_all_digits(point, engine):
    with mpmath.workdps(60):
        a = [mpmath.mpf(x) for x in point]
        total = mpmath.fsum(map(mpmath.exp, a))
        p = [mpmath.exp(x) / total for x in a]
        log, ours = float(mpmath.log(total)), np.array(point)
        slopes = [float(x) for x in p]
        second = [[float(p[i] * ((i == j) - p[j])) for j in range(3)] for i in range(3)]
        left = [float(mpmath.fsum(p[:i] + p[i + 1 :])) for i in range(3)]  # 1 - p
    value, found = fd.value_and_gradient(lambda q: logsumexp(q), ours, backend=engine)
    assert value == pytest.approx(log, rel=1e-15, abs=1e-300)
    np.testing.assert_allclose(found, slopes, 1e-12, 0)
    # The sum's second derivatives p (1 - p) come from p alone: where that is 1, `softmax` has the digits.
    np.testing.assert_allclose(fd.hessian(lambda q: logsumexp(q), ours, backend=engine), second, 1e-11, 1e-16)
    np.testing.assert_allclose(fd.jacobian(lambda q: softmax(q), ours, backend=engine), second, 1e-11, 1e-300)
    diagonal = np.diag(fd.jacobian(lambda q: log_softmax(q), ours, backend=engine))
    np.testing.assert_allclose(diagonal, left, 1e-11, 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_infinite_entries(engine):
    f = fwddiff(lambda q: logsumexp(q), engine=engine)

    def told(*q):
        return fd.value_and_gradient(f, np.array(q))

    inf = np.inf
    value, slopes = told(0.5, -inf, 1.5)
    assert value == pytest.approx(logsumexp([0.5, 1.5]), rel=1e-15)
    np.testing.assert_allclose(slopes, [*softmax([0.5, 1.5])[:1], 0.0, softmax([0.5, 1.5])[1]], 1e-14)
    value, slopes = told(-inf, -inf)
    assert value == -inf
    np.testing.assert_array_equal(slopes, 0.0)
    value, slopes = told(1.0, inf)
    assert value == inf
    np.testing.assert_array_equal(slopes, [0.0, 1.0])


def test_in_every_element_and_host():
    """One fused kernel; PyTorch's and JAX's own functions tell what comes out."""
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    g = fwddiff(lambda a, b, c: logsumexp((a, b, c)))
    rows = np.random.default_rng(1).normal(size=(3, 50))
    values, pullback = fd.rrule(g.broadcast, *rows)
    np.testing.assert_allclose(values, logsumexp(rows, axis=0), 1e-14, 1e-15)
    found = [fd.unthunk(x) for x in pullback(np.ones(50))]
    np.testing.assert_allclose(found, softmax(rows, axis=0), 1e-13)
    given = torch.tensor(rows, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: g.broadcast(*x), (given,))
    with jax.enable_x64(True):
        theirs = jax.grad(lambda x: jax.scipy.special.logsumexp(x, axis=0).sum())(rows)
        ours = jax.jit(jax.grad(lambda x: g.broadcast(*x).sum()))(rows)
        np.testing.assert_allclose(ours, theirs, 1e-13)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_function_itself(engine):
    np.testing.assert_allclose(fd.gradient(logsumexp, Q, backend=engine), softmax(Q), 1e-14)
    p = softmax(Q)
    np.testing.assert_allclose(fd.jacobian(softmax, Q, backend=engine), np.diag(p) - np.outer(p, p), 1e-13)


def test_what_is_not_known_when_compiled_is_refused():
    with pytest.raises(fd.FwdDiffError, match=r"no compiled form for .*axis"):
        fd.gradient(lambda q: logsumexp(q, axis=int(q[0] > 9)), Q, backend="numba")


# --- scipy.stats on whole arrays ----------------------------------------------------------------------------

LIKELIHOODS = {
    "normal": lambda q: scipy.stats.norm.logpdf(DATA, q[0], q[1]).sum(),
    "by keywords": lambda q: scipy.stats.norm.logpdf(DATA, scale=q[1], loc=q[0]).mean(),
    "defaults": lambda q: scipy.stats.norm.logpdf(DATA - q[0]).sum() + scipy.stats.norm.logpdf(q).sum(),
    "Poisson": lambda q: scipy.stats.poisson.logpmf(COUNTS, q[1] * q[1]).sum(),
    "quantiles": lambda q: scipy.stats.expon.ppf(0.5 / (1 + COUNTS), q[0], q[1]).sum(),
    "Student's tail": lambda q: scipy.stats.t.logsf(DATA, q[1] * 3, q[0], 1.1).sum(),
    "two axes": lambda q: scipy.stats.norm.cdf(DATA.reshape(10, 3), q[0], np.ones(3) * q[1]).sum(axis=0)[2],
    "a generator": lambda q: sum(scipy.stats.norm.logpdf(d, q[0], q[1]) for d in DATA),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.few(name=["by keywords", "Poisson", "a generator"], engine=["numpy"])
def test_likelihoods(name, engine):
    f, q = LIKELIHOODS[name], np.array([0.1, 1.3])
    value, slopes = fd.value_and_gradient(f, q, backend=engine)
    assert value == pytest.approx(float(f(q)), rel=1e-12)
    np.testing.assert_allclose(slopes, by_differences(f, q), 1e-6, 1e-7)


@pytest.mark.parametrize("engine", ENGINES)
def test_softmaxes_of_nothing_have_no_slopes(engine):
    """As in PyTorch and JAX, whose values and slopes are nan; another line of the array keeps its own."""
    nothing = np.full(3, -np.inf)
    for f in (lambda v: log_softmax(v), lambda v: softmax(v)):
        value, slopes = fd.value_and_jacobian(fwddiff(f, engine=engine), nothing)
        assert np.isnan(value).all()
        assert np.isnan(slopes).all()
    two = np.stack([nothing, [0.1, 0.7, -0.4]])
    f = fwddiff(lambda v: log_softmax(v, axis=1), engine=engine)
    slopes = fd.jacobian(f, two)
    alone = fd.jacobian(f, two[1:])
    np.testing.assert_allclose(slopes[1, :, 1], alone[0, :, 0], rtol=1e-14)
    assert np.isnan(slopes[0, :, 0]).all()
