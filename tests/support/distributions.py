"""Distributions written down in mpmath, from their definitions, and derivatives by differences in 50 digits.

`CONTINUOUS` and `COUNTS`: name → (log-density, cdf, survival function) of the value and the shapes, without
location and scale. Nothing here is computed as in `fwddiff.stats`.
"""

import itertools

import mpmath as mp

DIGITS = 50


def _phi(z):
    return mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)


def _between(a, b):
    """The normal mass between two points, on the side where it does not cancel."""
    return mp.ncdf(-a) - mp.ncdf(-b) if a > 0 else mp.ncdf(b) - mp.ncdf(a)


def _student(df, z):
    half = mp.betainc(df / 2, mp.mpf(1) / 2, 0, df / (df + z * z), regularized=True) / 2
    return half if z < 0 else 1 - half


def _student_logpdf(z, df):
    constant = mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - mp.log(mp.pi * df) / 2
    return constant - (df + 1) / 2 * mp.log1p(z * z / df)


def _skew(z, a):
    edges = [-mp.inf, z - 4, z - 1, z - mp.mpf(1) / 4, z] if z < 0 else [-mp.inf, -4, -1, 0, z]
    return mp.quad(lambda t: 2 * _phi(t) * mp.ncdf(a * t), edges)


def _von_mises(z, kappa):
    total = mp.quad(lambda t: mp.exp(kappa * mp.cos(t)), mp.linspace(-mp.pi, z, 5))
    return total / (2 * mp.pi * mp.besseli(0, kappa))


def _gev(z, c):
    return (1 - c * z) ** (1 / c) if c != 0 else mp.exp(-z)


def _gpd(z, c):
    return (1 + c * z) ** (-1 / c) if c != 0 else mp.exp(-z)


def _power(z, a):
    return (a - 1) * mp.log(z)


def _rows():
    """name, density (its logarithm), cdf and survival function."""
    g, b, log, exp = mp.gammainc, mp.betainc, mp.log, mp.exp
    yield "Normal", lambda z: log(_phi(z)), mp.ncdf, lambda z: mp.ncdf(-z)
    yield (
        "Cauchy",
        lambda z: -log(mp.pi * (1 + z * z)),
        lambda z: mp.atan2(1, -z) / mp.pi,
        lambda z: mp.atan2(1, z) / mp.pi,
    )
    yield (
        "Logistic",
        lambda z: -z - 2 * log(1 + exp(-z)),
        lambda z: 1 / (1 + exp(-z)),
        lambda z: 1 / (1 + exp(z)),
    )
    yield (
        "Laplace",
        lambda z: -abs(z) - log(2),
        lambda z: exp(z) / 2 if z < 0 else 1 - exp(-z) / 2,
        lambda z: 1 - exp(z) / 2 if z < 0 else exp(-z) / 2,
    )
    yield "Gumbel", lambda z: -z - exp(-z), lambda z: exp(-exp(-z)), lambda z: -mp.expm1(-exp(-z))
    yield "Exponential", lambda z: -z, lambda z: -mp.expm1(-z), lambda z: exp(-z)
    yield "Uniform", lambda z: z * 0, lambda z: z, lambda z: 1 - z
    yield (
        "LogNormal",
        lambda z, s: log(_phi(log(z) / s)) - log(z * s),
        lambda z, s: mp.ncdf(log(z) / s),
        lambda z, s: mp.ncdf(-log(z) / s),
    )
    yield (
        "Weibull",
        lambda z, c: log(c) + _power(z, c) - z**c,
        lambda z, c: -mp.expm1(-(z**c)),
        lambda z, c: exp(-(z**c)),
    )
    yield (
        "LogLogistic",
        lambda z, c: log(c) + _power(z, c) - 2 * log(1 + z**c),
        lambda z, c: 1 / (1 + z**-c),
        lambda z, c: 1 / (1 + z**c),
    )
    yield "Pareto", lambda z, b: log(b) - (b + 1) * log(z), lambda z, b: 1 - z**-b, lambda z, b: z**-b
    yield (
        "GeneralizedPareto",
        lambda z, c: (1 + c) * log(_gpd(z, c)),
        lambda z, c: 1 - _gpd(z, c),
        _gpd,
    )
    yield (
        "GeneralizedExtremeValue",
        lambda z, c: (1 - c) * log(_gev(z, c)) - _gev(z, c),
        lambda z, c: exp(-_gev(z, c)),
        lambda z, c: -mp.expm1(-_gev(z, c)),
    )
    yield (
        "TruncatedNormal",
        lambda z, a, b: log(_phi(z) / _between(a, b)),
        lambda z, a, b: _between(a, z) / _between(a, b),
        lambda z, a, b: _between(z, b) / _between(a, b),
    )
    yield (
        "SkewNormal",
        lambda z, a: log(2 * _phi(z) * mp.ncdf(a * z)),
        _skew,
        lambda z, a: _skew(-z, -a),
    )
    yield (
        "VonMises",
        lambda z, k: k * mp.cos(z) - log(2 * mp.pi * mp.besseli(0, k)),
        _von_mises,
        lambda z, k: _von_mises(-z, k),
    )
    yield (
        "Gamma",
        lambda z, a: _power(z, a) - z - mp.loggamma(a),
        lambda z, a: g(a, 0, z, regularized=True),
        lambda z, a: g(a, z, mp.inf, regularized=True),
    )
    yield (
        "ChiSquared",
        lambda z, k: _power(z, k / 2) - z / 2 - mp.loggamma(k / 2) - k / 2 * log(2),
        lambda z, k: g(k / 2, 0, z / 2, regularized=True),
        lambda z, k: g(k / 2, z / 2, mp.inf, regularized=True),
    )
    yield (
        "InverseGamma",
        lambda z, a: _power(z, -a) - 1 / z - mp.loggamma(a),
        lambda z, a: g(a, 1 / z, mp.inf, regularized=True),
        lambda z, a: g(a, 0, 1 / z, regularized=True),
    )
    yield (
        "Beta",
        lambda z, p, q: _power(z, p) + _power(1 - z, q) - log(mp.beta(p, q)),
        lambda z, p, q: b(p, q, 0, z, regularized=True),
        lambda z, p, q: b(q, p, 0, 1 - z, regularized=True),
    )
    yield "StudentT", _student_logpdf, lambda z, df: _student(df, z), lambda z, df: _student(df, -z)
    yield (
        "Poisson",
        lambda k, mu: k * log(mu) - mu - mp.loggamma(k + 1),
        lambda k, mu: g(k + 1, mu, mp.inf, regularized=True),
        lambda k, mu: g(k + 1, 0, mu, regularized=True),
    )
    yield (
        "Bernoulli",
        lambda k, p: log(p) if k == 1 else log(1 - p),
        lambda k, p: 1 - p,
        lambda k, p: p,
    )
    yield (
        "Binomial",
        lambda k, n, p: log(mp.binomial(n, k)) + k * log(p) + (n - k) * log(1 - p),
        lambda k, n, p: b(n - k, k + 1, 0, 1 - p, regularized=True),
        lambda k, n, p: b(k + 1, n - k, 0, p, regularized=True),
    )
    yield (
        "NegativeBinomial",
        lambda k, n, p: (
            mp.loggamma(n + k) - mp.loggamma(n) - mp.loggamma(k + 1) + n * log(p) + k * log(1 - p)
        ),
        lambda k, n, p: b(n, k + 1, 0, p, regularized=True),
        lambda k, n, p: b(k + 1, n, 0, 1 - p, regularized=True),
    )
    yield (
        "BetaBinomial",
        _beta_binomial,
        _beta_binomial_cdf,
        lambda k, n, p, q: _beta_binomial_cdf(n - k - 1, n, q, p),
    )


def _beta_binomial(k, n, p, q):
    return mp.log(mp.binomial(n, k) * mp.beta(k + p, n - k + q) / mp.beta(p, q))


def _beta_binomial_cdf(k, n, p, q):
    return mp.fsum(mp.exp(_beta_binomial(mp.mpf(j), n, p, q)) for j in range(int(k) + 1))


ORACLES = {name: functions for name, *functions in _rows()}


def oracle(name, method, counts):
    """A method as a function of the value and all parameters, location and scale among them unless `counts`.

    Of probabilities near 1 it is what they lack, with the other sign: 50 digits would not show it.
    """
    logpdf, cdf, sf = ORACLES[name]

    def near(one, other):
        return lambda *a: one(*a) if one(*a) < 0.9 else -other(*a)

    def logarithm(one, other):
        return lambda *a: mp.log(one(*a)) if one(*a) < 0.9 else mp.log1p(-other(*a))

    standard = {
        "logpdf": logpdf,
        "logpmf": logpdf,
        "cdf": near(cdf, sf),
        "sf": near(sf, cdf),
        "logcdf": logarithm(cdf, sf),
        "logsf": logarithm(sf, cdf),
    }[method]
    if counts:
        return standard

    def function(x, *parameters):
        *shapes, loc, scale = parameters
        value = standard((x - loc) / scale, *shapes)
        return value - mp.log(scale) if method == "logpdf" else value

    return function


def derivatives(function, arguments, active, second=True):
    """Value, gradient and, where asked for, Hessian by the arguments at the positions `active`."""
    with mp.workdps(DIGITS):
        point = [mp.mpf(a) for a in arguments]
        step = mp.mpf(10) ** -12

        def at(*moves):
            moved = list(point)
            for position, factor in moves:
                moved[position] += factor * step
            return function(*moved)

        value, up, down = at(), {}, {}
        for i in active:
            up[i], down[i] = at((i, 1)), at((i, -1))
        gradient = [(up[i] - down[i]) / (2 * step) for i in active]
        if not second:
            return float(value), [float(d) for d in gradient], None
        hessian = [[mp.mpf(0)] * len(active) for _ in active]
        for (m, i), (n, j) in itertools.combinations_with_replacement(enumerate(active), 2):
            if i == j:
                second = (up[i] - 2 * value + down[i]) / step**2
            else:
                corners = (
                    at((i, 1), (j, 1)) - up[i] - up[j] + 2 * value - down[i] - down[j] + at((i, -1), (j, -1))
                )
                second = corners / (2 * step**2)
            hessian[m][n] = hessian[n][m] = second
        return float(value), [float(d) for d in gradient], [[float(d) for d in row] for row in hessian]
